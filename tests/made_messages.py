"""Messages made by hypothesis, with what is likely to break each field; and what must hold of them composed."""

from __future__ import annotations

import email
import email.policy
import re
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from strict_reader import Part, decoded, mailboxes, read

from mailer.address import Address
from mailer.attachment import Attachment
from mailer.mail import Content
from mailer.message import Message
from mailer.mime import compose

__all__ = ["BOUNDARY", "DATE", "MESSAGE_ID", "check_composed", "composed", "messages", "one_line", "prose"]

BOUNDARY = "0123456789abcdef0123456789abcdef"
MESSAGE_ID = "<fixed@example.com>"
DATE = datetime(2026, 11, 24, 9, 7, 45, tzinfo=timezone(timedelta(hours=5, minutes=30)))

_HOSTILE = [
    "=?utf-8?q?not=20a=20word?=",
    "=?",
    "?=",
    "  ",
    "\t",
    "\u200f",
    "é",
    "日本語",
    "😀",
    "e\u0301",
    "\u2028",
    "\x85",
    "\xa0",
    ",",
    ";",
    ":",
    '"',
    "\\",
    "(",
    ")",
    "<",
    ">",
    "@",
    ".",
    "%",
    "'",
    "*",
    "a" * 80,
    "x" * 1000,
    "ß" * 40,
    "From ",
    "_",
    "=",
    "--",
    BOUNDARY,
    f"--=_3_{BOUNDARY}",
    "https://example.org/" + "y" * 300,
    " word",
    " a b c d e f g h i j k l",
]
_CHARACTER = st.characters(
    exclude_categories=["Cs"], exclude_characters="".join(map(chr, [*range(9), *range(10, 32), 127]))
)


def one_line(max_size: int = 12) -> st.SearchStrategy[str]:
    """Text that may stand in a header, made of what is likely to go wrong there."""
    return st.lists(st.sampled_from(_HOSTILE) | st.text(_CHARACTER, max_size=20), max_size=max_size).map("".join)


def prose() -> st.SearchStrategy[str]:
    """A body: any line ends, long lines, likely boundaries, dots, trailing blanks."""
    line = st.sampled_from(
        [
            "\r\n",
            "\n",
            "\r",
            ".",
            "..",
            " ",
            "\t",
            f"--=_2_{BOUNDARY}",
            f"--=_2_{BOUNDARY}--",
            "z" * 999,
            "é" * 600,
            "=",
            "From x",
            "word " * 30,
            "a" * 76,
            "a" * 75 + " ",
            "ü" * 25 + " ",
        ]
    )
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
    return st.lists(line | text, max_size=12).map("".join)


_NAMES = one_line(4).map(lambda name: name.replace("\t", " ").strip(" \t")[:998])
_LOCALS = st.sampled_from(["ann", "a.b+c", "a b", '"', "x" * 64, "very.long.local.part.of.an.address", "@", "(c)"])
_WIDE_LOCALS = _LOCALS | st.sampled_from(["jösé", "用户"])
_DOMAINS = st.sampled_from(["example.org", "bücher.example", "[192.0.2.1]", "d" * 60 + ".example"])


def _addresses(local: st.SearchStrategy[str]) -> st.SearchStrategy[Address]:
    return st.builds(Address, _NAMES | st.just(""), local, _DOMAINS)


def _attachments() -> st.SearchStrategy[Attachment]:
    names = one_line(3) | st.sampled_from(["a.txt", "日本語.pdf", "x" * 300 + ".png", 'q".csv', "a;b.c"])
    kinds = st.sampled_from(
        ["text/plain", "application/pdf", "text/csv; charset=utf-8", 'image/png; x="a b"', "application/octet-stream"]
    )
    data = st.binary(max_size=200) | st.sampled_from([b"", b"a" * 57, b"a" * 58, bytes(1024 * 57 + 1), "é\n".encode()])
    return st.builds(lambda n, k, d: Attachment.from_bytes(n, d, content_type=k), names, kinds, data)


_HEADERS = st.lists(
    st.tuples(st.sampled_from(["X-Order", "X-" + "Long-" * 14 + "Name", "Comments", "x-a"]), one_line())
    | st.tuples(
        st.just("References"),
        st.lists(st.sampled_from(["<a@b>", "<" + "r" * 200 + "@example.org>"]), min_size=1, max_size=60).map(" ".join),
    )
    | st.tuples(st.just("Errors-To"), _addresses(_LOCALS).map(str)),
    max_size=3,
    unique_by=lambda pair: pair[0],
)


@st.composite
def messages(draw: Any, *, wide: bool = False) -> Message:
    """A message that composes; ``wide`` puts non-ASCII local parts among its addresses."""
    address = _addresses(_WIDE_LOCALS if wide else _LOCALS)
    several = st.lists(address, max_size=6)
    html = draw(st.none() | prose())
    message = Message(
        from_=draw(address),
        to=draw(several),
        cc=draw(several),
        bcc=[Address("Hidden Recipient", "bcc-secret", "hidden.example")],
        reply_to=draw(several),
        sender=draw(st.none() | address),
        subject=draw(one_line()),
        text=draw(st.none() | prose()),
        html=html if html is None or "cid:" not in html else None,
        amp_html=draw(st.none() | prose()),
        alternatives=draw(st.lists(st.tuples(st.just("text/calendar; method=REQUEST"), prose()), max_size=2)),
        headers=draw(_HEADERS),
        priority=draw(st.none() | st.integers(1, 5)),
        date=DATE,
        attachments=draw(st.lists(_attachments(), max_size=3)),
    )
    inline = draw(st.lists(_attachments(), max_size=2))
    return message.attach(*[a.with_(inline=True, content_id=f"c{i}@x") for i, a in enumerate(inline)])


def composed(message: Message, **more: Any) -> Content:
    """Composed with fixed id, date and boundary."""
    return compose(message, **{"message_id": MESSAGE_ID, "date": DATE, "boundary": BOUNDARY, **more})


def check_composed(message: Message) -> Part:
    """Every property of the composed bytes, read by the strict reader and by the standard library."""
    content = composed(message)
    data = bytes(content)
    assert len(content) == len(data)
    assert b"".join(content) == data == bytes(composed(message)), "the same arguments, the same bytes"
    utf8 = content.has_utf8_headers
    part = read(data, utf8=utf8, eight_bit=content.has_8bit)
    for octets in (b"bcc-secret", b"hidden.example", b"Hidden Recipient", b"\r\nBcc"):
        assert octets not in data
    _check_header(message, part, utf8=utf8)
    _check_parts(message, part)
    if not utf8:
        _check_by_the_standard_library(message, data)
    return part


def _pairs(mailbox: Address, *, utf8: bool) -> tuple[str, str]:
    return mailbox.name, mailbox.addr_spec if utf8 else mailbox.ascii


def _check_header(message: Message, part: Part, *, utf8: bool) -> None:
    for name, stored in (
        ("From", message.from_),
        ("To", message.to),
        ("Cc", message.cc),
        ("Reply-To", message.reply_to),
    ):
        body = part.get(name)
        if stored:
            assert body is not None
            assert mailboxes(body) == [_pairs(mailbox, utf8=utf8) for mailbox in stored], name
        else:
            assert body == ("undisclosed-recipients:;" if name == "To" and not message.cc else None)
    assert (part.get("Sender") is None) == (message.sender is None)
    assert decoded(part.get("Subject") or "") == message.subject
    assert part.get("Date") == "Tue, 24 Nov 2026 09:07:45 +0530"
    assert part.get("Message-ID") == (message.message_id or MESSAGE_ID)
    assert part.get("MIME-Version") == "1.0"
    assert part.get("Bcc") is None
    for name, value in message.headers:
        body = part.get(name) or ""
        if name == "References":
            assert body.split() == value.split()
        elif name == "Errors-To":
            assert mailboxes(body) == [_pairs(Address.parse(value), utf8=utf8)]
        else:
            assert decoded(body) == value, name


def _lf(text: str) -> str:
    return re.sub("\r\n?", "\n", text)


def _check_parts(message: Message, part: Part) -> None:
    leaves = [p for p in part.walk() if not p.parts]
    inline = [a for a in message.attachments if a.inline and message.html is not None]
    files = [a for a in message.attachments if a not in inline]
    wanted: list[str] = [text for text in (message.text, message.amp_html, message.html) if text is not None]
    wanted_kinds = [
        kind
        for kind, text in (("plain", message.text), ("x-amp-html", message.amp_html), ("html", message.html))
        if text is not None
    ]
    bodies = [p for p in leaves if p.disposition is None]
    texts = wanted + [text for _, text in message.alternatives]
    if not texts and not message.attachments:
        texts, wanted_kinds = [""], ["plain"]
    assert [p.content_type for p in bodies] == [f"text/{k}" for k in wanted_kinds] + ["text/calendar"] * len(
        message.alternatives
    )
    for body, text in zip(bodies, texts, strict=True):
        got = body.text
        if not part.parts and not _lf(text).endswith("\n"):  # a mail ends in CRLF, so its last line gets one
            got = got.removesuffix("\n")
        assert got == _lf(text)
    shown = [p for p in leaves if p.disposition is not None]
    for got, attachment in zip(shown, [*inline, *files], strict=True):
        assert got.disposition == ("inline" if attachment.inline else "attachment")
        assert got.filename == attachment.name
        assert got.get("Content-ID") == (f"<{attachment.content_id}>" if attachment.content_id else None)
        if not attachment.content_type.startswith("message/"):
            assert got.body == bytes(attachment)
            assert got.get("Content-Transfer-Encoding") == "base64"
    assert bool(part.parts) == bool(len(texts) + len(message.attachments) > 1 or message.attachments)


def _check_by_the_standard_library(message: Message, data: bytes) -> None:
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert not [p.defects for p in parsed.walk() if p.defects]
    # C1 and Unicode line ends are dropped or taken for line breaks by its own parser; the strict reader covers them.
    if not re.search("[\x80-\xa0\u2028\u2029]", message.subject):
        assert str(parsed["Subject"]) == message.subject
    files = [a for a in message.attachments if not a.inline]
    got = [p for p in parsed.walk() if p.get_content_disposition() == "attachment"]
    assert len(got) == len(files)
    for part, attachment in zip(got, files, strict=True):
        if part.get_content_maintype() not in ("message", "multipart"):
            assert part.get_payload(decode=True) == bytes(attachment)
    body = parsed.get_body(("plain",))
    if message.text is not None and message.text.strip():
        assert body is not None
        payload = body.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert payload.decode().replace("\r\n", "\n").rstrip("\n") == _lf(message.text).rstrip("\n")

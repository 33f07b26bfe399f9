"""One Django message by Django's own SMTP backend and by ours, to one server: the same arrives, or there is a reason.

Runs on every Django: see test_django_versions.py.
"""

# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import email
import email.policy
import functools
import re
import warnings
from collections.abc import Callable, Iterator
from email.message import Message as Part
from email.mime.application import MIMEApplication
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr
from typing import Any, NamedTuple

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend as PeerBackend
from django.utils.functional import lazystr
from test_django_anymail import configured

from mailer.contrib.django import EmailBackend
from mailer.testing import SmtpServer

PNG = b"\x89PNG\r\n\x1a\n"


def message(body: Any = "Body\n", *, subject: Any = "Subject", **more: Any) -> Any:
    given: dict[str, Any] = {"from_email": "Shop <shop@example.com>", "to": ["Ann <ann@example.org>"], **more}
    return EmailMultiAlternatives(subject, body, **given)


def changed(made: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def with_ways(made: Any, *ways: tuple[Any, str]) -> Any:
    for content, kind in ways:
        made.attach_alternative(content, kind)
    return made


def with_files(made: Any, *files: Any) -> Any:
    for file in files:
        made.attach(*file) if isinstance(file, tuple) else made.attach(file)
    return made


def part(made: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        if name == "disposition":
            made.add_header("Content-Disposition", *value[:1], **({"filename": value[1]} if value[1:] else {}))
        else:
            made[name.replace("_", "-")] = value
    return made


def multipart() -> Any:
    made = MIMEMultipart("mixed")
    made.attach(MIMEText("within"))
    return made


class OfItsOwn(EmailMessage):
    def message(self, *args: Any, **more: Any) -> Any:
        made = super().message(*args, **more)
        made["X-Own"] = "1"
        return made


class ToOthers(EmailMessage):
    def recipients(self) -> list[str]:
        return ["only@example.org"]


def headers(**given: Any) -> Callable[[], Any]:
    return lambda: message(headers={name.replace("_", "-"): value for name, value in given.items()})


CASES: dict[str, Callable[[], Any]] = {
    "plain": message,
    "unicode": lambda: message("Grüße 日本 😀\n", subject="Sübject 日本 " * 9, from_email="Jürgen Läden <shop@example.com>", to=["Tö <ann@example.org>", '"Lee, Bob" <bob@example.org>']),
    "long lines": lambda: message("x" * 3000 + "\n" + "é" * 1200 + "\n"),
    "dots": lambda: message(".\n..\nFrom here\n>From\n"),
    "line ends": lambda: message("a\r\nb\rc\nd\n"),
    "no body": lambda: message(""),
    "body None": lambda: message(None),
    "lazy": lambda: message(lazystr("Body\n"), subject=lazystr("Late"), from_email=lazystr("shop@example.com"), to=[lazystr("ann@example.org")]),
    "default From": lambda: message(from_email=None),
    "cc, bcc, reply to": lambda: message(cc=["Cyd <cyd@example.org>", "dee@example.org"], bcc=["eve@example.org"], reply_to=["a@example.com", "B <b@example.com>"]),
    "only bcc": lambda: message(to=[], bcc=["eve@example.org"]),
    "tuples": lambda: message(to=("ann@example.org",), cc=("bob@example.org",)),
    "blank in a list": lambda: message(to=["", "ann@example.org"]),
    "twice": lambda: message(to=["ann@example.org"], cc=["ann@example.org"]),
    "many": lambda: message(to=[f"Recipient number {n} <u{n}@example.org>" for n in range(40)]),
    "international domain": lambda: message(from_email="shop@bücher.example", to=["ann@bücher.example"]),
    "encoded names": lambda: message(from_email=formataddr(("Jürgen", "shop@example.com")), to=[formataddr(("Tö, x", "ann@example.org"))]),
    "encoded subject": lambda: message(subject="=?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?q?_x?="),
    "long subject": lambda: message(subject="word " * 60),
    "nobody": lambda: message(to=[]),
    "headers": headers(X_A="1", x_b="é 日本", X_Long="word " * 50, List_Unsubscribe="<https://x.test/u>", Precedence="bulk", X_Empty=""),
    "encoded header": headers(X_A="=?utf-8?q?Gr=C3=BC=C3=9Fe?="),
    "header Message-ID": headers(Message_ID="<own@example.com>", date="Fri, 09 Nov 2001 01:08:47 +0000"),
    "header From": headers(From="Real <real@example.com>"),
    "header Sender": headers(Sender="s@example.com"),
    "header To": headers(To="Everybody <all@example.org>"),
    "header Cc": headers(Cc="all@example.org"),
    "header Reply-To": headers(Reply_To="y@example.com"),
    "header X-Priority": headers(X_Priority="1 (Highest)", Importance="high"),
    "header X-Priority of its own": headers(X_Priority="urgent"),
    "header From, two": headers(From="a@example.com, b@example.com"),
    "header Return-Path, null": headers(Return_Path="<>"),
    "thread": headers(In_Reply_To="<a@example.com>", References="<a@example.com> <b@example.com>"),
    "header Return-Path": headers(Return_Path="bounce@example.com"),
    "html too": lambda: with_ways(message(), ("<p>é</p>\n", "text/html")),
    "html alone": lambda: with_ways(message(""), ("<p>é</p>\n", "text/html")),
    "html as body": lambda: changed(message("<p>x</p>\n"), content_subtype="html"),
    "html as body, and text": lambda: with_ways(changed(message("<p>x</p>\n"), content_subtype="html"), ("x\n", "text/plain")),
    "calendar": lambda: with_ways(message(), ("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "text/calendar; method=REQUEST")),
    "another way": lambda: with_ways(message(), ("{}", "application/json")),
    "two of html": lambda: with_ways(message(), ("<p>1</p>\n", "text/html"), ("<p>2</p>\n", "text/html")),
    "markdown": lambda: changed(message("# x\n"), content_subtype="markdown"),
    "latin-1": lambda: changed(message("café\n", subject="café"), encoding="iso-8859-1"),
    "a text": lambda: with_files(message(), ("a.txt", "é\n", "text/plain")),
    "a text, parameters": lambda: with_files(message(), ("a.txt", "x\n", "text/plain; format=flowed")),
    "octets": lambda: with_files(message(), ("a.bin", b"\x00\xff"), ("ü ñ.pdf", b"%PDF", "application/pdf"), ("日本.zip", b"x")),
    "guessed": lambda: with_files(message(), ("a.png", PNG), ("a.tar.gz", b"\x1f\x8b"), ("A.PDF", b"x"), ("a.zzz", b"x"), ("a.csv", "a,b\n")),
    "octets called a text": lambda: with_files(message(), ("a.txt", b"\xff\xfe")),
    "names": lambda: with_files(message(), ('a"b.txt', "x\n"), ("a b.txt", "x\n"), ("n" * 200 + ".txt", "x\n")),
    "no name": lambda: with_files(message(), (None, PNG, "image/png")),
    "a path": lambda: with_files(message(), ("../x/y.txt", "x\n", "text/plain")),
    "a message": lambda: with_files(message(), ("m.eml", message(headers={"Message-ID": "<in@example.com>", "Date": "Fri, 09 Nov 2001 01:08:47 +0000"}), "message/rfc822")),
    "files alone": lambda: with_files(message(""), ("a.pdf", b"x", "application/pdf")),
    "all at once": lambda: with_files(with_ways(message(), ("<p>\n", "text/html")), ("a.pdf", b"x", "application/pdf"), ("b.txt", "t\n")),
    "in the constructor": lambda: message(attachments=[("t.txt", "x\n", "text/plain"), ("u.bin", b"y", None)]),
    "a part": lambda: with_files(message(), part(MIMEApplication(b"zip", "zip"), disposition=("attachment", "größe.zip"))),
    "a part without a name": lambda: with_files(message(), MIMEApplication(b"zip", "zip")),
    "a described part": lambda: with_files(message(), part(MIMEApplication(b"zip", "zip"), Content_Description="a zip")),
    "a part that is shown": lambda: with_files(message(), MIMEText("below\n", "plain", "utf-8")),
    "a part that is shown, html": lambda: with_files(message(), MIMEText("<p>é</p>\n", "html", "utf-8")),
    "a part of parts": lambda: with_files(message(), multipart()),
    "an image within": lambda: with_files(with_ways(message(), ('<img src="cid:l">\n', "text/html")), part(MIMEImage(PNG, "png"), Content_ID="<l>", disposition=("inline", "l.png"))),
    "an image, not within": lambda: with_files(message(), part(MIMEImage(PNG, "png"), disposition=("inline", "l.png"))),
    "a subclass": lambda: OfItsOwn("Subject", "Body\n", "shop@example.com", ["ann@example.org"]),
    "a subclass' recipients": lambda: ToOthers("Subject", "Body\n", "shop@example.com", ["ann@example.org"]),
    "line break: subject": lambda: message(subject="a\nBcc: x@example.org"),
    "line break: header": headers(X_A="a\nb"),
    "line break: to": lambda: message(to=["ann@example.org\nBcc: x@example.org"]),
    "line break: From": lambda: message(from_email="shop@example.com\nX: y"),
    "two in one": lambda: message(to=["ann@example.org, bob@example.org"]),
    "two as From": lambda: message(from_email="a@example.com, b@example.com"),
    "header Subject": headers(Subject="other"),
    "header Bcc": headers(Bcc="other@example.org"),
    "header Content-Type": headers(Content_Type="text/html"),
    "octets as body": lambda: message("Body é\n".encode()),
    "octets as address": lambda: message(from_email=b"shop@example.com", to=[b"ann@example.org"]),
    "no domain": lambda: message(to=["root"]),
}  # fmt: skip


class Reason(NamedTuple):
    """Why the two differ: in which cases, and where."""

    cases: str
    where: str
    why: str


WE, THEY = "refused by us", "refused by them"
REASONS = [
    Reason("twice", "recipients", "one copy for each recipient"),
    Reason("only bcc", "headers", "'undisclosed-recipients:;' is what RFC 5322 has for it"),
    Reason("header From, two", "headers", "two in From need a Sender (RFC 5322 section 3.6.2): from_email"),
    Reason(
        "header Return-Path|header Return-Path, null",
        "sender|headers",
        "it is the envelope sender, not a header for the server to find a second of",
    ),
    Reason("html alone", "parts", "one part needs no multipart around it"),
    Reason("html as body, and text", "parts", "the plainest first, or clients show the text (RFC 2046 section 5.1.4)"),
    Reason("no name|a part without a name", "parts", "a file has a name: 'attachment'"),
    Reason("a path", "parts", "a file's name has no folders"),
    Reason("an image within", "parts", "beside the html that shows it: multipart/related"),
    Reason("octets as address", "headers", "they are read as text; its header shows them in Python's quotes"),
    Reason("octets as body", THEY, "Django takes them from 6.0 on"),
    Reason("header Bcc", WE, "it would show who is hidden"),
    Reason("header Subject|header Content-Type", WE, "there would be two of them; Django refuses that from 6.0 on"),
]
#: What only some releases of Django do otherwise.
MAY_BE_IDLE = {"header Subject|header Content-Type", "header Bcc", "octets as body"}


class Seen(NamedTuple):
    """What arrived of one message.

    Attributes:
        parts: Content type, what else it says, content, name, disposition and content id of each, in their nesting.
    """

    sender: str | None
    recipients: tuple[str, ...]
    headers: dict[str, list[str]]
    parts: Any


_STRUCTURE = frozenset(
    "message-id date mime-version content-type content-transfer-encoding content-disposition".split()
)


def _seen(mail: Any, *, with_ids: bool) -> Seen:
    octets = bytes(mail.content)
    read = email.message_from_bytes(octets, policy=email.policy.default)
    found: dict[str, list[str]] = {}
    for name, value in read.items():
        if name.lower() not in _STRUCTURE or (with_ids and name.lower() in ("message-id", "date")):
            found.setdefault(name.lower(), []).append(" ".join(str(value).split()))
    return Seen(mail.sender, tuple(mail.recipients), found, _parts(email.message_from_bytes(octets)))


def _parts(read: Part) -> Any:
    kind = read.get_content_type()
    if read.is_multipart():
        inner: Any = read.get_payload()
        return kind, [_parts(one) for one in inner], [str(one["subject"]) for one in inner]
    content: Any = read.get_payload(decode=True)
    if kind.startswith("text/"):
        content = (
            content.decode(read.get_content_charset() or "ascii").replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
        )
    said = [
        (name.lower(), value)
        for name, value in (read.get_params() or [])[1:]
        if name.lower() not in ("charset", "name")
    ]
    described = [read[name] for name in ("Content-Description", "Content-ID")]
    name = read.get_filename()
    return kind, said, content, name, read.get_content_disposition(), described


def _done(server: SmtpServer, backend: Any, one: Any, *, with_ids: bool) -> list[Seen] | Exception:
    before = len(server.mails)
    try:
        count = backend.send_messages([one])
    except Exception as error:  # each has its own classes
        return error
    arrived = [_seen(mail, with_ids=with_ids) for mail in server.mails[before:]]
    assert len(arrived) == (count or 0)
    return arrived


@functools.cache
def found() -> dict[tuple[str, str], tuple[Any, Any]]:
    """Every difference there is: case and place -> what each has."""
    return dict(_all())


def _all() -> Iterator[tuple[tuple[str, str], tuple[Any, Any]]]:
    with SmtpServer() as server, configured(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Django 6.1 has them made by MAILERS
        options = {"host": server.host, "port": server.port}
        peer, backend = PeerBackend(**options), EmailBackend(**options)
        for case, make in CASES.items():
            with_ids = "Message-ID" in case
            ours = _done(server, backend, make(), with_ids=with_ids)
            theirs = _done(server, peer, make(), with_ids=with_ids)
            if isinstance(ours, Exception) or isinstance(theirs, Exception):
                if not isinstance(theirs, Exception):
                    yield (case, WE), (ours, theirs)
                elif not isinstance(ours, Exception):
                    yield (case, THEY), (ours, theirs)
                elif not isinstance(ours, type(theirs)):
                    yield (case, "class"), (ours, theirs)
            elif len(ours) != len(theirs):
                yield (case, "mails"), (len(ours), len(theirs))
            else:
                for a, b in zip(ours, theirs, strict=True):
                    for where in Seen._fields:
                        if getattr(a, where) != getattr(b, where):
                            yield (case, where), (getattr(a, where), getattr(b, where))
        backend.close()


def _explains(reason: Reason, case: str, where: str) -> bool:
    return re.fullmatch(reason.cases, case) is not None and re.fullmatch(reason.where, where) is not None


def test_every_difference_has_a_reason() -> None:
    left = [
        f"{case}: {where}: {str(a)[:250]} | {str(b)[:250]}"
        for (case, where), (a, b) in found().items()
        if not any(_explains(reason, case, where) for reason in REASONS)
    ]
    assert not left, "\n" + "\n".join(left)


def test_every_reason_has_a_difference() -> None:
    idle = [
        (case, reason.why)
        for reason in REASONS
        if reason.cases not in MAY_BE_IDLE
        for case in reason.cases.split("|")
        if not any(name == case and _explains(reason, name, where) for name, where in found())
    ]
    assert not idle


def test_what_comes_before_an_error_is_sent_as_by_djangos_own() -> None:
    def raising() -> Iterator[Any]:
        for number in range(5):
            yield message(subject=str(number))
        raise RuntimeError("the app's own")

    class Broken(EmailMessage):
        def recipients(self) -> list[str]:
            raise RuntimeError("the app's own")

    def with_broken() -> Iterator[Any]:
        for number in range(12):
            yield message(subject=str(number)) if number != 5 else Broken("5", "Body", None, ["ann@example.org"])

    def with_a_way_in_no_language() -> Iterator[Any]:
        for number in range(12):
            yield with_ways(message(subject=str(number)), *([(b"\xe9", "text/html")] if number == 5 else []))

    with SmtpServer() as server, configured(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for several in (raising, with_broken, with_a_way_in_no_language):
            for made in (EmailBackend, PeerBackend):
                before = len(server.mails)
                backend = made(host=server.host, port=server.port)
                with pytest.raises((RuntimeError, UnicodeDecodeError, AttributeError)):
                    backend.send_messages(several())
                backend.close()
                arrived = [email.message_from_bytes(bytes(mail.content))["Subject"] for mail in server.mails[before:]]
                assert arrived == list("01234"), (several, made)

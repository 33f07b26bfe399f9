"""The composer: a message as RFC 5322 and MIME bytes (RFC 2045, 2046, 2387).

Built as pieces whose lengths are known, so that a file on disk is streamed through. What each line looks like is
:mod:`mailer.header`'s and :mod:`mailer.transfer`'s business; here is the structure::

    mixed( alternative( text, amp, related( html, inline images ), further alternatives ), attachments )

with each level that holds only one thing left out. Nothing here reads a clock or a source of randomness.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from . import header
from .attachment import Attachment, media_type
from .errors import MessageError, TemplateError
from .field import shown, token_id
from .mail import Content, Piece
from .message import Message
from .ready_made import ascii_headers, canonical, has_long_line, seven_bit
from .transfer import BLOCK_BYTES, base64_length, base64_lines, crlf, encoded_text

__all__ = ["Encoded", "compose"]

# A part: its Content-* header lines, its pieces, and whether an octet above 127 is among them.
_Part = tuple[str, list[Piece], bool]

# Where html loads an inline image: an attribute or a style's url().
_CID = re.compile(
    r"""(?:\b(?:src|background|srcset|href|poster)\s*=\s*|url\()\s*["']?cid:([^"'\s>)]+)""", re.IGNORECASE
)
_BOUNDARY = re.compile(r"[A-Za-z0-9_.-]{1,48}", re.ASCII)
_PRIORITY = {1: "highest", 2: "high", 3: "normal", 4: "low", 5: "lowest"}
_IMPORTANCE = {1: "high", 2: "high", 3: "normal", 4: "low", 5: "low"}


class _Base64:
    """An attachment's content as base64 lines, read again on each iteration."""

    __slots__ = ("_attachment", "_kept", "_length")

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._length = base64_length(attachment.size_bytes)
        self._kept: tuple[bytes, ...] | None = None

    def kept(self) -> _Base64:
        """Itself, encoded now and kept so. No bytes: what is base64 is not searched for boundaries."""
        self._kept = (b"".join(self),)
        return self

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._kept) if self._kept is not None else base64_lines(self._attachment.blocks(BLOCK_BYTES))


class Encoded:
    """Attachments as parts of a mail, kept for further messages that share them (by identity, not equality).

    Holds at most ``limit_bytes`` of them; what is larger is encoded as it is sent, each time.
    """

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._parts: dict[int, tuple[Attachment, _Part]] = {}  # by id(); holding the attachment keeps that its own

    def part(self, attachment: Attachment) -> _Part:
        """Its part, encoded now or before."""
        if found := self._parts.get(id(attachment)):
            return found[1]
        fields, pieces, has_8bit = _attached(attachment)
        size = sum(map(len, pieces))
        if size > self._limit_bytes // 4:
            return fields, pieces, has_8bit
        if self._size_bytes + size > self._limit_bytes:
            self._parts.clear()
            self._size_bytes = 0
        kept: list[Piece] = [piece.kept() if isinstance(piece, _Base64) else piece for piece in pieces]
        self._parts[id(attachment)] = attachment, (fields, kept, has_8bit)
        self._size_bytes += size
        return fields, kept, has_8bit


def compose(
    message: Message,
    *,
    message_id: str,
    date: datetime,
    boundary: str,
    utf8: bool | None = None,
    encoded: Encoded | None = None,
) -> Content:
    """Write the message as bytes. The same arguments give the same bytes on every Python.

    Args:
        message: Rendered, with a From.
        message_id: Taken where the message has none; with angle brackets.
        date: Taken where the message has none; with a time zone.
        boundary: 1-48 letters, digits or "_-."; stands in every multipart boundary and must be unguessable to whoever
            writes the texts.
        utf8: Write headers as raw UTF-8 (RFC 6532). None does so just where a header's local part is not ASCII.
        encoded: Attachments that other messages share.

    Raises:
        MessageError: No From, several without Sender, an html part that shows an image that is not there, an
            attachment that cannot be read.
        TemplateError: The message still names a template.
    """
    if message.template is not None:
        raise TemplateError(f"{shown(message.template)} is not rendered yet", field="template")
    if not message.from_:
        raise MessageError("there is no From: give Message(from_=...), Mailer(from_=...) or MAILER_FROM", field="from_")
    if len(message.from_) > 1 and message.sender is None:
        raise MessageError("several From addresses need sender= (RFC 5322 section 3.6.2)", field="sender")
    if not _BOUNDARY.fullmatch(boundary):
        raise MessageError(f"{shown(boundary)} is not 1-48 letters, digits or '_-.'", field="boundary")
    if utf8 is None:
        mailboxes = (*message.from_, *message.to, *message.cc, *message.reply_to, *filter(None, (message.sender,)))
        utf8 = any([not mailbox.local.isascii() for mailbox in mailboxes])
    head = [header.addresses("From", message.from_, utf8=utf8)]
    if message.sender is not None:
        head.append(header.addresses("Sender", (message.sender,), utf8=utf8))
    if message.reply_to:
        head.append(header.addresses("Reply-To", message.reply_to, utf8=utf8))
    if message.to:
        head.append(header.addresses("To", message.to, utf8=utf8))
    elif not message.cc:
        head.append("To: undisclosed-recipients:;\r\n")
    if message.cc:
        head.append(header.addresses("Cc", message.cc, utf8=utf8))
    head.append(header.unstructured("Subject", message.subject, utf8=utf8))
    head.append(f"Date: {header.date_time(message.date or date)}\r\n")
    head.append(
        header.opaque("Message-ID", message.message_id or f"<{token_id(message_id, 'message_id', needs_at=True)}>")
    )
    if message.priority is not None:
        head.append(f"X-Priority: {message.priority} ({_PRIORITY[message.priority].title()})\r\n")
        if not any(name.lower() == "importance" for name, _ in message.headers):
            head.append(f"Importance: {_IMPORTANCE[message.priority]}\r\n")
    head.extend([header.custom(name, body, utf8=utf8) for name, body in message.headers])
    head.append("MIME-Version: 1.0\r\n")
    fields, pieces, has_8bit = _body(message, boundary, _attached if encoded is None else encoded.part)
    start = "".join([*head, fields, "\r\n"]).encode()
    first = pieces[0] if pieces else b""
    if isinstance(first, bytes):  # one write for what most mails are
        pieces = [start + first, *pieces[1:]]
    else:
        pieces.insert(0, start)
    last = pieces[-1]
    if isinstance(last, bytes) and not last.endswith(b"\r\n"):
        pieces[-1] = last + b"\r\n"
    return Content(pieces, has_8bit=has_8bit, has_utf8_headers=utf8 and not start.isascii())


# --- structure --------------------------------------------------------------------------------------------------------


def _body(message: Message, boundary: str, attached_part: Callable[[Attachment], _Part]) -> _Part:
    has_html = message.html is not None
    inline = [a for a in message.attachments if a.inline and has_html]
    files = [a for a in message.attachments if not (a.inline and has_html)]
    _check_cids(message)
    ways: list[_Part] = []
    if isinstance(message.text, str):  # False as long as it is not rendered
        ways.append(_text("plain", message.text))
    if message.amp_html is not None:
        ways.append(_text("x-amp-html", message.amp_html))
    if message.html is not None:
        ways.append(_text("html", message.html))
    further = [_alternative(kind, text) for kind, text in message.alternatives]
    attached = [attached_part(a) for a in files]
    shown_inside = [attached_part(a) for a in inline]
    boundary = _absent(boundary, (*ways, *further, *shown_inside, *attached))
    if shown_inside:
        ways[-1] = _multipart("related", f"=_1_{boundary}", [ways[-1], *shown_inside], ("type", "text/html"))
    ways += further
    if not ways and not attached:
        ways.append(_text("plain", ""))
    parts = [ways[0] if len(ways) == 1 else _multipart("alternative", f"=_2_{boundary}", ways)] if ways else []
    parts += attached
    return parts[0] if len(parts) == 1 and not attached else _multipart("mixed", f"=_3_{boundary}", parts)


def _check_cids(message: Message) -> None:
    if message.html is None or "cid:" not in message.html:
        return
    known = {a.content_id for a in message.attachments}
    for cid in _CID.findall(message.html):
        if cid not in known and _unquoted(cid) not in known:
            raise MessageError(f"shows cid:{shown(cid)}, which no attachment has as content_id", field="html")


def _unquoted(cid: str) -> str:
    from urllib.parse import unquote

    return unquote(cid)


def _multipart(subtype: str, boundary: str, parts: Sequence[_Part], *parameters: tuple[str, str]) -> _Part:
    more = "".join([f';\r\n {name}="{value}"' for name, value in parameters])
    fields = f'Content-Type: multipart/{subtype}{more};\r\n boundary="{boundary}"\r\n'
    pieces: list[Piece] = []
    small: list[bytes] = []  # joined, as one write for each would cost more
    for part_fields, part_pieces, _ in parts:
        small.append(f"--{boundary}\r\n{part_fields}\r\n".encode())
        for piece in part_pieces:
            if isinstance(piece, bytes) and len(piece) < BLOCK_BYTES:
                small.append(piece)
            else:
                pieces += (b"".join(small), piece)
                small.clear()
        small.append(b"\r\n")  # belongs to the delimiter that follows (RFC 2046 section 5.1.1)
    small.append(f"--{boundary}--\r\n".encode())
    pieces.append(b"".join(small))
    return fields, pieces, any([part[2] for part in parts])


def _absent(boundary: str, parts: Sequence[_Part]) -> str:
    """The boundary, lengthened until no part holds it.

    Encoded parts cannot: every delimiter has "=_" in it, which neither base64 nor quoted-printable ever writes.
    """
    candidate, number = boundary, 0
    while any(isinstance(p, bytes) and candidate.encode() in p for part in parts for p in part[1]):
        number += 1
        candidate = f"{boundary}.{number}"
    return candidate


# --- parts ------------------------------------------------------------------------------------------------------------


def _text(subtype: str, text: str) -> _Part:
    encoding, data = encoded_text(text)
    fields = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n'
    return fields, [data], False


def _alternative(content_type: str, text: str) -> _Part:
    kind, parameters = media_type(content_type)
    parameters["charset"] = "utf-8"
    encoding, data = encoded_text(text)
    typed = header.parameters(kind, parameters.items(), column=len("Content-Type: "))
    return f"Content-Type: {typed}\r\nContent-Transfer-Encoding: {encoding}\r\n", [data], False


def _attached(attachment: Attachment) -> _Part:
    kind, parameters = media_type(attachment.content_type)
    pieces: list[Piece]
    has_8bit = False
    nested = _nested(attachment) if kind == "message/rfc822" else None
    if nested is not None:
        # RFC 2046 section 5.2.1: no encoding but 7bit, 8bit or binary for the body of a message/rfc822.
        has_8bit = not nested.isascii()
        pieces, encoding = [nested], "8bit" if has_8bit else "7bit"
    elif kind.startswith("message/") and kind != "message/rfc822" and _is_plain(attachment):
        pieces, encoding = [crlf(bytes(attachment))], "7bit"
    else:
        if kind.startswith("message/") and kind != "message/global":  # the only one that may be (RFC 6532 section 3.7)
            kind = "application/octet-stream"
        pieces, encoding = [_Base64(attachment)], "base64"
        if kind.startswith("text/") and "charset" not in parameters and _is_utf8(attachment):
            parameters["charset"] = "utf-8"
    # Readers that know nothing of RFC 2231 fall back to this name.
    parameters.setdefault("name", _ascii_name(attachment.name))
    typed = header.parameters(kind, parameters.items(), column=len("Content-Type: "))
    disposed = header.parameters(
        "inline" if attachment.inline else "attachment",
        [("filename", attachment.name)],
        column=len("Content-Disposition: "),
    )
    fields = f"Content-Type: {typed}\r\nContent-Transfer-Encoding: {encoding}\r\nContent-Disposition: {disposed}\r\n"
    if attachment.content_id is not None:
        fields += header.opaque("Content-ID", f"<{attachment.content_id}>")
    return fields, pieces, has_8bit


def _nested(attachment: Attachment) -> bytes | None:
    """A message to be attached, with 7-bit headers and bodies where that is possible; None if it is no message."""
    data = canonical(bytes(attachment))
    try:
        data = ascii_headers(data) or data
    except MessageError:
        return None
    data = seven_bit(data) or data
    return None if b"\0" in data or has_long_line(data) else data


def _is_plain(attachment: Attachment) -> bool:
    data = crlf(bytes(attachment))
    return data.isascii() and b"\0" not in data and not has_long_line(data)


def _is_utf8(attachment: Attachment) -> bool:
    if not isinstance(attachment.content, bytes):
        return False  # not read just for this
    try:
        attachment.content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _ascii_name(name: str) -> str:
    if name.isascii():
        return name
    # By Unicode 3.2, which every Python has: the same bytes everywhere. A full-width solidus becomes a plain one.
    plain = unicodedata.ucd_3_2_0.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = plain.replace("/", "_").replace("\\", "_")
    stem, dot, ending = plain.rpartition(".")
    return plain if (stem or ending).strip() and not (dot and not stem) else f"attachment{dot}{ending}"

"""The parts of a mail: a text or an attachment with its own Content-* fields (RFC 2045, RFC 2183)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from . import header
from .attachment import Attachment, media_type
from .errors import MessageError
from .mail import Piece
from .ready_made import ascii_headers, canonical, has_long_line, seven_bit
from .transfer import BLOCK_BYTES, base64_length, base64_lines, crlf, encoded_text

__all__ = [
    "Base64",
    "Part",
    "TextPart",
    "alternative_part",
    "amp_part",
    "attached_part",
    "html_part",
    "plain_part",
]

#: Content-* header lines with the empty line behind them, and the encoded text.
TextPart = tuple[bytes, bytes]
#: The same for an attachment: its pieces, and whether an octet above 127 is among them.
Part = tuple[bytes, list[Piece], bool]


class Base64:
    """An attachment's content as base64 lines, read again on each iteration."""

    __slots__ = ("_attachment", "_kept", "_length")

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._length = base64_length(attachment.size_bytes)
        self._kept: tuple[bytes, ...] | None = None

    def kept(self) -> Base64:
        """Itself, encoded now and kept so. No bytes: what is base64 is not searched for boundaries."""
        self._kept = (b"".join(self),)
        return self

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._kept) if self._kept is not None else base64_lines(self._attachment.blocks(BLOCK_BYTES))


def _text(subtype: str, text: str) -> TextPart:
    encoding, data = encoded_text(text)
    fields = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return fields.encode(), data


def plain_part(text: str) -> TextPart:
    """text/plain."""
    return _text("plain", text)


def amp_part(text: str) -> TextPart:
    """text/x-amp-html."""
    return _text("x-amp-html", text)


def html_part(text: str) -> TextPart:
    """text/html."""
    return _text("html", text)


def alternative_part(content_type: str, text: str) -> TextPart:
    """A text of another type, such as ``text/calendar; method=REQUEST``."""
    kind, parameters = media_type(content_type)
    parameters["charset"] = "utf-8"
    encoding, data = encoded_text(text)
    typed = header.parameters(kind, parameters.items(), column=len("Content-Type: "))
    return f"Content-Type: {typed}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode(), data


def attached_part(attachment: Attachment) -> Part:
    """A file or inline image, its content read as it is sent."""
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
        pieces, encoding = [Base64(attachment)], "base64"
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
    return fields.encode() + b"\r\n", pieces, has_8bit


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

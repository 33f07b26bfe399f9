"""Content-Transfer-Encoding: 7-bit ones only, chosen by cost (RFC 2045 section 6).

7-bit throughout, because then no hop ever has cause to re-encode the mail and break its signature.
"""

from __future__ import annotations

import re
import struct
from binascii import b2a_base64, b2a_qp
from collections.abc import Iterable, Iterator

__all__ = ["BLOCK_BYTES", "base64_length", "base64_lines", "crlf", "encoded_text"]

_MAX_LINE = 998  # RFC 5322 section 2.1.1, without CRLF
_ROWS = 1024
#: The input that :func:`base64_lines` turns into one chunk of output; a multiple of 57 octets, which make a line of 76.
BLOCK_BYTES = 57 * _ROWS
_SPLIT = struct.Struct("76s" * _ROWS).unpack

_HIGH = bytes(range(128, 256))
_BARE = re.compile(rb"\r\n?|\n")


def crlf(data: bytes) -> bytes:
    """Every line end, be it CRLF, CR or LF, as CRLF."""
    if b"\r" not in data:
        return data.replace(b"\n", b"\r\n")
    return _BARE.sub(b"\r\n", data)


def base64_length(size_bytes: int) -> int:
    """How many octets :func:`base64_lines` gives for so many, line ends included."""
    characters = (size_bytes + 2) // 3 * 4
    return characters + 2 * ((characters + 75) // 76)


def base64_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Base64 in lines of at most 76 with CRLF, the last one too (RFC 2045 section 6.8).

    Args:
        blocks: Each ``BLOCK_BYTES`` long but the last.
    """
    for block in blocks:
        flat = b2a_base64(block, newline=False)
        if len(flat) == 76 * _ROWS:
            yield b"\r\n".join(_SPLIT(flat)) + b"\r\n"
        else:
            rows = [flat[at : at + 76] for at in range(0, len(flat), 76)]
            yield b"\r\n".join(rows) + b"\r\n" if rows else b""


def encoded_text(text: str) -> tuple[str, bytes]:
    """A text body for the wire: its Content-Transfer-Encoding and the CRLF lines.

    Plain ASCII with lines of at most 998 stays as it is; else quoted-printable or base64, whichever is shorter.
    Every kind of line end becomes CRLF. A last line without one keeps having none.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    data = text.encode()
    if len(data) == len(text) and text.isascii():
        if not _has_long_line(data):
            return "7bit", data.replace(b"\n", b"\r\n")
        high = 0
    else:
        high = len(data) - len(data.translate(None, _HIGH))
    if high * 2 < len(data) * 3 // 8:  # three characters for each octet above 127, against four for every three
        return "quoted-printable", quoted_printable(data)
    whole = crlf(data)
    return "base64", b"".join(base64_lines(whole[at : at + BLOCK_BYTES] for at in range(0, len(whole), BLOCK_BYTES)))


def _has_long_line(data: bytes) -> bool:
    """Whether an LF line has more than 998 octets; told by the last line end within each 999."""
    start = 0
    while len(data) - start > _MAX_LINE:
        end = data.rfind(b"\n", start, start + _MAX_LINE + 1)
        if end < 0:
            return True
        start = end + 1
    return False


_BLANK_END = re.compile(rb"[ \t](?=\n|\Z)")
_UNSAFE = re.compile(rb"[^\t -<>-~]")


def quoted_printable(data: bytes) -> bytes:
    """LF lines as quoted-printable: CRLF lines of at most 76, trailing blanks encoded (RFC 2045 section 6.7)."""
    if not _BLANK_END.search(data):
        return b2a_qp(data, quotetabs=False, istext=True, header=False).replace(b"\n", b"\r\n")
    # b2a_qp lets a line that ends in an encoded blank grow to 77; such texts are encoded here.
    return b"\r\n".join([_quoted_line(line) for line in data.split(b"\n")])


def _quoted_line(line: bytes) -> bytes:
    encoded = _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], line)
    if encoded.endswith((b" ", b"\t")):
        encoded = encoded[:-1] + b"=%02X" % encoded[-1]
    pieces, start = [], 0
    while len(encoded) - start > 76:
        end = start + 75
        escape = encoded.rfind(b"=", end - 2, end)  # an escape stays whole
        end = escape if escape >= 0 else end
        pieces.append(encoded[start:end] + b"=")
        start = end
    pieces.append(encoded[start:])
    return b"\r\n".join(pieces)

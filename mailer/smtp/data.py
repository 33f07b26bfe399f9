"""The mail data as DATA carries it: dots doubled on the way out, undone on the way in (RFC 5321 section 4.5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import ProtocolError

__all__ = ["DataDecoder", "dot_stuffed", "stuffed", "unstuffed"]

_END = b"\r\n.\r\n"


def dot_stuffed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield content as the DATA command sends it, end marker included.

    Args:
        chunks: A whole message, cut anywhere; every line end is CRLF (nothing is mended here).

    Yields:
        The same bytes with each leading dot doubled, then CRLF only if the last line lacks it, then "." CRLF.
    """
    tail = b"\r\n"  # the last two bytes so far; the start of the data is the start of a line
    for chunk in chunks:
        if not chunk:
            continue
        stuffed = chunk.replace(b"\r\n.", b"\r\n..")
        # A line start that the cut between two chunks hid from replace():
        if tail == b"\r\n" and chunk.startswith(b"."):
            stuffed = b"." + stuffed
        elif tail.endswith(b"\r") and chunk.startswith(b"\n."):
            stuffed = b"\n." + stuffed[1:]
        yield stuffed
        tail = (tail + chunk[-2:])[-2:]
    yield b".\r\n" if tail == b"\r\n" else _END


def stuffed(content: bytes) -> bytes:
    """The same for a whole message in one piece."""
    lines = content.replace(b"\r\n.", b"\r\n..")
    start = b"." if content.startswith(b".") else b""
    return b"".join((start, lines, b".\r\n" if content.endswith(b"\r\n") or not content else _END))


def unstuffed(data: bytes) -> bytes:
    """Return the content of data as it came after 354, end marker included.

    Raises:
        ProtocolError: The end marker is missing, or bytes follow it.
    """
    decoder = DataDecoder()
    decoder.feed(data)
    if decoder.content is None or decoder.rest:
        raise ProtocolError("mail data does not end at its CRLF.CRLF")
    return decoder.content


class DataDecoder:
    """Reads mail data on the server's side until its end.

    Only CRLF "." CRLF ends the data: one that took LF "." LF too would let a sender smuggle a second message
    through a server that does not (CVE-2023-51764).

    Args:
        limit: Bytes of undecoded data to keep; beyond it they are counted, not kept.

    Attributes:
        content: The mail without the doubled dots, its last CRLF kept; None until the end has come, and b"" if the
            data is over the limit.
        rest: What was fed after the end.
        is_done: The end marker has come.
        is_oversized: More than limit bytes came.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._buffer = bytearray(b"\r\n")  # the end of the command line: makes the first line as all others
        self._scanned = 0
        self.content: bytes | None = None
        self.rest = b""
        self.is_done = False
        self.is_oversized = False

    def feed(self, data: bytes) -> None:
        """Take what was read; data after the end goes to `rest`."""
        if self.is_done:
            self.rest += data
            return
        self._buffer += data
        end = self._buffer.find(_END, self._scanned)
        if self._limit is not None and (end if end >= 0 else len(self._buffer) - len(_END)) > self._limit:
            self.is_oversized = True
        if end >= 0:
            self.is_done = True
            self.rest = bytes(self._buffer[end + len(_END) :])
            lines = b"" if self.is_oversized else bytes(self._buffer[: end + 2])
            # "If the first character is a period and there are other characters on the line, the first character is
            # deleted" (section 4.5.2); a line with a lone dot cannot be here. The first two bytes are ours.
            self.content = lines.replace(b"\r\n.", b"\r\n")[2:]
            self._buffer.clear()
        else:
            self._scanned = max(len(self._buffer) - len(_END) + 1, 0)
            if self.is_oversized:
                del self._buffer[: self._scanned]
                self._scanned = 0

"""SMTP replies: the value, and a parser that bounds what a peer can make us hold (RFC 5321 section 4.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import ProtocolError
from ..field import visible

__all__ = ["Reply", "ReplyParser"]

MAX_LINE_BYTES = 8 * 1024
"""RFC 5321 section 4.5.3.1.5 promises 512; servers that put a stack trace or a policy URL into a reply exceed it."""
MAX_LINES = 512
MAX_REPLY_BYTES = 256 * 1024
_MAX_KNOWN, _MAX_KNOWN_BYTES = 64, 100
"""How many short replies a parser keeps, to know them again."""
MAX_TEXT_CHARS = 1000
"""What is kept of a reply's text on a receipt and in a log."""

# "The structure of a status code: class "." subject "." detail" (RFC 3463 section 2), then a blank or the end.
_ENHANCED_CODE = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |\t|$)")
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
_TLS_ALERT, _TLS_HANDSHAKE = b"\x15", b"\x16"


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply of a server.

    Attributes:
        code: 200 to 599; its first digit alone decides (RFC 5321 section 4.2.1).
        lines: The text of each line in order, without code, separator or line end; at least one, maybe empty.
            From the wire: ASCII, each 8-bit octet shown as ``\\xNN``; control characters are still in it.

    Raises:
        ProtocolError: The code is outside 200-599, there is no line, or a line holds a line feed.
    """

    code: int
    lines: tuple[str, ...]
    _said: tuple[str | None, str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ProtocolError(f"{self.code} is no SMTP reply code")
        if not self.lines:
            raise ProtocolError(f"reply {self.code} has no line")
        if "\n" in "".join(self.lines):
            raise ProtocolError(f"a line of reply {self.code} holds a line feed")

    @classmethod
    def parse(cls, data: bytes) -> Reply:
        """Return the one reply that data is, CRLF or LF line ends included; ProtocolError if it is not just that."""
        parser = ReplyParser()
        parser.feed(data)
        reply = parser.next()
        if reply is None or parser.buffered:
            raise ProtocolError("not exactly one whole reply")
        return reply

    @property
    def enhanced_code(self) -> str | None:
        """The RFC 3463 status code ("5.1.1") of the first line that has a usable one, else None.

        Usable is one whose class is the reply's first digit: ``550 4.2.2`` has none (RFC 2034 section 4).
        """
        return (self._said or self._read())[0]

    @property
    def text(self) -> str:
        """The text for people: lines joined by a blank, without the enhanced code, escaped, at most 1000 characters."""
        return (self._said or self._read())[1]

    def _read(self) -> tuple[str | None, str]:
        """Enhanced code and text, read once: a parser gives the same Reply for the same line again and again."""
        enhanced_code, texts = None, []
        for line in self.lines:
            match = _ENHANCED_CODE.match(line)
            if match and int(match[1]) == self.code // 100:
                enhanced_code = enhanced_code or match[0]
                line = line[match.end() :]
            texts.append(visible(line.strip(" \t\r")))
        said = enhanced_code, " ".join(filter(None, texts))[:MAX_TEXT_CHARS]
        object.__setattr__(self, "_said", said)
        return said

    @property
    def is_positive(self) -> bool:
        """2xx: done."""
        return self.code // 100 == 2

    @property
    def is_intermediate(self) -> bool:
        """3xx: go on (354 to DATA, 334 to AUTH)."""
        return self.code // 100 == 3

    @property
    def is_transient(self) -> bool:
        """4xx: not now."""
        return self.code // 100 == 4

    @property
    def is_permanent(self) -> bool:
        """5xx: never."""
        return self.code // 100 == 5

    def format(self) -> bytes:
        """Return the reply as a server sends it, CRLF included; control and 8-bit characters are escaped."""
        *head, last = (visible(line) for line in self.lines)
        return "".join([*(f"{self.code}-{line}\r\n" for line in head), f"{self.code} {last}\r\n"]).encode("ascii")

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced_code, self.text)))


class ReplyParser:
    """Cuts a byte stream into replies. Feed what was read, then take replies with `next` until it returns None.

    After an error the parser stays at the same place and raises again: the stream is lost (nobody knows which
    command a later reply would answer).

    Args:
        max_line: Bytes in a line, its end included.
        max_lines: Lines in one reply.
        max_bytes: Bytes in one reply.

    Attributes:
        revise: Called with each reply, unless the very same line has been revised before; `next` returns its answer.
    """

    def __init__(
        self, max_line: int = MAX_LINE_BYTES, max_lines: int = MAX_LINES, max_bytes: int = MAX_REPLY_BYTES
    ) -> None:
        self._max_line = max_line
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._buffer: bytes | bytearray = b""
        self._start = 0  # of the buffer: what is before it has been taken
        self._scanned = 0  # no line feed before this index: a byte is looked at once
        self._code = 0
        self._lines: list[str] = []
        self._reply_bytes = 0  # of the lines already taken
        self._known: dict[bytes, Reply] = {}  # a server says the same few lines all the time
        self.revise: Callable[[Reply], Reply] | None = None

    @property
    def buffered(self) -> int:
        """Bytes fed and not yet returned in a reply, partial lines and partial replies included.

        Not 0 right after the 220 to STARTTLS means injected plain text (RFC 3207 section 6).
        """
        return self._reply_bytes + len(self._buffer) - self._start

    def feed(self, data: bytes) -> None:
        """Take what was read. Limits are judged by `next`, so call that between reads."""
        if self._start == len(self._buffer):  # nearly always all has been taken by now
            self._buffer = data
        elif self._start or not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer[self._start :]) + data
        else:
            self._buffer += data  # in place: a line that comes byte by byte is not copied at each
        self._scanned -= self._start
        self._start = 0

    def next(self) -> Reply | None:
        """Return the next whole reply, or None if more bytes are needed.

        Raises:
            ProtocolError: What came is no reply, mixes codes, exceeds a limit, or is the start of TLS.
        """
        while (end := self._buffer.find(b"\n", self._scanned)) >= 0:
            length = end - self._start
            line = b"" if self._lines or length > _MAX_KNOWN_BYTES else bytes(self._buffer[self._start : end + 1])
            if (known := self._known.get(line)) is not None:
                self._start = self._scanned = end + 1
                return known
            if self._take_line(length):
                reply = Reply(self._code, tuple(self._lines))
                self._lines.clear()
                self._reply_bytes = 0
                if self.revise is not None:
                    reply = self.revise(reply)
                if line and len(self._known) < _MAX_KNOWN:
                    self._known[line] = reply
                return reply
        self._scanned = len(self._buffer)
        self._refuse_tls()
        if self._scanned - self._start >= self._max_line:
            raise ProtocolError(f"reply line exceeds {self._max_line} bytes")
        return None

    def _take_line(self, length: int) -> bool:
        """Take the next line, so long without its line feed, out of the buffer; return whether it ends the reply."""
        self._refuse_tls()
        if length >= self._max_line:
            raise ProtocolError(f"reply line exceeds {self._max_line} bytes")
        if len(self._lines) >= self._max_lines:
            raise ProtocolError(f"reply exceeds {self._max_lines} lines")
        if self._reply_bytes + length >= self._max_bytes:
            raise ProtocolError(f"reply exceeds {self._max_bytes} bytes")
        # Servers that end lines in LF alone exist; a client that waits for CRLF would wait for ever.
        line = bytes(self._buffer[self._start : self._start + length]).removesuffix(b"\r")
        match = _REPLY_LINE.match(line)
        if match is None:
            raise ProtocolError(f"not an SMTP reply: {visible(line[:80].decode('ascii', 'backslashreplace'))!r}")
        code, separator, text = match.groups(default=b"")
        # "the reply code on each of the lines MUST be the same" (section 4.2.1, multi-line replies)
        if self._lines and int(code) != self._code:
            raise ProtocolError(f"reply lines carry different codes: {self._code} and {int(code)}")
        self._code = int(code)
        self._lines.append(text.decode("ascii", "backslashreplace"))
        self._reply_bytes += length + 1
        self._start += length + 1
        self._scanned = self._start
        return separator != b"-"

    def _refuse_tls(self) -> None:
        if self._buffer[self._start : self._start + 1] in (_TLS_ALERT, _TLS_HANDSHAKE):
            raise ProtocolError(
                "the server speaks TLS on this port from the first byte: use smtps:// instead of smtp://"
            )

"""A server that plays a written dialogue, faults included, and records what it was sent.

A script is text; blank lines and lines that begin with ``#`` are skipped, indentation is ignored, ``---`` parts the
scripts of successive connections::

    S: 220 hi                   send this line and CRLF
    C: EHLO *                   read a line; * stands for any text; another line is an error and ends the connection
    C: <data>                   read up to CRLF.CRLF into `received`
    C: <chunk>                  read the octets that the last BDAT line announced into `received`
    C: <bytes 65536>            read as many octets and go on
    C: <eof>                    the client ends the connection here
    S: tls                      the server's handshake, now
    S: bytes b'25'              send these bytes, nothing added
    S: drip 0.2 220 hi          send the line one byte every 0.2 seconds
    S: delay 0.5                wait
    S: repeat 100000 250-x      send the line so often
    S: hold                     send nothing until the client ends the connection
    S: close                    end the connection (FIN); what still comes is recorded in `raw`
    S: reset                    end it with a RST

The end of a script is a close. The last script serves all further connections.
"""

from __future__ import annotations

import ast
import math
import re
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from ..mailbox.listener import Connection, Server

__all__ = ["ScriptedServer"]

_BLOCK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class _Step:
    """One line of a script: what to do, with its numbers and texts."""

    verb: str
    data: bytes = b""
    number: float = 0
    source: str = ""


def _parsed(script: str) -> list[_Step]:
    """Return the steps of one connection's script; ValueError names a line that is none."""
    steps = []
    for line in map(str.lstrip, script.splitlines()):
        if not line or line.startswith("#"):
            continue
        side, _, text = line.partition(":")
        try:
            step = {"S": _server_step, "C": _client_step}[side](text.removeprefix(" "))
        except (KeyError, ValueError, SyntaxError) as exc:
            raise ValueError(f"not a line of a script: {line!r}") from exc
        steps.append(step)
    return steps


def _server_step(text: str) -> _Step:
    word, _, rest = text.partition(" ")
    if word in ("close", "reset", "tls", "hold") and not rest.strip():
        return _Step(word)
    if word == "delay":
        return _Step("delay", number=_positive(rest))
    if word == "bytes":
        literal = ast.literal_eval(rest.strip())
        if not isinstance(literal, bytes):
            raise ValueError("not a bytes literal")
        return _Step("send", literal, 1)
    if word in ("drip", "repeat"):
        number, _, line = rest.partition(" ")
        return _Step("drip" if word == "drip" else "send", line.encode() + b"\r\n", _positive(number))
    return _Step("send", text.encode() + b"\r\n", 1)


def _client_step(text: str) -> _Step:
    if text in ("<data>", "<chunk>", "<eof>"):
        return _Step(text[1:-1], source=text)
    if match := re.fullmatch(r"<bytes (\d+)>", text):
        return _Step("octets", number=int(match[1]), source=text)
    pattern = ".*".join(re.escape(part) for part in text.split("*"))
    return _Step("expect", pattern.encode(), source=text)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError("not a length of time or a count")
    return number


@dataclass(slots=True)
class _Record:
    """What one connection brought."""

    raw: bytearray = field(default_factory=bytearray)
    log: list[str] = field(default_factory=list)


class _Ended(Exception):
    """The dialogue is over before its script is."""


class ScriptedServer(Server):
    """Plays scripts (see the module) on a loopback port; a context manager.

    Args:
        script: The scripts of the connections in order, parted by ``---`` lines.
        connections: The same as a sequence, instead of script.
        chunk: How to send: None joins successive S lines into one segment, "line" sends each by itself, "byte" sends
            single bytes. ``S: delay 0`` parts segments.
        tls: The server's context, for ``S: tls``.
        host: Address to bind.
        port: Port to bind; 0 takes a free one.

    Attributes:
        errors: Where a client left its script, one text each; also a client that ended the connection too early.
            One that gave up while the server was sending, or refused the handshake, is none.
        received: The mail data in order, as they came on the wire: dots still doubled, end marker included
            (for ``<chunk>``: the octets of one chunk).
        handshake_failures: What `ssl` said of handshakes that did not succeed.
    """

    def __init__(
        self,
        script: str = "",
        *,
        connections: Sequence[str] | None = None,
        chunk: Literal["line", "byte"] | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host, port)
        scripts = connections or re.split(r"^[ \t]*---[ \t]*$", script, flags=re.MULTILINE)
        self._scripts = [_parsed(text) for text in scripts]
        self._chunk = chunk
        self._tls = tls
        self._lock = threading.Lock()
        self._records: list[_Record] = []
        self.errors: list[str] = []
        self.received: list[bytes] = []
        self.handshake_failures: list[str] = []

    # ---- What a test asks ----

    @property
    def url(self) -> str:
        """The backend URL: ``smtps://`` if the first script begins with TLS, ``tls=none`` if there is no context."""
        if self._scripts[0] and self._scripts[0][0].verb == "tls":
            return f"smtps://{self.authority}"
        return f"smtp://{self.authority}?tls={'none' if self._tls is None else 'required'}"

    @property
    def connections(self) -> int:
        """How many were accepted."""
        return len(self._records)

    @property
    def log(self) -> list[list[str]]:
        """The command lines of each connection, without CRLF, AUTH included; 8-bit octets as escapes."""
        return [list(record.log) for record in list(self._records)]

    @property
    def raw(self) -> list[bytes]:
        """All that each connection sent, after TLS if there was any."""
        return [bytes(record.raw) for record in list(self._records)]

    def assert_clean(self) -> None:
        """Raise AssertionError with all errors if a client left its script."""
        if self.errors:
            raise AssertionError("\n".join(self.errors))

    # ---- One connection ----

    def _serve(self, connection: Connection) -> None:
        with self._lock:  # the threads of two connections may start in either order
            while len(self._records) <= connection.number:
                self._records.append(_Record())
            record = self._records[connection.number]
        steps = self._scripts[min(connection.number, len(self._scripts) - 1)]
        player = _Player(self, connection, record)
        try:
            for verb, group in _grouped(steps):
                player.play(verb, group)
            player.play("close", [])
        except _Ended as ended:
            if ended.args and not self._listener.stopping.is_set():
                self.errors.append(f"connection {connection.number + 1}: {ended}")

    def _sent(self, steps: Sequence[_Step]) -> Iterator[bytes]:
        """Yield what successive send steps send, cut as chunk says."""
        if self._chunk == "byte":
            yield from (bytes([octet]) for step in steps for _ in range(int(step.number)) for octet in step.data)
            return
        block = bytearray()
        for step in steps:
            for _ in range(int(step.number)):
                block += step.data
                if self._chunk == "line" or len(block) >= _BLOCK_BYTES:
                    yield bytes(block)
                    block.clear()
        if block:
            yield bytes(block)


def _grouped(steps: Sequence[_Step]) -> Iterator[tuple[str, list[_Step]]]:
    """Yield the steps in order, successive sends together."""
    group: list[_Step] = []
    for step in steps:
        if step.verb == "send":
            group.append(step)
            continue
        if group:
            yield "send", group
            group = []
        yield step.verb, [step]
    if group:
        yield "send", group


class _Player:
    """Plays one connection's steps."""

    def __init__(self, server: ScriptedServer, connection: Connection, record: _Record) -> None:
        self._server = server
        self._connection = connection
        self._record = record
        self._buffer = bytearray()
        self._announced = 0  # octets of the last BDAT

    def play(self, verb: str, steps: Sequence[_Step]) -> None:
        """Do what one step, or one group of sends, says; `_Ended` if the dialogue is over."""
        getattr(self, f"_{verb}")(*([steps] if verb == "send" else steps))

    # ---- Sending ----

    def _send(self, steps: Sequence[_Step]) -> None:
        for data in self._server._sent(steps):
            self._write(data)

    def _drip(self, step: _Step) -> None:
        for octet in step.data:
            self._delay(step)
            self._write(bytes([octet]))

    def _delay(self, step: _Step) -> None:
        if self._server._listener.stopping.wait(step.number):
            raise _Ended

    def _write(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError as exc:  # the client has had enough, which may be just what the test wants
            with suppress(OSError):
                self._drained()
            raise _Ended from exc

    def _tls(self, _: _Step) -> None:
        if self._server._tls is None:
            raise _Ended("the script says tls, and the server has no context")
        try:
            self._connection.start_tls(self._server._tls)
        except OSError as exc:
            self._server.handshake_failures.append(str(exc))
            raise _Ended from exc

    def _hold(self, _: _Step) -> None:
        self._drained()
        raise _Ended

    def _close(self, *_: _Step) -> None:
        self._connection.end()
        self._drained()
        raise _Ended

    def _reset(self, _: _Step) -> None:
        self._connection.reset()
        raise _Ended

    # ---- Receiving ----

    def _expect(self, step: _Step) -> None:
        while (end := self._buffer.find(b"\n")) < 0:
            self._more(step)
        line = self._taken(end + 1)
        shown = line.removesuffix(b"\n").removesuffix(b"\r").decode("ascii", "backslashreplace")
        self._record.log.append(shown)
        if not line.endswith(b"\r\n"):
            raise _Ended(f"expected {step.source!r}, got a line without CRLF: {shown!r}")
        if not re.fullmatch(step.data, line[:-2], re.DOTALL):
            raise _Ended(f"expected {step.source!r}, got {shown!r}")
        if match := re.match(rb"BDAT (\d{1,18})\b", line, re.IGNORECASE):
            self._announced = int(match[1])

    def _data(self, step: _Step) -> None:
        scanned = 0
        while not self._buffer.startswith(b".\r\n"):
            if (end := self._buffer.find(b"\r\n.\r\n", scanned)) >= 0:
                self._server.received.append(self._taken(end + 5))
                return
            scanned = max(len(self._buffer) - 4, 0)
            self._more(step)
        self._server.received.append(self._taken(3))

    def _octets(self, step: _Step) -> None:
        while len(self._buffer) < step.number:
            self._more(step)
        self._taken(int(step.number))

    def _chunk(self, step: _Step) -> None:
        while len(self._buffer) < self._announced:
            self._more(step)
        self._server.received.append(self._taken(self._announced))

    def _eof(self, step: _Step) -> None:
        if self._buffer or self._received():
            raise _Ended(f"expected the end of the connection, got {bytes(self._buffer[:80])!r}")

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self, step: _Step) -> None:
        if not self._received():
            raise _Ended(f"expected {step.source!r}, and the client ended the connection")

    def _received(self) -> bool:
        """Take what comes next into buffer and record; return False at the end of the connection."""
        try:
            data = self._connection.recv()
        except OSError:
            return False
        self._record.raw += data
        self._buffer += data
        return bool(data)

    def _drained(self) -> None:
        while self._received():
            self._buffer.clear()

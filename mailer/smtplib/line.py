"""One connection as smtplib knows it, on our stream: bytes out, lines in, each step within a time limit."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import warnings
from typing import Any
from weakref import WeakSet

from ..backends.caught import catchers
from ..runtime import BlockingRuntime, drive
from ..smtp.endpoint import Timeouts
from ..smtp.reply import MAX_LINE_BYTES
from ..stream import Stream
from ..tls import tls_context

__all__ = ["DEFAULT_TIMEOUT", "Line", "Sock", "caught_at", "context_of"]

#: What stands for "no time-out was given", as in smtplib.
DEFAULT_TIMEOUT: Any = socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]
_RUNTIME = BlockingRuntime()
_PATIENCE = Timeouts.rfc5321()
#: What is handed over within one limit: a slow link may take long over a mail, but not over a piece of it.
_BLOCK_BYTES = 256 * 1024
_READ_BYTES = 16 * 1024


#: Connections with a test's outbox.
_caught: WeakSet[socket.socket] = WeakSet()


def caught_at(url: str, timeout: Any, *, is_lmtp: bool) -> socket.socket | None:
    """A connection to what answers in a server's place, if a test's outbox is at work; its time-out as was given."""
    if (catcher := catchers.latest) is None:
        return None
    sock = catcher.dial(url, is_lmtp=is_lmtp)
    if timeout is not DEFAULT_TIMEOUT:
        sock.settimeout(timeout)
    _caught.add(sock)
    return sock


class _Given(Stream):
    """A stream on a socket that somebody else connected, and maybe secured."""

    def __init__(self, sock: socket.socket, peer: str) -> None:
        super().__init__(_RUNTIME, sock, peer)
        if isinstance(sock, ssl.SSLSocket):
            self._tls = sock
            self._want_read, self._want_write = (ssl.SSLWantReadError,), (ssl.SSLWantWriteError,)
            self._is_full = (BlockingIOError, ssl.SSLWantWriteError)

    @property
    def socket(self) -> socket.socket:
        """What carries it now: once there is TLS, the secured one."""
        return self._sock


class Line:
    """A connected socket, taken over: it does not block any more, and belongs to this.

    Args:
        sock: Its own time-out, in seconds, becomes the limit of each step: a whole reply, a handshake, a block of the
            mail, however slowly it drips.
        is_patient: Without one, wait for ever; else as long as RFC 5321 section 4.5.3.2 asks for.
    """

    def __init__(self, sock: socket.socket, *, is_patient: bool) -> None:
        self.timeout_s = sock.gettimeout()
        self._is_caught = sock in _caught
        self._is_patient = is_patient
        sock.setblocking(False)
        try:
            name = sock.getpeername()
        except OSError:  # it is gone already, which the first reply will tell
            name = ""
        self._ip = str(name[0]) if isinstance(name, tuple) else ""
        self.stream = _Given(sock, f"{self._ip}:{name[1]}" if self._ip else str(name))
        self._read = b""

    def is_private(self, host: str) -> bool:
        """Whether nobody on the way can read what is said: TLS, or it never leaves the machine.

        Args:
            host: Who was asked for; "": nobody by name. Behind a proxy on this machine it is another one.
        """
        if self.stream.is_secure or self.stream.socket.family == getattr(socket, "AF_UNIX", None):
            return True
        return _is_loopback(self._ip) and (
            host.lower().rstrip(".") in ("", "localhost", socket.gethostname().lower()) or _is_loopback(host)
        )

    @property
    def has_spoken(self) -> bool:
        """Whether something has come that nobody has read, the end included."""
        return bool(self._read) or self.stream.has_input()

    def until(self, step: str) -> float:
        """When a step's limit ends, if it starts now; step as :meth:`Timeouts.of` knows it."""
        if self.timeout_s is None and self._is_patient:
            return float("inf")
        return _RUNTIME.now() + (_PATIENCE.of(step) if self.timeout_s is None else self.timeout_s)

    def send(self, data: bytes, step: str) -> None:
        """Send all of it. Raises TransportError, and is closed then."""
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK_BYTES):
            drive(self.stream.send_all(view[start : start + _BLOCK_BYTES], deadline=self.until(step)))

    def read_line(self, deadline: float) -> bytes | None:
        """The next line, its end included; None if it exceeds 8192 bytes, b"" if the connection ended before its end.

        Raises TransportError, and is closed then.
        """
        scanned = 0
        while (end := self._read.find(b"\n", scanned)) < 0:
            scanned = len(self._read)
            if scanned >= MAX_LINE_BYTES:
                return None
            if not (received := drive(self.stream.receive(_READ_BYTES, deadline=deadline))):
                return b""
            self._read += received
        if end >= MAX_LINE_BYTES:
            return None
        line, self._read = self._read[: end + 1], self._read[end + 1 :]
        return line

    def read(self, max_bytes: int) -> bytes:
        """What comes next, 1 to ``max_bytes``; b"" at the end. Raises as :meth:`read_line`."""
        read = self._read or drive(self.stream.receive(max_bytes, deadline=self.until("")))
        self._read = read[max_bytes:]
        return read[:max_bytes]

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Do the handshake. Raises TlsError or DeadlineExceeded, and is closed then."""
        if self._is_caught:  # nobody there has TLS, nor is there a way on which to listen
            return
        drive(self.stream.start_tls(context, host, deadline=self.until("STARTTLS")))


def _is_loopback(ip: str) -> bool:
    try:
        return ipaddress.ip_address(ip.partition("%")[0]).is_loopback
    except ValueError:
        return False


class Sock:
    """The socket as ``SMTP.sock`` shows it: its time-out is the line's, and sending and receiving go through the line.

    Everything else (``getpeername``, ``getpeercert``, ``version``, ``cipher``, ``setsockopt`` ...) is the socket's own.
    """

    def __init__(self, line: Line) -> None:
        self._line = line

    def gettimeout(self) -> float | None:
        """The limit of each step in seconds; None: the client's own."""
        return self._line.timeout_s

    def settimeout(self, timeout: float | None) -> None:
        """Set it."""
        self._line.timeout_s = timeout

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._line.send(data, "the mail")

    def recv(self, bufsize: int) -> bytes:
        """The next bytes; b"" at the end."""
        return self._line.read(bufsize)

    def close(self) -> None:
        """Close the connection."""
        self._line.stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line.stream.socket, name)


def context_of(keyfile: str | None, certfile: str | None, context: ssl.SSLContext | None) -> ssl.SSLContext:
    """What starttls and SMTP_SSL were given, as a context; without one, ours, which verifies."""
    for name, file in (("keyfile", keyfile), ("certfile", certfile)):
        if context is not None and file is not None:
            raise ValueError(f"context and {name} arguments are mutually exclusive")
    if keyfile is not None or certfile is not None:
        warnings.warn("keyfile and certfile are deprecated, use a custom context instead", DeprecationWarning, 4)
    return context or tls_context(cert_file=certfile, key_file=keyfile)

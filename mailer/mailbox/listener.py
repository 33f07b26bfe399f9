"""Accepting connections: one daemon thread that accepts, one a connection, all ended by their own handles."""

from __future__ import annotations

import functools
import os
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ["Connection", "Listener", "Server"]

_JOIN_S = 5.0
_BLOCK_BYTES = 65536
_BACKLOG = 128
_UNIX = getattr(socket, "AF_UNIX", None)


class Connection:
    """The server's end of one connection.

    TLS is done in memory, beside the socket: so a test server can hold back, cut or count the octets of a handshake
    as it can those of a reply.

    Every method raises OSError (an `ssl.SSLError` among them) if the connection is gone.

    Attributes:
        number: Counted from 0, in the order of accepting.
        peer_ip: Where it comes from: "127.0.0.1"; "" on a Unix socket.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.number = number
        self.peer_ip = ""
        if sock.family != _UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError):  # it may be gone already
                self.peer_ip = str(sock.getpeername()[0])
        self._sock = sock
        # A second handle on the same connection: ending it here wakes a thread that waits on the first.
        self._control = sock.dup()
        self._lock = threading.Lock()
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    @property
    def is_tls(self) -> bool:
        """TLS is on."""
        return self._tls is not None

    @property
    def tls_version(self) -> str:
        """The protocol agreed on, "TLSv1.3"; "" without TLS."""
        return (self._tls and self._tls.version()) or ""

    def settimeout(self, timeout_s: float | None) -> None:
        """Limit each later wait; TimeoutError when it is over. None is no limit."""
        self._sock.settimeout(timeout_s)

    def recv(self, size: int = _BLOCK_BYTES) -> bytes:
        """Return what has come, at least one byte and at most size; b"" if the peer will send no more."""
        if self._tls is None:
            return self._sock.recv(size)
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._flush(self._sock.sendall)
                self._fill(functools.partial(self._sock.recv, _BLOCK_BYTES))
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def sendall(self, data: bytes) -> None:
        """Send all of data."""
        if self._tls is None:
            return self._sock.sendall(data)
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest[:_BLOCK_BYTES]) :]
            self._flush(self._sock.sendall)
        return None

    def start_tls(
        self,
        context: ssl.SSLContext,
        send: Callable[[bytes], None] | None = None,
        receive: Callable[[], bytes] | None = None,
    ) -> None:
        """Do the server's side of the handshake.

        Args:
            context: The server's.
            send, receive: What carries the handshake's octets to and from the peer; None is this connection.
        """
        send = send or self.sendall
        receive = receive or self.recv
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush(send)
                self._fill(receive)
            except ssl.SSLError:
                self._flush(send)  # the alert says why
                raise
        self._flush(send)
        self._tls = tls

    def _fill(self, receive: Callable[[], bytes]) -> None:
        if data := receive():
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self, send: Callable[[bytes], None]) -> None:
        if self._outgoing.pending:
            send(self._outgoing.read())

    def end(self) -> None:
        """Tell the peer that no more will be sent (close_notify, FIN); what it still sends can be read."""
        if self._tls is not None:
            with suppress(OSError):
                self._tls.unwrap()  # it says so and wants the peer's own, which is not waited for
            with suppress(OSError):
                self._flush(self._sock.sendall)
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def interrupt(self) -> None:
        """End the connection from another thread: what waits on it gets b"" or an OSError."""
        with self._lock, suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release both handles. Idempotent."""
        with self._lock:
            self._control.close()
        self._sock.close()


class Listener:
    """Listens on one address and hands each connection to serve, in a thread of its own.

    Args:
        serve: Called with each connection, which is closed when it returns. An OSError that it raises ends the
            connection in silence.
        host: Address to bind; a path ("/run/lmtp") is a Unix socket's.
        port: Port to bind; 0 takes a free one.

    Attributes:
        host, port: Where it listens, once started.
        stopping: Set by `stop`; what sleeps in serve waits on it instead.
    """

    def __init__(self, serve: Callable[[Connection], None], host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.stopping = threading.Event()
        self._serve = serve
        self._changed = threading.Condition()
        self._live: dict[Connection, threading.Thread] = {}
        self._accepting: threading.Thread | None = None
        self._accepted = 0
        self._waker: socket.socket | None = None

    def start(self) -> None:
        """Bind, listen, and accept in the background; OSError if the address cannot be bound."""
        if self._accepting is not None:
            return
        listening = self._bound()
        self.stopping.clear()
        waiting, self._waker = socket.socketpair()
        self._accepting = threading.Thread(
            target=self._accept, args=(listening, waiting), name=f"listener-{self.port}", daemon=True
        )
        self._accepting.start()

    def _bound(self) -> socket.socket:
        if self.host.startswith("/") and _UNIX is not None:
            listening = socket.socket(_UNIX, socket.SOCK_STREAM)
            try:
                listening.bind(self.host)
            except OSError:
                listening.close()
                raise
            listening.listen(_BACKLOG)
            return listening
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listening = socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        self.port = listening.getsockname()[1]
        return listening

    def stop(self) -> None:
        """Close the listening socket and every connection, and wait for their threads. Idempotent."""
        if self._accepting is None or self._waker is None:
            return
        self.stopping.set()
        self._waker.close()
        self._accepting.join(_JOIN_S)
        self._accepting = self._waker = None
        if self.host.startswith("/"):
            with suppress(OSError):
                os.unlink(self.host)
        with self._changed:
            live = dict(self._live)
        for connection in live:
            connection.interrupt()
        for thread in live.values():
            thread.join(_JOIN_S)

    def wait_idle(self, timeout_s: float = 5.0) -> bool:
        """Wait until no connection is open; return whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._live, timeout_s)

    def _accept(self, listening: socket.socket, waiting: socket.socket) -> None:
        with listening, waiting, selectors.DefaultSelector() as selector:
            listening.setblocking(False)
            selector.register(listening, selectors.EVENT_READ)
            selector.register(waiting, selectors.EVENT_READ)
            while not self.stopping.is_set():
                if not any(key.fileobj is listening for key, _ in selector.select()):
                    continue
                try:
                    sock, _ = listening.accept()
                except ConnectionError:
                    continue  # gone before it was accepted
                except OSError:
                    self.stopping.wait(0.1)  # out of file descriptors: let some connection end first
                    continue
                sock.setblocking(True)
                connection = Connection(sock, self._accepted)
                self._accepted += 1
                thread = threading.Thread(
                    target=self._run, args=(connection,), name=f"connection-{self.port}-{self._accepted}", daemon=True
                )
                with self._changed:
                    self._live[connection] = thread
                thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            with suppress(OSError):
                self._serve(connection)
        finally:
            connection.close()
            with self._changed:
                del self._live[connection]
                self._changed.notify_all()


class Server:
    """A server on a loopback port, in threads of its own: the start and the end that all of them share.

    ``with`` and ``async with`` start and stop it. A subclass has `_serve`.

    Args:
        host: Address to bind; a path ("/run/lmtp") is a Unix socket's.
        port: Port to bind; 0 takes a free one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._listener = Listener(self._serve, host, port)

    def _serve(self, connection: Connection) -> None:
        """Serve one connection, which is closed afterwards; an OSError ends it in silence."""
        raise NotImplementedError

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._listener.host

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the start."""
        return self._listener.port

    @property
    def authority(self) -> str:
        """Host and port as a URL has them: ``127.0.0.1:2525``, ``[::1]:2525``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def start(self) -> Self:
        """Listen, and return self; OSError if the address cannot be bound. Idempotent."""
        self._listener.start()
        return self

    def stop(self) -> None:
        """End every connection and wait for the threads. What was received stays. Idempotent."""
        self._listener.stop()

    def wait_idle(self, timeout_s: float = 5.0) -> bool:
        """Wait until no connection is open; return whether that came in time."""
        return self._listener.wait_idle(timeout_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        from anyio import CancelScope, to_thread

        with CancelScope(shield=True):  # its threads must end, however the block was left
            await to_thread.run_sync(self.__exit__, kind, exc, tb)

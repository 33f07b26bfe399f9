"""Accepting connections: one daemon thread that accepts, one a connection, all ended by their own handles."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ["Connection", "Listener"]

_JOIN_S = 5.0


class Connection:
    """The server's end of one connection.

    Every method raises OSError (an `ssl.SSLError` among them) if the connection is gone.

    Attributes:
        number: Counted from 0, in the order of accepting.
        is_tls: TLS is on.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = number
        self.is_tls = False
        self._sock = sock
        # A second handle on the same connection: ending it here wakes a thread that waits on the first, TLS or not.
        self._control = sock.dup()
        self._lock = threading.Lock()

    def settimeout(self, timeout_s: float | None) -> None:
        """Limit each later wait; TimeoutError when it is over. None is no limit."""
        self._sock.settimeout(timeout_s)

    def recv(self, size: int = 65536) -> bytes:
        """Return what has come, at least one byte and at most size; b"" if the peer will send no more."""
        return self._sock.recv(size)

    def sendall(self, data: bytes) -> None:
        """Send all of data."""
        self._sock.sendall(data)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the server's side of the handshake."""
        self._sock = context.wrap_socket(self._sock, server_side=True)
        self.is_tls = True

    def end(self) -> None:
        """Tell the peer that no more will be sent (close_notify, FIN); what it still sends can be read."""
        if isinstance(self._sock, ssl.SSLSocket):
            timeout_s = self._sock.gettimeout()
            self._sock.settimeout(0)  # the peer's own close_notify is not waited for
            with suppress(OSError, ValueError):
                self._sock = self._sock.unwrap()
            self._sock.settimeout(timeout_s)
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
        host: Address to bind.
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
        self._waker: socket.socket | None = None

    def start(self) -> None:
        """Bind, listen, and accept in the background; OSError if the address cannot be bound."""
        if self._accepting is not None:
            return
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listening = socket.create_server((self.host, self.port), family=family, backlog=128)
        self.port = listening.getsockname()[1]
        self.stopping.clear()
        waiting, self._waker = socket.socketpair()
        self._accepting = threading.Thread(
            target=self._accept, args=(listening, waiting), name=f"listener-{self.port}", daemon=True
        )
        self._accepting.start()

    def stop(self) -> None:
        """Close the listening socket and every connection, and wait for their threads. Idempotent."""
        if self._accepting is None or self._waker is None:
            return
        self.stopping.set()
        self._waker.close()
        self._accepting.join(_JOIN_S)
        self._accepting = self._waker = None
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
            number = 0
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
                connection = Connection(sock, number)
                number += 1
                thread = threading.Thread(
                    target=self._run, args=(connection,), name=f"connection-{self.port}-{number}", daemon=True
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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

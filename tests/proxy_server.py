"""Proxies on loopback, HTTP CONNECT and SOCKS5, that lead everything to one port; and such that fail."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import struct
import threading
from types import TracebackType
from typing import Self

__all__ = ["ProxyServer"]


class ProxyServer:
    """A context manager.

    Args:
        kind: "http" or "socks5".
        target: The loopback port where each tunnel ends, whatever name was asked for.
        login: (user, password) that it wants.
        says: Sent instead of an answer to the request, the connection then closed; b"" is silence.

    Attributes:
        asked: The targets, as they were named: "host:port".
        logins: What was given.
    """

    def __init__(
        self, kind: str, target: int = 0, *, login: tuple[str, str] | None = None, says: bytes | None = None
    ) -> None:
        self.kind = kind
        self.asked: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self._target = target
        self._login = login
        self._says = says
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    @property
    def url(self) -> str:
        return f"{self.kind}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._ended.is_set():
                connection.close()
                return
            self._threads.append(threading.Thread(target=self._talk, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, struct.error):
            connection.settimeout(10)
            if (self._by_http if self.kind == "http" else self._by_socks)(connection):
                with socket.create_connection(("127.0.0.1", self._target), 10) as server:
                    self._pump(connection, server)

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        while not self._ended.is_set():
            for source in select.select([one, other], [], [], 0.1)[0]:
                data = source.recv(65536)
                if not data:
                    return
                (other if source is one else one).sendall(data)

    def _said(self, connection: socket.socket) -> bool:
        if self._says is None:
            return False
        connection.sendall(self._says)
        if not self._says:
            self._ended.wait(10)
        return True

    def _by_http(self, connection: socket.socket) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        first, *lines = head.decode().split("\r\n")
        self.asked.append(first.split(" ")[1])
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if token := fields.get("proxy-authorization"):
            user, _, password = base64.b64decode(token.removeprefix("Basic ")).decode().partition(":")
            self.logins.append((user, password))
        if self._said(connection):
            return False
        if self._login is not None and self._login not in self.logins:
            connection.sendall(b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n")
            return False
        connection.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        return True

    def _by_socks(self, connection: socket.socket) -> bool:
        _, count = struct.unpack("BB", connection.recv(2))
        methods = connection.recv(count)
        method = 2 if self._login is not None else 0
        if method not in methods:
            connection.sendall(b"\x05\xff")
            return False
        connection.sendall(bytes([5, method]))
        if method == 2:
            _, length = struct.unpack("BB", connection.recv(2))
            user = connection.recv(length).decode()
            self.logins.append((user, connection.recv(connection.recv(1)[0]).decode()))
            connection.sendall(b"\x01\x00" if self.logins[-1] == self._login else b"\x01\x01")
            if self.logins[-1] != self._login:
                return False
        _, command, _, kind = struct.unpack("BBBB", connection.recv(4))
        assert command == 1
        if kind == 3:
            host = connection.recv(connection.recv(1)[0]).decode()
        else:
            family = socket.AF_INET if kind == 1 else socket.AF_INET6
            host = socket.inet_ntop(family, connection.recv(4 if kind == 1 else 16))
        (port,) = struct.unpack("!H", connection.recv(2))
        self.asked.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        if self._said(connection):
            return False
        connection.sendall(b"\x05\x00\x00\x03\x04test\x00\x07")
        return True

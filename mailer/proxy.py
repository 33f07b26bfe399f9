"""A proxy: the way to a server by way of another machine, by HTTP CONNECT (RFC 9110) or SOCKS5 (RFC 1928, RFC 1929).

The server's name goes to the proxy, which resolves it. TLS is with the server, through the tunnel, so the proxy sees
and can change only what goes in clear.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from .backends.options import BackendURL
from .errors import AuthError, ConfigError, ConnectError, MailerError, ProtocolError
from .field import printable
from .redaction import MASK, Secrets, Unpickled, forget_frames

if TYPE_CHECKING:
    from .stream import Stream

__all__ = ["Proxy"]

_DEFAULT_PORT = {"http": 80, "socks5": 1080}
_MAX_HEAD_BYTES = 16_384
"""Of the answer to CONNECT. Squid's is 100 bytes; its error pages follow the head and are not read."""
_STATUS = re.compile(r"HTTP/1\.[01] ([1-5][0-9][0-9])(?: (.*))?", re.ASCII)

_CONNECT, _DOMAIN = 1, 3
_NO_LOGIN, _PASSWORD, _NONE_WILL_DO = 0, 2, 0xFF
_ADDRESS_BYTES = {1: 4, 4: 16}
# RFC 1928 section 6
_REFUSALS = {
    1: "general failure",
    2: "its rules do not allow it",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "the time to live ran out",
    7: "it knows no CONNECT",
    8: "it does not take this type of address",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy(Unpickled):
    """A proxy and the login there.

    Attributes:
        kind: How it is spoken to.
        host: Its name or IP address, without brackets.
        port: Its TCP port.
        username: Who logs in; None: nobody.
        password: Never shown.
    """

    kind: Literal["http", "socks5"]
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        login = (self.username or "x", self.password)
        if self.kind == "socks5" and self.username is not None and not all(0 < len(x.encode()) <= 255 for x in login):
            raise ConfigError(f"{self}: user and password must have 1 to 255 octets each (RFC 1929)")
        if ":" in (self.username or "") and self.kind == "http":
            raise ConfigError(f"{self}: a user name for HTTP Basic cannot hold a colon (RFC 7617)")

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """``http://user:password@host:3128`` or ``socks5://host:1080``; ``socks5h`` is the same as ``socks5``.

        Raises:
            ConfigError: It is none of these. The text shows no password.
        """
        parts = BackendURL.parse(url)
        kind = "socks5" if parts.scheme == "socks5h" else parts.scheme
        if kind not in _DEFAULT_PORT:
            raise ConfigError(f"proxy: there is no {parts.scheme}:// proxy; there are: http, socks5")
        if not parts.host:
            raise ConfigError(f"proxy: the URL names no host: {parts.scheme}://host:port")
        parts.refuse("path", *(["query"] if parts.query else []))
        return cls(
            kind=cast("Literal['http', 'socks5']", kind),
            host=parts.host,
            port=parts.port or _DEFAULT_PORT[kind],
            username=parts.username or None,
            password=parts.password or "",
        )

    def __str__(self) -> str:
        """Its URL, the login masked."""
        who = f"{MASK}@" if self.username is not None else ""
        return f"{self.kind}://{who}{_joined(self.host, self.port)}"

    async def tunnel(self, stream: Stream, host: str, port: int, *, deadline: float) -> None:
        """Have the proxy connect the stream, which leads to it, on to a server. Not a byte of the server's is taken.

        Args:
            stream: Fresh, to the proxy.
            host: A name with A-labels, or an IP address without brackets.
            port: The server's.
            deadline: The end of it.

        Raises:
            ConnectError: The proxy will not, or could not. The text names both, and why.
            AuthError: It wants another login.
            ProtocolError: It is no such proxy. TransportError, DeadlineExceeded: as the stream raises them.
        """
        try:
            if self.kind == "http":
                await self._by_connect(stream, host, port, deadline)
            else:
                await self._by_socks(stream, host, port, deadline)
        except MailerError as error:
            forget_frames(error)  # they hold the login
            raise

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    async def _by_connect(self, stream: Stream, host: str, port: int, deadline: float) -> None:
        target = _joined(host, port)
        head = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: mailer"]
        token = ""
        if self.username is not None:
            token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")
            head.append(f"Proxy-Authorization: Basic {token}")
        await stream.send_all("\r\n".join([*head, "", ""]).encode("utf-8"), deadline=deadline)
        received = bytearray()
        while not received.endswith((b"\r\n\r\n", b"\n\n")):
            # One at a time: what follows the head is the server's, its greeting perhaps.
            octet = await stream.receive(1, deadline=deadline)
            if not octet or len(received) >= _MAX_HEAD_BYTES:
                why = "closed the connection" if not octet else f"said more than {_MAX_HEAD_BYTES} bytes"
                raise ProtocolError(f"the proxy {self} {why} instead of answering CONNECT")
            received += octet
        first = received.decode("latin-1").partition("\n")[0].rstrip("\r")
        found = _STATUS.fullmatch(first)
        if found is None:
            raise ProtocolError(f"the proxy {self} does not speak HTTP: it said {printable(first[:80])!r}")
        status, reason = int(found[1]), Secrets(self.password, token).hide(printable((found[2] or "")[:100]))
        if status == 407:
            raise AuthError(f"the proxy {self} refused the login: {status} {reason}")
        if not 200 <= status <= 299:
            raise ConnectError(f"the proxy {self} did not connect to {target}: {status} {reason}")

    # --- SOCKS --------------------------------------------------------------------------------------------------------

    async def _by_socks(self, stream: Stream, host: str, port: int, deadline: float) -> None:
        methods = bytes([_NO_LOGIN] if self.username is None else [_NO_LOGIN, _PASSWORD])
        await stream.send_all(bytes([5, len(methods)]) + methods, deadline=deadline)
        version, method = await self._exactly(stream, 2, deadline)
        if version != 5:
            raise ProtocolError(f"the proxy {self} does not speak SOCKS5: it answered with octet {version}")
        if method == _PASSWORD and self.username is not None:
            user, password = self.username.encode(), self.password.encode()
            await stream.send_all(bytes([1, len(user)]) + user + bytes([len(password)]) + password, deadline=deadline)
            if (await self._exactly(stream, 2, deadline))[1] != 0:
                raise AuthError(f"the proxy {self} refused the login")
        elif method == _NONE_WILL_DO or method != _NO_LOGIN:
            wants = "wants a login" if self.username is None else "takes no login by user and password"
            raise AuthError(f"the proxy {self} {wants}")
        await stream.send_all(
            bytes([5, _CONNECT, 0]) + _socks_address(host) + port.to_bytes(2, "big"), deadline=deadline
        )
        version, code, _, kind = await self._exactly(stream, 4, deadline)
        if version != 5:
            raise ProtocolError(f"the proxy {self} does not speak SOCKS5: it answered with octet {version}")
        if code != 0:
            why = _REFUSALS.get(code, f"reply {code}")
            raise ConnectError(f"the proxy {self} did not connect to {_joined(host, port)}: {why}")
        length = (await self._exactly(stream, 1, deadline))[0] if kind == _DOMAIN else _ADDRESS_BYTES.get(kind)
        if length is None:
            raise ProtocolError(f"the proxy {self} answered with an address of type {kind}")
        await self._exactly(stream, length + 2, deadline)  # where it connects from, which is of no use

    async def _exactly(self, stream: Stream, count: int, deadline: float) -> bytes:
        received = b""
        while len(received) < count:
            block = await stream.receive(count - len(received), deadline=deadline)
            if not block:
                raise ProtocolError(f"the proxy {self} closed the connection instead of answering")
            received += block
        return received


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _socks_address(host: str) -> bytes:
    """ATYP and DST.ADDR (RFC 1928 section 5). Raises ConnectError for what is neither name nor address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("utf-8")
        if not 0 < len(name) <= 255:
            raise ConnectError(f"{host[:80]!r} is not a host name") from None
        return bytes([_DOMAIN, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed

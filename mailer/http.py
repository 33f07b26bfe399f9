"""HTTP for relay services: one request, one answer, one deadline over all of it, on both runtimes.

HTTP/1.1 by h11 on our own :class:`~mailer.stream.Stream`, so that connecting, TLS, headers and body, however slowly
they drip, end at one deadline, and one body of code serves all worlds. No redirect, no cookie, no compression: a
request goes to the host it names and nowhere else, and by a proxy only if one is given. Loaded on first use.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import h11

from .clock import utc_now
from .errors import ConfigError, ConnectError, MailerError, ProtocolError, TransportError
from .redaction import forget_frames
from .relay.exchange import Response
from .stream import Stream
from .tls import tls_context

if TYPE_CHECKING:
    from .proxy import Proxy
    from .runtime import AddrInfo, Runtime

__all__ = ["MAX_ANSWER_BYTES", "HttpClient"]

MAX_ANSWER_BYTES = 4 << 20
"""More of an answer is not read. A batch of 500 mails to 50 recipients each is answered with about 1 MB."""
_BLOCK_BYTES = 1 << 16
_MAX_HEAD_BYTES = 1 << 16
_IDLE_S = 5.0
"""How long a connection is kept for the next request. Servers drop theirs after 60 s and more; to meet one that is just
being dropped would leave an outcome unknown, so this stays far below."""
_MAX_IDLE = 10

_Origin = tuple[str, str, int]  # scheme, host, port
_Told = Callable[[], None]
Resolve = Callable[[str, int, float], Awaitable["Sequence[AddrInfo]"]]
"""Takes a host, a port and a deadline; gives its addresses, none if it has none."""


def _nothing() -> None:
    pass


class HttpClient:
    """Sends requests and keeps connections alive for the next. Shared by threads and tasks; fork-safe."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        connect_timeout_s: float = 10.0,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
        resolve: Resolve | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        """Make it. Opens no connection.

        Args:
            runtime: Where to wait.
            connect_timeout_s, ca_file, proxy: See :meth:`mailer.runtime.Runtime.http`.
            resolve: Finds a host's addresses; None: the runtime's.
            max_answer_bytes: More of an answer is not read.
        """
        self._runtime = runtime
        self._proxy = proxy
        self._resolve = resolve
        self._max_answer_bytes = max_answer_bytes
        self._connect_timeout_s = connect_timeout_s
        self._ca_file = ca_file
        self._idle: deque[_Connection] = deque()

    async def send(
        self,
        method: str,
        url: str,
        *,
        content: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        deadline: float,
        on_sent: Callable[[], None] = _nothing,
    ) -> Response:
        """See :meth:`mailer.runtime.Http.send`."""
        origin, request = _request(method, url, content, headers)
        connection = self._take(origin)
        if connection is not None:
            try:
                return await self._exchange(connection, request, content, deadline, on_sent)
            except TransportError:
                if connection.has_sent or self._runtime.now() >= deadline:
                    raise
                # The server had dropped the idle connection before it had the whole request.
        connection = await self._connect(origin, deadline)
        return await self._exchange(connection, request, content, deadline, on_sent)

    async def aclose(self) -> None:
        """See :meth:`mailer.runtime.Http.aclose`."""
        while self._idle:
            self._idle.pop().stream.close()

    async def _connect(self, origin: _Origin, deadline: float) -> _Connection:
        scheme, host, port = origin
        found = () if self._resolve is None else await self._resolve(host, port, deadline)
        if self._resolve is not None and not found:
            raise ConnectError(f"{host} has no address")
        stream = await Stream.connect(
            self._runtime,
            host,
            port,
            deadline=deadline,
            connect_timeout_s=self._connect_timeout_s,
            addresses=found,
            proxy=self._proxy,
        )
        if scheme == "https":
            await stream.start_tls(tls_context(ca_file=self._ca_file), host, deadline=deadline)
        return _Connection(origin, stream, self._runtime.token(), self._max_answer_bytes)

    async def _exchange(
        self,
        connection: _Connection,
        request: h11.Request,
        content: bytes,
        deadline: float,
        on_sent: _Told,
    ) -> Response:
        try:
            response = await connection.exchange(request, content, deadline, on_sent)
        except BaseException:
            connection.stream.close()  # a late answer must never meet the next request
            raise
        if connection.is_reusable() and len(self._idle) < _MAX_IDLE:
            connection.idle_since = self._runtime.now()
            self._idle.append(connection)
        else:
            connection.stream.close()
        return response

    def _take(self, origin: _Origin) -> _Connection | None:
        """An idle connection to there that is ours to use and still lives."""
        token = self._runtime.token()  # a fork's child and another event loop begin anew
        for _ in range(len(self._idle)):
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took it
                break
            is_fresh = self._runtime.now() - connection.idle_since < _IDLE_S
            if connection.token == token and is_fresh and not connection.stream.has_input():
                if connection.origin == origin:
                    return connection
                self._idle.appendleft(connection)
            else:
                connection.stream.close()
        return None


class _Connection:
    """One connection, and the grammar of what is said on it."""

    __slots__ = ("_has_ended", "_http", "_max_bytes", "has_sent", "idle_since", "origin", "stream", "token")

    def __init__(self, origin: _Origin, stream: Stream, token: object, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.origin = origin
        self.stream = stream
        self.token = token
        self.idle_since = 0.0
        self.has_sent = False
        self._has_ended = False
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)

    async def exchange(self, request: h11.Request, content: bytes, deadline: float, on_sent: _Told) -> Response:
        self.has_sent = False
        head = self._http.send(request) or b""
        body = self._http.send(h11.Data(data=content)) or b""
        self._http.send(h11.EndOfMessage())
        try:
            for block in (head + body,) if len(body) < _BLOCK_BYTES else (head, body):
                await self.stream.send_all(block, deadline=deadline)
        except TransportError:
            # A server may refuse what it has not read to its end, say why, and close (RFC 9112 section 9.5).
            try:
                return await self._receive(deadline)
            except MailerError:
                pass
            raise
        self.has_sent = True
        on_sent()
        return await self._receive(deadline)

    async def _receive(self, deadline: float) -> Response:
        status, headers, body = 0, {}, bytearray()
        cut: MailerError | None = None
        try:
            while True:
                event: Any = self._http.next_event()
                if event is h11.NEED_DATA:
                    self._http.receive_data(await self._received(deadline, status))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > self._max_bytes:
                        raise ProtocolError(f"{self._name}: the answer is longer than {self._max_bytes} bytes")
                elif not isinstance(event, h11.InformationalResponse):
                    break
        except h11.RemoteProtocolError:
            # Neither its text nor its chain: they quote the answer, which may echo the request's secrets.
            cut = ProtocolError(f"{self._name}: the answer is not HTTP")
            if self._has_ended:
                cut = TransportError(f"{self._name}: the connection was closed before the end of the answer")
        except (TransportError, ProtocolError) as error:
            cut = error
        if cut is not None and not status:
            raise cut
        if cut is not None:
            forget_frames(cut)  # they hold the answer, which may repeat a secret
        return Response(status, headers, bytes(body[: self._max_bytes]), utc_now(), cut)

    async def _received(self, deadline: float, status: int) -> bytes:
        data = await self.stream.receive(_BLOCK_BYTES, deadline=deadline)
        self._has_ended = not data
        if not data and not status:
            if self._http.trailing_data[0]:
                raise ProtocolError(f"{self._name}: the answer is not HTTP")
            raise TransportError(f"{self._name}: the connection was closed without an answer")
        return data

    @property
    def _name(self) -> str:
        return f"{self.origin[1]} ({self.stream.peer})"

    def is_reusable(self) -> bool:
        """Whether another request may follow; makes ready for it."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE or self.stream.closed:
            return False
        if self._http.trailing_data != (b"", False):  # it would be taken for the answer to the next request
            return False
        self._http.start_next_cycle()
        return True


def _request(method: str, url: str, content: bytes, headers: Iterable[tuple[str, str]]) -> tuple[_Origin, h11.Request]:
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise ConfigError("a request goes to http://host or https://host, without a login in the URL")
    bare = f"[{host}]" if ":" in host else host
    fields = [
        ("Host", bare if port is None else f"{bare}:{port}"),
        ("User-Agent", "mailer"),
        ("Accept-Encoding", "identity"),
        *headers,
    ]
    if content or method not in ("GET", "HEAD"):
        fields.append(("Content-Length", str(len(content))))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        request = h11.Request(method=method, target=target, headers=fields)
    except (h11.LocalProtocolError, UnicodeError):  # whose text quotes the field
        raise ConfigError(f"{host}: a header of the request, or its path, is not printable ASCII") from None
    return (parts.scheme, host, port or (443 if parts.scheme == "https" else 80)), request

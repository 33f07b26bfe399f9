"""A client of the app's own, of httpx or httpx2, in the place of :mod:`mailer.http`: for proxies, and for tests.

Neither is imported here: what is given is used by its methods, and its exceptions are told by their names.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .clock import utc_now
from .errors import ConfigError, ConnectError, DeadlineExceeded, MailerError, ProtocolError, TransportError
from .http import MAX_ANSWER_BYTES, _nothing
from .relay.exchange import Response

if TYPE_CHECKING:
    from .runtime import Runtime

__all__ = ["GivenClient"]

# Their exceptions, by the names that both libraries use, the most telling first.
_ERRORS: tuple[tuple[str, type[MailerError], str], ...] = (
    ("ConnectTimeout", ConnectError, "no connection in time"),
    ("PoolTimeout", ConnectError, "no connection was free in time"),
    ("ConnectError", ConnectError, "no connection could be made"),
    ("ProxyError", ConnectError, "the proxy refused"),
    ("UnsupportedProtocol", ConfigError, "the client does not speak this protocol"),
    ("TimeoutException", DeadlineExceeded, "no answer in time"),
    ("TransportError", TransportError, "the connection broke"),
    ("HTTPError", ProtocolError, "the answer could not be read"),
    ("StreamError", ProtocolError, "the answer could not be read"),
)


class GivenClient:
    """Sends through ``httpx.Client`` or ``httpx.AsyncClient``. The app closes it, not we.

    Under asyncio and trio the deadline holds over all. Blocking, the client's timeouts hold, each for a read or write,
    and the answer's body is not read beyond the deadline: only a head that drips can outlast it.
    """

    def __init__(self, runtime: Runtime, client: Any) -> None:
        is_async = inspect.iscoroutinefunction(getattr(client, "send", None))
        if not callable(getattr(client, "build_request", None)) or is_async is not runtime.is_async:
            wanted = "httpx.AsyncClient for AsyncMailer" if runtime.is_async else "httpx.Client for Mailer"
            raise ConfigError(f"client: give an {wanted}, not {type(client).__name__}")
        self._runtime = runtime
        self._client = client

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
        left = deadline - self._runtime.now()
        if left <= 0:
            raise DeadlineExceeded("no time was left to send the request")
        fields = [*headers, ("Content-Length", str(len(content)))] if content else list(headers)
        body = (_blocks_async if self._runtime.is_async else _blocks)(content, on_sent) if content else None
        failure: MailerError = DeadlineExceeded("no answer in time")
        try:
            request = self._client.build_request(method, url, headers=fields, content=body, timeout=left)
            if not self._runtime.is_async:
                return self._sent(request, deadline)
            import anyio

            with anyio.move_on_after(left):
                return await self._sent_async(request)
        except Exception as error:  # noqa: BLE001 - raised again if it is none of the client's
            failure = _ours(error)
        # Not chained: the client's errors hold the request, so its headers, so the token.
        raise failure

    def _sent(self, request: Any, deadline: float) -> Response:
        answer = self._client.send(request, stream=True, follow_redirects=False)
        body = bytearray()
        cut: MailerError | None = None
        try:
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    break
                if self._runtime.now() >= deadline:
                    cut = DeadlineExceeded("no answer in time")
                    break
        except Exception as error:  # noqa: BLE001 - as above
            cut = _ours(error)
        finally:
            answer.close()
        return _response(answer, body, cut)

    async def _sent_async(self, request: Any) -> Response:
        answer = await self._client.send(request, stream=True, follow_redirects=False)
        body, cut = bytearray(), None
        try:
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    break
        except Exception as error:  # noqa: BLE001 - as above
            cut = _ours(error)
        finally:
            await answer.aclose()
        return _response(answer, body, cut)

    async def aclose(self) -> None:
        """Nothing: it is not ours to close."""


def _blocks(content: bytes, on_sent: Callable[[], None]) -> Iterator[bytes]:
    """The content, for a client that asks for more once it has sent it."""
    yield content
    on_sent()


async def _blocks_async(content: bytes, on_sent: Callable[[], None]) -> AsyncIterator[bytes]:
    yield content
    on_sent()


def _ours(error: Exception) -> MailerError:
    """The error of ours that one of the client's is; raises it again if it is none of those."""
    names = {kind.__name__ for kind in type(error).__mro__}
    for name, ours, text in _ERRORS:
        if name in names:
            return ours(f"{text} ({type(error).__name__})")
    raise error


def _response(answer: Any, body: bytearray, cut: MailerError | None) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if len(body) > MAX_ANSWER_BYTES:
        cut = ProtocolError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return Response(answer.status_code, headers, bytes(body[:MAX_ANSWER_BYTES]), utc_now(), cut)

"""The endpoint of tracking links, to be mounted in an ASGI or WSGI app: an image, or the way to where a link leads."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .clock import epoch_s
from .errors import ProtocolError
from .event import Event, EventKind
from .teller import Teller
from .tracking import TrackingLinks

if TYPE_CHECKING:
    from .mailer import AsyncMailer, Mailer

__all__ = ["Answer", "TrackingApp"]

#: The name in events: nobody but us tells them.
PROVIDER = "tracking"
_MAX_AGENT = 500
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_SAFE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the URL says who reads the mail
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        status: 200 with the image, 302 to the target, 404 for what is no link of ours, or 405.
        headers: All of them.
        body: Without one for HEAD.
        event: What it tells; None if it tells nothing, as HEAD does.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    event: Event | None = None


class TrackingApp:
    """Mount ``app.asgi`` or ``app.wsgi`` where the links lead: the last part of the path is the token.

    Args:
        links: Those of the plug-in, or made alike: same secrets.
        then: Told of each: a mailer publishes an event "opened" or "clicked" to its ``event`` action; or a function of
            your own, plain or (ASGI) async, of the :class:`Event`. What it raises is logged: the reader goes on.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        links: TrackingLinks,
        then: Mailer | AsyncMailer | Callable[[Event], Any],
        *,
        clock: Callable[[], float] = epoch_s,
    ) -> None:
        self._links = links
        self._teller = Teller(then, PROVIDER)
        self._clock = clock

    def looked_at(self, method: str, path: str, user_agent: str = "") -> Answer:
        """The answer to a request, before anybody is told."""
        if method not in ("GET", "HEAD"):
            return _answer(405, b"", {"Allow": "GET, HEAD"})
        try:
            tracked = self._links.read(path.rstrip("/").rpartition("/")[2])
        except ProtocolError:
            return _answer(404, b"this link is not valid\n", {"Content-Type": "text/plain; charset=utf-8"})
        event = None
        if method == "GET":
            event = Event(
                kind=EventKind.CLICKED if tracked.url else EventKind.OPENED,
                provider=PROVIDER,
                mail_id=tracked.mail_id,
                recipient=tracked.recipient,
                url=tracked.url,
                user_agent=user_agent[:_MAX_AGENT],
                time=datetime.fromtimestamp(self._clock(), UTC),
            )
        if tracked.url:
            return _answer(302, b"", {"Location": tracked.url}, event)
        return _answer(200, b"" if method == "HEAD" else _PIXEL, {"Content-Type": "image/gif"}, event)

    async def asgi(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """The ASGI app; it answers first."""
        if scope["type"] != "http":
            raise RuntimeError(f"the tracking endpoint serves http, not {scope['type']}")
        agents = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"user-agent"]
        answer = self.looked_at(scope["method"], scope["path"], agents[0] if agents else "")
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": answer.body})
        if answer.event is not None:
            await self._teller.tell(answer.event)

    def wsgi(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The WSGI app."""
        agent = environ.get("HTTP_USER_AGENT", "")
        answer = self.looked_at(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), agent)
        if answer.event is not None:
            self._teller.tell_now(answer.event)
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(answer.headers))
        return [answer.body]


def _answer(status: int, body: bytes, headers: Mapping[str, str], event: Event | None = None) -> Answer:
    fields = {**_SAFE, **headers, "Content-Length": str(len(body))}
    return Answer(status, tuple(fields.items()), body, event)

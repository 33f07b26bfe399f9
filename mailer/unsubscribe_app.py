"""The endpoint of unsubscribe links, to be mounted in an ASGI or WSGI app (RFC 8058 section 3.2).

A GET, as scanners make it of every link, shows a page with a button and changes nothing. A POST of
``List-Unsubscribe=One-Click``, by the button or by a mail program, unsubscribes, without cookie, login or redirect.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .clock import epoch_s
from .errors import ProtocolError
from .event import Event, EventKind
from .suppression import SuppressionList
from .teller import Teller
from .unsubscribe import UnsubscribeLinks, Unsubscription

if TYPE_CHECKING:
    from .mailer import AsyncMailer, Mailer

__all__ = ["Page", "UnsubscribeApp"]

#: The name in events: nobody but us tells them.
PROVIDER = "list_unsubscribe"
_MAX_BODY = 16 * 1024
_SAFE = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the URL is the right to unsubscribe
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}\
button{{font:inherit;padding:.5rem 1.5rem}}</style></head><body><h1>{title}</h1>
<p>{text}</p>{form}</body></html>
"""
_FORM = """
<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click"><button>Unsubscribe</button></form>
"""
# Page -> status, title, text; {who} and {what} are filled in, escaped.
_TEXTS = {
    "ask": (200, "Unsubscribe?", "{who} will get no more mail{what}."),
    "done": (200, "You are unsubscribed", "{who} will get no more mail{what}."),
    "unknown": (404, "This link is not valid", "It may have been cut in two: copy all of it from the mail."),
    "expired": (410, "This link is too old", "Use the one in a newer mail."),
    "not one click": (400, "Nothing was changed", "The form has to say List-Unsubscribe=One-Click."),
    "too large": (413, "Nothing was changed", "That is more than the form has."),
    "wrong method": (405, "Nothing was changed", "This page is to be looked at (GET), or answered (POST)."),
    "failed": (500, "Nothing was changed", "Something went wrong here. Please try again later."),
}


@dataclass(frozen=True, slots=True)
class Page:
    """An answer.

    Attributes:
        name: "ask", "done", "unknown", "expired", "not one click", "too large", "wrong method" or "failed".
        status: The HTTP status.
        body: html.
        headers: All of them but Content-Length.
        unsubscription: Who it is about, once that is known.
    """

    name: str
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    unsubscription: Unsubscription | None = None

    @property
    def fields(self) -> list[tuple[str, str]]:
        """All header fields."""
        return [*self.headers.items(), ("Content-Length", str(len(self.body)))]


class UnsubscribeApp:
    """Mount ``app.asgi`` or ``app.wsgi`` where the links lead: the last part of the path is the token.

    Args:
        links: Those of the plug-in, or made alike: same secrets.
        then: Told of each: a mailer publishes an event "unsubscribed" to its ``event`` action, and so to its plug-in
            ``suppression``; a :class:`SuppressionList` is added to; or a function of your own, plain or (ASGI) async,
            that is given the :class:`Event`. What it raises is logged and answered with 500, to be tried again.
        render: Makes the html in the place of ours, of the page's name and who it is about (None while that is not
            known). The one called "ask" needs a form that POSTs ``List-Unsubscribe=One-Click`` to its own URL.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        links: UnsubscribeLinks,
        then: Mailer | AsyncMailer | SuppressionList | Callable[[Event], Any],
        *,
        render: Callable[[str, Unsubscription | None], str] | None = None,
        clock: Callable[[], float] = epoch_s,
    ) -> None:
        self._links = links
        self._teller = Teller(then, PROVIDER)
        self._render = render
        self._clock = clock

    # --- what is answered, without waiting ----------------------------------------------------------------------------

    def looked_at(self, method: str, path: str, content_type: str, body: bytes) -> Page:
        """The page for a request. That called "done" is true only once who it is about has been told."""
        if method not in ("GET", "HEAD", "POST"):
            return self._page("wrong method", headers={"Allow": "GET, HEAD, POST"})
        try:
            asked = self._links.read(path.rstrip("/").rpartition("/")[2], now_s=self._clock())
        except ProtocolError:
            return self._page("unknown")
        if asked.is_expired:
            return self._page("expired", asked)
        if method != "POST":
            return self._page("ask", asked)
        if len(body) > _MAX_BODY:
            return self._page("too large", asked)
        return self._page("done" if _is_one_click(content_type, body) else "not one click", asked)

    def _page(self, name: str, asked: Unsubscription | None = None, headers: Mapping[str, str] | None = None) -> Page:
        status, title, text = _TEXTS[name]
        if self._render is not None:
            shown = self._render(name, asked)
        else:
            who = html.escape(asked.address.addr_spec) if asked else ""
            what = f" from the list {html.escape(asked.list_name)}" if asked and asked.list_name else ""
            said = text.format(who=who, what=what)
            shown = _PAGE.format(title=title, text=said, form=_FORM if name == "ask" else "")
        return Page(name, status, shown.encode(), {**_SAFE, **(headers or {})}, asked)

    def _event(self, asked: Unsubscription) -> Event:
        return Event(
            kind=EventKind.UNSUBSCRIBED,
            provider=PROVIDER,
            recipient=asked.address,
            time=datetime.fromtimestamp(self._clock(), UTC),
            tags=(asked.list_name,) if asked.list_name else (),
        )

    # --- mounted ------------------------------------------------------------------------------------------------------

    async def asgi(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """The ASGI app."""
        if scope["type"] != "http":
            raise RuntimeError(f"the unsubscribe endpoint serves http, not {scope['type']}")
        body = b""
        while scope["method"] == "POST" and len(body) <= _MAX_BODY:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        kinds = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"content-type"]
        page = self.looked_at(scope["method"], scope["path"], kinds[0] if kinds else "", body)
        asked = page.unsubscription
        if page.name == "done" and asked is not None and not await self._teller.tell(self._event(asked)):
            page = self._page("failed", asked)
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in page.fields]
        await send({"type": "http.response.start", "status": page.status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page.body})

    def wsgi(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The WSGI app."""
        method = environ["REQUEST_METHOD"]
        body = _body(environ) if method == "POST" else b""
        page = self.looked_at(method, environ.get("PATH_INFO", ""), environ.get("CONTENT_TYPE", ""), body)
        asked = page.unsubscription
        if page.name == "done" and asked is not None and not self._teller.tell_now(self._event(asked)):
            page = self._page("failed", asked)
        start_response(f"{page.status} {HTTPStatus(page.status).phrase}", page.fields)
        return [b"" if method == "HEAD" else page.body]


def _body(environ: Mapping[str, Any]) -> bytes:
    """What is read of it: of one whose length nobody says all that there is, if the server says that it ends it."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not length:
        left = _MAX_BODY + 1 if environ.get("wsgi.input_terminated") else 0
    else:
        left = min(int(length), _MAX_BODY + 1) if length.isascii() and length.isdigit() and len(length) < 10 else 0
    body = b""
    while left > len(body) and (part := environ["wsgi.input"].read(left - len(body))):
        body += part
    return body


def _is_one_click(content_type: str, body: bytes) -> bool:
    """Whether the form says it: URL-encoded, or multipart (RFC 8058 section 3.2 has both)."""
    kind = content_type.partition(";")[0].strip().lower()
    pairs: list[tuple[str, str]] = []
    try:
        if kind == "application/x-www-form-urlencoded":
            pairs = parse_qsl(body.decode("ascii").rstrip("\r\n"), max_num_fields=20)
        elif kind == "multipart/form-data" and content_type.isprintable():
            read = BytesParser().parsebytes(b"Content-Type: " + content_type.encode("ascii") + b"\r\n\r\n" + body)
            for part in read.get_payload() if read.is_multipart() else ():
                name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
                pairs.append((str(name), str(part.get_payload()).strip()))  # type: ignore[union-attr]
    except ValueError:
        return False
    return ("List-Unsubscribe", "One-Click") in pairs

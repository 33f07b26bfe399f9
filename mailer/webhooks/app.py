"""The web app that providers call: an ASGI app and a WSGI app, to be mounted in any framework or served alone.

It answers so that a provider tries again when that can help, and not otherwise:

======  ========================================================================================================
200     told to all who listen, now or before; a GET or HEAD, by which some try the URL; the OPTIONS by which Azure asks
401     not from them, or an old call again: tried again, for the secret may have been mistyped here
400     it could not be read (406 to Mailgun, 403 to Postmark, by which those know not to try again); it broke off
404     no provider of that name
405     a method that nobody uses
411     the WSGI server says neither how long the body is nor that it ends it: nothing of it can be read
413     larger than anything that a provider sends
415     neither JSON nor what else the provider sends
500     a callback raised: tried again
503     Amazon's or Scaleway's certificate could not be had, or the same call is being told just now: tried again
======  ========================================================================================================
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from ..clock import utc_now
from ..errors import AuthError, ConfigError, MailerError, ProtocolError, TransportError
from ..event import Event
from ..log import WEBHOOK_REFUSED
from ..mailer import AsyncMailer, Mailer
from ..redaction import Unpickled, forgets_arguments
from ..runtime import AsyncRuntime, BlockingRuntime, Runtime, drive
from . import TOLERANCE_S, parse, webhook_of
from .call import MAX_BODY_BYTES, Call
from .proof import Proof
from .webhook import Webhook

__all__ = ["AsgiWebhooks", "WsgiWebhooks"]

_FETCH_S = 10.0
#: Larger bodies are read in a thread, where there is an event loop to be kept going: some milliseconds.
_AT_ONCE_BYTES = 64 * 1024
_MAX_CERTIFICATES = 16
#: Calls that are remembered: as many as come in a window of some minutes, or nearly.
_MAX_SEEN = 10_000
_METHODS = ("POST", "GET", "HEAD")

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_StartResponse = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    content_type: str = "text/plain"

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [*self.headers, ("Content-Type", self.content_type), ("Content-Length", str(len(self.content)))]


_UNBELIEVED = _Answer(401, (("WWW-Authenticate", 'Basic realm="webhooks"'),))


@dataclass(frozen=True, slots=True, repr=False)
class _Asked:
    """A request, but for its body."""

    method: str
    path: str
    url: str
    headers: Sequence[tuple[str, str]]

    def header(self, name: str) -> str:
        return next((value.strip() for key, value in self.headers if key.lower() == name), "")


class _Webhooks(Unpickled):
    """What both apps are."""

    @forgets_arguments
    def __init__(
        self,
        mailer: Mailer | AsyncMailer,
        secrets: Mapping[str, str | Sequence[str]],
        *,
        base_url: str = "",
        providers: Iterable[Webhook] = (),
        confirm_subscriptions: bool = False,
        tolerance_s: float = TOLERANCE_S,
        max_bytes: int = MAX_BODY_BYTES,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Make the app. A provider's URL is that of the app with ``/`` and the provider's name behind it.

        Args:
            mailer: Whose ``event`` action is run for each event.
            secrets: Provider to secret, or several; see :func:`mailer.webhooks.parse`.
            base_url: Where the app is to be found from outside, "https://shop.example.com/webhooks". Behind a proxy it
                has to be given for those who sign their URL (Mandrill); else it is what the request says.
            providers: Webhooks of your own, named in ``secrets`` by their names.
            confirm_subscriptions: Confirm, by a GET to Amazon or Scaleway, that they are to tell us of the topic.
            tolerance_s, max_bytes: See :func:`mailer.webhooks.parse`.
            clock: Now, with a time zone.

        Raises:
            ConfigError: There is no such provider, a secret is empty, or the mailer is of the other kind.
        """
        own = {webhook.name: webhook for webhook in providers}
        self._webhooks = {name: own.get(name) or webhook_of(name) for name in secrets}
        if not self._webhooks:
            raise ConfigError("webhooks: no provider has a secret: nobody could tell anything")
        for name, secret in secrets.items():
            Proof.of(name, secret, utc_now(), tolerance_s)
        parts = urlsplit(base_url)
        if base_url and not (parts.scheme in ("https", "http") and parts.netloc and not parts.query):
            raise ConfigError("webhooks: base_url must be a URL without a query: https://shop.example.com/webhooks")
        self._mailer = mailer
        self._secrets = dict(secrets)
        self._base = base_url.rstrip("/")
        self._confirms = confirm_subscriptions
        self._tolerance_s = tolerance_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._certificates: dict[str, bytes] = {}
        self._seen: dict[tuple[str, str], None] = {}
        self._at_work: dict[tuple[str, str], object] = {}
        self._runtime: Runtime = AsyncRuntime() if isinstance(mailer, AsyncMailer) else BlockingRuntime()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._webhooks)}>"

    def _name(self, asked: _Asked) -> str:
        return asked.path.rstrip("/").rpartition("/")[2]

    def _before_body(self, asked: _Asked) -> _Answer | None:
        """The answer that needs no body; None if that is to be read."""
        webhook = self._webhooks.get(self._name(asked))
        if webhook is None:
            return _Answer(404)
        if asked.method == "OPTIONS" and (permission := self._permission(webhook, asked)) is not None:
            return permission
        if asked.method not in _METHODS:
            return _Answer(405, (("Allow", ", ".join(_METHODS)),))
        if asked.method != "POST":
            return _Answer(200)
        kind = asked.header("content-type").lower()
        if kind and not any(part in kind for part in webhook.content_types):
            return _Answer(415)
        length = asked.header("content-length")
        if length and not (length.isascii() and length.isdigit() and len(length) < 20):
            return _Answer(400)
        return _Answer(413) if length and int(length) > self._max_bytes else None

    def _url(self, asked: _Asked) -> str:
        """The URL that the provider was given."""
        query = urlsplit(asked.url).query
        return f"{self._base}/{self._name(asked)}" + (f"?{query}" if query else "") if self._base else asked.url

    def _permission(self, webhook: Webhook, asked: _Asked) -> _Answer | None:
        """The answer to who asks whether he may tell us, and shows the secret; None if nobody asks so."""
        call = Call.of(asked.headers, b"", self._url(asked))
        headers = webhook.permission(call)
        if not headers:
            return None
        secret = self._secrets[webhook.name]
        try:
            webhook.verify(call, Proof.of(webhook.name, secret, self._clock(), self._tolerance_s))
        except AuthError as error:
            return self._refused(webhook.name, error, _UNBELIEVED)
        return _Answer(200, (("Allow", "POST"), *headers.items()))

    async def _answer(self, asked: _Asked, body: bytes) -> _Answer:
        """The answer to a call, once what it tells is told."""
        name = self._name(asked)
        webhook = self._webhooks[name]
        url = self._url(asked)
        if len(body) > self._max_bytes:
            return _Answer(413)
        try:
            events = await self._events(webhook, asked, body, url)
            call = Call.of(asked.headers, body, url)
            if (seen := (name, webhook.call_id(call))) in self._seen:
                return _Answer(200)
            reply = webhook.reply(call)
            mine = object()
            if seen[1] and self._at_work.setdefault(seen, mine) is not mine:
                return _Answer(503)  # whether it will have been told is not known yet
            try:
                if self._confirms and (confirmation := webhook.confirmation_url(call)) is not None:
                    await self._fetched(confirmation)
                said = self._mailer.publish(events)
                failed = said if isinstance(said, int) else await said
                if not failed:
                    self._remember(seen)
            finally:
                self._at_work.pop(seen, None)
        except AuthError as error:
            return self._refused(name, error, _UNBELIEVED)
        except ProtocolError as error:
            return self._refused(name, error, _Answer(webhook.stop_status))
        except (TransportError, ConfigError) as error:
            return self._refused(name, error, _Answer(503))
        if failed:
            return _Answer(500)
        if reply is None:
            return _Answer(200)
        return _Answer(200, content=json.dumps(reply).encode(), content_type="application/json")

    def _remember(self, seen: tuple[str, str]) -> None:
        """A call that was told is not told again by this process, whoever sends it once more."""
        if seen[1]:
            self._seen[seen] = None
        if len(self._seen) > _MAX_SEEN:
            with contextlib.suppress(RuntimeError, StopIteration):  # another thread does it just now
                self._seen.pop(next(iter(self._seen)), None)

    async def _events(self, webhook: Webhook, asked: _Asked, body: bytes, url: str) -> list[Event]:
        async def parsed(certificates: Mapping[str, bytes]) -> list[Event]:
            if len(body) <= _AT_ONCE_BYTES:
                return read(certificates)
            return await self._runtime.run(lambda: read(certificates))

        def read(certificates: Mapping[str, bytes]) -> list[Event]:
            return parse(
                webhook,
                asked.headers,
                body,
                self._secrets[webhook.name],
                url=url,
                now=self._clock(),
                tolerance_s=self._tolerance_s,
                certificates=certificates,
                max_bytes=self._max_bytes,
            )

        place = webhook.certificate_url(Call.of(asked.headers, body, url, max_bytes=self._max_bytes))
        if place is None or place in self._certificates:
            return await parsed(self._certificates)
        try:
            return await parsed({})  # whatever else is wrong is found first, so that nobody makes us fetch for nothing
        except ConfigError:
            certificate = await self._fetched(place)
        events = await parsed({place: certificate})
        if len(self._certificates) >= _MAX_CERTIFICATES:
            self._certificates.clear()
        self._certificates[place] = certificate
        return events

    async def _fetched(self, url: str) -> bytes:
        """What lies at a URL that is safe to fetch. Raises TransportError if it cannot be had."""
        http = self._runtime.http()
        try:
            response = await http.send("GET", url, deadline=self._runtime.now() + _FETCH_S)
        except MailerError as error:
            raise TransportError(f"{urlsplit(url).netloc} could not be asked: {type(error).__name__}") from error
        finally:
            await http.aclose()
        if response.status != 200 or response.cut is not None:
            raise TransportError(f"{urlsplit(url).netloc} answered HTTP {response.status}")
        return response.content

    def _refused(self, name: str, error: MailerError, answer: _Answer) -> _Answer:
        WEBHOOK_REFUSED(provider=name, status=answer.status, reason=error)
        return answer


class AsgiWebhooks(_Webhooks):
    """The ASGI app. An :class:`AsyncMailer`'s callbacks are awaited; those of a :class:`Mailer` run in a thread.

    ::

        app = Starlette(routes=[Mount("/webhooks", AsgiWebhooks(mailer, {"postmark": "hook:secret"}))])
    """

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            return await _live(receive, send)
        if scope["type"] != "http":
            raise ConfigError(f"webhooks are called by HTTP, not by {scope['type']}")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        query = scope.get("query_string", b"").decode("latin-1")
        host = next((value for name, value in headers if name.lower() == "host"), "localhost")
        url = f"{scope.get('scheme', 'http')}://{host}{scope['path']}" + (f"?{query}" if query else "")
        asked = _Asked(scope["method"], scope["path"], url, headers)
        answer = self._before_body(asked)
        if answer is None:
            body = await self._read(receive)
            if body is None:  # who called is gone
                return None
            if isinstance(self._mailer, AsyncMailer):
                answer = await self._answer(asked, body)
            else:
                answer = await AsyncRuntime().run(lambda: drive(self._answer(asked, body)))
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.fields],
            }
        )
        await send({"type": "http.response.body", "body": b"" if asked.method == "HEAD" else answer.content})
        return None

    async def _read(self, receive: _Receive) -> bytes | None:
        """The body, or, if it is too large, one byte more than is read of it."""
        parts: list[bytes] = []
        left = self._max_bytes + 1
        while left > 0:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")[:left]
            parts.append(part)
            left -= len(part)
            if not message.get("more_body", False):
                break
        return b"".join(parts)


class WsgiWebhooks(_Webhooks):
    """The WSGI app, for a :class:`Mailer`.

    ::

        webhooks = WsgiWebhooks(mailer, {"postmark": "hook:secret"})
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/webhooks": webhooks})
    """

    def __init__(self, mailer: Mailer, secrets: Mapping[str, str | Sequence[str]], **more: Any) -> None:
        """See :class:`AsgiWebhooks`."""
        if not isinstance(mailer, Mailer):
            raise ConfigError("WsgiWebhooks needs a Mailer: with an AsyncMailer use AsgiWebhooks")
        super().__init__(mailer, secrets, **more)

    def __call__(self, environ: Mapping[str, Any], start_response: _StartResponse) -> list[bytes]:
        """Serve one request."""
        headers = [(key[5:].replace("_", "-"), value) for key, value in environ.items() if key.startswith("HTTP_")]
        given = ("CONTENT_TYPE", "CONTENT_LENGTH")
        headers += [(key.replace("_", "-"), value) for key in given if (value := environ.get(key))]
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "localhost")
        query = environ.get("QUERY_STRING", "")
        url = f"{environ.get('wsgi.url_scheme', 'http')}://{host}{path}" + (f"?{query}" if query else "")
        asked = _Asked(environ["REQUEST_METHOD"], environ.get("PATH_INFO") or path, url, headers)
        answer = self._before_body(asked)
        if answer is None:
            body = self._body(environ)
            answer = body if isinstance(body, _Answer) else drive(self._answer(asked, body))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", answer.fields)
        return [b"" if asked.method == "HEAD" else answer.content]

    def _body(self, environ: Mapping[str, Any]) -> bytes | _Answer:
        """Of a body whose length nobody says all that there is, if the server says that it ends it.

        A part of a body is none: who sent it must not learn that it was read, and never to be sent again.
        """
        length = environ.get("CONTENT_LENGTH") or ""
        if not length and not environ.get("wsgi.input_terminated"):
            return _Answer(411)
        most = int(length) if length else self._max_bytes + 1
        parts: list[bytes] = []
        while most > 0 and (part := environ["wsgi.input"].read(most)):
            parts.append(part)
            most -= len(part)
        return _Answer(400) if length and most > 0 else b"".join(parts)


async def _live(receive: _Receive, send: _Send) -> None:
    """Nothing has to be started or stopped."""
    for what in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{what}.complete"})

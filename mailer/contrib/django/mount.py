"""A WSGI or ASGI app as a Django view: one way to mount what the library serves, webhooks, tracking, unsubscribing.

::

    urlpatterns = [path("hooks/<path:rest>", view_of(WsgiWebhooks(mailer, {"postmark": "hook:a-long-secret"})))]
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

__all__ = ["AsgiApp", "WsgiApp", "answered_asgi", "answered_wsgi", "view_of"]

#: PEP 3333: ``(environ, start_response)`` to the body's parts.
WsgiApp = Callable[..., Iterable[bytes]]
#: ASGI 3: ``(scope, receive, send)``, awaited.
AsgiApp = Callable[..., Awaitable[None]]

_CHUNK = 64 * 1024


def view_of(app: Any) -> Callable[..., Any]:
    """A view that hands each request to the app: an async view for an ASGI app, a plain one for a WSGI app.

    Both serve under Django's WSGI and ASGI alike. What calls is a program: no CSRF token is asked for, and no login.

    Args:
        app: Called with the path below the view: what its URL pattern calls ``rest``.
    """
    called = app if inspect.isroutine(app) else type(app).__call__
    if inspect.iscoroutinefunction(called):

        async def aview(request: HttpRequest, rest: str = "") -> HttpResponse:
            return await answered_asgi(app, request, rest)

        return exempt(aview)

    def view(request: HttpRequest, rest: str = "") -> HttpResponse:
        return answered_wsgi(app, request, rest)

    return exempt(view)


def exempt(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view, for callers that have neither Django's CSRF token nor a login."""
    exempted: Callable[..., Any] = csrf_exempt(login_not_required(view))
    return exempted


def answered_wsgi(app: WsgiApp, request: HttpRequest, rest: str) -> HttpResponse:
    """What a WSGI app answers.

    Args:
        rest: The path that it is to see, without a slash before it; what stands before that is where it is mounted.
    """
    environ = {
        **request.META,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": _latin(_before(request.path, rest)),
        "PATH_INFO": _latin(f"/{rest}"),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": request,
        "wsgi.input_terminated": _is_whole(request),
    }
    response = HttpResponse()

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: object = None) -> None:
        _begin(response, int(status.partition(" ")[0]), fields)

    response.content = b"".join(app(environ, start_response))
    return response


async def answered_asgi(app: AsgiApp, request: HttpRequest, rest: str) -> HttpResponse:
    """What an ASGI app answers. As :func:`answered_wsgi`; what it does behind its answer is waited for."""
    if request.method == "POST" and not request.META.get("CONTENT_LENGTH") and not _is_whole(request):
        return HttpResponse(status=411)
    response = HttpResponse()
    parts: list[bytes] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "root_path": _before(request.path, rest),
        "query_string": request.META.get("QUERY_STRING", "").encode("latin-1"),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.items()],
    }

    async def receive() -> MutableMapping[str, Any]:
        # By WSGI the client may be slow; by ASGI Django has read it all.
        chunk = await sync_to_async(request.read)(_CHUNK)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            _begin(response, message["status"], fields)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    response.content = b"".join(parts)
    return response


def _is_whole(request: HttpRequest) -> bool:
    """Whether a body of which nobody says how long it is can be read: by WSGI, Django takes it for none at all."""
    return "wsgi.input" not in request.META


def _latin(path: str) -> str:
    """As PEP 3333 has a path: its octets, each as a character."""
    return path.encode().decode("latin-1")


def _before(path: str, rest: str) -> str:
    return path.removesuffix(rest).removesuffix("/")


def _begin(response: HttpResponse, status: int, fields: Iterable[tuple[str, str]]) -> None:
    response.status_code = status
    del response.headers["Content-Type"]
    for name, value in fields:
        response.headers[name] = value

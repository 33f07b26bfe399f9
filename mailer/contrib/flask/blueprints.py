"""Blueprints for what the library serves: webhooks, unsubscribe pages, tracking. One way to mount an app of ours.

A Flask app is given WSGI apps, a Quart app ASGI apps; each is made once for each app, of that app's mailer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from werkzeug.datastructures import Headers

from ...errors import ConfigError
from ...mailer import AsyncMailer, Mailer
from .config import WEBHOOKS
from .context import is_quart

if TYPE_CHECKING:
    from flask import Request
    from flask.sansio.app import App
    from flask.sansio.blueprints import Blueprint

    from .app_mailers import AppMailers

__all__ = ["MakeApp", "blueprint_of", "plugin_app", "webhooks_app"]

#: Makes what answers, of an app's mailers: a WSGI app, or under Quart an ASGI app.
MakeApp = Callable[["AppMailers"], Any]
#: What is refused is the app's business.
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def blueprint_of(
    kind: type[Blueprint], name: str, url_prefix: str, find: Callable[[], AppMailers], make: MakeApp
) -> Blueprint:
    """A blueprint that hands each request below its prefix to an app.

    Args:
        kind: Flask's or Quart's.
        find: The current app's mailers.
    """
    blueprint = kind(name, __name__, url_prefix=url_prefix)
    is_async = kind.__module__.startswith("quart.")
    view = _aview(find, name, make) if is_async else _view(find, name, make)
    blueprint.add_url_rule(
        "/<path:rest>", "call", view, methods=_METHODS, provide_automatic_options=False, strict_slashes=False
    )
    blueprint.record(lambda state: _check(state.app, name, make, is_async=is_async))
    return blueprint


def _check(app: App, name: str, make: MakeApp, *, is_async: bool) -> None:
    """What is wrong is to be known when the blueprint is registered, if the mailers are there by then."""
    from .extension import EXTENSION

    if is_quart(app) is not is_async:
        raise ConfigError(f"{app.name!r}: a Quart app takes QuartMailer's blueprints, a Flask app FlaskMailer's")
    if (there := app.extensions.get(EXTENSION)) is not None:
        there.endpoint(name, make)


def _view(find: Callable[[], AppMailers], name: str, make: MakeApp) -> Callable[..., Any]:
    def call(rest: str) -> Any:
        from flask import current_app, request

        return current_app.response_class.from_app(find().endpoint(name, make), _environ(request))

    return call


def _environ(request: Request) -> dict[str, Any]:
    """The request's, with its body once more where something before us, a ``before_request`` for one, has read it.

    Of a form that was parsed the fields are left: those are what its senders sign, not its octets.
    """
    environ: dict[str, Any] = request.environ
    if "stream" not in vars(request):  # untouched: not to be held to the app's MAX_CONTENT_LENGTH
        return environ
    body, again = request.get_data(), {}
    if not body and request.form:
        body = urlencode(list(request.form.items(multi=True))).encode()
        again["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
    return {**environ, **again, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}


def _aview(find: Callable[[], AppMailers], name: str, make: MakeApp) -> Callable[..., Awaitable[Any]]:
    async def call(rest: str) -> Any:
        from quart import Response, request

        body = await request.get_data()
        begun: dict[str, Any] = {}
        parts: list[bytes] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            begun.update(message) if message["type"] == "http.response.start" else parts.append(message["body"])

        await find().endpoint(name, make)(request.scope, receive, send)
        fields = Headers([(key.decode("latin-1"), value.decode("latin-1")) for key, value in begun["headers"]])
        return Response(b"".join(parts), begun["status"], fields)

    return call


def webhooks_app(secrets: Mapping[str, str | Sequence[str]] | None, name: str, options: Mapping[str, Any]) -> MakeApp:
    """What makes the app that providers call; secrets that are given are checked now.

    Args:
        secrets: None: those of ``MAILER_WEBHOOKS``.
        name: Whose ``event`` action is run.
    """
    from ...webhooks import AsgiWebhooks, WsgiWebhooks  # some 30 ms, which most apps need not spend

    if secrets is not None:
        WsgiWebhooks(Mailer("null:"), secrets, **options)

    def make(mailers: AppMailers) -> Any:
        mailer = mailers.get(name)
        found = _configured(mailers.app) if secrets is None else secrets
        kind: Any = AsgiWebhooks if isinstance(mailer, AsyncMailer) else WsgiWebhooks
        return kind(mailer, found, **options)

    return make


def _configured(app: App) -> dict[str, str | Sequence[str]]:
    given = app.config.get(WEBHOOKS)
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{WEBHOOKS} must be a table of provider to secret, or give webhooks_blueprint the secrets")
    return {str(key).lower(): secret for key, secret in given.items()}


def plugin_app(plugin: str, name: str, then: Any, options: Mapping[str, Any]) -> MakeApp:
    """What makes the endpoint of a plug-in's links, which tells ``then``, or else the mailer.

    Args:
        plugin: Its name. Its ``app(then)`` has the faces ``wsgi`` and ``asgi``.
    """

    def make(mailers: AppMailers) -> Any:
        mailer = mailers.get(name)
        app = mailer.plugins[plugin].app(mailer if then is None else then, **options)  # type: ignore[attr-defined]
        return app.asgi if is_quart(mailers.app) else app.wsgi

    return make

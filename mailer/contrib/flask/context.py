"""Which app and request it is just now: Flask's, or Quart's, which keeps its own. Quart is never imported here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import flask

if TYPE_CHECKING:
    from flask.sansio.app import App

__all__ = ["current_app", "has_request", "in_context", "is_quart", "request_blueprints"]


def is_quart(app: object) -> bool:
    """Whether it is a Quart app, whose mailers are awaited."""
    kind = getattr(sys.modules.get("quart"), "Quart", None)
    return kind is not None and isinstance(app, kind)


def _frameworks() -> Iterator[Any]:
    yield flask
    quart = sys.modules.get("quart")
    if getattr(quart, "current_app", None) is not None:  # another thread may be importing it
        yield quart


def current_app() -> App | None:
    """The app of the innermost context, or None."""
    for framework in _frameworks():
        if framework.current_app:
            return framework.current_app._get_current_object()  # type: ignore[no-any-return]  # behind werkzeug's proxy
    return None


def request_blueprints() -> list[str]:
    """The blueprints of the current request or websocket, the innermost first; none outside of both."""
    for framework in _frameworks():
        for kind in ("request", "websocket"):
            if getattr(framework, f"has_{kind}_context", bool)():
                return list(getattr(framework, kind).blueprints)
    return []


def has_request() -> bool:
    """Whether there is a current request."""
    return any(framework.has_request_context() for framework in _frameworks())


@contextlib.contextmanager
def in_context(app: App) -> Iterator[None]:
    """In the app's context: the one there is, or one that is made. Quart's can be made by an event loop alone."""
    if current_app() is app or is_quart(app):
        yield
    else:
        with app.app_context():  # type: ignore[attr-defined]  # Flask's
            yield

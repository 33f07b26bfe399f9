"""Who is asking, and whether the form is ours: sessions, CSRF tokens, headers of every answer."""

from __future__ import annotations

import hmac
import secrets
import sqlite3
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import Flask, Response, abort, flash, g, redirect, request, session, url_for
from markupsafe import Markup

from .database import rows

__all__ = ["admin_only", "init_app", "log_in", "one_line"]

View = TypeVar("View", bound=Callable[..., Any])
#: No script runs on this site, ours or anybody's.
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'"


def init_app(app: Flask) -> None:
    """Look at each request before its view does."""

    @app.before_request
    def look() -> None:
        if request.endpoint == "static":
            return
        number, end = session.get("member", (0, ""))
        found = rows("SELECT * FROM member WHERE id = ?", number)
        g.member = found[0] if found and found[0]["password"].endswith(end) else None
        # The one-click POST of a mail program has no cookie; its link is signed.
        if request.method == "POST" and request.endpoint != "members.unsubscribe":
            sent, own = request.form.get("csrf", ""), session.get("csrf", "")
            if not own or not hmac.compare_digest(sent.encode(), own.encode()):
                abort(400, "The form is too old. Go back, load the page again, and send it once more.")

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", f"{_POLICY}; frame-ancestors 'none'")
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    @app.context_processor
    def for_templates() -> dict[str, Any]:
        return {"csrf": _csrf, "title": app.config["PRESS_TITLE"], "has_mailbox": "mailbox" in app.blueprints}


def _csrf() -> Markup:
    """The field that every form of ours has."""
    token = session.setdefault("csrf", secrets.token_urlsafe())
    return Markup('<input type="hidden" name="csrf" value="{}">').format(token)


def log_in(member: sqlite3.Row) -> None:
    """A new session for a member: nothing of the visitor's stays. With another password it is over, wherever it is."""
    session.clear()
    session["member"] = (member["id"], member["password"][-12:])


def admin_only(view: View) -> View:
    """A page for admins; who is not logged in is asked to, all others get 403."""

    @wraps(view)
    def guarded(*args: Any, **keywords: Any) -> Any:
        if g.member is None:
            flash("Log in first.")
            return redirect(url_for("members.login"))
        if not g.member["is_admin"]:
            abort(403)
        return view(*args, **keywords)

    return guarded  # type: ignore[return-value]


def one_line(field: str, longest: int = 100) -> str:
    """A field of the form, on one line, without blanks around it and what cannot be seen."""
    line = " ".join(request.form.get(field, "").split())
    return "".join(filter(str.isprintable, line))[:longest]

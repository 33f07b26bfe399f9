"""The mails of development, in the browser: what the site's own SMTP server took, instead of the world."""

from __future__ import annotations

from flask import Blueprint, abort, current_app, make_response, render_template, request
from werkzeug.wrappers import Response

from mailer.mailbox import ReceivedMail

__all__ = ["pages"]

pages = Blueprint("mailbox", __name__, url_prefix="/mailbox")

#: Somebody else's html: no script, no form, nothing fetched, and not our origin.
_SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


@pages.before_request
def here_alone() -> None:
    """Mails are for whoever develops, at this machine."""
    if request.remote_addr not in ("127.0.0.1", "::1"):
        abort(404)


def _mails() -> list[ReceivedMail]:
    return current_app.extensions["environments"].mailbox.mails  # type: ignore[no-any-return]


def _mail(number: int) -> ReceivedMail:
    if not 1 <= number <= len(_mails()):
        abort(404)
    return _mails()[number - 1]


@pages.get("/")
def index() -> str:
    """All mails, the latest first."""
    return render_template("mailbox.html", mails=list(enumerate(_mails(), 1))[::-1])


@pages.get("/<int:number>")
def show(number: int) -> str:
    """A mail: who it went to, its text with links to follow, its html in a sandbox."""
    mail = _mail(number)
    text, html = (mail.message.get_body((kind,)) for kind in ("plain", "html"))
    return render_template(
        "mail.html",
        number=number,
        mail=mail,
        header=mail.message,
        text=text.get_content() if text else "",
        has_html=html is not None,
    )


@pages.get("/<int:number>/html")
def html(number: int) -> Response:
    """The html of a mail, for the frame."""
    part = _mail(number).message.get_body(("html",))
    if part is None:
        abort(404)
    response = make_response(part.get_content())
    response.headers["Content-Security-Policy"] = _SANDBOX
    return response

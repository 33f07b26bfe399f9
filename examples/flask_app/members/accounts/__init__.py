"""Signing up and forgotten passwords, each with a mail whose link is signed and gets old."""

from __future__ import annotations

from flask import Blueprint, abort, current_app, render_template, request
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.security import generate_password_hash

from mailer import AddressError, Message

from ..mails import mail
from ..store import Store

__all__ = ["blueprint"]

blueprint = Blueprint("accounts", __name__, template_folder="templates")
_CONFIRM_S = 3 * 24 * 3600
_RESET_S = 3600


def _store() -> Store:
    store: Store = current_app.extensions["store"]
    return store


def _links(purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.secret_key or "", salt=f"members.{purpose}")


@blueprint.route("/", methods=["GET", "POST"])
@blueprint.route("/signup", methods=["GET", "POST"])
def signup() -> str:
    """A form, and the mail that asks whether it was the address' owner who filled it in."""
    if request.method == "GET":
        return render_template("accounts/signup.html")
    email = request.form["email"].strip()
    try:
        message = Message(
            to=email, template="accounts/mail/confirm", context={"token": _links("confirm").dumps(email), "days": 3}
        )
    except AddressError:
        abort(400, "That is not an address.")
    if _store().add(email, generate_password_hash(request.form["password"])):
        mail.send(message)
    return render_template(
        "accounts/said.html", text="We have sent you a mail. Follow the link in it."
    )  # to a member, too


@blueprint.route("/confirm/<token>", methods=["GET", "POST"])
def confirm(token: str) -> str:
    """A page with a button: programs that look through mails follow every link in them."""
    try:
        email = _links("confirm").loads(token, max_age=_CONFIRM_S)
    except BadData:
        abort(404, "This link is not valid any more.")
    if request.method == "GET":
        return render_template("accounts/confirm.html", email=email)
    _store().confirm(email)
    return render_template("accounts/said.html", text="Welcome! Your address is confirmed.")


@blueprint.route("/forgot", methods=["GET", "POST"])
def forgot() -> str:
    """A form whose answer does not tell who is a member."""
    if request.method == "GET":
        return render_template("accounts/forgot.html")
    email = request.form["email"].strip()
    if (password := _store().password(email)) is not None:
        # The hash in the token makes it one for this password alone: once it is changed, the link is dead.
        token = _links("reset").dumps([email, password[-16:]])
        mail.send(Message(to=email, template="accounts/mail/reset", context={"token": token}, tags=["reset"]))
    return render_template("accounts/said.html", text="If you are a member, a mail is on its way.")


@blueprint.route("/reset/<token>", methods=["GET", "POST"])
def reset(token: str) -> str:
    """A new password."""
    try:
        email, end = _links("reset").loads(token, max_age=_RESET_S)
    except BadData:
        abort(404, "This link is not valid any more.")
    if not (_store().password(email) or "").endswith(end):
        abort(404, "This link has been used.")
    if request.method == "GET":
        return render_template("accounts/reset.html")
    _store().set_password(email, generate_password_hash(request.form["password"]))
    return render_template("accounts/said.html", text="Your password is changed.")

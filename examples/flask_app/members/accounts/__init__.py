"""Signing up and forgotten passwords, each with a mail whose link is signed and gets old."""

from __future__ import annotations

from flask import Blueprint, abort, current_app, render_template, request
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.security import generate_password_hash

from mailer import Address, AddressError, Message

from ..mails import mail
from ..store import Store

__all__ = ["blueprint"]

blueprint = Blueprint("accounts", __name__, template_folder="templates")
_CONFIRM_S = 3 * 24 * 3600
_RESET_S = 3600
_SHORTEST_PASSWORD = 8


def _store() -> Store:
    store: Store = current_app.extensions["store"]
    return store


def _token(purpose: str, email: str, password: str) -> str:
    """For a link; the end of the password's hash makes it good for this password alone: with another it is dead."""
    return _signer(purpose).dumps([email, password[-16:]])


def _member_of(purpose: str, token: str, max_age_s: int) -> str:
    """Whose link it is. 404 if it is none of ours, too old, or dead."""
    try:
        email, end = _signer(purpose).loads(token, max_age=max_age_s)
    except BadData:
        abort(404, "This link is not valid any more.")
    member = _store().member(email)
    if member is None or not member[1].endswith(end):
        abort(404, "This link is not valid any more.")
    return member[0]


def _signer(purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt=f"members.{purpose}")


def _new_password() -> str:
    """The hash of the form's password."""
    password = request.form["password"]
    if len(password) < _SHORTEST_PASSWORD:
        abort(400, f"A password has at least {_SHORTEST_PASSWORD} characters.")
    return generate_password_hash(password)


@blueprint.route("/", methods=["GET", "POST"])
@blueprint.route("/signup", methods=["GET", "POST"])
def signup() -> str:
    """A form, and the mail that asks whether it was the address' owner who filled it in.

    Who never followed the link may sign up again: an earlier mail's link, with another's password, is dead by then.
    """
    if request.method == "GET":
        return render_template("accounts/signup.html")
    try:
        email = Address.parse(request.form["email"].strip()).addr_spec
    except AddressError:
        abort(400, "That is not an address.")
    password = _new_password()
    if _store().add(email, password):
        context = {"token": _token("confirm", email, password), "days": 3}
        mail.send(Message(to=email, template="accounts/mail/confirm", context=context))
    return render_template(
        "accounts/said.html", text="We have sent you a mail. Follow the link in it."
    )  # to a member, too


@blueprint.route("/confirm/<token>", methods=["GET", "POST"])
def confirm(token: str) -> str:
    """A page with a button: programs that look through mails follow every link in them."""
    email = _member_of("confirm", token, _CONFIRM_S)
    if request.method == "GET":
        return render_template("accounts/confirm.html", email=email)
    _store().confirm(email)
    return render_template("accounts/said.html", text="Welcome! Your address is confirmed.")


@blueprint.route("/forgot", methods=["GET", "POST"])
def forgot() -> str:
    """A form whose answer does not tell who is a member."""
    if request.method == "GET":
        return render_template("accounts/forgot.html")
    if (member := _store().member(request.form["email"].strip())) is not None:
        context = {"token": _token("reset", *member)}
        mail.send(Message(to=member[0], template="accounts/mail/reset", context=context, tags=["reset"]))
    return render_template("accounts/said.html", text="If you are a member, a mail is on its way.")


@blueprint.route("/reset/<token>", methods=["GET", "POST"])
def reset(token: str) -> str:
    """A new password."""
    email = _member_of("reset", token, _RESET_S)
    if request.method == "GET":
        return render_template("accounts/reset.html")
    _store().set_password(email, _new_password())
    return render_template("accounts/said.html", text="Your password is changed.")

"""Members: who they are, a new password for who forgot it, and the digest."""

from __future__ import annotations

import re
import sqlite3

import click
from flask import Blueprint, current_app, flash, g, redirect, render_template, request, session, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response

from mailer import Address, AddressError, Event

from . import mails
from .database import connected, rows
from .guard import log_in, one_line

__all__ = ["member_named", "pages", "unsubscribed"]

pages = Blueprint("members", __name__, cli_group=None)

_NAME = re.compile(r"[a-z][a-z0-9_]{1,29}", re.ASCII)
_SHORTEST_PASSWORD = 8
_RESET_S = 3600
#: Checked where there is no such member, so that the answer takes as long.
_NOBODY = generate_password_hash("nobody")


def member_named(name: str) -> sqlite3.Row | None:
    """A member by name: also for plug-ins."""
    return next(iter(rows("SELECT * FROM member WHERE name = ?", name)), None)


@pages.route("/register", methods=["GET", "POST"])
def register() -> str | Response:
    """Become a member."""
    if request.method == "GET":
        return render_template("register.html")
    name, email, password = one_line("name"), one_line("email").lower(), request.form.get("password", "")
    problem = None if _NAME.fullmatch(name) else "A name is of 2 to 30 letters a-z, digits and _."
    try:
        email = Address.parse(email).addr_spec
    except AddressError as error:
        problem = f"Your address: {error}"
    if len(password) < _SHORTEST_PASSWORD:
        problem = f"A password has at least {_SHORTEST_PASSWORD} characters."
    if problem is None:
        made = (name, email, generate_password_hash(password), "digest" in request.form)
        try:
            with connected() as db:
                db.execute("INSERT INTO member (name, email, password, digest) VALUES (?, ?, ?, ?)", made)
        except sqlite3.IntegrityError:
            problem = "That name or address is taken."
    member = member_named(name)
    if problem is not None or member is None:
        flash(problem or "Please try again.")
        return render_template("register.html")
    log_in(member)
    return redirect(url_for("posts.index"))


@pages.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    """Log in."""
    if request.method == "POST":
        member = member_named(one_line("name"))
        password = request.form.get("password", "")
        if check_password_hash(member["password"] if member else _NOBODY, password) and member:
            log_in(member)
            return redirect(url_for("admin.index" if member["is_admin"] else "posts.index"))
        flash("Name and password do not fit.")
    return render_template("login.html")


@pages.post("/logout")
def logout() -> Response:
    """Log out."""
    session.clear()
    return redirect(url_for("posts.index"))


@pages.cli.command("make-admin")
@click.argument("name")
def make_admin(name: str) -> None:
    """Make a member an admin."""
    if member_named(name) is None:
        raise click.ClickException(f"there is no member {name!r}: join on the site first")
    with connected() as db:
        db.execute("UPDATE member SET is_admin = 1 WHERE name = ?", [name])


@pages.post("/digest")
def digest() -> Response:
    """A member subscribes to the digest, or no longer."""
    if g.member:
        with connected() as db:
            db.execute("UPDATE member SET digest = NOT digest WHERE id = ?", [g.member["id"]])
    return redirect(url_for("posts.index"))


@pages.route("/unsubscribe/<token>", methods=["GET", "POST"])
def unsubscribe(token: str) -> Response:
    """Where the digest's links lead: the plug-in ``list_unsubscribe`` answers."""
    return Response.from_app(current_app.extensions["unsubscribe"].wsgi, request.environ)


def unsubscribed(event: Event) -> None:
    """Somebody clicked, or his mail program did."""
    with connected() as db:
        db.execute("UPDATE member SET digest = 0 WHERE email = ?", [event.recipient and event.recipient.addr_spec])


# --- a new password ---------------------------------------------------------------------------------------------------


def _tokens() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.secret_key or "", salt="password reset")


@pages.route("/forgot", methods=["GET", "POST"])
def forgot() -> str | Response:
    """Ask for a link by mail; the answer does not tell whether there is such a member."""
    if request.method == "GET":
        return render_template("forgot.html")
    for member in rows("SELECT * FROM member WHERE email = ?", one_line("email").lower()):
        # The end of the hash makes the link good for once: with a new password it is another.
        token = _tokens().dumps([member["id"], member["password"][-12:]])
        mails.deliver(mails.password_reset(member, url_for(".reset", token=token)))
    flash("If that is a member's address, a mail is on its way.")
    return redirect(url_for(".login"))


@pages.route("/reset/<token>", methods=["GET", "POST"])
def reset(token: str) -> str | Response:
    """Choose a new password, by the link of the mail."""
    try:
        number, end = _tokens().loads(token, max_age=_RESET_S)
    except BadSignature:  # too old is one too
        number, end = 0, ""
    member = next(iter(rows("SELECT * FROM member WHERE id = ?", number)), None)
    if member is None or member["password"][-12:] != end:
        flash("This link is too old, was used, or is not whole. Ask for another.")
        return redirect(url_for(".forgot"))
    password = request.form.get("password", "")
    if request.method == "GET" or len(password) < _SHORTEST_PASSWORD:
        if request.method == "POST":
            flash(f"A password has at least {_SHORTEST_PASSWORD} characters.")
        return render_template("reset.html", name=member["name"])
    with connected() as db:
        db.execute("UPDATE member SET password = ? WHERE id = ?", [generate_password_hash(password), number])
    flash("Your password is changed: log in with it.")
    return redirect(url_for(".login"))

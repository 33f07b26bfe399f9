"""Posts, and what visitors say about them."""

from __future__ import annotations

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from mailer import Address, AddressError

from . import mails
from .database import connected, rows
from .guard import admin_only, one_line

__all__ = ["comment_with", "pages"]

pages = Blueprint("posts", __name__)

_POSTS = """
    SELECT post.*, member.name AS author_name FROM post JOIN member ON author = member.id"""


@pages.get("/")
def index() -> str:
    """All posts, the latest first."""
    return render_template("index.html", posts=rows(f"{_POSTS} ORDER BY post.id DESC"))


@pages.get("/posts/<int:number>")
def show(number: int) -> str:
    """A post with its comments."""
    found = rows(f"{_POSTS} WHERE post.id = ?", number)
    if not found:
        abort(404)
    comments = rows("SELECT * FROM comment WHERE post = ? ORDER BY id", number)
    return render_template("post.html", post=found[0], comments=comments)


@pages.post("/posts/<int:number>/comments")
def comment(number: int) -> Response:
    """A visitor's or a member's comment; the author of the post is told by mail."""
    found = rows(f"{_POSTS} WHERE post.id = ?", number)
    if not found:
        abort(404)
    name = g.member["name"] if g.member else one_line("name", 40)
    email = g.member["email"] if g.member else one_line("email")
    body = request.form.get("body", "").replace("\0", "").strip()[:4000]
    back = redirect(url_for(".show", number=number))
    try:
        email = Address.parse(email).addr_spec
    except AddressError as error:
        flash(f"Your address: {error}")
        return back
    if not name or not body:
        flash("A comment has a name and a text.")
        return back
    with connected() as db:
        made = db.execute(
            "INSERT INTO comment (post, name, email, body) VALUES (?, ?, ?, ?)", [number, name, email, body]
        )
    [author] = rows("SELECT * FROM member WHERE id = ?", found[0]["author"])
    mails.deliver(mails.comment_notice(author, found[0], comment_with(made.lastrowid)))
    flash("Thank you for your comment.")
    return back


def comment_with(number: object) -> dict[str, str]:
    """A comment by its number: also for plug-ins, which find that in the metadata of its notice."""
    return dict(rows("SELECT * FROM comment WHERE id = ?", number)[0])


@pages.route("/posts/new", methods=["GET", "POST"])
@admin_only
def new() -> str | Response:
    """Write a post."""
    title, body = one_line("title", 120), request.form.get("body", "").strip()
    if request.method == "GET" or not title or not body:
        return render_template("new.html", given_title=title, body=body)
    with connected() as db:
        db.execute("INSERT INTO post (author, title, body) VALUES (?, ?, ?)", [g.member["id"], title, body])
    return redirect(url_for(".index"))

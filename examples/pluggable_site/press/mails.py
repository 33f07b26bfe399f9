"""The site's mails: what each says and to whom. Nobody here knows of a server, or of the plug-ins that change them."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, current_app, render_template

from mailer import MailerError, Message, Receipt
from mailer.contrib.flask import FlaskMailer

from .database import rows

__all__ = ["comment_notice", "deliver", "digests", "init_app", "mail", "password_reset", "test_mail"]

mail = FlaskMailer()

#: The tag of the one mail that goes to a list; only its messages get a link to unsubscribe.
DIGEST = "digest"


def init_app(app: Flask, log_file: Path) -> None:
    """The mailer, and the two built-in plug-ins that the site cannot do without: the log, and one-click unsubscribe."""
    from .members import unsubscribed

    mail.init_app(app)
    with app.app_context():
        plugins = mail.mailer.plugins
        plugins.add("log", {"path": str(log_file)})
        # A key of its own, made of the site's: what is signed for the one cannot be used for the other.
        secret = hmac.new(app.config["SECRET_KEY"].encode(), b"unsubscribe", hashlib.sha256).hexdigest()
        where = f"{app.config['PRESS_URL']}/unsubscribe"
        links: Any = plugins.add("list_unsubscribe", {"url": where, "secret": secret, "tags": [DIGEST]})
        app.extensions["unsubscribe"] = links.app(unsubscribed)


def deliver(message: Message) -> Receipt | None:
    """Send; what goes wrong is for the admin to see (the log plug-in has it), not for the visitor."""
    try:
        return mail.send(message)
    except MailerError as error:
        current_app.logger.error("%s was not sent: %s", message.tags[0], error)
        return None


def _message(name: str, to: Any, subject: str, **fields: Any) -> Message:
    """The message of a template, with its name for a tag."""
    about = {"url": current_app.config["PRESS_URL"], "title": current_app.config["PRESS_TITLE"], **fields.pop("about")}
    return Message(
        to=to,
        subject=subject,
        text=render_template(f"mail/{name}.txt", **about),
        html=render_template(f"mail/{name}.html", **about),
        tags=name,
        **fields,
    )


def comment_notice(post: sqlite3.Row, comment: Mapping[str, str]) -> Message:
    """To the author of a post: somebody said something about it. An answer goes to who said it."""
    return _message(
        "comment_notice",
        (post["author_name"], post["author_email"]),
        f"New comment on {post['title']}",
        reply_to=(comment["name"], comment["email"]),
        metadata={"comment": str(comment["id"])},  # for plug-ins
        about={"post": post, "comment": comment},
    )


def password_reset(member: sqlite3.Row, path: str) -> Message:
    """To a member who forgot his password.

    Args:
        path: Of the page that takes a new one, with its token.
    """
    return _message(
        "password_reset",
        (member["name"], member["email"]),
        "A new password",
        about={"name": member["name"], "path": path},
    )


def digests() -> list[Message]:
    """To everybody who subscribed: the latest posts. A message each, for each has a link of his own."""
    posts = rows("SELECT id, title, body FROM post ORDER BY id DESC LIMIT 5")
    links: Any = mail.mailer.plugins["list_unsubscribe"]
    return [
        _message(
            DIGEST,
            (member["name"], member["email"]),
            f"What is new at {current_app.config['PRESS_TITLE']}",
            about={"name": member["name"], "posts": posts, "unsubscribe": links.link(member["email"], DIGEST)},
        )
        for member in rows("SELECT name, email FROM member WHERE digest ORDER BY id")
    ]


def test_mail(member: sqlite3.Row) -> Message:
    """To the admin who asked for it."""
    return _message("test_mail", (member["name"], member["email"]), "A test mail", about={"name": member["name"]})

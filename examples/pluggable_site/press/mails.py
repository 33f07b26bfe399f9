"""The site's mails: what each says and to whom. Nobody here knows of a server, or of the plug-ins that change them."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, current_app

from mailer import Address, MailerError, Message, Receipt
from mailer.contrib.flask import FlaskMailer

from .database import rows

__all__ = ["comment_notice", "deliver", "digests", "init_app", "mail", "password_reset", "test_mail"]

mail = FlaskMailer()

#: The tag of the one mail that goes to a list; only its messages get a link to unsubscribe.
DIGEST = "digest"


def init_app(app: Flask, log_file: Path) -> None:
    """The mailer, with the two built-in plug-ins that the site is not without: the log, and one-click unsubscribe."""
    from .members import unsubscribed

    # A key of its own, made of the site's: what is signed for the one cannot be used for the other.
    secret = hmac.new(app.config["SECRET_KEY"].encode(), b"unsubscribe", hashlib.sha256).hexdigest()
    links = {"url": f"{app.config['PRESS_URL']}/unsubscribe", "secret": secret, "tags": [DIGEST]}
    app.config["MAILER"]["plugins"] = {"log": {"path": str(log_file)}, "list_unsubscribe": links}
    mail.init_app(app)
    with app.app_context():
        plugin: Any = mail.mailer.plugins["list_unsubscribe"]
    app.extensions["unsubscribe"] = plugin.app(unsubscribed)


def deliver(message: Message) -> Receipt | None:
    """Send; what goes wrong is for the admin to see (the log plug-in has it), not for the visitor."""
    try:
        return mail.send(message)
    except MailerError as error:
        current_app.logger.error("%s was not sent: %s", message.tags[0], error)
        return None


def _message(name: str, to: sqlite3.Row, context: dict[str, Any], **fields: Any) -> Message:
    """The message of a template, ``templates/mail/{name}.*``, with its name for a tag.

    Links begin with ``PRESS_URL`` and not with what the request calls us: whoever asks for a new password in another's
    name may have written that himself.
    """
    context = {"url": current_app.config["PRESS_URL"], "name": to["name"], **context}
    return Message(to=(to["name"], to["email"]), template=f"mail/{name}", context=context, tags=name, **fields)


def _named(name: str, email: str) -> Address:
    """Whatever somebody calls himself: a pair would not take a name with an "@", lest it be two addresses."""
    address = Address.parse(email)
    return Address(name, address.local, address.domain)


def comment_notice(author: sqlite3.Row, post: sqlite3.Row, comment: Mapping[str, str]) -> Message:
    """To the author of a post: somebody said something about it. An answer goes to who said it."""
    return _message(
        "comment_notice",
        author,
        {"post": dict(post), "comment": dict(comment)},
        reply_to=_named(comment["name"], comment["email"]),
        metadata={"comment": str(comment["id"])},  # for plug-ins
    )


def password_reset(member: sqlite3.Row, path: str) -> Message:
    """To a member who forgot his password.

    Args:
        path: Of the page that takes a new one, with its token.
    """
    return _message("password_reset", member, {"path": path})


def digests() -> list[Message]:
    """To everybody who subscribed: the latest posts. A message each, for each has a link of his own."""
    posts = [dict(post) for post in rows("SELECT id, title, body FROM post ORDER BY id DESC LIMIT 5")]
    members = rows("SELECT name, email FROM member WHERE digest ORDER BY id")
    return [_message(DIGEST, member, {"posts": posts}) for member in members]


def test_mail(member: sqlite3.Row) -> Message:
    """To the admin who asked for it."""
    return _message("test_mail", member, {})

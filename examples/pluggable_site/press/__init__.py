"""The Small Press: a WordPress-style site whose mail is changed by plug-ins that are dropped into a folder.

``create_app`` puts it together; each other file is one part of it. ``mails.py`` says what is mailed, ``plugins.py`` how
plug-ins are switched while the site runs, ``environments.py`` where mail goes.
"""

from __future__ import annotations

import copy
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from . import admin, database, guard, mailbox, mails, members, posts
from .environments import Environments
from .plugins import Switchboard

__all__ = ["create_app"]

DEFAULTS: dict[str, Any] = {
    "PRESS_TITLE": "The Small Press",
    "PRESS_URL": "http://127.0.0.1:5000",  # where the site is seen from outside: links in mails begin with it
    "PRESS_FOLDER": "",  # for the database, the mail log and the folder "plugins"; else Flask's instance folder
    "MAILER_ENV": "development",  # which section of the table counts
    "MAILER": {
        "from": "The Small Press <press@example.com>",
        "development": {"url": "mailbox:"},
        "test": {"url": "memory:"},
        "production": {},
    },
    "SESSION_COOKIE_SAMESITE": "Lax",
    "MAX_CONTENT_LENGTH": 256 * 1024,
}


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the site.

    Args:
        config: Over the defaults above, and over the environment's variables of the same names with ``FLASK_`` in
            front: ``FLASK_MAILER_ENV=production``, ``FLASK_MAILER__production__url=smtps://user:secret@host``.

    Raises:
        RuntimeError: It is not for development, and has no ``SECRET_KEY``.
        ConfigError: Something is wrong with the mailer's settings.
    """
    app = Flask(__name__)
    app.config.from_mapping(copy.deepcopy(DEFAULTS))
    app.config.from_prefixed_env()
    app.config.from_mapping(copy.deepcopy(dict(config or {})))
    folder = Path(app.config["PRESS_FOLDER"] or app.instance_path)
    (folder / "plugins").mkdir(parents=True, exist_ok=True)
    is_development = app.config["MAILER_ENV"] == "development"
    if not app.config["SECRET_KEY"]:
        if not is_development:
            raise RuntimeError("set FLASK_SECRET_KEY: sessions, reset links and unsubscribe links are signed with it")
        app.config["SECRET_KEY"] = _kept_key(folder / "development.key")

    database.init_app(app, folder / "press.db")
    app.extensions["environments"] = environments = Environments.of_config(app)
    mails.init_app(app, folder / "mail-log.db")
    app.extensions["switchboard"] = Switchboard(app, folder / "plugins")
    guard.init_app(app)
    for part in (posts, members, admin):
        app.register_blueprint(part.pages)
    if environments.mailbox is not None:
        app.register_blueprint(mailbox.pages)
    if is_development:
        with app.app_context():
            database.seed()
    return app


def _kept_key(file: Path) -> str:
    """A key of this machine's own, so that who is logged in stays so when the server is started again."""
    if not file.exists():
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as made:
            made.write(secrets.token_hex(32))
    return file.read_text(encoding="ascii")

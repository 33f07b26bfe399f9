"""A small members' site: people sign up, confirm their address, forget their passwords, and get news."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask

from mailer import Event, EventKind
from mailer.contrib.flask.signals import event_received

from . import accounts, news
from .environments import ENVIRONMENTS
from .mails import mail, news_mail
from .store import Store

__all__ = ["create_app"]


def create_app(environment: str | None = None, **config: Any) -> Flask:
    """Make the app.

    Args:
        environment: "development", "testing" or "production"; None is what ``APP_ENV`` says, else development.
        config: Over what the environment's class and the variables ``FLASK_...`` say.

    Raises:
        RuntimeError: There is no such environment, or no ``SECRET_KEY``.
        ConfigError: Something is wrong with the mailers' settings.
    """
    app = Flask(__name__)
    environment = environment or os.environ.get("APP_ENV", "development")
    if environment not in ENVIRONMENTS:
        raise RuntimeError(f"APP_ENV={environment!r}: there are {', '.join(ENVIRONMENTS)}")
    app.config.from_object(ENVIRONMENTS[environment])
    app.config.from_prefixed_env()  # FLASK_SECRET_KEY, FLASK_MAILER_URL, FLASK_MAILER_WEBHOOKS__POSTMARK ...
    app.config.update(config)
    mail.init_app(app)
    if not app.config["SECRET_KEY"]:
        raise RuntimeError("set FLASK_SECRET_KEY: links in mails are signed with it")
    os.makedirs(app.instance_path, exist_ok=True)
    store = app.extensions["store"] = Store(app.config["DATABASE"] or os.path.join(app.instance_path, "members.sqlite"))

    app.register_blueprint(accounts.blueprint)
    app.register_blueprint(news.blueprint)
    app.register_blueprint(news_mail.unsubscribe_blueprint(then=lambda event: store.stop_news(_address_of(event))))
    if app.config.get("MAILER_WEBHOOKS"):
        app.register_blueprint(mail.webhooks_blueprint())

    def forget_the_unreachable(sender: Flask, event: Event, **more: Any) -> None:
        if event.kind is EventKind.BOUNCED and event.is_hard:
            store.stop_news(_address_of(event))

    # A signal holds its receivers weakly, but for those that it is told to keep.
    event_received.connect(forget_the_unreachable, app, weak=False)
    return app


def _address_of(event: Event) -> str:
    return event.recipient.addr_spec if event.recipient is not None else ""

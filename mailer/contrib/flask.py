"""Flask: a mailer for each app, from its configuration.

::

    mail = FlaskMailer()


    def create_app():
        app = Flask(__name__)
        app.config["MAILER_URL"] = "smtp://user:secret@smtp.example.com"
        app.config["MAILER_FROM"] = "Shop <shop@example.com>"
        mail.init_app(app)
        return app


    @blueprint.post("/orders")
    def order():
        mail.send(Message(to="ann@example.org", subject="Your order", text="Thank you."))
"""

from __future__ import annotations

import weakref
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from flask import current_app

from ..errors import ConfigError
from ..mailer import Mailer
from ..message import Message
from ..receipt import Receipt

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["FlaskMailer"]


class FlaskMailer:
    """The extension. One serves any number of apps: each has a :class:`~mailer.Mailer` of its own."""

    def __init__(self, app: Flask | None = None) -> None:
        """With an app: set it up, and serve it also where there is no application context."""
        self._app = app
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Make the app's mailer, as ``app.extensions["mailer"]``; closed when the process ends. Opens no connection.

        Reads ``MAILER_URL``, and ``MAILER_FROM`` for messages without a From, from ``app.config``; no environment.

        Raises:
            ConfigError: ``MAILER_URL`` is missing, or one of the two is wrong.
        """
        url = app.config.get("MAILER_URL")
        if not url:
            raise ConfigError(f"MAILER_URL is not in the config of {app.name!r}, e.g. 'smtp://localhost:25'")
        try:
            mailer = Mailer(url, from_=app.config.get("MAILER_FROM"))
        except ConfigError as error:
            raise ConfigError(f"MAILER_URL or MAILER_FROM of {app.name!r}: {error}") from error
        app.extensions["mailer"] = mailer
        weakref.finalize(app, mailer.close)

    @property
    def mailer(self) -> Mailer:
        """The current app's mailer; outside any application context, that of the app given at the start.

        Raises:
            ConfigError: There is no such app, or ``init_app`` was not called for it.
        """
        app = current_app or self._app
        if not app:
            raise ConfigError("there is no app: push an application context, or make FlaskMailer(app)")
        mailer = app.extensions.get("mailer")
        if not isinstance(mailer, Mailer):
            raise ConfigError(f"call init_app for {app.name!r} first")
        return mailer

    def send(self, message: Message) -> Receipt:
        """Send one message with the current app's mailer. As :meth:`mailer.Mailer.send`."""
        return self.mailer.send(message)

    def send_many(self, messages: Iterable[Message]) -> Generator[Receipt, None, None]:
        """Send messages with the current app's mailer. As :meth:`mailer.Mailer.send_many`."""
        return self.mailer.send_many(messages)

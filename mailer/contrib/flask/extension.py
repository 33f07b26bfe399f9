"""The extension: what an app's code sends with."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...envelope import Envelope
from ...errors import ConfigError
from ...mailer import AsyncMailer, Mailer
from ...message import Message
from ...receipt import Receipt
from ...redaction import Unpickled, forgets_arguments
from ...sources import DEFAULT
from .app_mailers import AppMailers
from .blueprints import MakeApp, blueprint_of, plugin_app, webhooks_app
from .command import add_command
from .context import current_app, is_quart

if TYPE_CHECKING:
    from email.message import Message as StandardMessage

    from flask.sansio.app import App
    from flask.sansio.blueprints import Blueprint

__all__ = ["EXTENSION", "FlaskMailer", "QuartMailer"]

M = TypeVar("M", Mailer, AsyncMailer)
#: Where an app has its :class:`AppMailers`, in ``app.extensions``; beside it, as "mailer", the mailer made first.
EXTENSION = "mailer.contrib.flask"


class _Extension(Unpickled, Generic[M]):
    """What both are. One serves any number of apps, and any number of them may serve one app."""

    _named: str
    _given: App | None
    _is_sole: bool

    @forgets_arguments
    def __init__(self, app: App | None = None, *, name: str = DEFAULT) -> None:
        """With an app: set it up, and serve it also where there is no application context.

        Args:
            name: Which of the app's mailers this is.
        """
        self._named = name
        self._given = app
        self._first: weakref.ref[App] | None = None
        self._is_sole = True
        if app is not None:
            self.init_app(app)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._named}>"

    @forgets_arguments
    def init_app(self, app: App) -> None:
        """Read ``app.config`` and make the app's mailers. Opens no connection.

        All extensions of an app share them. Called again, they stay as they are unless the config says something else
        by then. ``app.extensions["mailer"]`` is the first. Closed when the process ends, or (Quart) when it has served.

        Raises:
            ConfigError: A setting is unknown, wrong or missing; the text names its key and the app.
        """
        self._check(app)
        there: AppMailers | None = app.extensions.get(EXTENSION)
        if there is None or not there.is_current(app):
            made = AppMailers(app)
            made.check(self._named)
            app.extensions |= {EXTENSION: made, "mailer": made.get(made.names[0])}
            add_command(app, made)
            if there is not None:
                there.close()
        else:
            there.check(self._named)
        self._remember(app)

    def _check(self, app: App) -> None:
        """Whether it is an app of the kind that this serves."""

    def _remember(self, app: App) -> None:
        """The one app there is is meant also where there is no context."""
        if self._first is None:
            self._first = weakref.ref(app)
        elif self._first() is not app:
            self._is_sole = False

    @property
    def app_mailers(self) -> AppMailers:
        """The mailers of the current app; see :attr:`mailer`."""
        app = current_app() or self._given or (self._first() if self._first is not None and self._is_sole else None)
        if app is None:
            raise ConfigError(
                "there is no app: push an application context (with app.app_context()), or make FlaskMailer(app);"
                " without either, the app is known only as long as init_app was called for one alone"
            )
        found: AppMailers | None = app.extensions.get(EXTENSION)
        if found is None:
            raise ConfigError(f"call init_app for {app.name!r} first")
        return found

    @property
    def mailer(self) -> M:
        """The current app's mailer: for its hooks, ``check()`` and all else.

        Outside any application context that of the app given at the start, or else of the one app that ``init_app`` was
        called for.

        Raises:
            ConfigError: There is no such app, or ``init_app`` was not called for it.
        """
        return self.get(self._named)

    def get(self, name: str = DEFAULT) -> M:
        """One of the current app's mailers, by name.

        Raises:
            ConfigError: There is none of this name, or no app as for :attr:`mailer`.
        """
        return self.app_mailers.get(name)  # type: ignore[return-value]  # the app's kind is this one's

    # --- what is served -----------------------------------------------------------------------------------------------

    @forgets_arguments
    def webhooks_blueprint(
        self,
        secrets: Mapping[str, str | Sequence[str]] | None = None,
        *,
        url_prefix: str = "/webhooks",
        blueprint_name: str = "mailer_webhooks",
        **options: Any,
    ) -> Blueprint:
        """The app that providers call, each at its name below the prefix, as a blueprint.

        ::

            app.register_blueprint(mail.webhooks_blueprint({"postmark": "hook:a-long-secret"}))  # /webhooks/postmark

        Args:
            secrets: Provider to secret, or several; None: those of ``MAILER_WEBHOOKS``.
            url_prefix: Where it is in the app.
            blueprint_name: What the app calls it: for a second one, and for ``csrf.exempt``.
            options: As :class:`mailer.webhooks.WsgiWebhooks` takes them: ``base_url``, ``providers`` ...

        Raises:
            ConfigError: A secret is empty, a provider unknown, or an option wrong: here, or when it is registered.
        """
        return self._blueprint(blueprint_name, url_prefix, webhooks_app(secrets, self._named, options))

    def unsubscribe_blueprint(
        self,
        *,
        url_prefix: str = "/unsubscribe",
        blueprint_name: str = "mailer_unsubscribe",
        then: Any = None,
        **options: Any,
    ) -> Blueprint:
        """The pages of the plug-in ``list_unsubscribe``, whose setting ``url`` leads to the prefix, as a blueprint.

        Args:
            url_prefix, blueprint_name: As of :meth:`webhooks_blueprint`.
            then, options: As :class:`mailer.unsubscribe_app.UnsubscribeApp` takes them; without ``then`` the mailer is
                told, whose plug-in ``suppression`` learns it.
        """
        return self._blueprint(blueprint_name, url_prefix, plugin_app("list_unsubscribe", self._named, then, options))

    def tracking_blueprint(
        self, *, url_prefix: str = "/t", blueprint_name: str = "mailer_tracking", then: Any = None
    ) -> Blueprint:
        """The links and images of the plug-in ``tracking``; as :meth:`unsubscribe_blueprint`."""
        return self._blueprint(blueprint_name, url_prefix, plugin_app("tracking", self._named, then, {}))

    def _blueprint(self, name: str, url_prefix: str, make: MakeApp) -> Blueprint:
        return blueprint_of(self._blueprints(), name, url_prefix, lambda: self.app_mailers, make)

    def _blueprints(self) -> type[Blueprint]:
        from flask import Blueprint

        return Blueprint


class FlaskMailer(_Extension[Mailer]):
    """The extension of a Flask app. Threads may share it.

    A Quart app is served too: what the methods return is to be awaited then, as :class:`QuartMailer` has it.
    """

    def send(self, message: Message) -> Receipt:
        """Send one message with the current app's mailer. As :meth:`mailer.Mailer.send`."""
        return self.mailer.send(message)

    def send_many(self, messages: Iterable[Message], **options: Any) -> Generator[Receipt, None, None]:
        """Send messages with the current app's mailer. As :meth:`mailer.Mailer.send_many`."""
        return self.mailer.send_many(messages, **options)

    def send_raw(self, content: bytes | StandardMessage, envelope: Envelope | None = None) -> Receipt:
        """Send ready-made mail with the current app's mailer. As :meth:`mailer.Mailer.send_raw`."""
        return self.mailer.send_raw(content, envelope)


class QuartMailer(_Extension[AsyncMailer]):
    """The extension of a Quart app: ``await mail.send(message)``. Each event loop has an AsyncMailer of its own."""

    async def send(self, message: Message) -> Receipt:
        """Send one message with the current app's mailer. As :meth:`mailer.AsyncMailer.send`."""
        return await self.mailer.send(message)

    def send_many(
        self, messages: Iterable[Message] | AsyncIterable[Message], **options: Any
    ) -> AsyncGenerator[Receipt, None]:
        """Send messages with the current app's mailer. As :meth:`mailer.AsyncMailer.send_many`."""
        return self.mailer.send_many(messages, **options)

    async def send_raw(self, content: bytes | StandardMessage, envelope: Envelope | None = None) -> Receipt:
        """Send ready-made mail with the current app's mailer. As :meth:`mailer.AsyncMailer.send_raw`."""
        return await self.mailer.send_raw(content, envelope)

    def _blueprints(self) -> type[Blueprint]:
        from quart import Blueprint

        return Blueprint

    def _check(self, app: App) -> None:
        if not is_quart(app):
            raise ConfigError(f"{app.name!r} is no Quart app: a Flask app's mailer is FlaskMailer, and is not awaited")

"""The two faces: ``Mailer`` blocks, ``AsyncMailer`` is awaited (asyncio or trio). Same names, same results."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from .address import Address
from .backends.base import Backend, Health, called
from .backends.url import backend_from_url
from .envelope import Envelope
from .errors import AddressError, ConfigError
from .features import POLICIES, Unsupported
from .hooks import Hooks
from .mail import Mail
from .message import Addresses, Message
from .pipeline import Pipeline
from .receipt import Receipt
from .redaction import Unpickled, forgets_arguments
from .retry import DEFAULT_RETRY, RetryPolicy
from .runtime import Runtime, drive, drive_iter

if TYPE_CHECKING:
    import os
    from email.message import Message as StandardMessage
    from types import TracebackType
    from typing import Self

    from .event import Event
    from .oauth2 import TokenSource
    from .oauth2.callable import TokenCallable
    from .plugin import OnPluginError, Plugin, Plugins
    from .plugin_settings import PluginChoice
    from .search_path import Places
    from .settings import Settings
    from .template_engine import TemplateEngine

__all__ = ["AsyncMailer", "Mailer"]


class _Face(Unpickled):
    """What both faces are made of."""

    settings: Settings | None = None  # what it was made from, unless of a URL or a backend alone

    @forgets_arguments
    def __init__(
        self,
        url_or_backend: str | Backend | None = None,
        *,
        settings: Settings | Mapping[str, Any] | None = None,
        name: str = "default",
        from_: Addresses | None = None,
        hooks: Hooks | None = None,
        plugins: PluginChoice
        | Plugin[Any]
        | type[Plugin[Any]]
        | Iterable[str | Plugin[Any] | type[Plugin[Any]]]
        | Mapping[str, Any]
        | None = None,
        plugin_folder: str | os.PathLike[str] | None = None,
        on_plugin_error: OnPluginError | None = None,
        trace_hooks: bool | None = None,
        retry: RetryPolicy | None = DEFAULT_RETRY,
        templates: TemplateEngine | Places | None = None,
        unsupported: Unsupported | None = None,
        transcript: bool = False,
        tokens: TokenSource | TokenCallable | None = None,
    ) -> None:
        """Make a mailer. Opens no connection.

        With a URL or a backend, and without ``settings``, nothing is read: what is not given here is the default.

        Args:
            url_or_backend: A backend's URL, or a backend made by hand. None takes it from the settings.
            settings: What is not given here: :class:`Settings`, or a mapping for them. None reads environment, ``.env``
                and ``mailer.toml`` where there is no URL.
            name: Which of the settings' mailers this is.
            from_: The From of messages that have none.
            hooks: The registry; None makes an empty one.
            plugins: What it does beyond sending: names of plug-ins, classes and objects of :class:`Plugin`; or a
                mapping of name to settings.
            plugin_folder: A folder whose files are plug-ins too, all of them on; refused if anybody may write in it.
            on_plugin_error: "raise" makes no mailer if a plug-in cannot be loaded; "disable" makes it without, logs an
                error and keeps it in ``mailer.plugins.disabled``.
            trace_hooks: Keep what hooks are called, and how long each takes, in ``mailer.hooks.trace.calls``.
            retry: When a send tries again, within seconds; None tries once.
            templates: Where messages' templates are: a folder, "package:folder" or a list of them, or a
                :class:`Templates`, or another engine.
            unsupported: What to do with what the backend cannot carry: "default" refuses what changes who gets what
                and when and notes the rest on the receipt, "error" refuses everything, "degrade" notes everything.
            transcript: Receipts and errors are to have what was said with SMTP servers, without secrets.
            tokens: OAuth 2 access tokens, for a backend that logs in with them: a :class:`TokenProvider`, or any
                callable that gives one.

        Raises:
            ConfigError: Something is wrong with these; the text names it.
        """
        fallback: TokenSource | None = None
        if settings is not None or url_or_backend is None:
            self.settings = _read(settings)
            chosen = self.settings.of(name, needs_url=url_or_backend is None)
            if url_or_backend is None and chosen.url is not None:
                url_or_backend = chosen.url.get_secret_value()
            from_ = chosen.from_ if from_ is None else from_
            unsupported = chosen.unsupported if unsupported is None else unsupported
            retry = chosen.retry if retry is DEFAULT_RETRY else retry
            templates = chosen.templates if templates is None else templates
            fallback = chosen.tokens
            plugins = chosen.plugins.with_wanted(plugins)
            plugin_folder = chosen.plugin_folder if plugin_folder is None else plugin_folder
            trace_hooks = chosen.trace_hooks if trace_hooks is None else trace_hooks
            on_plugin_error = chosen.on_plugin_error if on_plugin_error is None else on_plugin_error
        elif name != "default":
            raise ConfigError(f"name={name!r} is for settings: leave the URL out, or give settings")
        unsupported = "default" if unsupported is None else unsupported
        if unsupported not in POLICIES:
            raise ConfigError(f"unsupported={unsupported!r}: must be one of {', '.join(POLICIES)}")
        try:
            sender = Message(from_=from_).from_
        except AddressError as error:
            raise ConfigError(str(error)) from error
        runtime = self._runtime()
        backend = backend_from_url(url_or_backend, runtime) if isinstance(url_or_backend, str) else url_or_backend
        if not isinstance(backend, Backend):
            raise ConfigError(f"a mailer takes a URL or a Backend, not {type(backend).__name__}")
        hooks = Hooks() if hooks is None else hooks
        if not isinstance(hooks, Hooks):
            raise ConfigError(f"hooks must be a Hooks registry, not {type(hooks).__name__}")
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise ConfigError(f"retry must be a RetryPolicy or None, not {type(retry).__name__}")
        hooks.trace.is_on = hooks.trace.is_on or bool(trace_hooks)
        hooks.attach(blocking=not runtime.is_async)
        backend.transcript = backend.transcript or transcript
        backend.attach(runtime, unsupported)
        _give_tokens(backend, tokens, fallback)
        self._from = sender
        if templates is not None:
            from .templates import Templates

            templates = Templates.of(templates)
        self._templates = templates
        self._pipeline = Pipeline(self, backend, runtime, hooks, retry=retry, from_=sender, templates=templates)
        self._plugins = _plugins(hooks, plugins, plugin_folder, on_plugin_error)

    def _runtime(self) -> Runtime:
        raise NotImplementedError

    @property
    def backend(self) -> Backend:
        """What carries the mails."""
        return self._pipeline.backend

    @property
    def hooks(self) -> Hooks:
        """The filters and actions of this mailer."""
        return self._pipeline.hooks

    @property
    def plugins(self) -> Plugins:
        """Its plug-ins, to look at and to deactivate."""
        if self._plugins is None:
            from .plugin import Plugins

            self._plugins = Plugins(self.hooks)
        return self._plugins

    async def _close(self) -> None:
        async with AsyncExitStack() as plugins:  # each is closed whatever another does, those that require others first
            for plugin in self._plugins.loaded if self._plugins is not None else ():
                plugins.push_async_callback(called, self._pipeline.runtime, plugin.close)
            await self._pipeline.close()

    @property
    def from_(self) -> tuple[Address, ...]:
        """The From of messages that have none; empty if there is none."""
        return self._from

    @property
    def templates(self) -> TemplateEngine | None:
        """Where messages' templates are, if it was given any."""
        return self._templates

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.backend}>"


def _plugins(hooks: Hooks, given: Any, folder: str | os.PathLike[str] | None, on_error: Any) -> Plugins | None:
    """Load the plug-ins; None if none were asked for, for then there is nothing to import."""
    if on_error not in (None, "raise", "disable"):
        raise ConfigError(f"on_plugin_error={on_error!r}: must be 'raise' or 'disable'")
    if folder is None and (given is None or given == ()):
        return None
    from .plugin import Plugins
    from .plugin_settings import PluginChoice

    choice = PluginChoice.of(() if given is None else given)
    if folder is None and not choice.wanted and not choice.tables:
        return None
    return Plugins.load(hooks, choice, folder=folder, on_error=on_error or "raise")


def _give_tokens(backend: Backend, tokens: TokenSource | TokenCallable | None, fallback: TokenSource | None) -> None:
    """Give a backend its access tokens; those of the settings only if it wants any: its URL may be another's today."""
    if tokens is not None:
        from .oauth2 import TokenProvider

        backend.use_tokens(TokenProvider.of(tokens))
    elif backend.wants_tokens and fallback is not None:
        backend.use_tokens(fallback)
    elif backend.wants_tokens:
        raise ConfigError(
            f"{backend}: the URL has no password, so it needs access tokens: tokens=TokenProvider(...), or the settings"
            " below oauth2 (MAILER_OAUTH2__...); or, where the service takes one, the password, percent-encoded"
        )


def _read(settings: Settings | Mapping[str, Any] | None) -> Settings:
    from .settings import Settings  # which takes half a second to load

    return settings if isinstance(settings, Settings) else Settings(settings)


class Mailer(_Face):
    """Sends mail, blocking. May be shared by threads; works inside a running event loop too (and blocks it).

    ::

        with Mailer("smtp://user:secret@smtp.example.com") as mailer:
            receipt = mailer.send(Message(from_="me@example.com", to="ann@example.org", subject="Hi", text="Hello"))
    """

    def _runtime(self) -> Runtime:
        from .runtime import BlockingRuntime

        return BlockingRuntime()

    def send(self, message: Message) -> Receipt:
        """Send one message.

        Returns:
            A receipt with an outcome for each recipient, at least one of them ACCEPTED (or ``skipped`` says why a
            filter kept it back).

        Raises:
            DeliveryUnknown, DeliveryDeferred, DeliveryRefused: Nobody accepted it; the first of these that applies,
                with the receipt, chained from its cause.
            MessageError: It cannot be composed, or (UnsupportedFeature) not carried by this backend.
            HookError: A filter failed.
        """
        return drive(self._pipeline.send(message))

    def send_many(
        self, messages: Iterable[Message], *, concurrency: int = 1, window: int | None = None
    ) -> Generator[Receipt, None, None]:
        """Send messages, lazily and in bounded memory.

        Args:
            messages: Read as they are sent, ahead by what is sent at once: with a window at most ``concurrency`` times
                that, without one some more.
            concurrency: How many connections to use, 1-1000. More than one starts so many threads while they send;
                filters, actions and composing stay in the calling thread.
            window: How many mails may be on their way over one connection before the first is answered, 1-1000: so
                many are in doubt if it breaks. None takes what suits the backend (a relay's batch).

        Yields:
            A receipt for each, in the input's order, with ``message_index``. Never raises for one message: see the
            outcomes, or ``error`` where it could not be composed. What the iterable itself raises comes out, after the
            receipts of what came before.
        """
        return drive_iter(self._pipeline.send_many(messages, concurrency=concurrency, window=window))

    def send_raw(self, content: bytes | StandardMessage, envelope: Envelope | None = None) -> Receipt:
        """Send ready-made mail: RFC 5322 bytes, or an ``EmailMessage``.

        What is done about oddities (line ends, Bcc, missing Date, signatures ...) stands in :mod:`mailer.ready_made`.

        Args:
            content: The whole mail.
            envelope: Who it goes to; None reads Sender or From, To, Cc and Bcc.

        Returns, raises: As :meth:`send`.
        """
        return drive(self._pipeline.send_raw(content, envelope))

    def render(self, message: Message) -> Message:
        """Render and filter a message as ``send`` does, and send nothing. No action fires.

        Returns:
            The message with subject, text and html, without ``template`` and ``context``.

        Raises:
            TemplateError: The template is missing, or cannot be rendered with this context.
            HookError: A filter failed.
        """
        return drive(self._pipeline.render(message))

    def compose(self, message: Message) -> Mail:
        """Filter, render, compose and seal a message as ``send`` does, and send nothing. No action fires.

        Raises:
            MessageError: It cannot be composed, or has merge fields: then it is several mails.
        """
        return drive(self._pipeline.compose(message))

    def compose_all(self, message: Message) -> Generator[Mail, None, None]:
        """The same for every mail that a message becomes: one for each recipient if it has merge fields."""
        return drive_iter(self._pipeline.compose_all(message))

    def check(self) -> Health:
        """Try the backend without sending: connection, TLS, login; what it offers. Never raises for what it finds."""
        return drive(self._pipeline.check())

    def publish(self, events: Iterable[Event]) -> int:
        """Run the ``event`` action for each, in their order: for what :func:`mailer.webhooks.parse` gives.

        Returns:
            How often a callback raised. That is logged, and stops nobody else; answer the provider with 500 if it is
            to tell it again.
        """
        return drive(self._pipeline.publish(events))

    def close(self) -> None:
        """Let go of connections. May be called more than once; sending again opens them anew."""
        drive(self._close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncMailer(_Face):
    """Sends mail under asyncio or trio. Belongs to one event loop.

    Cancelling a send closes its connection. The outcome is told to the (plain) result actions: DEFERRED if the mail
    had not been handed over, UNKNOWN if it had and the answer was outstanding, ACCEPTED if that had come.
    """

    def _runtime(self) -> Runtime:
        from .runtime import AsyncRuntime

        return AsyncRuntime()

    async def send(self, message: Message) -> Receipt:
        """Send one message. As :meth:`Mailer.send`."""
        return await self._pipeline.send(message)

    def send_many(
        self,
        messages: Iterable[Message] | AsyncIterable[Message],
        *,
        concurrency: int = 1,
        window: int | None = None,
    ) -> AsyncGenerator[Receipt, None]:
        """Send messages; takes async iterables too, and uses tasks for threads. As :meth:`Mailer.send_many`.

        Leave the loop early through ``contextlib.aclosing``, so that the generator ends when you do.
        """
        return self._pipeline.send_many(messages, concurrency=concurrency, window=window)

    async def send_raw(self, content: bytes | StandardMessage, envelope: Envelope | None = None) -> Receipt:
        """Send ready-made mail. As :meth:`Mailer.send_raw`."""
        return await self._pipeline.send_raw(content, envelope)

    async def render(self, message: Message) -> Message:
        """Render and filter a message, and send nothing; in a thread. As :meth:`Mailer.render`."""
        return await self._pipeline.render(message)

    async def compose(self, message: Message) -> Mail:
        """Filter, render, compose and seal a message, and send nothing. As :meth:`Mailer.compose`."""
        return await self._pipeline.compose(message)

    def compose_all(self, message: Message) -> AsyncGenerator[Mail, None]:
        """The same for every mail that a message becomes. As :meth:`Mailer.compose_all`."""
        return self._pipeline.compose_all(message)

    async def check(self) -> Health:
        """Try the backend without sending. As :meth:`Mailer.check`."""
        return await self._pipeline.check()

    async def publish(self, events: Iterable[Event]) -> int:
        """Run the ``event`` action for each. As :meth:`Mailer.publish`."""
        return await self._pipeline.publish(events)

    async def aclose(self) -> None:
        """Let go of connections. As :meth:`Mailer.close`."""
        await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

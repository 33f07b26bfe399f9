"""What one app mails with: the mailers of its settings, each with one registry of hooks.

A name stands for one registry and its plug-ins, and for as many mailers as there have to be on it: one that sends, one
that keeps mails in memory while the app is ``TESTING``, and under Quart one for each event loop that is alive.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ...backends.base import called
from ...backends.memory import MemoryBackend
from ...backends.wrapping import WrappingBackend
from ...errors import ConfigError
from ...hooks import Hooks
from ...mailer import AsyncMailer, Mailer
from ...redaction import Unpickled, forgets_arguments
from ...runtime import BlockingRuntime, drive
from ...secret_url import SecretURL
from ...sources import DEFAULT, nearest
from .config import keeps_mails, settings_of
from .context import is_quart
from .loops import Loops
from .signals import bridge
from .templates import AppTemplates, bridge_context_processors

if TYPE_CHECKING:
    from flask.sansio.app import App

    from ...backends.base import Backend
    from ...hookspecs import Context
    from ...plugin import Plugin
    from ...settings import Settings

__all__ = ["AppMailers"]

T = TypeVar("T")
_OWNER = "mailer.contrib.flask"
_LAST = 1_000_000


class AppMailers(Unpickled):
    """What an app has in its ``extensions``. Threads may share it.

    Attributes:
        settings: What the app's config said when it was made.
    """

    def __init__(self, app: App) -> None:
        """Read the config, and make the mailers. Opens no connection, holds no reference to the app.

        Raises:
            ConfigError: The config is wrong, or says no URL; the text names the key and the app.
        """
        self._app = weakref.ref(app)
        self._name = app.name
        self.settings = settings_of(app)
        self._named: dict[str, _Named] = {}
        self._endpoints: dict[str, Any] = {}
        opened: list[_Closes] = []
        for name in self._names_in(app):
            self._named[name] = self._in_words(partial(_Named, app, self.settings, name, opened))
        if is_quart(app):
            app.after_serving(self.aclose)  # type: ignore[attr-defined]  # Quart's
        else:
            # Not the mailers: a filter or a global of the app may hold the app, which would then never be gone.
            weakref.finalize(app, _close, weakref.ref(self), opened)

    def _names_in(self, app: App) -> tuple[str, ...]:
        """The mailers to be made: the default one too where mails are kept, and where it is to say what is missing."""
        settings = self.settings
        has_url = any(settings.of(name, needs_url=False).url is not None for name in settings.names)
        if settings.url is not None or (has_url and not keeps_mails(app, None)):
            return settings.names
        return (DEFAULT, *settings.names) if keeps_mails(app, None) else (DEFAULT,)

    def __repr__(self) -> str:
        return f"<AppMailers of {self._name!r}: {', '.join(self._named)}>"

    def is_current(self, app: App) -> bool:
        """Whether it is this app's, and its config says now what it said when this was made.

        Raises:
            ConfigError: The config is wrong by now.
        """
        return self._app() is app and settings_of(app) == self.settings

    @property
    def app(self) -> App:
        """The app.

        Raises:
            ConfigError: It is gone.
        """
        app = self._app()
        if app is None:
            raise ConfigError(f"the app {self._name!r} is gone, and its mailers with it")
        return app

    @property
    def names(self) -> tuple[str, ...]:
        """The mailers there are."""
        return tuple(self._named)

    def settings_with(self, url: str | None = None) -> Settings:
        """What the mailers are made of, with what is the app's: its templates, and that mails are kept in memory.

        Args:
            url: In the place of the default mailer's, and sent by whatever the config says.

        Raises:
            ConfigError: It is wrong.
        """
        app, settings = self.app, self.settings
        origins = {**settings.origins, **({} if url is None else {"url": "--url"})}
        named: dict[str, Any] = {DEFAULT: settings, **settings.mailers}
        for name, one in named.items():
            changes: dict[str, Any] = {"templates": AppTemplates.of_setting(app, one.templates)}
            if name == DEFAULT and url is not None:
                changes["url"] = SecretURL.parse(url)
            elif name in self._named and str(self.get(name).backend) == "memory:" != str(one.url):
                changes["url"] = SecretURL.parse("memory:")
                origins["url" if name == DEFAULT else f"mailers.{name}.url"] = "TESTING, or MAILER_SUPPRESS_SEND"
            named[name] = one.model_copy(update=changes)
        return named.pop(DEFAULT).model_copy(update={"mailers": named, "origins": origins})  # type: ignore[no-any-return]  # pydantic's copy is its own kind

    def get(self, name: str = DEFAULT) -> Mailer | AsyncMailer:
        """The mailer of this name: the app's, for all threads; under Quart that of the event loop that is running.

        Raises:
            ConfigError: There is no such mailer.
        """
        return self._of(name).mailer(self.app)

    def check(self, name: str) -> None:
        """Check that there is a mailer of this name. Raises ConfigError if not."""
        self._of(name)

    @forgets_arguments
    def endpoint(self, key: str, make: Callable[[AppMailers], T]) -> T:
        """What answers requests of a blueprint, made once for each app."""
        found = self._endpoints.get(key)
        if found is None:
            found = self._endpoints.setdefault(key, self._in_words(partial(make, self)))
        return found  # type: ignore[no-any-return]  # made by the same

    async def aclose(self) -> None:
        """Close the mailers of the event loop that is running."""
        for named in list(self._named.values()):
            for mailer in named.mailers():
                await mailer.aclose()  # type: ignore[union-attr]  # all are

    def close(self) -> None:
        """Close the mailers; those of a Quart app by letting go of them, as their event loop may not be running."""
        for named in list(self._named.values()):
            for mailer in named.mailers():
                if isinstance(mailer, Mailer):
                    mailer.close()
        self._named.clear()

    def _of(self, name: str) -> _Named:
        named = self._named.get(name)
        return self._in_words(partial(self._find, name)) if named is None else named

    def _find(self, name: str) -> _Named:
        if (found := self._named.get(str(name).lower())) is None:
            known = list(self._named)
            raise ConfigError(f"there is no mailer {name!r}; {nearest(str(name), known)}")
        return found

    def _in_words(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except ConfigError as error:
            raise ConfigError(f"the mailers of {self._name!r}: {error}") from error


class _Closes(Protocol):
    """A backend, or a plug-in."""

    def close(self) -> Any:
        """Let go of what it opened; plain or async."""
        ...


def _close(reference: weakref.ref[AppMailers], opened: list[_Closes]) -> None:
    """Close an app's mailers as the process ends; or, if the app is gone, the plug-ins and backends that they had."""
    if (mailers := reference()) is not None:
        mailers.close()
        return

    async def close_all() -> None:
        async with contextlib.AsyncExitStack() as closing:
            for one in opened:
                closing.push_async_callback(called, runtime, one.close)

    runtime = BlockingRuntime()
    drive(close_all())


class _Named:
    """One name's registry, plug-ins and mailers."""

    def __init__(self, app: App, settings: Settings, name: str, opened: list[_Closes]) -> None:
        chosen = settings.of(name, needs_url=False)
        self._name = name
        self._settings = settings
        self._face: type[Mailer | AsyncMailer] = AsyncMailer if is_quart(app) else Mailer
        self._templates = AppTemplates.of_setting(app, chosen.templates)
        self._hooks = Hooks()
        self._memory = MemoryBackend()
        self._sending: Loops | None = None
        self._kept: Loops | None = None
        if chosen.url is None and not keeps_mails(app, None):
            settings.of(name)  # which says what is missing
        first = self._made(None if chosen.url is not None else self._memory, settings)
        if chosen.url is not None:
            self._sending = Loops(first)
        else:
            self._kept = self._keeping(first)
        self._first = first
        opened += [first.backend, *first.plugins]
        bridge(self._hooks, weakref.ref(app))
        bridge_context_processors(self._hooks, weakref.ref(app))

    def mailer(self, app: App) -> Mailer | AsyncMailer:
        """The one that counts now.

        Raises:
            ConfigError: The app was ``TESTING`` when it was made, is not any more, and there is no URL.
        """
        return self._loops(app).here(self._like)

    def mailers(self) -> Iterator[Mailer | AsyncMailer]:
        """Those of this event loop that have been made."""
        for loops in (self._sending, self._kept):
            if loops is not None:
                yield loops.here(self._like)

    def _loops(self, app: App) -> Loops:
        if not keeps_mails(app, None if self._sending is None else self._sending.first.backend):
            if self._sending is None:
                self._settings.of(self._name)
            else:
                return self._sending
        if self._kept is None:
            self._kept = self._keeping(self._like(self._memory))
        return self._kept

    def _keeping(self, mailer: Mailer | AsyncMailer) -> Loops:
        """A mailer by which nothing leaves: where a plug-in leads elsewhere, that is undone when all had their say."""
        self._hooks.add_filter("backend", self._only_kept, _LAST, owner=_OWNER)
        return Loops(mailer)

    def _only_kept(self, backend: Backend, context: Context) -> Backend:
        """What plug-ins have put before memory; where one of them has led elsewhere, or might, memory alone."""
        if context.backend is not self._memory:
            return backend
        if any(getattr(plugin, "overflow", None) is not None for plugin in self._first.plugins):
            return self._memory
        inner = backend
        while isinstance(inner, WrappingBackend):
            inner = inner.inner
        return backend if inner is self._memory else self._memory

    def _like(self, backend: Backend | None) -> Mailer | AsyncMailer:
        """One more mailer on the same registry, with the same plug-ins."""
        return self._made(backend, self._settings.without_plugins(), tuple(self._first.plugins))

    def _made(
        self, backend: Backend | None, settings: Settings, plugins: tuple[Plugin[Any], ...] | None = None
    ) -> Mailer | AsyncMailer:
        return self._face(
            backend,
            settings=settings,
            name=self._name,
            hooks=self._hooks,
            plugins=plugins,
            templates=self._templates,
        )

"""Plug-ins: a name, settings and hooks, added to a mailer as one and taken away as one.

::

    class Footer(Plugin[FooterSettings]):
        name = "footer"

        def register(self, hooks):
            hooks.add_filter("message", self.with_footer)

        def with_footer(self, message, context):
            return message.with_(text=f"{message.text}\\n-- \\n{self.settings.text}")

What a plug-in registers through the hooks it is given has its name as owner: an error names it, and
``mailer.plugins.deactivate("footer")`` removes all of it.

Loaded on first use, as plug-ins' settings are pydantic models.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Generic, Literal, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import TypeVar

from .errors import ConfigError, MailerError
from .hooks import Hooks
from .log import PLUGIN_DISABLED
from .plugin_places import found_plugin, known_names, plugins_in_folder
from .plugin_settings import PluginChoice, PluginSettings, read_plugin_settings
from .redaction import Unpickled, forgets_arguments, words_of
from .registered import is_async
from .sources import nearest

__all__ = ["OnPluginError", "Plugin", "PluginSettings", "Plugins"]

S = TypeVar("S", bound=BaseModel, default=PluginSettings)
#: What becomes of a plug-in that cannot be loaded: the mailer is not made, or is made without it.
OnPluginError = Literal["raise", "disable"]

#: Do a step for the plug-in of a name; its failure is raised, or told and kept.
_Attempt = Callable[[str, Callable[[], None]], None]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", re.ASCII)


class Plugin(Unpickled, Generic[S]):
    """Something that a mailer does beyond sending. Subclass it, name it, and write ``register``.

    Attributes:
        name: Lower-case letters, digits and "_"; what settings call it, and the owner of its hooks.
        version: Its own; "" leaves it to the package that brought it.
        requires: Names of plug-ins that must be on, and are registered before it.
        settings_model: The pydantic model of its settings; ``Plugin[FooterSettings]`` says it too.
        settings: Its settings, read by that model.
    """

    name: ClassVar[str] = ""
    version: ClassVar[str] = ""
    requires: ClassVar[tuple[str, ...]] = ()
    settings_model: ClassVar[type[BaseModel]] = PluginSettings
    settings: S

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if isinstance(get_origin(base), type) and issubclass(get_origin(base), Plugin):
                model = get_args(base)[0]
                if isinstance(model, type) and "settings_model" not in cls.__dict__:
                    cls.settings_model = model

    @forgets_arguments
    def __init__(self, settings: S | Mapping[str, Any] | None = None, /, **keywords: Any) -> None:
        """Read the settings. Does nothing else.

        Args:
            settings: An object of its model, or a mapping.
            keywords: Settings, over those of the mapping.

        Raises:
            ConfigError: A setting is unknown, missing or wrong, or the class itself is; the text shows no value.
        """
        _check_identity(self)
        model = self.settings_model
        if isinstance(settings, model) and not keywords:
            self.settings = settings  # settings_model is S's own
            return
        if not (settings is None or isinstance(settings, (Mapping, model))):
            raise ConfigError(f"plug-in {self.name!r} takes a mapping of settings, not {type(settings).__name__}")
        table = {**dict(settings or {}), **keywords} if keywords or isinstance(settings, BaseModel) else settings or {}
        self.settings = read_plugin_settings(self.name, model, table)  # type: ignore[assignment]

    def register(self, hooks: Hooks) -> None:
        """Add filters and actions. Called when a mailer is made with it, and again when it is activated again.

        Args:
            hooks: The mailer's registry; what is added through it belongs to this plug-in.
        """
        raise ConfigError(f"plug-in {self.name!r}: {type(self).__name__} has no register(self, hooks)")

    def close(self) -> Awaitable[None] | None:
        """Let go of what it opened: called when the mailer closes, which may be used again afterwards."""
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def _check_identity(plugin: Plugin[Any] | type[Plugin[Any]]) -> None:
    """Whether it says who it is, as it must: a class, or an object that may say it for itself."""
    name = plugin.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        kind = plugin if isinstance(plugin, type) else type(plugin)
        raise ConfigError(
            f"{kind.__module__}.{kind.__qualname__}: name={name!r}: a plug-in's name is of lower-case letters, "
            "digits and '_'"
        )
    if not isinstance(plugin.version, str):
        raise ConfigError(f"plug-in {name!r}: version must be a string, not {type(plugin.version).__name__}")
    if not isinstance(plugin.requires, (tuple, list)) or not all(isinstance(one, str) for one in plugin.requires):
        raise ConfigError(f"plug-in {name!r}: requires must be a tuple of names")
    if not (isinstance(plugin.settings_model, type) and issubclass(plugin.settings_model, BaseModel)):
        raise ConfigError(f"plug-in {name!r}: settings_model must be a pydantic model")


class Plugins:
    """The plug-ins of one mailer; iterating gives those that are on, in the order they were registered.

    Attributes:
        disabled: Name to why it could not be loaded, with ``on_plugin_error="disable"``.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._loaded: dict[str, Plugin[Any]] = {}
        self._active: set[str] = set()
        self._fresh: set[str] = set()  # what was not in the registry before
        self.disabled: dict[str, MailerError] = {}

    @classmethod
    def load(
        cls,
        hooks: Hooks,
        choice: PluginChoice,
        *,
        folder: str | os.PathLike[str] | None = None,
        on_error: OnPluginError = "raise",
    ) -> Plugins:
        """Find, make, order and register plug-ins: those of the folder first, by file name; then as they were given.

        Raises:
            ConfigError: One cannot be loaded, and ``on_error`` is "raise"; the text names it.
        """
        plugins = cls(hooks)
        attempt = plugins._attempt(on_error)
        try:
            for plugin in plugins._ordered(_made(choice, folder, attempt), attempt):
                attempt(plugin.name, partial(plugins._register, plugin))
        except BaseException:
            for name in plugins._fresh:  # the registry may be another mailer's too
                hooks.remove(owner=name)
            raise
        return plugins

    @classmethod
    def check(
        cls, choice: PluginChoice, *, folder: str | os.PathLike[str] | None = None, on_error: OnPluginError = "raise"
    ) -> None:
        """Find and make plug-ins as :meth:`load` does, and register none. Raises as it does."""
        _made(choice, folder, cls(Hooks())._attempt(on_error))

    def _attempt(self, on_error: OnPluginError) -> _Attempt:
        """Do a step for one plug-in, whose failure is an error of ours: raised, or told and kept."""

        def attempt(name: str, step: Callable[[], None]) -> None:
            try:
                try:
                    step()
                except MailerError:
                    raise
                except Exception as error:
                    text = words_of(error) if isinstance(error, (ImportError, SyntaxError)) else type(error).__name__
                    raise ConfigError(f"plug-in {name!r} cannot be loaded: it raised {text}") from error
            except MailerError as error:
                if on_error != "disable":
                    raise
                self.disabled.setdefault(name, error)
                PLUGIN_DISABLED(plugin=name, reason=error)

        return attempt

    def _ordered(self, made: Mapping[str, Plugin[Any]], attempt: _Attempt) -> Iterator[Plugin[Any]]:
        """Those whose requirements are met, each behind them and else as they stand.

        A generator: what a plug-in requires has been registered, or has failed, when it is looked at.
        """
        state: dict[str, Literal["visiting", "done"]] = {}

        def visit(name: str, path: tuple[str, ...]) -> Iterator[Plugin[Any]]:
            if name in state:
                return
            state[name] = "visiting"
            plugin = made[name]
            path = (*path, name)
            problem = None
            for needed in plugin.requires:
                if state.get(needed) == "visiting":
                    circle = " -> ".join((*path[path.index(needed) :], needed))
                    problem = f"plug-in {name!r} requires itself: {circle}"
                elif needed not in made:
                    state_of = "could not be loaded" if needed in self.disabled else "is not on: add it to plugins"
                    problem = f"plug-in {name!r} requires {needed!r}, which {state_of}"
                else:
                    yield from visit(needed, path)
                    if needed not in self._active and problem is None:
                        problem = f"plug-in {name!r} requires {needed!r}, which could not be loaded"
            state[name] = "done"
            if problem is None:
                yield plugin
            else:
                attempt(name, partial(_fail, problem))

        for name in made:
            yield from visit(name, ())

    def _register(self, plugin: Plugin[Any]) -> None:
        """Register it whole, or not at all."""
        if is_async(plugin.register):
            raise ConfigError(f"plug-in {plugin.name!r}: register must be a plain function; its hooks may be async")
        is_fresh = not self._hooks.has_owner(plugin.name)
        hooks = self._hooks.owned_by(plugin.name, plugin)
        if is_fresh:  # else what it would register is there, by another mailer of this registry
            try:
                plugin.register(hooks)
            except BaseException as error:
                self._hooks.remove(owner=plugin.name)
                if isinstance(error, MailerError) and repr(plugin.name) not in str(error):
                    raise ConfigError(f"plug-in {plugin.name!r}: {error}") from error
                raise
            self._fresh.add(plugin.name)
        self._loaded = {**self._loaded, plugin.name: plugin}  # replaced, as threads may be looking at it
        self._active.add(plugin.name)

    # --- using --------------------------------------------------------------------------------------------------------

    def deactivate(self, name: str) -> None:
        """Remove all that a plug-in added. What is running of it comes to its end, and nothing of it begins any more.

        Raises:
            ConfigError: There is none of this name, or one that is on requires it.
        """
        plugin = self[name]
        dependants = [other.name for other in self if plugin.name in other.requires]
        if dependants:
            raise ConfigError(f"plug-in {name!r} is required by {', '.join(dependants)}: deactivate that first")
        self._active.discard(plugin.name)
        self._hooks.remove(owner=plugin.name)

    def activate(self, name: str) -> None:
        """Register a plug-in again that was deactivated; nothing if it is on.

        Raises:
            ConfigError: There is none of this name, or it requires one that is not on.
        """
        plugin = self[name]
        if plugin.name in self._active:
            return
        for needed in plugin.requires:
            if needed not in self._active:
                raise ConfigError(f"plug-in {name!r} requires {needed!r}: activate that first")
        self._register(plugin)

    def add(
        self, plugin: str | Plugin[Any] | type[Plugin[Any]], settings: Mapping[str, Any] | None = None
    ) -> Plugin[Any]:
        """Load one more and register it, behind those that are there: what an app's users switch on while it runs.

        Args:
            plugin: A plug-in, its class, or the name of one that is built in or that a package offers.
            settings: Those of a class or a name.

        Returns:
            The plug-in, which is on. A mail that is being sent meanwhile may go with it or without it.

        Raises:
            ConfigError: It cannot be loaded, or there is one of its name; the text names it, and nothing has changed.
        """
        choice = PluginChoice.of([plugin])
        if settings is not None and isinstance(plugin, Plugin):
            raise ConfigError(f"plug-in {plugin.name!r} has its settings already: give its class, or leave them out")
        choice = PluginChoice(choice.wanted, {choice.names[0]: settings or {}})
        attempt = self._attempt("raise")
        [made] = _made(choice, None, attempt).values()
        if made.name in self._loaded:
            raise ConfigError(f"this mailer has a plug-in {made.name!r}: remove it first, or activate it")
        for needed in made.requires:
            if needed not in self._active:
                raise ConfigError(f"plug-in {made.name!r} requires {needed!r}: add or activate that first")
        attempt(made.name, partial(self._register, made))
        return made

    def remove(self, name: str) -> Plugin[Any]:
        """Deactivate a plug-in, if it is on, and forget it: another of its name may be added.

        Returns:
            It; to ``close`` it is the caller's now.

        Raises:
            ConfigError: As :meth:`deactivate`.
        """
        if self.is_active(name):
            self.deactivate(name)
        plugin = self[name]
        self._loaded = {other: kept for other, kept in self._loaded.items() if other != name}
        return plugin

    def is_active(self, name: str) -> bool:
        """Whether a plug-in of this name is on."""
        return name in self._active

    def __iter__(self) -> Iterator[Plugin[Any]]:
        return iter([plugin for name, plugin in self._loaded.items() if name in self._active])

    @property
    def loaded(self) -> tuple[Plugin[Any], ...]:
        """Those that are on, and those that were deactivated."""
        return tuple(self._loaded.values())

    def __len__(self) -> int:
        return len(self._active)

    def __getitem__(self, name: str) -> Plugin[Any]:
        """A plug-in by name, on or not. Raises ConfigError if there is none."""
        if name not in self._loaded:
            raise ConfigError(f"this mailer has no plug-in {name!r}; {nearest(str(name), list(self._loaded))}")
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._loaded

    def __repr__(self) -> str:
        return f"<Plugins {', '.join(plugin.name for plugin in self) or 'none'}>"


def _fail(problem: str) -> None:
    raise ConfigError(problem)


def _made(choice: PluginChoice, folder: str | os.PathLike[str] | None, attempt: _Attempt) -> dict[str, Plugin[Any]]:
    """The plug-ins by name, in order, with their settings; not yet registered."""
    made: dict[str, Plugin[Any]] = {}

    def add(find: Callable[[], Plugin[Any] | type[Plugin[Any]]], where: str) -> None:
        found = find()
        _check_identity(found)
        if found.name in made:
            raise ConfigError(f"plug-in {found.name!r} is there twice: {where} gives another")
        made[found.name] = found(choice.table(found.name)) if isinstance(found, type) else found

    files: list[tuple[str, Callable[[], type[Plugin[Any]]]]] = []
    if folder is not None:
        attempt("of plugin_folder", lambda: files.extend(plugins_in_folder(folder)))
    for file, load in files:
        attempt(file, partial(add, load, file))
    for one in choice.wanted:
        if not isinstance(one, str):
            attempt(one.name or "without a name", partial(add, partial(_itself, one), "plugins"))
        elif one not in made:  # as a file of the folder it is on already
            attempt(one, partial(add, partial(found_plugin, one), "plugins"))
    _check_tables(choice, made)
    return made


def _itself(given: Plugin[Any] | type[Plugin[Any]]) -> Plugin[Any] | type[Plugin[Any]]:
    return given


def _check_tables(choice: PluginChoice, made: Mapping[str, Plugin[Any]]) -> None:
    """Settings for a plug-in that is not on are kept for when it is; for one that there is not, they are a slip."""
    given = {*made, *choice.names}
    for name in choice.tables:
        if name not in given and name not in known_names():
            raise ConfigError(f"plugins.{name}: there is no such plug-in; {nearest(name, [*given, *known_names()])}")

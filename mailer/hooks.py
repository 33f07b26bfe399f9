"""The hook registry: filters chain a value, actions observe; WordPress' order without its faults.

Lower priorities run first, ties in order of adding. The same callback at the same priority is stored once. A run works
on what was registered when it began: hooks added meanwhile wait for the next run, hooks removed meanwhile are not
called any more. One registry belongs to one mailer; nothing is global.
"""

from __future__ import annotations

import bisect
import copy
import difflib
import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from .errors import ConfigError, HookError, MailerError
from .hookspecs import ACTIONS, FILTERS, Context
from .log import ACTION_FAILED

__all__ = ["Action", "Filter", "Hooks"]

T = TypeVar("T")
#: ``(value, context)`` to the value, plain or async.
Filter = Callable[[Any, Context], Any]
#: ``(context)``, plain or async; what it returns is not looked at.
Action = Callable[[Context], Any]
F = TypeVar("F", bound=Filter)
A = TypeVar("A", bound=Action)
_Kind = Literal["filter", "action"]

_running: ContextVar[tuple[tuple[int, str], ...]] = ContextVar("mailer_hooks_running", default=())


@dataclass(frozen=True, slots=True)
class _Entry:
    callback: Callable[..., Any]
    priority: int
    owner: str


class Hooks:
    """Filters and actions by name.

    Attributes:
        errors: How often an action raised, by hook name.
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[_Entry, ...]] = {}
        self._fired: Counter[str] = Counter()
        self._faces: set[str] = set()
        self._owner = ""
        self.errors: Counter[str] = Counter()

    def owned_by(self, owner: str) -> Hooks:
        """The same registry, seen by one owner: whatever is added through it belongs to that one."""
        view = copy.copy(self)
        view._owner = owner
        return view

    # --- registering --------------------------------------------------------------------------------------------------

    def add_filter(self, name: str, callback: F, priority: int = 10, *, owner: str = "") -> F:
        """Let ``callback(value, context)`` change the value of a filter hook. Returns the callback.

        Raises:
            ConfigError: No such filter hook, or the callback is async and the mailer is blocking.
        """
        return self._add(name, callback, priority, owner, "filter")

    def add_action(self, name: str, callback: A, priority: int = 10, *, owner: str = "") -> A:
        """Let ``callback(context)`` observe. Returns the callback. Raises as :meth:`add_filter`."""
        return self._add(name, callback, priority, owner, "action")

    def filter(self, name: str, priority: int = 10, *, owner: str = "") -> Callable[[F], F]:
        """:meth:`add_filter` as a decorator."""
        return lambda callback: self.add_filter(name, callback, priority, owner=owner)

    def action(self, name: str, priority: int = 10, *, owner: str = "") -> Callable[[A], A]:
        """:meth:`add_action` as a decorator."""
        return lambda callback: self.add_action(name, callback, priority, owner=owner)

    def _add(self, name: str, callback: T, priority: int, owner: str, kind: _Kind) -> T:
        if not callable(callback):
            raise ConfigError(f"hook {name!r}: {callback!r} cannot be called")
        _check_name(name, kind)
        self._check_face(name, callback)
        entries = self._entries.get(name, ())
        if not any(e.callback == callback and e.priority == priority for e in entries):
            entry = _Entry(callback, priority, self._owner or owner or _owner_of(callback))
            at = bisect.bisect_right(entries, priority, key=lambda e: e.priority)
            self._entries[name] = (*entries[:at], entry, *entries[at:])
        return callback

    def remove(
        self, name: str | None = None, callback: Callable[..., Any] | None = None, *, owner: str | None = None
    ) -> int:
        """Remove a callback, or all that an owner added; how many went.

        Args:
            name: From one hook; None is from all.
        """
        went = 0
        for each in list(self._entries) if name is None else [name]:
            entries = self._entries.get(each, ())
            kept = tuple(e for e in entries if not (e.callback == callback or (owner is not None and e.owner == owner)))
            self._entries[each] = kept
            went += len(entries) - len(kept)
        return went

    def has(self, name: str, callback: Callable[..., Any] | None = None) -> bool:
        """Whether anything, or this callback, is registered there."""
        entries = self._entries.get(name, ())
        return any(callback is None or e.callback == callback for e in entries)

    def listens(self, *names: str) -> bool:
        """Whether anything is registered at one of these; if not, the hooks have run by being asked."""
        for name in names:
            if self._entries.get(name):
                return True
        for name in names:
            self._fired[name] += 1
        return False

    def did(self, name: str) -> int:
        """How often this hook has run."""
        return self._fired[name]

    def doing(self, name: str) -> bool:
        """Whether this hook is running, in this thread or task."""
        return (id(self), name) in _running.get()

    def attach(self, *, blocking: bool) -> None:
        """Bind to a mailer; a blocking one takes no async callbacks.

        Raises:
            ConfigError: One is registered already.
        """
        if blocking:
            self._faces.add("blocking")
        for name, entries in self._entries.items():
            for entry in entries:
                self._check_face(name, entry.callback)

    def _check_face(self, name: str, callback: Any) -> None:
        if self._faces and _is_async(callback):
            raise ConfigError(f"hook {name!r}: {_owner_of(callback)} is async, and this mailer is not: use AsyncMailer")

    # --- running ------------------------------------------------------------------------------------------------------

    async def apply(self, name: str, value: T, context: Context, kind: type | None = None) -> T:
        """Run a filter hook over the value.

        Args:
            kind: What each callback must return an instance of; None takes anything but, for a value that is not None,
                None.

        Raises:
            HookError: A callback raised, or returned None or a wrong type; it names hook and owner.
            MessageError: A callback built a wrong value; it is chained to the HookError too.
        """
        self._fired[name] += 1
        entries = self._entries.get(name)
        if not entries:
            return value
        with self._doing(name):
            for entry in entries:
                if entry not in self._entries[name]:
                    continue
                try:
                    result = entry.callback(value, context)
                    if inspect.isawaitable(result):
                        result = await result
                except Exception as error:
                    raise HookError(f"filter {name!r} of {entry.owner} raised {_said(error)}") from error
                is_missing = result is None and value is not None
                if is_missing or (kind and result is not None and not isinstance(result, kind)):
                    wanted = kind.__name__ if kind else "the value"
                    raise HookError(
                        f"filter {name!r} of {entry.owner} returned {type(result).__name__}: it must return {wanted}"
                    )
                value = result
        return value

    async def do(self, name: str, context: Context) -> None:
        """Run an action hook. What a callback raises is logged and counted, and stops nobody else."""
        for entry in self._begun(name):
            with self._doing(name), self._contained(name, entry):
                result = entry.callback(context)
                if inspect.isawaitable(result):
                    await result

    def do_now(self, name: str, context: Context) -> None:
        """Run an action hook's plain callbacks, without waiting: for a task that is being cancelled."""
        for entry in self._begun(name):
            if not _is_async(entry.callback):
                with self._doing(name), self._contained(name, entry):
                    entry.callback(context)

    def _begun(self, name: str) -> Iterator[_Entry]:
        self._fired[name] += 1
        for entry in self._entries.get(name, ()):
            if entry in self._entries[name]:
                yield entry

    @contextmanager
    def _doing(self, name: str) -> Iterator[None]:
        token = _running.set((*_running.get(), (id(self), name)))
        try:
            yield
        finally:
            _running.reset(token)

    @contextmanager
    def _contained(self, name: str, entry: _Entry) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - an observer may fail in any way, and must not matter
            self.errors[name] += 1
            ACTION_FAILED(hook=name, owner=entry.owner, reason=_said(error), exc_info=error)


def _check_name(name: str, kind: _Kind) -> None:
    known = FILTERS if kind == "filter" else ACTIONS
    if name in known or "." in name:
        return
    near = difflib.get_close_matches(name, known, 1)
    raise ConfigError(
        f"there is no {kind} hook {name!r}"
        + (f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}, and any name with a dot")
    )


def _is_async(callback: Any) -> bool:
    while isinstance(callback, functools.partial):
        callback = callback.func
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__)


def _owner_of(callback: Any) -> str:
    module = getattr(callback, "__module__", None) or type(callback).__module__
    return f"{module}.{getattr(callback, '__qualname__', type(callback).__qualname__)}"


def _said(error: Exception) -> str:
    """Class and text for the library's own errors; the class alone for others, whose text may hold anything."""
    return f"{type(error).__name__}: {error}" if isinstance(error, MailerError) else type(error).__name__

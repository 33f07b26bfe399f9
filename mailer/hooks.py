"""The hook registry: filters chain a value, actions observe. WordPress' order, without its faults.

The rules, and where each is kept:

- Lower priorities run first, ties in order of adding; the same callback at a priority is there once (``Row.add``).
- Added or removed while it runs (``Row.turns``): the priority that runs keeps to what it began with, later ones are
  taken as they stand at their turn, earlier ones are over. What is removed is not called any more, at any priority.
- A filter that raises, or returns what it must not, stops the send and is named with its owner; unless it was added by
  ``on_error="skip"`` (``_refused``). An action that raises is logged and counted, and changes nothing (``do``).
- An action is never called from within itself, however far down and in whatever task: one that mails cannot loop.
  Filters may nest: as deep as the stack goes if they are plain, sixteen deep if they wait (``awaited``).
- State is where it cannot leak. What an action or an awaited filter is inside of is a context variable, which the tasks
  that it starts inherit. What a plain filter is inside of is Python's own stack: no variable is set for it, which would
  cost as much as three filters do.
- A registry belongs to a mailer; nothing is global. A row's ``state`` is replaced, never changed: a run needs no lock.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any, TypeVar, cast

from .errors import ConfigError, HookError, MailerError
from .hook_run import Inside, awaited, runs
from .hook_trace import HookTrace
from .hookspecs import Context
from .log import ACTION_FAILED, ACTION_NESTED, FILTER_SKIPPED
from .registered import OnError, Registered, Row, check_hook, is_async, owner_of

__all__ = ["Action", "Check", "Filter", "Hooks"]

T = TypeVar("T")
#: ``(value, context)`` to the value, plain or async.
Filter = Callable[[Any, Context], Any]
#: ``(context)``, plain or async; what it returns is not looked at.
Action = Callable[[Context], Any]
#: What a filter must return an instance of; or what says, of a value, what is wrong with it.
Check = type | Callable[[Any], str | None]
F = TypeVar("F", bound=Filter)
A = TypeVar("A", bound=Action)


class Hooks:
    """Filters and actions by name. May be used by threads and tasks at once.

    Attributes:
        errors: How often an action raised or a filter was skipped, by hook name.
        trace: The last calls and what they took, if ``trace.is_on``.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._faces: set[str] = set()
        self._owner = ""
        self._tenants: dict[str, object] = {}
        self.errors: Counter[str] = Counter()
        self.trace = HookTrace()

    def owned_by(self, owner: str, tenant: object = None) -> Hooks:
        """The same registry, seen by one owner: whatever is added through it belongs to that one.

        Args:
            tenant: Who that is. Two of one name would take each other's hooks away.

        Raises:
            ConfigError: Another tenant has this name, and has not been removed.
        """
        if tenant is not None and self._tenants.setdefault(owner, tenant) is not tenant:
            raise ConfigError(
                f"another {owner!r} has hooks in this registry: give both mailers the same one, or a registry each"
            )
        view = copy.copy(self)
        view._owner = owner
        return view

    def has_owner(self, owner: str) -> bool:
        """Whether a tenant of this name has the registry."""
        return owner in self._tenants

    # --- registering --------------------------------------------------------------------------------------------------

    def add_filter(
        self,
        name: str,
        callback: F,
        priority: int = 10,
        *,
        owner: str = "",
        once: bool = False,
        on_error: OnError = "raise",
    ) -> F:
        """Let ``callback(value, context)`` change the value of a filter hook. Returns the callback.

        Args:
            priority: Lower ones run first; may be negative.
            owner: What an error names and :meth:`remove` takes; "" is where the callback is defined. In the registry
                that a plug-in is given it is always the plug-in.
            once: Remove it as it is called.
            on_error: "skip": if it raises or returns what it must not, the value stays as it was; logged and counted.

        Raises:
            ConfigError: No such filter hook, or the callback is async and the mailer is blocking.
        """
        return self._add(
            callback, hook=name, kind="filter", priority=priority, owner=owner, once=once, on_error=on_error
        )

    def add_action(self, name: str, callback: A, priority: int = 10, *, owner: str = "", once: bool = False) -> A:
        """Let ``callback(context)`` observe. Returns the callback. As :meth:`add_filter`."""
        return self._add(callback, hook=name, kind="action", priority=priority, owner=owner, once=once)

    def filter(
        self,
        name: str,
        priority: int = 10,
        *,
        owner: str = "",
        once: bool = False,
        on_error: OnError = "raise",
    ) -> Callable[[F], F]:
        """:meth:`add_filter` as a decorator."""
        return lambda callback: self.add_filter(name, callback, priority, owner=owner, once=once, on_error=on_error)

    def action(self, name: str, priority: int = 10, *, owner: str = "", once: bool = False) -> Callable[[A], A]:
        """:meth:`add_action` as a decorator."""
        return lambda callback: self.add_action(name, callback, priority, owner=owner, once=once)

    def _add(self, callback: T, *, hook: str, owner: str, **more: Any) -> T:
        owner = self._owner or owner or owner_of(callback)
        self._check_face(hook, callback)
        entry = Registered(hook=hook, callback=cast("Callable[..., Any]", callback), owner=owner, **more)
        self._row(hook).add(entry)
        return callback

    def remove(
        self,
        name: str | None = None,
        callback: Callable[..., Any] | None = None,
        *,
        priority: int | None = None,
        owner: str | None = None,
    ) -> int:
        """Remove what all the arguments given fit; how many went.

        Args:
            name: None is every hook; then a callback or an owner must be given.
            priority: None is at any.

        Raises:
            ConfigError: Nothing is given that could fit; or there is no such hook, as wherever a name is taken.
        """
        if name is None and callback is None and owner is None:
            raise ConfigError("remove: say which: a hook's name, a callback or an owner")
        if owner is not None and (name, callback, priority) == (None, None, None):
            self._tenants.pop(owner, None)
        rows = list(self._rows.values()) if name is None else [self._row(name)]
        return sum([row.remove(callback, priority, owner) for row in rows])

    def has(self, name: str, callback: Callable[..., Any] | None = None) -> bool:
        """Whether anything, or this callback, is registered there."""
        return any([callback is None or one.callback == callback for one in self._row(name).entries])

    def registered(self) -> list[Registered]:
        """All there is: hooks by name, each in the order of its calls."""
        return [one for name in sorted(self._rows) for one in self._row(name).entries]

    def _row(self, name: str) -> Row:
        row = self._rows.get(name)
        if row is None:
            check_hook(name)
            row = self._rows.setdefault(name, Row())
        return row

    def listens(self, *names: str) -> bool:
        """Whether anything is registered at one of these; if not, the hooks have run by being asked."""
        rows = self._rows
        for name in names:
            if (rows.get(name) or self._row(name)).state[0]:
                return True
        for name in names:
            next(rows[name].fired)
        return False

    def did(self, name: str) -> int:
        """How often this hook has run."""
        return self._row(name).times

    def doing(self, name: str) -> bool:
        """Whether this hook is running in this thread or task.

        Also in the tasks that one of its actions, or of its filters that wait, has started.
        """
        row = self._row(name)
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if frame.f_code is _APPLY and frame.f_locals["row"] is row:
                return True
            frame = frame.f_back
        return any(one is row for one, _ in runs())

    def attach(self, *, blocking: bool) -> None:
        """Bind to a mailer; a blocking one takes no async callbacks.

        Raises:
            ConfigError: One is registered already.
        """
        if blocking:
            self._faces.add("blocking")
        for entry in self.registered():
            self._check_face(entry.hook, entry.callback)

    def _check_face(self, hook: str, callback: Any) -> None:
        if self._faces and is_async(callback):
            raise ConfigError(f"hook {hook!r}: {owner_of(callback)} is async, and this mailer is not: use AsyncMailer")

    # --- running ------------------------------------------------------------------------------------------------------

    async def apply(self, name: str, value: T, context: Context, check: Check | None = None) -> T:
        """Run a filter hook over the value.

        Args:
            check: What each callback must return; None takes anything but, for a value that is not None, None.

        Raises:
            HookError: A callback raised, or returned None or a wrong value; it names hook and owner.
            MessageError: A callback built a wrong value; it is chained to the HookError too.
        """
        try:
            row = self._rows[name]
        except KeyError:
            row = self._row(name)
        next(row.fired)
        state = row.state
        entries, has_once = state
        if not entries:
            return value
        turns: Iterable[Registered] = entries
        if has_once or self.trace.is_on:
            turns = self._turns(row, context)
        while True:
            for entry in turns:
                try:
                    result = entry.callback(value, context)
                    if result is value and row.state is state:
                        continue
                    if result.__class__ is not value.__class__ and inspect.isawaitable(result):
                        result = await awaited(row, result)
                except Exception as error:  # noqa: BLE001 - anybody's code
                    self._refused(entry, f"raised {_said(error)}", error)
                else:
                    if result is not value:
                        if problem := _problem(result, value, check):
                            self._refused(entry, f"returned {problem}")
                        else:
                            value = result
                if row.state is not state and turns is entries:
                    turns = row.turns(entries, entry)
                    break
            else:
                return value

    def _turns(self, row: Row, context: Context) -> Iterator[Registered]:
        """A filter's turns, each in its time; of their own, as a closure would make every run of ``apply`` slower."""
        for entry in row.turns():
            yield replace(entry, callback=self.trace.timed(entry, context)) if self.trace.is_on else entry

    async def do(self, name: str, context: Context) -> None:
        """Run an action hook. What a callback raises is logged and counted, and stops nobody else."""
        row = self._row(name)
        for entry in self._begun(row):
            with Inside(row, entry):
                try:
                    result = self._callback(entry, context)(context)
                    if result is not None and inspect.isawaitable(result):
                        await result
                except Exception as error:  # noqa: BLE001 - an observer may fail in any way, and must not matter
                    self._raised(entry, error)

    def do_now(self, name: str, context: Context) -> None:
        """Run an action hook's plain callbacks, without waiting: for a task that is being cancelled."""
        row = self._row(name)
        for entry in self._begun(row, plain_only=True):
            with Inside(row, entry):
                try:
                    self._callback(entry, context)(context)
                except Exception as error:  # noqa: BLE001 - as above
                    self._raised(entry, error)

    def _begun(self, row: Row, *, plain_only: bool = False) -> Iterator[Registered]:
        """An action's turns, but for what is running already."""
        next(row.fired)
        inside = [action for _, action in runs()]

        def is_wanted(entry: Registered) -> bool:
            if any([one is not None and one.hook == entry.hook and one.is_same(entry) for one in inside]):
                ACTION_NESTED(hook=entry.hook, owner=entry.owner)
                return False
            return not (plain_only and is_async(entry.callback))

        return row.turns(is_wanted=is_wanted if inside or plain_only else None)

    def _callback(self, entry: Registered, context: Context) -> Callable[..., Any]:
        return self.trace.timed(entry, context) if self.trace.is_on else entry.callback

    def _refused(self, entry: Registered, said: str, error: Exception | None = None) -> None:
        """A filter failed: stop the send, or leave it out."""
        if entry.on_error == "raise":
            raise HookError(f"filter {entry.hook!r} of {entry.owner} {said}") from error
        self._count(entry)
        FILTER_SKIPPED(hook=entry.hook, owner=entry.owner, reason=said, exc_info=error)

    def _raised(self, entry: Registered, error: Exception) -> None:
        """An action failed."""
        self._count(entry)
        ACTION_FAILED(hook=entry.hook, owner=entry.owner, reason=_said(error), exc_info=error)

    def _count(self, entry: Registered) -> None:
        with self._row(entry.hook).lock:
            self.errors[entry.hook] += 1


def _problem(result: Any, value: Any, check: Check | None) -> str | None:
    """What is wrong with what a filter returned, if anything is."""
    if result is None:
        return None if value is None else f"None: it must return {_wanted(check)}"
    if isinstance(check, type):
        return None if isinstance(result, check) else f"{type(result).__name__}: it must return {_wanted(check)}"
    return None if check is None else check(result)


def _wanted(check: Check | None) -> str:
    return check.__name__ if isinstance(check, type) else "the value"


def _said(error: Exception) -> str:
    """Class and text for the library's own errors; the class alone for others, whose text may hold anything."""
    while isinstance(error, HookError) and isinstance(error.__cause__, HookError):
        error = error.__cause__  # of runs inside runs the innermost tells what happened
    return f"{type(error).__name__}: {error}" if isinstance(error, MailerError) else type(error).__name__


_APPLY = Hooks.apply.__code__

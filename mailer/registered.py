"""What is registered: a callback at a hook, and the row of those at one hook, whose turns it gives."""

from __future__ import annotations

import bisect
import difflib
import functools
import inspect
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .errors import ConfigError
from .hookspecs import ACTIONS, FILTERS

__all__ = ["OnError", "Registered", "Row", "check_hook", "is_async", "owner_of"]

#: What becomes of a filter that fails: the send stops, or the value stays as it was.
OnError = Literal["raise", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One callback at one hook.

    Attributes:
        hook: The hook's name.
        kind: "filter", called with (value, context), or "action", with (context).
        callback: Plain or async.
        priority: Lower ones run first.
        owner: The plug-in, or where the callback is defined.
        once: It is removed as it is called.
        on_error: Of a filter.

    Raises:
        ConfigError: There is no such hook, or the callback cannot be called as it will be.
    """

    hook: str
    kind: Literal["filter", "action"]
    callback: Callable[..., Any]
    priority: int = 10
    owner: str = ""
    once: bool = False
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        if not callable(self.callback):
            raise ConfigError(f"hook {self.hook!r}: {self.callback!r} cannot be called")
        if isinstance(self.priority, bool) or not isinstance(self.priority, int):
            raise ConfigError(f"hook {self.hook!r}: priority={self.priority!r}: must be a whole number; 10 is usual")
        if not isinstance(self.owner, str):
            raise ConfigError(f"hook {self.hook!r}: owner={self.owner!r}: must be a string")
        if self.on_error not in ("raise", "skip"):
            raise ConfigError(f"hook {self.hook!r}: on_error={self.on_error!r}: must be 'raise' or 'skip'")
        check_hook(self.hook, self.kind)
        self._check_signature()

    def _check_signature(self) -> None:
        """Known now, not when a mail is sent."""
        if _called(self.callback, inspect.isgeneratorfunction) or _called(self.callback, inspect.isasyncgenfunction):
            who = owner_of(self.callback)
            raise ConfigError(f"hook {self.hook!r}: {who} yields, so that nothing of it would run: let it return")
        count, takes = (2, "(value, context)") if self.kind == "filter" else (1, "(context)")
        try:
            signature = inspect.signature(self.callback)
        except (TypeError, ValueError):  # some built-in functions have none
            return
        try:
            signature.bind(*[None] * count)
        except TypeError:
            is_fit = False
        else:
            is_fit = True
        if not is_fit:
            who = owner_of(self.callback)
            raise ConfigError(f"hook {self.hook!r}: {who} takes {signature}, and is called with {takes}")

    def is_same(self, other: Registered) -> bool:
        """Whether one of them is enough."""
        return self.priority == other.priority and bool(self.callback == other.callback)


_rows: weakref.WeakSet[Row] = weakref.WeakSet()


class Row:
    """What is registered at one hook. May be used by threads at once.

    Attributes:
        state: The entries in the order of their calls, and whether one of them is for once. Replaced, never changed, so
            that whoever runs them needs no lock.
        fired: How often the hook ran. A count is taken in one step, so that threads lose none.
        lock: Held while the state is replaced.
    """

    __slots__ = ("__weakref__", "fired", "lock", "state")

    def __init__(self) -> None:
        _rows.add(self)
        self.fired = itertools.count()
        self.lock = threading.Lock()
        self.state: tuple[tuple[Registered, ...], bool] = ((), False)

    @property
    def entries(self) -> tuple[Registered, ...]:
        """Those there are now."""
        return self.state[0]

    @property
    def times(self) -> int:
        """How often the hook ran."""
        return int(repr(self.fired)[6:-1])  # the one way to read a count without taking

    def add(self, entry: Registered) -> None:
        """Put it behind those of its priority, unless there is the same."""
        with self.lock:
            entries = self.entries
            if not any([one.is_same(entry) for one in entries]):
                at = bisect.bisect_right(entries, entry.priority, key=lambda one: one.priority)
                self._put((*entries[:at], entry, *entries[at:]))

    def remove(self, callback: object | None, priority: int | None, owner: str | None) -> int:
        """Remove what fits all that is not None; how many went."""
        with self.lock:
            before = self.entries
            kept = [
                one
                for one in before
                if (callback is not None and one.callback != callback)
                or (priority is not None and one.priority != priority)
                or (owner is not None and one.owner != owner)
            ]
            if len(kept) < len(before):
                self._put(tuple(kept))
            return len(before) - len(kept)

    def turns(
        self,
        waiting: tuple[Registered, ...] = (),
        after: Registered | None = None,
        is_wanted: Callable[[Registered], bool] | None = None,
    ) -> Iterator[Registered]:
        """The entries, each when its turn comes, by what is registered then.

        Args:
            waiting: With ``after``: the run so far, which goes on behind this entry, as the row has changed.
            is_wanted: What is not is passed over, and stays if it is for once.
        """
        seen = self.entries
        waiting = seen if after is None else _rest(seen, waiting, after)
        while waiting:
            for entry in waiting:
                now: Registered | None = entry
                if waiting is not seen:  # it may be gone, or have come back for once
                    now = next((one for one in seen if one.is_same(entry)), None)
                if now is None or (is_wanted is not None and not is_wanted(now)):
                    continue
                if now.once and not self._is_taken(now):
                    continue
                yield now
                if self.entries is not seen:
                    seen = self.entries
                    waiting = _rest(seen, waiting, entry)
                    break
            else:
                return

    def _is_taken(self, entry: Registered) -> bool:
        """Take away an entry that is for once; False if somebody has done so."""
        with self.lock:
            kept = tuple([one for one in self.entries if one is not entry])
            is_taken = len(kept) < len(self.entries)
            self._put(kept)
        return is_taken

    def _put(self, entries: tuple[Registered, ...]) -> None:
        self.state = (entries, any([entry.once for entry in entries]))


def _renew_locks() -> None:
    """A thread that is not in the child of a fork may hold one."""
    for row in list(_rows):
        row.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def _rest(now: tuple[Registered, ...], waiting: tuple[Registered, ...], after: Registered) -> tuple[Registered, ...]:
    """What has its turn after an entry: of its priority what had it coming, of later ones what there is now."""
    begun = [one for one in waiting[waiting.index(after) + 1 :] if one.priority == after.priority]
    return (*begun, *[one for one in now if one.priority > after.priority])


def check_hook(name: object, kind: Literal["filter", "action"] | None = None) -> None:
    """Whether there is such a hook, of this kind or of either.

    Raises:
        ConfigError: There is none; with the nearest.
    """
    known = {"filter": FILTERS, "action": ACTIONS, None: {**FILTERS, **ACTIONS}}[kind]
    if isinstance(name, str) and (name in known or "." in name):
        return
    near = difflib.get_close_matches(str(name), known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}, and any name with a dot"
    raise ConfigError(f"there is no {f'{kind} ' if kind else ''}hook {name!r}; {hint}")


def is_async(callback: Any) -> bool:
    """Whether calling it gives something to await, as far as can be told without calling it."""
    return _called(callback, inspect.iscoroutinefunction)


def _called(callback: Any, is_such: Callable[[Any], bool]) -> bool:
    """Whether what is called in the end is such a function."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    return is_such(callback) or is_such(type(callback).__call__)


def owner_of(callback: Any) -> str:
    """Where it is defined; of a partial what it calls."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    module = getattr(callback, "__module__", None) or type(callback).__module__
    return f"{module}.{getattr(callback, '__qualname__', type(callback).__qualname__)}"

"""What this thread or task is inside of: the actions and the awaited filters around it, as a context variable.

Tasks that they start inherit it; what a plain filter is inside of is Python's own stack (:mod:`mailer.hooks`).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar
from typing import TypeVar

from .errors import HookError
from .registered import Registered, Row

__all__ = ["Inside", "awaited", "runs"]

T = TypeVar("T")

_MAX_NESTED = 16
"""How deep an awaited filter may run inside itself: in tasks, where no stack ends it."""

#: A run: the one around it, its row, and an action's entry.
_Run = tuple["_Run | None", Row, "Registered | None"]
_running: ContextVar[_Run | None] = ContextVar("mailer_hooks_running", default=None)


class Inside:
    """A ``with`` block that is inside of a row's hook; for an action, of this entry."""

    __slots__ = ("entry", "row", "token")

    def __init__(self, row: Row, entry: Registered | None = None) -> None:
        self.row = row
        self.entry = entry

    def __enter__(self) -> None:
        self.token = _running.set((_running.get(), self.row, self.entry))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        _running.reset(self.token)


def runs() -> Iterator[tuple[Row, Registered | None]]:
    """What we are inside of, from the inside out: rows, and actions' entries."""
    run = _running.get()
    while run is not None:
        yield run[1], run[2]
        run = run[0]


async def awaited(row: Row, result: Awaitable[T]) -> T:
    """What an async filter returns.

    Raises:
        HookError: Its hook runs inside itself too often.
    """
    if sum([one is row for one, _ in runs()]) >= _MAX_NESTED:
        if inspect.iscoroutine(result):
            result.close()
        raise HookError(f"runs inside itself {_MAX_NESTED} times: does it mail?")
    with Inside(row):
        return await result

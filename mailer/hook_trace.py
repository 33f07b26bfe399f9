"""What hooks did, and how long it took: kept and logged where ``trace_hooks`` asks for it."""

from __future__ import annotations

import dataclasses
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .hookspecs import Context
from .log import HOOK_CALLED
from .registered import Registered

__all__ = ["HookCall", "HookTrace"]

_KEPT = 1000
"""Calls: those of a few dozen mails, and an end to what a long-running process keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCall:
    """A callback that was called.

    Attributes:
        hook, kind, owner, priority: As it was registered.
        mail_id: Of the mail that it was called for.
        duration_s: By the runtime's clock; with all that it waited for.
        error: The class of what it raised, or "".
    """

    hook: str
    kind: str
    owner: str
    priority: int
    mail_id: str
    duration_s: float
    error: str = ""


class HookTrace:
    """The last thousand calls, once it is on.

    Attributes:
        is_on: Whether calls are kept.
        calls: Oldest first.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.calls: deque[HookCall] = deque(maxlen=_KEPT)

    def timed(self, entry: Registered, context: Context) -> Callable[..., Any]:
        """Its callback, whose call is noted."""
        now = context.runtime.now

        def note(begun_at: float, error: BaseException | None = None) -> None:
            call = HookCall(
                hook=entry.hook,
                kind=entry.kind,
                owner=entry.owner,
                priority=entry.priority,
                mail_id=context.mail_id,
                duration_s=now() - begun_at,
                error="" if error is None else type(error).__name__,
            )
            self.calls.append(call)
            if HOOK_CALLED.wanted():
                HOOK_CALLED(**dataclasses.asdict(call))

        async def waited(result: Awaitable[Any], begun_at: float) -> Any:
            try:
                value = await result
            except BaseException as error:
                note(begun_at, error)
                raise
            note(begun_at)
            return value

        def timed(*args: Any) -> Any:
            begun_at = now()
            try:
                value = entry.callback(*args)
            except BaseException as error:
                note(begun_at, error)
                raise
            if inspect.isawaitable(value):
                return waited(value, begun_at)
            note(begun_at)
            return value

        return timed

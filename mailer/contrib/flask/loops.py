"""One mailer for all threads of a Flask app; of a Quart app's one for each event loop that is alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...backends.memory import MemoryBackend
from ...errors import ConfigError
from ...mailer import AsyncMailer, Mailer
from ...runtime import AsyncRuntime, Lock

if TYPE_CHECKING:
    from ...backends.base import Backend

__all__ = ["Loops"]


class Loops:
    """A mailer made at the start, and those like it. Of AsyncMailers the first is the first loop's that comes."""

    def __init__(self, first: Mailer | AsyncMailer) -> None:
        self.first = first
        self._lock = Lock()
        self._owner: Callable[[], object] = _nobody
        self._others: weakref.WeakKeyDictionary[object, Mailer | AsyncMailer] = weakref.WeakKeyDictionary()

    def here(self, another: Callable[[Backend | None], Mailer | AsyncMailer]) -> Mailer | AsyncMailer:
        """The mailer of the event loop that is running; without one, the first, to be looked at.

        Args:
            another: Makes one more: of a backend, or of the settings.
        """
        loop = None if isinstance(self.first, Mailer) else _running_loop()
        if loop is None or self._owner() is loop:
            return self.first
        with self._lock:
            owner = self._owner()
            if owner is None or owner is loop or _is_over(owner):
                self._owner = weakref.ref(loop)
                return self.first
            found = self._others.get(loop)
            if found is None:
                for over in [one for one in self._others if _is_over(one)]:  # which its mailer might keep alive
                    del self._others[over]
                is_memory = isinstance(self.first.backend, MemoryBackend)  # which is no loop's own
                found = self._others[loop] = another(self.first.backend if is_memory else None)
            return found


def _nobody() -> None:
    return None


def _running_loop() -> object | None:
    """The event loop of asyncio, or the token of trio, or None."""
    try:
        return AsyncRuntime().token()
    except ConfigError:
        return None


def _is_over(loop: object) -> bool:
    return bool(getattr(loop, "is_closed", bool)())

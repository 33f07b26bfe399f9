"""What a test puts in the place of something of the whole process: the latest counts, whoever began before it waits."""

from __future__ import annotations

from typing import Generic, TypeVar

from .runtime import Lock

__all__ = ["StandIns"]

T = TypeVar("T")


class StandIns(Generic[T]):
    """Those at work. Of the process, not of a context: threads and tasks that began before see it too.

    Attributes:
        all: In the order they began. Replaced, never changed, so that who reads it needs no lock.
        latest: The last of them; None if there is none, as in production.
    """

    __slots__ = ("_lock", "all", "latest")

    def __init__(self) -> None:
        self._lock = Lock()
        self.all: tuple[T, ...] = ()
        self.latest: T | None = None

    def begin(self, one: T) -> None:
        """Put it in the place, last of all; once, however often it begins."""
        self._put(one, one)

    def end(self, one: T) -> None:
        """Take it away, if it is there."""
        self._put(one)

    def _put(self, one: T, *new: T) -> None:
        with self._lock:
            self.all = (*[other for other in self.all if other is not one], *new)
            self.latest = self.all[-1] if self.all else None

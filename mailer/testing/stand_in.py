"""What is at work for the length of a test, in the place of something of the whole process."""

from __future__ import annotations

from types import TracebackType
from typing import Any, ClassVar, Self

from ..stand_ins import StandIns

__all__ = ["StandIn"]


class StandIn:
    """A context manager. One that is at work already, as a fixture's, goes on: an inner ``with`` has no effect."""

    _places: ClassVar[StandIns[Any]]
    _inner = 0  # how many `with` are within its work

    def start(self) -> Self:
        """Be at work from now on. Idempotent."""
        self._places.begin(self)
        return self

    def stop(self) -> None:
        """Give the place back to who had it before. Idempotent."""
        self._places.end(self)

    def __enter__(self) -> Self:
        if any(one is self for one in self._places.all):
            self._inner += 1
            return self
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._inner:
            self._inner -= 1
        else:
            self.stop()

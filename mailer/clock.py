"""What time it is: the system's clocks, unless a test has put one of its own in their place.

Whatever asks for the time asks here, or is given a ``clock`` that does. Two kinds of waiting differ: a pause is the
clock's own affair, so that a test's returns at once; waiting for somebody else (a socket, a thread) takes real time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol, overload

from .stand_ins import StandIns

__all__ = ["Clock", "clocks", "epoch_s", "monotonic_s", "real_deadline", "utc_now"]


class Clock(Protocol):
    """A test's clock."""

    def epoch_s(self) -> float:
        """Seconds since 1970."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...

    def sleep(self, seconds: float) -> None:
        """Be so many seconds later. Returns at once."""


clocks: StandIns[Clock] = StandIns()


def epoch_s() -> float:
    """Seconds since 1970, as ``time.time``."""
    clock = clocks.latest
    return time.time() if clock is None else clock.epoch_s()


def monotonic_s() -> float:
    """Seconds on a clock that never goes back, as ``time.monotonic``."""
    clock = clocks.latest
    return time.monotonic() if clock is None else clock.monotonic_s()


def utc_now() -> datetime:
    """The time in UTC, with its zone."""
    clock = clocks.latest
    return datetime.now(UTC) if clock is None else datetime.fromtimestamp(clock.epoch_s(), UTC)


@overload
def real_deadline(deadline: float) -> float: ...


@overload
def real_deadline(deadline: float | None) -> float | None: ...


def real_deadline(deadline: float | None) -> float | None:
    """A point on ``monotonic_s`` as one on ``time.monotonic``: as far from now, for what really waits."""
    clock = clocks.latest
    if clock is None or deadline is None:
        return deadline
    return deadline - clock.monotonic_s() + time.monotonic()

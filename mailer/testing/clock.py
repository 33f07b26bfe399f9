"""A clock for tests: it stands still, and whoever sleeps by it only moves it on."""

from __future__ import annotations

import math
import threading
import time
from datetime import UTC, datetime, timedelta

from ..clock import clocks
from .stand_in import StandIn

__all__ = ["FakeClock"]


class FakeClock(StandIn):
    """The time of the whole library, while it runs; a context manager. Fixture: ``mailer_clock``.

    ::

        with FakeClock("2026-12-24T23:30+01:00") as clock:
            mailer.send(message)                  # quiet hours: deferred
            clock.advance(hours=8)
            mailer.send(message)

    Retries, rate limits, quiet hours, circuits, ``send_at``, tokens, Date fields and receipts go by it, on every
    runtime and in every thread. A pause takes no time: the clock is so much later at once. Waiting for somebody else (a
    server's answer, a thread) takes real time, within limits that are as long as they would be; and TLS looks at
    certificates by the system's clock. What the app itself reads off ``time`` is not touched. A mailer that outlives
    this clock keeps what it saw by it: a rate limit, a circuit.

    Args:
        at: Where it begins: a time with its zone, or such in ISO 8601. None is now, to the second.

    Attributes:
        sleeps: The pauses so far, in seconds, in the order they began.

    Raises:
        TypeError, ValueError: The time has no zone, or is none.
    """

    _places = clocks

    def __init__(self, at: datetime | str | None = None) -> None:
        begin = datetime.now(UTC).replace(microsecond=0) if at is None else _time_of(at)
        self.sleeps: list[float] = []
        self._begin_s = begin.timestamp()
        self._origin_s = math.ceil(time.monotonic())  # not behind what a mailer has seen already; whole, to stay exact
        self._elapsed_s = 0.0
        self._lock = threading.Lock()

    # ---- For the test ----

    @property
    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.fromtimestamp(self.epoch_s(), UTC)

    @property
    def slept_s(self) -> float:
        """How long all pauses were together, in seconds."""
        return math.fsum(self.sleeps)

    def advance(
        self, seconds: float | timedelta = 0.0, *, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:
        """Be so much later.

        Raises:
            ValueError: That would be earlier.
        """
        given_s = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        by_s = given_s + timedelta(days=days, hours=hours, minutes=minutes).total_seconds()
        if not 0 <= by_s < math.inf:
            raise ValueError(f"a clock goes forward, not by {by_s} seconds: to begin earlier, FakeClock(at=...)")
        with self._lock:
            self._elapsed_s += by_s

    def move_to(self, at: datetime | str) -> None:
        """Be there at once.

        Raises:
            ValueError: It is past, has no zone, or is no time.
        """
        self.advance(_time_of(at).timestamp() - self.epoch_s())

    # ---- For the library: see :class:`mailer.clock.Clock` ----

    def epoch_s(self) -> float:
        """Seconds since 1970."""
        return self._begin_s + self._elapsed_s

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back."""
        return self._origin_s + self._elapsed_s

    def sleep(self, seconds: float) -> None:
        """A pause of so many seconds; none is not counted."""
        if seconds > 0:
            with self._lock:
                self.sleeps.append(seconds)
                self._elapsed_s += seconds

    def __repr__(self) -> str:
        return f"<FakeClock {self.now.isoformat()}>"


def _time_of(at: datetime | str) -> datetime:
    read = datetime.fromisoformat(at) if isinstance(at, str) else at
    if not isinstance(read, datetime):
        raise TypeError(f"{at!r} is no time: give a datetime with its zone, or '2026-12-24T18:00+01:00'")
    if read.utcoffset() is None:
        raise ValueError(f"{at} is naive: give it a time zone, '2026-12-24T18:00+01:00'")
    return read

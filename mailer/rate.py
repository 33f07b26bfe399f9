"""How often something may happen: a rate as a value, and the limiter that makes callers keep to it.

The limiter is the generic cell rate algorithm (ITU-T I.371): one number, the time at which the next turn is due. It
needs no timer, never bursts beyond what it was told, and costs a lock and an addition for each turn. Where others count
turns in a stretch of time, :class:`WindowLimiter` gives out as many as they allow.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ConfigError, DeadlineExceeded
from .field import shown
from .runtime import Lock

if TYPE_CHECKING:
    from .runtime import Runtime

__all__ = ["Rate", "RateLimiter", "WindowLimiter"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MOST_KEPT = 10_000
_WRITTEN = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*/\s*([smhd])\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds: ``Rate(50, 1.0)``, written ``50/s``.

    Attributes:
        count: How many, more than 0; a fraction is allowed (``0.5/s`` is one every two seconds).
        period_s: In how many seconds, more than 0.
    """

    count: float
    period_s: float

    def __post_init__(self) -> None:
        if not (0 < self.count < float("inf") and 0 < self.period_s < float("inf")):
            raise ConfigError(f"a rate is a number above 0 in a time above 0, not {self.count} in {self.period_s} s")

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read ``50/s``, ``1000/m``, ``3600/h`` or ``10000/d``.

        Raises:
            ConfigError: It is not of that form.
        """
        found = _WRITTEN.fullmatch(text)
        if found is None or not float(found[1]):
            raise ConfigError(f"{shown(text)} is not a rate: write 50/s, 1000/m, 3600/h or 10000/d")
        return cls(float(found[1]), _UNITS[found[2]])

    @property
    def interval_s(self) -> float:
        """Seconds from one to the next, evenly spread."""
        return self.period_s / self.count

    def __str__(self) -> str:
        unit = next((name for name, seconds in _UNITS.items() if seconds == self.period_s), f"{self.period_s:g}s")
        return f"{self.count:g}/{unit}"


class RateLimiter:
    """Gives out turns no faster than a rate. Shared by threads or by tasks; turns are given in the order of asking.

    In any stretch of t seconds it gives out at most ``burst + t / rate.interval_s`` turns.

    Args:
        rate: How often; None: as often as asked, but for pauses.
        runtime: Its clock, and where callers wait.
        burst: How many turns an idle limiter gives out at once, at least 1. With 1 turns are evenly spread.
    """

    def __init__(self, rate: Rate | None, runtime: Runtime, *, burst: int = 1) -> None:
        if burst < 1:
            raise ConfigError(f"burst={burst}: must be 1 or more")
        self.rate = rate
        self._runtime = runtime
        self._interval_s = 0.0 if rate is None else rate.interval_s
        self._slack_s = (burst - 1) * self._interval_s
        self._lock = Lock()
        self._holds = 0  # how many pauses there were
        self._due = float("-inf")  # when the next turn is due if all before it came evenly spread

    def reserve(self, deadline: float | None = None) -> float:
        """Take a turn, and return when it comes: a point on ``runtime.now()``, possibly past.

        For callers that wait in their own way. A turn taken cannot be given back.

        Raises:
            DeadlineExceeded: It would come after the deadline; none was taken.
        """
        with self._lock:
            turn = self._next()
            if deadline is not None and turn > deadline:
                at = "after the pause that was asked for" if self.rate is None else f"at {self.rate}"
                raise DeadlineExceeded(f"{at} the next turn comes after the deadline")
            self._take(turn)
            return turn

    def _next(self) -> float:
        """When the next turn comes, possibly past."""
        return max(self._due, self._runtime.now()) - self._slack_s

    def _take(self, turn: float) -> None:
        self._due = turn + self._slack_s + self._interval_s

    def _pause(self, until: float) -> None:
        self._due = max(self._due, until + self._slack_s)

    async def wait(self, deadline: float | None = None) -> None:
        """Take a turn and wait until it comes; another one, if a pause has begun meanwhile.

        Raises:
            DeadlineExceeded: As :meth:`reserve`, at once: nobody waits in vain.
        """
        holds = -1
        while holds != self._holds:
            holds = self._holds
            turn = self.reserve(deadline)
            while (left := turn - self._runtime.now()) > 0:
                await self._runtime.sleep(left)

    @property
    def wait_s(self) -> float:
        """How long a turn that is asked for now would be waited for, in seconds."""
        with self._lock:
            return max(self._next() - self._runtime.now(), 0.0)

    def hold(self, seconds: float) -> None:
        """Let the next turn come no sooner than in so many seconds: the peer asked for a pause (``Retry-After``)."""
        with self._lock:
            self._pause(self._runtime.now() + seconds)
            self._holds += 1

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.rate or 'off'}>"


class WindowLimiter(RateLimiter):
    """Gives out a turn as soon as no stretch of the rate's time has more than its number: what services count.

    ``Rate(60, 60.0)``: sixty at once, and the next when the first is a minute old. Where a time has no whole number of
    turns, or more than ten thousand, a shorter or longer one is looked at: 0.5/s is one in two seconds.
    """

    def __init__(self, rate: Rate | None, runtime: Runtime) -> None:
        super().__init__(rate, runtime)
        count = min(max(int(rate.count), 1), _MOST_KEPT) if rate is not None else 1
        self._window_s = count * self._interval_s
        self._turns: deque[float] = deque(maxlen=count)
        self._paused_until = float("-inf")

    def _next(self) -> float:
        turns = self._turns
        free = turns[0] + self._window_s if len(turns) == turns.maxlen else float("-inf")
        return max(self._runtime.now(), self._paused_until, free)

    def _take(self, turn: float) -> None:
        self._turns.append(turn)

    def _pause(self, until: float) -> None:
        self._paused_until = max(self._paused_until, until)

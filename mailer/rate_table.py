"""Turns that several rates count at once: of all mails, to a domain, from a sender.

As :class:`mailer.rate.RateLimiter` it is the generic cell rate algorithm, but a turn is had only when it has come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

from .errors import ConfigError
from .rate import Rate
from .runtime import Lock

__all__ = ["Claims", "RateTable"]

K = TypeVar("K", bound=Hashable)

#: What one turn counts for: what is counted -> at which rate, and how often.
Claims = Mapping[K, tuple[Rate, int]]


class RateTable(Generic[K]):
    """Many rates at once: a turn is had when each that counts it has one free, and then it is taken of all.

    So for each of them, in any stretch of t seconds, at most ``burst + t / interval_s`` turns are had. What is idle is
    forgotten, so that it may count by domains and senders without end. Shared by threads and tasks. It reads no clock:
    ``now`` is seconds on one that never goes back.
    """

    #: How many are looked through for what is idle, at the least.
    _SWEPT = 1024

    def __init__(self, burst: int = 1) -> None:
        """Make one. ``burst``: how many turns an idle rate gives out at once, at least 1.

        Raises:
            ConfigError: It is less.
        """
        if burst < 1:
            raise ConfigError(f"burst={burst}: must be 1 or more")
        self.burst = burst
        self._lock = Lock()
        self._due: dict[K, float] = {}
        self._waiting: Counter[K] = Counter()
        self._sweep_at = self._SWEPT

    def __len__(self) -> int:
        return len(self._due)

    def take(self, claims: Claims[K], now: float) -> float:
        """Take a turn if there is one now.

        Returns:
            ``now`` or less: it is taken. More: none is, and before that time there will be none. What counts for more
            than the burst is let pass when the rate is idle, and paid for afterwards.
        """
        with self._lock:
            when = self._free_at(claims, now, is_last=False)
            if when <= now:
                for key, (rate, count) in claims.items():
                    self._due[key] = max(self._due.get(key, now), now) + count * rate.interval_s
                if len(self._due) >= self._sweep_at:
                    self._due = {key: due for key, due in self._due.items() if due > now}
                    self._sweep_at = max(2 * len(self._due), self._SWEPT)
            return when

    def expected(self, claims: Claims[K], now: float) -> float:
        """When a turn that is asked for now will be had, behind those who wait for one already."""
        with self._lock:
            return max(now, self._free_at(claims, now, is_last=True))

    def _free_at(self, claims: Claims[K], now: float, *, is_last: bool) -> float:
        free = float("-inf")
        for key, (rate, count) in claims.items():
            ahead = min(count, self.burst) - self.burst + (self._waiting[key] if is_last else 0)
            due = max(self._due.get(key, now), now) if ahead > 0 else self._due.get(key, float("-inf"))
            free = max(free, due + ahead * rate.interval_s)
        return free

    @contextmanager
    def waiting(self, claims: Claims[K]) -> Iterator[None]:
        """Counted among those who wait, for as long."""
        counts = {key: count for key, (_, count) in claims.items()}
        with self._lock:
            self._waiting.update(counts)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.subtract(counts)
                for key in counts:
                    if self._waiting[key] <= 0:
                        del self._waiting[key]

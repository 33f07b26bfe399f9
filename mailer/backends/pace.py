"""The pace: how often a relay is asked, and for how long nobody asks it after it has asked for a pause."""

from __future__ import annotations

from ..rate import Rate, RateLimiter, WindowLimiter
from ..relay.exchange import Response
from ..relay.provider import Provider
from ..runtime import Runtime

__all__ = ["Pace"]

_BUSY = (420, 429, 503)
_PATIENCE_S = 10.0
"""How long a mail waits where another member of a group could carry it: as long as a retry."""
_MAX_HOLD_S = 300.0
"""How long a Retry-After holds up those who come after; then one asks again: a day's quota may have been raised."""


class Pace:
    """One for all who share a backend.

    Args:
        provider: Whose own hosts are asked as often as it publishes.
        rate: In the place of that; "" for none, "off" to ask at once and heed no Retry-After.

    Raises:
        ConfigError: The rate is none.
    """

    def __init__(self, provider: Provider, rate: str = "") -> None:
        self._provider = provider
        self._is_off = rate == "off"
        asked = rate or (provider.rate if provider.base in provider.bases.values() else "")
        self._rate = Rate.parse(asked) if asked and not self._is_off else None
        self._limiter: RateLimiter | None = None

    def begin(self, runtime: Runtime) -> None:
        """Go by this runtime's clock, and wait there."""
        self._limiter = None if self._is_off else WindowLimiter(self._rate, runtime)

    @staticmethod
    def patience_s(timeout_s: float, *, has_stand_in: bool) -> float:
        """How long a mail waits for its turn."""
        return min(timeout_s, _PATIENCE_S) if has_stand_in else timeout_s

    async def turn(self, deadline: float) -> None:
        """Wait until the next request may go.

        Raises:
            DeadlineExceeded: That is after the deadline; at once.
        """
        if self._limiter is not None:
            await self._limiter.wait(deadline)

    def after_s(self, patience_s: float) -> float | None:
        """When to come again, where nobody with this patience could have waited for a turn; else None."""
        wait_s = 0.0 if self._limiter is None else self._limiter.wait_s
        return wait_s if wait_s > patience_s else None

    def heed(self, response: Response) -> None:
        """Let nobody ask before the time that an overloaded provider asks for; for minutes at most."""
        asked_s = self._provider.retry_after_s(response) if response.status in _BUSY else None
        if self._limiter is not None and asked_s:
            self._limiter.hold(min(asked_s, _MAX_HOLD_S))

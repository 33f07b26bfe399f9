"""Rests: hosts that failed again and again are left alone for a while, and then tried by one mail before the others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from ..errors import ConfigError

__all__ = ["Rests"]

_MOST_HOSTS = 1000


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    why: str
    until: float = 0.0


class Rests:
    """Which hosts rest, each by a key that tells it from the others. Waits for nothing and reads no clock; shared by
    threads and tasks.

    A hundred mails to a host that is down are to cost a few connections and not a hundred (RFC 5321 section 4.5.4.1:
    the client should keep a list of hosts it cannot reach).

    Args:
        rest_s: How long a host rests, 0 to 86400 seconds; 0: none does.
        after: Failures in a row that make it rest.
    """

    def __init__(self, rest_s: float = 60.0, *, after: int = 5) -> None:
        if not 0 <= rest_s <= 86_400:  # NaN compares false
            raise ConfigError(f"rest_s={rest_s!r}: must be from 0 to 86400 seconds")
        self._rest_s = rest_s
        self._after = after
        self._failures: OrderedDict[Hashable, _Failures] = OrderedDict()

    def left_s(self, host: Hashable, now: float) -> tuple[float, str]:
        """Seconds for which the host is still to be left alone, and why; 0: try it.

        Whoever is told 0 when its rest is over is the one to try it: it rests on for the others meanwhile.
        """
        found = self._failures.get(host)
        if found is None or found.count < self._after:
            return 0.0, ""
        if found.until > now:
            return found.until - now, found.why
        self._failures[host] = _Failures(found.count, found.why, now + self._rest_s)
        return 0.0, ""

    def failed(self, host: Hashable, why: str, now: float) -> None:
        """Count a failure."""
        if not self._rest_s:
            return
        found = self._failures.pop(host, _Failures(0, ""))
        self._failures[host] = _Failures(found.count + 1, why, now + self._rest_s)
        while len(self._failures) > _MOST_HOSTS:
            self._failures.popitem(last=False)

    def answered(self, host: Hashable) -> None:
        """Forget what was: it speaks."""
        self._failures.pop(host, None)

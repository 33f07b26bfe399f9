"""Trying again within one call: when, for whom, and how long to wait. The outbox has a schedule of its own."""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["retry_after_seconds"]

MAX_RETRY_AFTER_S = 86_400.0
"""What is believed of a peer's Retry-After: a day. A typo of theirs, or malice, must not hold mail for years."""

_DELAY = re.compile(r"([0-9]+)(\.[0-9]+)?")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH, _TIME = f"(?P<month>{'|'.join(_MONTHS)})", "(?P<h>[0-9]{2}):(?P<m>[0-9]{2}):(?P<s>[0-9]{2})"
# RFC 9110 section 5.6.7: IMF-fixdate, RFC 850 and asctime, "a recipient MUST accept all three". Names are English in
# any locale, so not by strptime.
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{5,8}}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """How long a ``Retry-After`` header asks us to wait (RFC 9110 section 10.2.3).

    Args:
        header: Its value: seconds, or an HTTP date in any of the three forms; None if there is none.
        now: The present, with a time zone; a date is counted from it.

    Returns:
        Seconds, 0 to :data:`MAX_RETRY_AFTER_S` (more is cut down to it, a date that has passed is 0). None for no
        header, and for one that means nothing: junk, negative, no real date.
    """
    value = (header or "").strip(" \t")
    if found := _DELAY.fullmatch(value):
        # Seven digits are past the cap, whatever they are; int() of thousands would raise.
        return MAX_RETRY_AFTER_S if len(found[1].lstrip("0")) > 6 else min(float(value), MAX_RETRY_AFTER_S)
    for pattern in _DATES:
        if found := pattern.fullmatch(value):
            then = _date(found, now)
            return None if then is None else min(max((then - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
    return None


def _date(found: re.Match[str], now: datetime) -> datetime | None:
    year, here = int(found["year"]), now.year
    if len(found["year"]) == 2:
        # Two digits mean the year with these digits that is at most 50 years ahead, else the latest past one.
        year = here + (year - here + 49) % 100 - 49
    month, second = _MONTHS.index(found["month"]) + 1, min(int(found["s"]), 59)  # a leap second is 60
    try:
        return datetime(year, month, int(found["day"]), int(found["h"]), int(found["m"]), second, tzinfo=UTC)
    except ValueError:
        return None

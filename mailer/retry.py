"""Trying again within one call: for whom, how often, and after how long a wait.

It reads outcome and scope off the receipt, never a text. The outbox has a schedule of its own; never one inside the
other.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from .errors import ConfigError
from .log import RETRY
from .mail import Mail
from .receipt import Receipt, RecipientResult
from .tally import Tally
from .verdict import NextStep, next_step

__all__ = ["RetryPolicy", "retry_after_seconds"]

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


def _random() -> float:
    from random import random  # on the first retry: it takes longer to import than this file

    return random()  # noqa: S311 - jitter


class _Plan(NamedTuple):
    """The next try: each mail for those who are tried again, with its tally, and the wait before it."""

    parts: list[tuple[Tally, Mail]]
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How ``send`` tries again: for seconds, and only what cannot duplicate.

    Tried again are recipients whose result is DEFERRED and about the message, the session, the host or the domain. A
    deferral of one recipient (4xx to RCPT, greylisting) takes minutes, and one of the account (login, settings, TLS)
    takes somebody's hand: neither is. The whole backend is tried again, a group with all its members.

    Attributes:
        tries: How often in all, the first included: 1 to 100.
        within_s: No try begins later than so many seconds after the first one began: 0 to 3600. A wait that would go
            beyond is not begun, a peer's Retry-After included.
        wait_s: The wait before the second try, in seconds: 0 to 3600. It doubles from try to try.
        max_wait_s: The longest wait that doubling comes to, in seconds. A peer's Retry-After may ask for more.
        jitter: Waits vary by this share of theirs, up and down: 0 to 1. Never below a Retry-After.
        on_unknown: "keep", or "resend" to try UNKNOWN again too: a risk of two copies.
        random: A number from 0 to 1, for the jitter.

    Raises:
        ConfigError: A value is outside its range; the text names it.
    """

    tries: int = 3
    within_s: float = 10.0
    wait_s: float = 0.5
    max_wait_s: float = 5.0
    jitter: float = 0.5
    on_unknown: str = "keep"
    random: Callable[[], float] = field(default=_random, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.tries, bool) or not isinstance(self.tries, int) or not 1 <= self.tries <= 100:
            raise ConfigError(f"retry: tries={self.tries!r}: must be a whole number from 1 to 100")
        for name, most in (("within_s", 3600), ("wait_s", 3600), ("max_wait_s", 3600), ("jitter", 1)):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not 0 <= value <= most:  # NaN neither
                raise ConfigError(f"retry: {name}={value!r}: must be a number from 0 to {most}")
        if self.on_unknown not in ("keep", "resend"):
            raise ConfigError(f"retry: on_unknown={self.on_unknown!r}: must be one of keep, resend")
        if not callable(self.random):
            raise ConfigError("retry: random must be a function that returns a number from 0 to 1")

    # --- pure ---------------------------------------------------------------------------------------------------------

    def is_open(self, result: RecipientResult) -> bool:
        """Whether a recipient with this result may be tried again within the call."""
        step = next_step(result.outcome, result.scope)
        return step is NextStep.AGAIN or (step is NextStep.ASK and self.on_unknown == "resend")

    def wants(self, receipt: Receipt) -> bool:
        """Whether some recipient may be tried again."""
        return any([self.is_open(result) for result in receipt.results])

    def backoff_s(self, tries: int) -> float:
        """The wait after so many tries (1 or more), in seconds; without regard to a Retry-After."""
        wait_s = min(self.wait_s * 2.0 ** (tries - 1), self.max_wait_s)
        return wait_s * (1 + self.jitter * (2 * self.random() - 1))

    def plan(self, tallies: Sequence[Tally], left_s: float) -> _Plan | None:
        """The next try of these mails, or None if there is to be none.

        Args:
            tallies: The tries so far, at least one of each.
            left_s: Seconds that are left of ``within_s``.
        """
        tries = max([len(tally.receipts) for tally in tallies])
        if tries >= self.tries:
            return None
        backoff_s = self.backoff_s(tries)
        parts, longest_s = [], 0.0
        for tally in tallies:
            due = []
            for result in filter(self.is_open, tally.latest()):
                wait_s = max(backoff_s, result.retry_after_s or 0.0)
                if wait_s <= left_s:
                    due.append(result.address)
                    longest_s = max(longest_s, wait_s)
            if (mail := tally.mail_to(due)) is not None:
                parts.append((tally, mail))
        return _Plan(parts, longest_s) if parts else None

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def try_again(
        self,
        tallies: Sequence[Tally],
        carry: Callable[[Sequence[tuple[Tally, Mail]]], Awaitable[None]],
        *,
        begun_at: float,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Try mails again for as long as there is reason and time. To be called after their first try.

        Args:
            tallies: Of mails that go together, each with its first try in it.
            carry: Makes one try of the mails it is given, and adds to each one's tally. What it raises comes out.
            begun_at: When the first try began, on the clock ``now``.
            now: Seconds on a clock that never goes back.
            sleep: Waits so many seconds.
        """
        ahead = self.plan(tallies, begun_at + self.within_s - now())
        if ahead is None:
            return
        # Not before it is needed: a send that succeeds pays nothing for it.
        from tenacity import AsyncRetrying, RetryCallState, retry_if_result

        is_made = True

        async def one_more_try() -> bool:
            """Whether there is to be another. The first call stands for the try that was made already."""
            nonlocal ahead, is_made
            if not is_made and ahead is not None:
                await carry(ahead.parts)
                ahead = self.plan(tallies, begun_at + self.within_s - now())
            is_made = False
            return ahead is not None

        def wait(state: RetryCallState) -> float:
            return 0.0 if ahead is None else ahead.wait_s

        def tell(state: RetryCallState) -> None:
            # tenacity's own line would show what was called, and with what.
            for tally, mail in ahead.parts if ahead is not None and RETRY.wanted() else ():
                RETRY(
                    mail_id=mail.id,
                    attempt=len(tally.receipts) + 1,
                    delay_s=state.upcoming_sleep,
                    recipients=len(mail.envelope.recipients),
                )

        retrying = AsyncRetrying(retry=retry_if_result(bool), wait=wait, sleep=sleep, before_sleep=tell)
        await retrying(one_more_try)


DEFAULT_RETRY = RetryPolicy()
"""Two further tries within ten seconds."""

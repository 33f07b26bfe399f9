"""``quiet_hours``: no mail in the recipient's night, nor on days that are to be quiet."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import time as time_of_day
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, PrivateAttr, model_validator

from ..address import Address
from ..backends.base import Backend
from ..backends.wrapping import Plan, Wrapped, WrappingBackend, part_of
from ..clock import epoch_s
from ..errors import AddressError, ConfigError, Outcome
from ..hooks import Hooks
from ..hookspecs import ONE_EACH, Context
from ..mail import Mail
from ..plugin import Plugin, PluginSettings
from ..receipt import RecipientResult
from ..redaction import words_of
from ..verdict import Scope

__all__ = ["QuietHours", "QuietHoursSettings", "next_loud"]

#: Around what carries and limits: what waits for the morning costs no turn in the night.
_PRIORITY = 60
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
#: So far is looked for a time that is not quiet: days that are all quiet but one come round in a week.
_MOST_DAYS = 9


class QuietHoursSettings(PluginSettings):
    """Settings of ``quiet_hours``."""

    start: str = Field("22:00", description="When it begins to be quiet, by the recipient's clock.")
    end: str = Field("08:00", description="When it ends; on the next day, if that is earlier. As `start`: never quiet.")
    days: tuple[str, ...] = Field((), description="Days that are quiet as a whole: `sat, sun`.")
    zone: str = Field("UTC", description="The time zone of recipients of whom no other is known: `Europe/Berlin`.")
    zones: Mapping[str, str] = Field(
        {}, description="By recipients' domains: a table of `example.fr` to `Europe/Paris`."
    )
    zone_key: str = Field("timezone", description="The metadata of a message that says its recipients' time zone.")
    zone_of: Callable[[Address], str | None] | None = Field(
        None, description="A function of the address that gives the name of a zone, or None; in code alone."
    )
    tags: tuple[str, ...] = Field((), description="Only messages with one of these tags wait. Else all do.")
    except_tags: tuple[str, ...] = Field((), description="Messages with one of these tags go at once: `password`.")
    then: Literal["defer", "send_at"] = Field(
        "defer",
        description="`defer`: the recipient is DEFERRED until it ends; `send_at`: the provider is told to send then.",
    )
    _hours: tuple[time_of_day, time_of_day] = PrivateAttr()
    _quiet_days: frozenset[int] = PrivateAttr(frozenset())
    _by_domain: dict[str, tzinfo] = PrivateAttr(default_factory=dict)
    _zone: tzinfo = PrivateAttr(UTC)

    @model_validator(mode="after")
    def _read(self) -> QuietHoursSettings:
        self._hours = (_read_time(self.start, "start"), _read_time(self.end, "end"))
        unknown = [day for day in self.days if day.lower()[:3] not in _DAYS]
        if unknown:
            raise ValueError(f"days: {unknown[0]!r} is none of {', '.join(_DAYS)}")
        self._quiet_days = frozenset(_DAYS.index(day.lower()[:3]) for day in self.days)
        if len(self._quiet_days) == len(_DAYS):
            raise ValueError("days: all are quiet, so nothing would ever be sent")
        if self._hours[0] == self._hours[1] and not self.days:
            raise ValueError("start and end are the same, and no days are quiet: it would do nothing")
        try:
            self._zone = zone_named(self.zone)
            for domain, zone in self.zones.items():
                self._by_domain[Address.parse(f"x@{domain}").key[1]] = zone_named(zone)
        except (ConfigError, AddressError) as error:
            raise ValueError(str(error)) from None
        return self

    def concerns(self, mail: Mail) -> bool:
        """Whether this mail waits at all."""
        tags = () if mail.message is None else mail.message.tags
        return (not self.tags or not set(self.tags).isdisjoint(tags)) and set(self.except_tags).isdisjoint(tags)

    def zone_for(self, mail: Mail, address: Address) -> tzinfo:
        """The recipient's time zone: as the message says, the function, the domain; else the configured one.

        Raises:
            ConfigError: The message or the function names a zone that there is not.
        """
        metadata = {} if mail.message is None else mail.message.metadata
        named = metadata.get(self.zone_key)
        if named is None and self.zone_of is not None:
            named = self.zone_of(address)
        if named is not None:
            return zone_named(str(named))
        return self._by_domain.get(address.key[1], self._zone)

    def loud_at(self, now: datetime, zone: tzinfo) -> datetime:
        """The first time from ``now`` on that is not quiet in this zone: ``now`` itself, or later; in UTC."""
        return next_loud(now, zone, *self._hours, self._quiet_days)


def _read_time(text: str, setting: str) -> time_of_day:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{setting}: must be a time as 22:00")
    return time_of_day(int(found[1]), int(found[2]))


def zone_named(name: str) -> tzinfo:
    """A time zone of the IANA database.

    Raises:
        ConfigError: There is none of this name, or no database.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"there is no time zone {name!r}: write Europe/Berlin; where none is known, pip install tzdata"
        ) from None


def next_loud(
    now: datetime, zone: tzinfo, start: time_of_day, end: time_of_day, quiet_days: frozenset[int]
) -> datetime:
    """The first time from ``now`` on that is not quiet by the clocks of this zone.

    Where clocks are put forward over the end, it is as much later; where they are put back over it, the hour that
    comes twice is quiet as often as the clock says so.

    Args:
        now: With a time zone.
        start, end: From when to when it is quiet each day: over midnight if the end is earlier, never if they are the
            same.
        quiet_days: Days that are quiet as a whole, Monday is 0; not all seven.

    Returns:
        In UTC.
    """

    def is_quiet(moment: datetime) -> bool:
        here = moment.astimezone(zone)
        clock = here.time()
        in_hours = start <= clock < end if start <= end else clock >= start or clock < end
        return in_hours or here.weekday() in quiet_days

    now = now.astimezone(UTC)
    if not is_quiet(now):
        return now
    today = now.astimezone(zone).date()
    ends = []
    for days in range(_MOST_DAYS):
        for clock in (end, time_of_day(0)):  # it ends at the hour, or at the midnight after a quiet day
            for fold in (0, 1):
                local = datetime.combine(today + timedelta(days=days), clock, zone).replace(fold=fold)
                ends.append(local.astimezone(UTC))
    return next(moment for moment in sorted(ends) if moment > now and not is_quiet(moment))


class QuietHours(Plugin[QuietHoursSettings]):
    """Lets recipients sleep.

    Attributes:
        clock: Seconds since 1970.
    """

    name = "quiet_hours"
    clock: Callable[[], float] = staticmethod(epoch_s)

    def register(self, hooks: Hooks) -> None:
        """Stand before the backend."""
        self._wrapped = Wrapped(lambda inner: QuietBackend(inner, self))
        hooks.add_filter("backend", self.wrap, _PRIORITY)
        hooks.add_filter(ONE_EACH, self.wrap)  # each recipient of a merge has a night of his own

    def wrap(self, backend: Backend, context: Context) -> Backend:
        """The backend behind the clock."""
        return self._wrapped.of(backend)


class QuietBackend(WrappingBackend):
    """Carries a mail to those who are awake; for the others it is deferred, or told to the provider."""

    def __init__(self, inner: Backend, plugin: QuietHours) -> None:
        super().__init__(inner)
        self._plugin = plugin

    async def plan(self, mails: Sequence[Mail]) -> list[Plan]:
        """Each recipient by his own clock."""
        now = datetime.fromtimestamp(self._plugin.clock(), UTC)
        concerns = self._plugin.settings.concerns
        return [self._planned(mail, now) if concerns(mail) else Plan(shares=[(self.inner, mail)]) for mail in mails]

    def _planned(self, mail: Mail, now: datetime) -> Plan:
        settings = self._plugin.settings
        send_at = None if mail.message is None else mail.message.send_at
        wanted = now if send_at is None else max(now, send_at.astimezone(UTC))
        by_time: dict[datetime, list[Address]] = {}
        for address in mail.envelope.recipients:
            try:
                zone = settings.zone_for(mail, address)
            except ConfigError:
                raise
            except Exception as error:
                raise ConfigError(f"quiet_hours: zone_of raised {words_of(error)}: nothing is sent") from error
            by_time.setdefault(settings.loud_at(wanted, zone), []).append(address)
        results: list[RecipientResult] = []
        uncarried: list[RecipientResult] = []
        shares: list[tuple[Backend, Mail]] = []
        notes: list[str] = []
        of_all = len(mail.envelope.recipients)
        for moment, addresses in by_time.items():
            part = part_of(mail, addresses)
            deferred = [_deferred(address, moment, now) for address in addresses]
            if moment == wanted:
                shares.append((self.inner, part))
            elif self._may_keep(part):
                assert part.message is not None  # noqa: S101 - for type checkers
                shares.append((self.inner, part.with_(message=part.message.with_(send_at=moment))))
                uncarried += deferred
                notes.append(f"quiet_hours: send_at {moment.isoformat()} for {len(addresses)} of {of_all}, if carried")
            else:
                results += deferred
        return Plan(results=results, shares=shares, uncarried=uncarried, notes=notes)

    def _may_keep(self, mail: Mail) -> bool:
        """Whether its carrier is asked to keep it. With "degrade" one that cannot would send it now, with a note."""
        is_wanted = self._plugin.settings.then == "send_at" and self.unsupported != "degrade"
        return is_wanted and mail.message is not None and self.inner.features.send_at


def _deferred(address: Address, moment: datetime, now: datetime) -> RecipientResult:
    wait_s = float(math.ceil((moment - now).total_seconds()))
    text = f"quiet hours: not before {moment.isoformat()}"
    return RecipientResult(address, Outcome.DEFERRED, text=text, retry_after_s=wait_s, scope=Scope.RECIPIENT)

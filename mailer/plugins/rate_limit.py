"""``rate_limit``: no more mails than agreed, in all, to a domain, from a sender."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, InstanceOf, PrivateAttr, field_validator, model_validator

from ..address import Address
from ..backends.base import Backend, called
from ..backends.wrapping import Plan, Wrapped, WrappingBackend, part_of
from ..errors import AddressError, ConfigError, Outcome
from ..features import Unsupported
from ..hooks import Hooks
from ..hookspecs import ONE_EACH, Context
from ..mail import Mail
from ..plugin import Plugin, PluginSettings
from ..rate import Rate
from ..rate_table import Claims, RateTable
from ..receipt import RecipientResult
from ..runtime import Runtime
from ..secret_url import SecretURL
from ..verdict import Scope

__all__ = ["RateLimit", "RateLimitSettings"]

#: Around what carries the mail, and inside of what keeps mails from being sent at all.
_PRIORITY = 40
_MAX_WAIT_S = 3600.0

#: What is counted: all mails, those to a domain or from a sender, and which; "" is any.
_Counted = tuple[str, str]
_WORDS = {"all": "in all", "domain": "to the domain", "sender": "from the sender"}


class RateLimitSettings(PluginSettings):
    """Settings of ``rate_limit``."""

    rate: str | None = Field(None, description="Of all mails: `50/s`, `1000/m`, `3600/h`, `10000/d`.")
    per_domain: str | None = Field(None, description="To each recipient's domain.")
    domains: Mapping[str, str] = Field(
        {}, description="To one domain, in the place of that: a table of domain to rate."
    )
    per_sender: str | None = Field(None, description="From each sender: the first From.")
    senders: Mapping[str, str] = Field(
        {}, description="From one sender, in the place of that: a table of address to rate."
    )
    count: Literal["mails", "recipients"] = Field(
        "mails", description="What is counted: `mails`, or `recipients`, as most providers do."
    )
    burst: int = Field(1, ge=1, description="How many may go at once after a pause; with 1 they are evenly spread.")
    over: Literal["wait", "defer", "overflow"] = Field(
        "wait", description="What is over the rate will `wait`, `defer`, or go by another backend: `overflow`."
    )
    max_wait_s: float = Field(
        30.0,
        ge=0,
        le=_MAX_WAIT_S,
        description="How long it waits at most, in seconds; what would wait longer is deferred.",
    )
    overflow: str | InstanceOf[SecretURL] | InstanceOf[Backend] | None = Field(
        None, description="The URL of that backend, or a `Backend`."
    )
    _rates: dict[_Counted, Rate] = PrivateAttr(default_factory=dict)

    @field_validator("overflow", mode="after")
    @classmethod
    def _masked(cls, given: Any) -> Any:
        return SecretURL.of_setting(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _read(self) -> RateLimitSettings:
        for name, kind in (("rate", "all"), ("per_domain", "domain"), ("per_sender", "sender")):
            if (text := getattr(self, name)) is not None:
                self._rates[kind, ""] = _rate(name, text)
        for name, text in self.domains.items():
            self._rates["domain", _address(f"x@{name}", "domains").key[1]] = _rate(f"domains.{name}", text)
        for name, text in self.senders.items():
            self._rates["sender", _plain(_address(name, "senders"))] = _rate(f"senders.{name}", text)
        if not self._rates:
            raise ValueError("no rate is given: rate, per_domain, domains, per_sender or senders")
        if (self.over == "overflow") != (self.overflow is not None):
            raise ValueError("over = 'overflow' and overflow, the backend, belong together")
        return self

    @property
    def patience_s(self) -> float:
        """How long a mail waits."""
        return self.max_wait_s if self.over == "wait" else 0.0

    def claims(self, mail: Mail, recipients: Sequence[Address]) -> dict[_Counted, tuple[Rate, int]]:
        """What a mail to these counts for."""
        counts: dict[_Counted, int] = {("all", ""): len(recipients)}
        if mail.author is not None:
            counts["sender", _plain(mail.author)] = len(recipients)
        for domain, count in Counter([address.key[1] for address in recipients]).items():
            counts["domain", domain] = count
        return {
            key: (rate, 1 if self.count == "mails" else count)
            for key, count in counts.items()
            if (rate := self._rates.get(key) or self._rates.get((key[0], ""))) is not None
        }


def _rate(setting: str, text: str) -> Rate:
    try:
        return Rate.parse(text)
    except ConfigError as error:
        raise ValueError(f"{setting}: {error}") from None


def _address(text: str, setting: str) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise ValueError(f"{setting}: {error}") from None


def _plain(address: Address) -> str:
    return address.ascii.lower()


class RateLimit(Plugin[RateLimitSettings]):
    """Keeps to rates. The count is this process' own, one for all mailers that share the object."""

    name = "rate_limit"

    def register(self, hooks: Hooks) -> None:
        """Stand before the backend."""
        self._wrapped = Wrapped(lambda inner: RateLimitedBackend(inner, self, self._table))
        hooks.add_filter("backend", self.wrap, _PRIORITY)
        if self.settings.overflow is not None:  # which may not merge, where the other does
            hooks.add_filter(ONE_EACH, self.wrap)

    def wrap(self, backend: Backend, context: Context) -> Backend:
        """The backend behind the rates."""
        return self._wrapped.of(backend)

    @cached_property
    def _table(self) -> RateTable[_Counted]:
        """The count, one for all mailers that have this plug-in."""
        return RateTable(self.settings.burst)

    @cached_property
    def overflow(self) -> Backend | None:
        """What carries what is over the rate."""
        given = self.settings.overflow
        return given.backend() if isinstance(given, SecretURL) else given  # type: ignore[return-value]  # no string any more

    async def close(self) -> None:
        """Close the backend for what is over the rate, if it was used."""
        backend = self.__dict__.get("overflow")
        if backend is not None and hasattr(backend, "runtime"):
            await called(backend.runtime, backend.close)


class RateLimitedBackend(WrappingBackend):
    """Lets mails through as rates allow; each domain's recipients are cared for apart."""

    def __init__(self, inner: Backend, plugin: RateLimit, table: RateTable[_Counted]) -> None:
        super().__init__(inner)
        self._settings = plugin.settings
        self._table = table
        self._plugin = plugin

    def attach(self, runtime: Runtime, unsupported: Unsupported = "default") -> None:
        """Bind the one for what is over the rate, too."""
        super().attach(runtime, unsupported)
        if self._plugin.overflow is not None:
            self._plugin.overflow.attach(runtime, unsupported)

    async def stages(self, mails: Sequence[Mail]) -> AsyncGenerator[tuple[Sequence[Mail], Sequence[Plan]], None]:
        """Those whose turn has come go together; before one waits, they go."""
        going: list[Mail] = []
        plans: list[Plan] = []
        for mail in mails:
            plan = self._at_once(mail)
            if plan is None:
                if going:
                    yield going, plans
                    going, plans = [], []
                plan = await self._in_turn(mail)
            going.append(mail)
            plans.append(plan)
        yield going, plans

    def _at_once(self, mail: Mail) -> Plan | None:
        """The plan, if nobody need wait for a turn."""
        recipients = mail.envelope.recipients
        now = self.runtime.now()
        return Plan(shares=[(self.inner, mail)]) if self._take(self._settings.claims(mail, recipients), now) else None

    def _take(self, claims: Claims[_Counted], now: float) -> bool:
        return self._table.take(claims, now) <= now

    async def _in_turn(self, mail: Mail) -> Plan:
        """The plan, after a wait for those whose turn comes in time."""
        begun_at = self.runtime.now()
        deadline = begun_at + self._settings.patience_s
        late: dict[str, float] = {}  # domain -> when its turn will come
        recipients = mail.envelope.recipients
        for domain in dict.fromkeys([address.key[1] for address in recipients]):
            own = self._settings.claims(mail, [address for address in recipients if address.key[1] == domain])
            when = self._table.expected(own, begun_at)
            if when > deadline:
                late[domain] = when
        in_time = [address for address in recipients if address.key[1] not in late]
        claims = self._settings.claims(mail, in_time)
        if in_time and (when := await self._wait(claims, deadline)) > deadline:
            late |= dict.fromkeys([address.key[1] for address in in_time], when)
            in_time = []
        shares = [(self.inner, part_of(mail, in_time))] if in_time else []
        over = [address for address in recipients if address.key[1] in late]
        if not over:
            return Plan(shares=shares)
        now = self.runtime.now()
        deferred = [self._deferred(one, late[one.key[1]] - now, mail) for one in over]
        if self._plugin.overflow is None:
            return Plan(shares=shares, results=deferred)
        note = f"over the rate, so for {self._plugin.overflow}: {len(over)} of {len(recipients)}"
        return Plan(shares=[*shares, (self._plugin.overflow, part_of(mail, over))], uncarried=deferred, notes=[note])

    async def _wait(self, claims: Claims[_Counted], deadline: float) -> float:
        """Wait for a turn and take it; or return at once when it would come, if that is after the deadline."""
        now = self.runtime.now()
        if (when := self._table.take(claims, now)) <= now:
            return deadline
        if (expected := self._table.expected(claims, now)) > deadline:
            return expected
        with self._table.waiting(claims):
            while when > now and when <= deadline:
                await self.runtime.sleep(when - now)
                now = self.runtime.now()
                when = self._table.take(claims, now)
        return deadline if when <= now else when

    def _deferred(self, address: Address, wait_s: float, mail: Mail) -> RecipientResult:
        wait_s = max(math.ceil(wait_s), 1)
        claims = self._settings.claims(mail, [address])
        rates = ", ".join(f"{rate} {_WORDS[kind]}" for (kind, _), (rate, _) in claims.items())
        return RecipientResult(
            address,
            Outcome.DEFERRED,
            text=f"over the rate ({rates}): the next turn comes in {wait_s} s",
            retry_after_s=float(wait_s),
            scope=Scope.DOMAIN if ("domain", address.key[1]) in claims else Scope.MESSAGE,
        )

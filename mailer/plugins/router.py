"""``router``: rules that say by which backend a mail goes, and to whom of its recipients by which."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf, PrivateAttr, field_validator, model_validator

from ..address import Address
from ..backends.base import Backend, called
from ..backends.wrapping import Plan, Wrapped, WrappingBackend, part_of
from ..errors import AddressError, ConfigError, MailerError
from ..hooks import Hooks
from ..hookspecs import ONE_EACH, Context
from ..mail import Mail
from ..plugin import Plugin, PluginSettings
from ..runtime import Lock
from ..secret_url import SecretURL

__all__ = ["Route", "Router", "RouterSettings"]

#: Before all that wraps: what is chosen is what they stand before.
_PRIORITY = 10


def _several(given: Any) -> Any:
    """One is a list of one."""
    return (given,) if isinstance(given, (str, Backend, SecretURL)) else given


_Names = Annotated[tuple[str, ...], BeforeValidator(_several)]
_STICKY = ("mail", "sender", "recipient", "domain")
_METADATA = "metadata."


class Route(PluginSettings):
    """One rule. Each condition that is given must hold; of several values in one, any."""

    sender: _Names = Field((), description="The first From: addresses, and `@example.com` for all of a domain.")
    recipient_domain: _Names = Field(
        (), description="Of a recipient: `example.org`, or `*.example.org` for all below it."
    )
    tag: _Names = Field((), description="A tag of the message.")
    metadata: Mapping[str, _Names] = Field({}, description='Metadata of the message: `{ tenant = "acme" }`.')
    min_bytes: int | None = Field(None, ge=0, description="The whole mail has about so many octets, or more.")
    max_bytes: int | None = Field(None, ge=0, description="Or fewer, or as many.")
    when: Callable[[Mail], bool] | None = Field(None, description="A function of the `Mail`; in code alone.")
    backend: Annotated[tuple[str | InstanceOf[SecretURL] | InstanceOf[Backend], ...], BeforeValidator(_several)] = (
        Field((), description="By which it goes: a URL, a `Backend`, or several.")
    )
    mailer: _Names = Field((), description="Or the backend of a named mailer of the settings, or of several.")
    sticky: str = Field(
        "mail",
        description="Of several, the same one for each `mail`, `sender`, `recipient`, `domain` or `metadata.tenant`.",
    )
    _senders: frozenset[str] = PrivateAttr(frozenset())
    _domains: frozenset[str] = PrivateAttr(frozenset())

    @field_validator("backend", mode="after")
    @classmethod
    def _masked(cls, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(SecretURL.of_setting(one) if isinstance(one, str) else one for one in given)

    @model_validator(mode="after")
    def _read(self) -> Route:
        if not (self.backend or self.mailer):
            raise ValueError("give backend or mailer: by which it goes")
        key = self.sticky.removeprefix(_METADATA)
        if self.sticky not in _STICKY and (not key or key == self.sticky):
            raise ValueError(f"sticky must be one of {', '.join(_STICKY)}, or metadata.KEY")
        self._senders = frozenset(
            [f"@{_address(f'x{one}', 'sender').key[1]}" if one.startswith("@") else _plain(one) for one in self.sender]
        )
        self._domains = frozenset(
            [
                one[: -len(one.removeprefix("*."))] + _address(f"x@{one.removeprefix('*.')}", "recipient_domain").key[1]
                for one in self.recipient_domain
            ]
        )
        return self

    def fits(self, mail: Mail) -> bool:
        """Whether it is about this mail, but for its recipients."""
        size, author = mail.content.about_bytes, mail.author
        tags = () if mail.message is None else mail.message.tags
        metadata = {} if mail.message is None else mail.message.metadata
        senders = () if author is None else (author.ascii.lower(), f"@{author.key[1]}")
        return (
            (not self._senders or not self._senders.isdisjoint(senders))
            and (not self.tag or not set(self.tag).isdisjoint(tags))
            and all([key in metadata and str(metadata[key]) in values for key, values in self.metadata.items()])
            and (self.min_bytes is None or size >= self.min_bytes)
            and (self.max_bytes is None or size <= self.max_bytes)
            and (self.when is None or bool(self.when(mail)))
        )

    def fits_recipient(self, address: Address) -> bool:
        """Whether it is about this recipient of a mail that it is about."""
        if not self._domains:
            return True
        domain = address.key[1]
        labels = domain.split(".")
        return domain in self._domains or any(
            [f"*.{'.'.join(labels[start:])}" in self._domains for start in range(1, len(labels))]
        )

    def stuck_to(self, mail: Mail, address: Address) -> str:
        """For what the choice among several is the same every time."""
        if self.sticky == "sender":
            return "" if mail.author is None else mail.author.ascii.lower()
        if self.sticky == "recipient":
            return address.ascii.lower()
        if self.sticky == "domain":
            return address.key[1]
        if self.sticky == "mail":
            return mail.id
        metadata = {} if mail.message is None else mail.message.metadata
        return str(metadata.get(self.sticky.removeprefix(_METADATA), ""))


def _address(text: str, setting: str) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise ValueError(f"{setting}: {error}") from None


def _plain(text: str) -> str:
    return _address(text, "sender").ascii.lower()


class RouterSettings(PluginSettings):
    """Settings of ``router``."""

    rules: tuple[Route, ...] = Field(description="The rules, tables; the first that fits counts.")

    @model_validator(mode="after")
    def _read(self) -> RouterSettings:
        if not self.rules:
            raise ValueError("rules: there are none")
        return self


class Router(Plugin[RouterSettings]):
    """Chooses the backend of each mail. What no rule is about goes by the mailer's own.

    An object that names backends is for mailers of one kind, blocking or async.
    """

    name = "router"

    def register(self, hooks: Hooks) -> None:
        """Choose before others wrap."""
        self._split = Wrapped(lambda inner: RoutingBackend(inner, self))
        hooks.add_filter("backend", self.route, _PRIORITY)
        hooks.add_filter(ONE_EACH, self.route)  # a merge's recipients may go by several, which may not merge

    @cached_property
    def _targets(self) -> list[list[_Target]]:
        """Of each rule; one for all mailers that have this plug-in."""
        return [[_Target(one) for one in (*rule.backend, *rule.mailer)] for rule in self.settings.rules]

    def route(self, backend: Backend, context: Context) -> Backend:
        """The backend that carries it to all its recipients; or one that parts it."""
        mail = context.mail
        assert mail is not None  # noqa: S101 - for type checkers: the hook's context has it
        chosen = self.shares(mail, backend, context.mailer)
        if len(chosen) == 1:
            return chosen[0][0]
        split = self._split.of(backend)
        split.mailer = context.mailer
        return split

    def shares(self, mail: Mail, otherwise: Backend, mailer: Any) -> list[tuple[Backend, list[Address]]]:
        """Who carries it to whom, in the order of the recipients."""
        fitting = [(index, rule) for index, rule in enumerate(self.settings.rules) if rule.fits(mail)]
        shares: dict[int, tuple[Backend, list[Address]]] = {}
        for address in mail.envelope.recipients:
            found = next(((index, rule) for index, rule in fitting if rule.fits_recipient(address)), None)
            backend = otherwise if found is None else self._chosen(*found, mail, address).backend(mailer)
            shares.setdefault(id(backend), (backend, []))[1].append(address)
        return list(shares.values())

    def _chosen(self, index: int, rule: Route, mail: Mail, address: Address) -> _Target:
        """One of the rule's targets: the one of the highest hash, so that each keeps its own when others come."""
        targets = self._targets[index]
        if len(targets) == 1:
            return targets[0]
        key = rule.stuck_to(mail, address)
        return max(targets, key=lambda one: hashlib.blake2b(f"{key}\0{one.name}".encode(), digest_size=8).digest())

    async def close(self) -> None:
        """Close the backends that were used."""
        for target in itertools.chain.from_iterable(self._targets):
            await target.close()


class _Target:
    """Where a rule sends to; its backend is made when it is first used."""

    def __init__(self, given: SecretURL | Backend | str) -> None:
        self.name = str(given)
        self._given = given
        self._backend = given if isinstance(given, Backend) else None
        self._lock = Lock()

    def backend(self, mailer: Any) -> Backend:
        with self._lock:
            if self._backend is None:
                given = self._given
                self._backend = given.backend() if isinstance(given, SecretURL) else _backend_of(mailer, self.name)
            return self._backend

    async def close(self) -> None:
        if self._backend is not None and hasattr(self._backend, "runtime"):
            await called(self._backend.runtime, self._backend.close)


def _backend_of(mailer: Any, name: str) -> Backend:
    """That of a named mailer of the same settings."""
    if mailer.settings is None:
        raise ConfigError(f"router: there is no mailer {name!r}: this one was made of a URL, and not of settings")
    chosen = mailer.settings.of(name)
    backend: Backend = chosen.url.backend()
    if backend.wants_tokens and chosen.tokens is not None:
        backend.use_tokens(chosen.tokens)
    return backend


class RoutingBackend(WrappingBackend):
    """Parts a mail whose recipients go several ways."""

    def __init__(self, inner: Backend, router: Router) -> None:
        super().__init__(inner)
        self._router = router
        self.mailer: Any = None

    @property
    def url(self) -> str:  # type: ignore[override]  # what it is made of
        """As a group of this name."""
        return f"router({self.inner})"

    async def plan(self, mails: Sequence[Mail]) -> list[Plan]:
        """Each recipient's own way."""
        plans = []
        for mail in mails:
            try:
                shares = self._router.shares(mail, self.inner, self.mailer)
            except MailerError:
                raise
            except Exception as error:
                raise ConfigError(f"a rule of router raised {type(error).__name__}: nothing is sent") from error
            for backend, _ in shares:
                if backend is not self.inner:
                    backend.attach(self.runtime, self.unsupported)
            plans.append(Plan(shares=[(backend, part_of(mail, to)) for backend, to in shares]))
        return plans

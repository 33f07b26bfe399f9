"""Backends that stand before another: they say for each recipient who carries the mail, or what becomes of it at once.

A subclass writes ``plan`` alone. What is common is here: mails keep together, each recipient has one outcome, and what
was known is told when a send is cut short.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from ..address import Address
from ..clock import utc_now
from ..errors import ConfigError, MailerError, Outcome, UnsupportedFeature
from ..features import Features, Unsupported
from ..mail import Mail
from ..receipt import Attempt, Receipt, RecipientResult
from ..redaction import words_of
from ..runtime import Lock
from ..tally import Tally
from ..verdict import Scope
from .base import Backend, Health, called, carry_many, examine

if TYPE_CHECKING:
    from ..runtime import Runtime

__all__ = ["Plan", "Wrapped", "WrappingBackend", "part_of", "put_off"]

#: Wrapping backends that are kept for the backends they stand before: as many as mailers hardly have.
_MOST_KEPT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to become of one mail. Whom it does not name is DEFERRED.

    Attributes:
        results: Of recipients to whom nothing is sent.
        shares: Who carries the mail, and to whom; the mail itself where it is another than was given.
        uncarried: Of recipients to whom the mail cannot be carried by the share's backend. Else that is an error, or,
            where others got it, they are REJECTED.
        notes: What the receipt is to say beside.
        skipped: Why nothing is sent at all, if it is no failure; then the results are those of another mail.
    """

    results: Sequence[RecipientResult] = ()
    shares: Sequence[tuple[Backend, Mail]] = ()
    uncarried: Sequence[RecipientResult] = ()
    notes: Sequence[str] = ()
    skipped: str | None = None


class WrappingBackend(Backend):
    """Stands before a backend, and looks as it does. Subclass it and write ``plan``.

    Attributes:
        inner: What carries mails as a rule.
    """

    is_group = True  # the attempts are the inner one's
    passes_on = True

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.features = replace(Features.everything(), merge=inner.features.merge)
        self.batch_size = inner.batch_size
        self._cut_short: dict[str, Receipt] = {}

    @property
    def url(self) -> str:  # type: ignore[override]  # the inner one's, as it is
        """The inner one's."""
        return str(self.inner)

    @property
    def rewrites(self) -> frozenset[str]:
        """What the inner one does."""
        return self.inner.rewrites

    def attach(self, runtime: Runtime, unsupported: Unsupported = "default") -> None:
        """Bind both."""
        super().attach(runtime, unsupported)
        self.inner.attach(runtime, unsupported)

    async def plan(self, mails: Sequence[Mail]) -> Sequence[Plan]:
        """A plan for each of these mails, in their order. May wait.

        Raises:
            Exception: Whatever it is, nobody is sent to: all are DEFERRED.
        """
        raise NotImplementedError(f"{type(self).__name__} has no plan")

    async def learn(
        self, backend: Backend, mails: Sequence[Mail], said: Sequence[Receipt | UnsupportedFeature]
    ) -> None:
        """Told what became of the mails that a backend carried. Must not raise."""

    async def send(self, mail: Mail) -> Receipt:
        """Carry the mail as planned."""
        [said] = await self.send_many([mail])
        if isinstance(said, UnsupportedFeature):
            raise said
        return said

    async def send_many(self, mails: Sequence[Mail]) -> list[Receipt | UnsupportedFeature]:
        """The same for several, which keep together where they are carried by one."""
        said: list[Receipt | UnsupportedFeature] = []
        try:
            async with contextlib.aclosing(self.stages(mails)) as stages:
                async for going, plans in stages:
                    said += await self._carry_out(going, plans)
        except MailerError as error:
            said += [put_off(mail, str(self), error) for mail in mails[len(said) :]]
        except BaseException:
            self._cut_short |= {receipt.id: receipt for receipt in said if isinstance(receipt, Receipt)}
            raise
        return said

    async def stages(self, mails: Sequence[Mail]) -> AsyncGenerator[tuple[Sequence[Mail], Sequence[Plan]], None]:
        """All of these mails in their order, with their plans: those together that may go at once.

        What one stage became is known, to ``learn``, before the next is asked for. Raises as :meth:`plan`.
        """
        try:
            plans = await self.plan(mails)
        except MailerError:
            raise
        except Exception as error:  # before anybody was sent to: that is no unknown outcome
            raise ConfigError(f"{type(self).__name__}: its plan raised {words_of(error)}: nothing is sent") from error
        yield mails, plans

    async def _carry_out(self, mails: Sequence[Mail], plans: Sequence[Plan]) -> list[Receipt | UnsupportedFeature]:
        carrying = _Carrying(str(self.inner))
        for mail, plan in zip(mails, plans, strict=True):
            carrying.begin(mail, plan)
        try:
            for backend, parts in carrying.jobs.values():
                await self._carry(backend, parts, carrying)
        except BaseException:
            self._cut_short |= {tally.mail.id: tally.receipt() for tally in carrying.tallies}
            raise
        return [carrying.said(tally) for tally in carrying.tallies]

    async def _carry(self, backend: Backend, parts: list[tuple[Tally, Mail]], carrying: _Carrying) -> None:
        mails = [mail for _, mail in parts]
        try:
            said = await carry_many(backend, mails)
        except BaseException:
            for tally, mail in parts:
                tally.add(backend.settled(mail))
            raise
        for (tally, mail), receipt in zip(parts, said, strict=True):
            carrying.end(tally, mail, receipt)
        await self.learn(backend, mails, said)

    def settled(self, mail: Mail) -> Receipt:
        """What was known of it when it was cut short; before there was a plan nobody had it."""
        known = self._cut_short.pop(mail.id, None)
        return known or Receipt.for_all(mail, Outcome.DEFERRED, text="cut short", backend=str(self))

    async def check(self) -> Health:
        """The inner one's."""
        return await examine(self.inner)

    async def close(self) -> None:
        """Close the inner one, which its mailer may do too."""
        await called(self.runtime, self.inner.close)


class _Carrying:
    """Several mails on their way by several backends.

    Attributes:
        jobs: What each backend is to carry, by its identity.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._unsupported: dict[Tally, UnsupportedFeature] = {}
        self._uncarried: dict[Tally, Sequence[RecipientResult]] = {}
        self._carried: set[Tally] = set()
        self.tallies: list[Tally] = []
        self.jobs: dict[int, tuple[Backend, list[tuple[Tally, Mail]]]] = {}

    def begin(self, mail: Mail, plan: Plan) -> None:
        tally = Tally(mail)
        self.tallies.append(tally)
        tally.notes += plan.notes
        self._uncarried[tally] = plan.uncarried
        if plan.results or plan.skipped is not None:
            tally.add(Receipt(mail.id, self._name, tuple(plan.results), skipped=plan.skipped))
        for backend, part in plan.shares:
            self.jobs.setdefault(id(backend), (backend, []))[1].append((tally, part))

    def end(self, tally: Tally, mail: Mail, said: Receipt | UnsupportedFeature) -> None:
        if isinstance(said, UnsupportedFeature):
            keys = {address.key for address in mail.envelope.recipients}
            instead = tuple([result for result in self._uncarried[tally] if result.address.key in keys])
            if len(instead) < len(keys):
                self._unsupported[tally] = said
                tally.add(Receipt.for_all(mail, Outcome.REJECTED, text=str(said), scope=Scope.MESSAGE))
                return
            said = Receipt(mail.id, self._name, instead)
        self._carried.add(tally)
        tally.add(said)

    def said(self, tally: Tally) -> Receipt | UnsupportedFeature:
        if tally in self._unsupported and tally not in self._carried:
            return self._unsupported[tally]
        return tally.receipt()


def put_off(mail: Mail, backend: str, error: MailerError) -> Receipt:
    """A receipt for a mail that nobody was sent, for want of an answer about it; it says so as an attempt."""
    deferred = Receipt.for_all(mail, Outcome.DEFERRED, text=str(error), scope=Scope.ACCOUNT)
    outcomes = {Outcome.DEFERRED: len(deferred.results)}
    return deferred.with_(attempts=(Attempt(backend, utc_now(), 0.0, outcomes, error),))


def part_of(mail: Mail, recipients: Sequence[Address]) -> Mail:
    """The mail to some of its recipients, at least one; itself if it is all of them."""
    if len(recipients) == len(mail.envelope.recipients):
        return mail
    return mail.with_(envelope=mail.envelope.for_recipients(recipients))


W = TypeVar("W", bound=Backend)


class Wrapped(Generic[W]):
    """The wrapping backends of a plug-in: the same one for the same backend, so that its mails keep together."""

    def __init__(self, make: Callable[[Backend], W]) -> None:
        self._make = make
        self._made: OrderedDict[int, tuple[Backend, W]] = OrderedDict()
        self._lock = Lock()

    def of(self, inner: Backend) -> W:
        """The one that stands before this backend."""
        with self._lock:
            found = self._made.get(id(inner))
            if found is None:  # what is kept holds its backend, so that no other has its id
                found = self._made[id(inner)] = (inner, self._make(inner))
                if len(self._made) > _MOST_KEPT:
                    self._made.popitem(last=False)
            return found[1]

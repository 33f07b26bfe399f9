"""A backend that first asks a suppression list: whoever stands on it is refused, and the others are carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..address import Address
from ..errors import ConfigError, MailerError, Outcome, UnsupportedFeature
from ..features import Features, Unsupported
from ..mail import Mail
from ..receipt import Attempt, Receipt, RecipientResult
from ..suppression import Key, Suppressed, SuppressionList, key_of
from ..tally import Tally
from ..verdict import Scope
from .base import Backend, Health, called, carry_many, examine

if TYPE_CHECKING:
    from ..runtime import Runtime

__all__ = ["SuppressingBackend"]


class SuppressingBackend(Backend):
    """Wraps a backend. Who is suppressed is REJECTED with the reason, and nothing is sent there.

    A list that cannot be asked lets nothing through: everyone is DEFERRED.

    Attributes:
        inner: What carries the rest.
    """

    is_group = True  # the attempts are the inner one's

    def __init__(self, inner: Backend, suppressed: SuppressionList) -> None:
        self.inner = inner
        self._list = suppressed
        self.features = replace(Features.everything(), merge=inner.features.merge)
        self.batch_size = inner.batch_size
        self._cut_short: dict[str, Receipt] = {}

    @property
    def url(self) -> str:  # type: ignore[override]  # the inner one's, as it is
        """The inner one's."""
        return str(self.inner)

    def attach(self, runtime: Runtime, unsupported: Unsupported = "default") -> None:
        """Bind both."""
        super().attach(runtime, unsupported)
        self.inner.attach(runtime, unsupported)

    async def send(self, mail: Mail) -> Receipt:
        """Carry the mail to those who are not on the list."""
        [said] = await self.send_many([mail])
        if isinstance(said, UnsupportedFeature):
            raise said
        return said

    async def send_many(self, mails: Sequence[Mail]) -> list[Receipt | UnsupportedFeature]:
        """The same for several, after one question for all of them."""
        try:
            entries = await self._among([address for mail in mails for address in mail.envelope.recipients])
        except MailerError as error:
            return [_put_off(mail, str(self), error) for mail in mails]
        tallies = [Tally(mail) for mail in mails]
        parts: list[tuple[Tally, Mail]] = []
        for tally in tallies:
            recipients = tally.mail.envelope.recipients
            refused = [_refused(address, entries[key]) for address in recipients if (key := key_of(address)) in entries]
            if refused:
                tally.add(Receipt(tally.mail.id, str(self.inner), tuple(refused)))
            part = tally.mail_to([address for address in recipients if key_of(address) not in entries])
            if part is not None:
                parts.append((tally, part))
        unsupported: dict[Tally, UnsupportedFeature] = {}
        try:
            said = await carry_many(self.inner, [part for _, part in parts])
        except BaseException:
            for tally, part in parts:
                tally.add(self.inner.settled(part))
                self._cut_short[tally.mail.id] = tally.receipt()
            raise
        for (tally, _), receipt in zip(parts, said, strict=True):
            if isinstance(receipt, UnsupportedFeature):
                unsupported[tally] = receipt
            else:
                tally.add(receipt)
        return [unsupported.get(tally) or tally.receipt() for tally in tallies]

    async def _among(self, addresses: Sequence[Address]) -> dict[Key, Suppressed]:
        try:
            found: Sequence[Suppressed] = await called(self.runtime, self._list.among, addresses)
            return {key_of(entry.address): entry for entry in found}
        except MailerError:
            raise
        except Exception as error:
            raise ConfigError(f"the suppression list raised {type(error).__name__}: nothing is sent") from error

    def settled(self, mail: Mail) -> Receipt:
        """What was known of it when it was cut short; before the list had answered nobody had it."""
        known = self._cut_short.pop(mail.id, None)
        return known or Receipt.for_all(mail, Outcome.DEFERRED, text="cut short", backend=str(self))

    async def check(self) -> Health:
        """The inner one's, and whether the list answers."""
        health = await examine(self.inner)
        await self._among([])
        return health


def _put_off(mail: Mail, backend: str, error: MailerError) -> Receipt:
    """Nobody was sent to: it was tried as far as the list."""
    put_off = Receipt.for_all(mail, Outcome.DEFERRED, text=str(error), scope=Scope.ACCOUNT)
    outcomes = {Outcome.DEFERRED: len(put_off.results)}
    return put_off.with_(attempts=(Attempt(backend, datetime.now(UTC), 0.0, outcomes, error),))


def _refused(address: Address, entry: Suppressed) -> RecipientResult:
    return RecipientResult(address, Outcome.REJECTED, text=f"suppressed: {entry.why}", scope=Scope.RECIPIENT)

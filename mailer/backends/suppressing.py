"""A backend that first asks a suppression list: whoever stands on it is refused, and the others are carried."""

from __future__ import annotations

from collections.abc import Sequence

from ..address import Address
from ..errors import ConfigError, MailerError, Outcome
from ..mail import Mail
from ..receipt import RecipientResult
from ..suppression import Key, Suppressed, SuppressionList, key_of
from ..verdict import Scope
from .base import Backend, Health, called
from .wrapping import Plan, WrappingBackend, part_of

__all__ = ["SuppressingBackend"]


class SuppressingBackend(WrappingBackend):
    """Wraps a backend. Who is suppressed is REJECTED with the reason, and nothing is sent there.

    A list that cannot be asked lets nothing through: everyone is DEFERRED.
    """

    def __init__(self, inner: Backend, suppressed: SuppressionList) -> None:
        super().__init__(inner)
        self._list = suppressed

    async def plan(self, mails: Sequence[Mail]) -> list[Plan]:
        """One question for all of them."""
        entries = await self._among([address for mail in mails for address in mail.envelope.recipients])
        plans = []
        for mail in mails:
            recipients = mail.envelope.recipients
            refused = [_refused(address, entries[key]) for address in recipients if (key := key_of(address)) in entries]
            left = [address for address in recipients if key_of(address) not in entries]
            plans.append(Plan(results=refused, shares=[(self.inner, part_of(mail, left))] if left else ()))
        return plans

    async def _among(self, addresses: Sequence[Address]) -> dict[Key, Suppressed]:
        try:
            found: Sequence[Suppressed] = await called(self.runtime, self._list.among, addresses)
            return {key_of(entry.address): entry for entry in found}
        except MailerError:
            raise
        except Exception as error:
            raise ConfigError(f"the suppression list raised {type(error).__name__}: nothing is sent") from error

    async def check(self) -> Health:
        """The inner one's, and whether the list answers."""
        health = await super().check()
        await self._among([])
        return health


def _refused(address: Address, entry: Suppressed) -> RecipientResult:
    return RecipientResult(address, Outcome.REJECTED, text=f"suppressed: {entry.why}", scope=Scope.RECIPIENT)

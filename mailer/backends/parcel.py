"""The parcel: a mail on its way to a provider, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MailerError, Outcome
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..relay.provider import Provider
from ..verdict import Scope, Verdict

__all__ = ["Parcel"]


@dataclass(slots=True)
class Parcel:
    """One mail on its way.

    Attributes:
        mail: As it was given.
        part: It, for whom the provider can reach; None if that is nobody.
        unreachable: The others' results.
        receipt: The part's, once it is known.
    """

    mail: Mail
    part: Mail | None
    unreachable: tuple[RecipientResult, ...] = ()
    receipt: Receipt | None = None

    @classmethod
    def of(cls, mail: Mail, provider: Provider) -> Parcel:
        """The mail, parted by whom the provider can reach: the others are REJECTED."""
        recipients = mail.envelope.recipients
        reached = [address for address in recipients if provider.takes(address)]
        if len(reached) == len(recipients):
            return cls(mail, mail)
        text = f"{provider.name} takes no address whose local part is not ASCII"
        refused = tuple(
            RecipientResult(address, Outcome.REJECTED, enhanced_code="5.6.7", text=text, scope=Scope.RECIPIENT)
            for address in recipients
            if not provider.takes(address)
        )
        return cls(mail, mail.with_(envelope=mail.envelope.for_recipients(reached)) if reached else None, refused)

    def settle(
        self, verdict: Verdict, text: str, error: MailerError | None = None, *, retry_after_s: float | None = None
    ) -> None:
        """The same for everyone, if it is not settled yet."""
        if self.receipt is None and self.part is not None:
            receipt = Receipt.for_all(
                self.part, verdict.outcome, text=text, scope=verdict.scope, retry_after_s=retry_after_s
            )
            self.receipt = receipt.with_(error=error)

    def whole(self) -> Receipt:
        """The receipt of the mail, once it is settled."""
        if self.receipt is None:
            return Receipt(id=self.mail.id, results=self.unreachable)
        return self.receipt.with_(results=(*self.receipt.results, *self.unreachable))

    @property
    def is_refused(self) -> bool:
        """Whether it is REJECTED for everyone who was asked about."""
        results = self.receipt.results if self.receipt is not None else ()
        return bool(results) and all(result.outcome is Outcome.REJECTED for result in results)

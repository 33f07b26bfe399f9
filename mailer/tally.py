"""The tally: what became of one mail over several tries, by one backend or by several."""

from __future__ import annotations

from collections.abc import Sequence

from .address import Address
from .errors import Outcome
from .mail import Mail
from .receipt import Receipt, RecipientResult

__all__ = ["Tally"]


class Tally:
    """The receipts of one mail's tries, and what they come to: the latest result for each recipient.

    Attributes:
        mail: The whole mail.
        receipts: One for each try, oldest first, about those recipients that were tried.
        notes: What else the receipt is to say, a line each.
    """

    def __init__(self, mail: Mail, *receipts: Receipt | None) -> None:
        self.mail = mail
        self.receipts = [receipt for receipt in receipts if receipt is not None]
        self.notes: list[str] = []

    def add(self, receipt: Receipt) -> None:
        """Count a try."""
        self.receipts.append(receipt)

    def latest(self, untried: str = "cut short") -> tuple[RecipientResult, ...]:
        """The last answer for each recipient of the mail, in its order: what decides about trying again.

        Args:
            untried: The text for recipients without one; they are DEFERRED.
        """
        if self._is_one():
            return self.receipts[0].results
        last = {result.address.key: result for receipt in self.receipts for result in receipt.results}
        return tuple(
            last.get(address.key) or RecipientResult(address, Outcome.DEFERRED, text=untried)
            for address in self.mail.envelope.recipients
        )

    def results(self, untried: str = "cut short") -> tuple[RecipientResult, ...]:
        """What it comes to for each recipient: the last answer; but UNKNOWN, once said, only gives way to ACCEPTED."""
        if self._is_one():
            return self.receipts[0].results
        # Sent again after UNKNOWN and then deferred or refused: the first copy may still have arrived.
        unknown = {result.address.key: result for receipt in self.receipts for result in receipt.unknown}
        return tuple(
            result if result.outcome is Outcome.ACCEPTED else unknown.get(result.address.key, result)
            for result in self.latest(untried)
        )

    def _is_one(self) -> bool:
        return len(self.receipts) == 1 and len(self.receipts[0].results) == len(self.mail.envelope.recipients)

    def mail_to(self, recipients: Sequence[Address]) -> Mail | None:
        """The same mail for some of its recipients only, in its order; None if there are none."""
        if len(recipients) == len(self.mail.envelope.recipients):
            return self.mail
        return self.mail.with_(envelope=self.mail.envelope.for_recipients(recipients)) if recipients else None

    def receipt(self, untried: str = "cut short") -> Receipt:
        """The receipt of it all; ``untried`` as in :meth:`results`."""
        carried = [receipt for receipt in self.receipts if receipt.accepted] or self.receipts[:1]
        reasons = [receipt.skipped for receipt in self.receipts if receipt.skipped is not None]
        was_sent = any([receipt.skipped is None and receipt.accepted for receipt in self.receipts])
        return Receipt(
            id=self.mail.id,
            backend=carried[-1].backend if carried else "",
            results=self.results(untried),
            attempts=tuple(attempt for receipt in self.receipts for attempt in receipt.attempts),
            notes=tuple(dict.fromkeys([*self.notes, *(note for receipt in self.receipts for note in receipt.notes)])),
            skipped=reasons[-1] if reasons and not was_sent else None,
        )

"""``message.anymail_status``, for code that reads what django-anymail says of a message that was sent."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...errors import Outcome
from .anymail_signals import tell

if TYPE_CHECKING:
    from ...backends.base import Backend
    from ...receipt import Receipt, RecipientResult
    from ...relay.provider import Provider

__all__ = ["AnymailStatus", "RecipientStatus", "note", "provider_of"]

_WORD_OF = {
    Outcome.ACCEPTED: "queued",
    Outcome.DEFERRED: "failed",
    Outcome.REJECTED: "rejected",
    Outcome.UNKNOWN: "unknown",
}
# Providers that send before they answer, as django-anymail has it; Mandrill says for each recipient.
_SENT = frozenset({"postmark", "mailjet"})
_SAID = frozenset({"sent", "queued", "rejected", "invalid"})


def provider_of(backend: Backend) -> Provider | None:
    """The relay that a backend goes by, also behind wrappings and in a group whose members are all of one kind."""
    inner = getattr(backend, "inner", None)
    if inner is not None:
        return provider_of(inner)
    found = [provider_of(member) for member in getattr(backend, "members", ())] or [getattr(backend, "provider", None)]
    return found[0] if len({provider and provider.name for provider in found}) == 1 else None


class RecipientStatus:
    """What became of one recipient.

    Attributes:
        message_id: The provider's id of the mail, or None.
        status: "sent", "queued", "invalid", "rejected", "failed" or "unknown".
    """

    __slots__ = ("message_id", "status")

    def __init__(self, result: RecipientResult, provider: str) -> None:
        self.message_id = result.provider_id
        said = result.text.partition(":")[0] if provider == "mandrill" else ""
        is_sent = result.outcome is Outcome.ACCEPTED and provider in _SENT
        self.status = said if said in _SAID else "sent" if is_sent else _WORD_OF[result.outcome]

    def __repr__(self) -> str:
        return f"<RecipientStatus {self.status} {self.message_id}>"


class AnymailStatus:
    """A receipt in django-anymail's words.

    Attributes:
        esp_response: The receipt itself.
    """

    def __init__(self, receipt: Receipt, provider: Provider | None) -> None:
        self.esp_response = receipt
        self._provider = "" if provider is None else provider.name

    @cached_property
    def recipients(self) -> dict[str, RecipientStatus]:
        """Address without name -> what became of it."""
        return {
            result.address.addr_spec: RecipientStatus(result, self._provider) for result in self.esp_response.results
        }

    @property
    def message_id(self) -> str | set[str | None] | None:
        """The provider's id; a set if there are several."""
        ids = {its.message_id for its in self.recipients.values()}
        return ids if len(ids) > 1 else next(iter(ids), None)

    @property
    def status(self) -> set[str] | None:
        """All that recipients have; None where the message became no mail."""
        return {its.status for its in self.recipients.values()} or None

    def __repr__(self) -> str:
        return f"<AnymailStatus {', '.join(sorted(self.status or ()))}: {len(self.recipients)} recipients>"


def note(message: Any, receipt: Receipt, provider: Provider | None) -> None:
    """Leave what became of a Django message on it, and tell the receivers of Anymail's ``post_send``."""
    message.mailer_receipt = receipt
    message.anymail_status = AnymailStatus(receipt, provider)
    tell(message, provider)

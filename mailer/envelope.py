"""The envelope: who the mail is from and for, as SMTP's MAIL and RCPT say it (RFC 5321 section 2.3.1)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .address import Address
from .errors import MessageError
from .field import reads_json, several
from .twin import twin_of

if TYPE_CHECKING:
    from .message import Message

__all__ = ["NULL_SENDER", "Envelope", "NullSender"]


class NullSender(enum.Enum):
    """The type of :data:`NULL_SENDER`."""

    NULL_SENDER = "<>"


#: Asks for the null reverse-path, ``MAIL FROM:<>``: mail that must not bounce (RFC 5321 section 4.5.5).
NULL_SENDER: Final = NullSender.NULL_SENDER


@dataclass(frozen=True, slots=True, init=False)
class Envelope:
    """Sender and recipients, apart from what the headers say.

    Attributes:
        sender: The reverse-path; None is the null sender ``<>``.
        recipients: At least one, in the order given; each mailbox once (local parts compare by case, domains do not).
    """

    sender: Address | None
    recipients: tuple[Address, ...]

    def __init__(self, sender: Address | str | None, recipients: Address | str | Iterable[Address | str]) -> None:
        if isinstance(recipients, (str, Address)):
            recipients = (recipients,)
        given = recipients if type(recipients) is tuple else several(recipients, "recipients")
        checked = [item if type(item) is Address else Address.of(item, field="recipients") for item in given]
        if not checked:
            raise MessageError("there is no recipient", field="to")
        if len(checked) > 1:
            unique: dict[tuple[str, str], Address] = {}
            for address in checked:
                unique.setdefault(address.key, address)
            checked = list(unique.values())
        if sender is not None and type(sender) is not Address:
            sender = Address.of(sender, field="sender")
        object.__setattr__(self, "sender", sender)
        object.__setattr__(self, "recipients", tuple(checked))

    @classmethod
    def of(cls, message: Message, recipients: Iterable[Address] | None = None) -> Envelope:
        """The envelope of a message: ``return_path``, else ``sender``, else the first From; To, Cc and Bcc.

        Args:
            message: With a From, unless it has another of these.
            recipients: In the place of To, Cc and Bcc.

        Raises:
            MessageError: No recipient, or no address to send from.
        """
        sender = message.return_path or message.sender or (message.from_[0] if message.from_ else None)
        if sender is None:
            raise MessageError(
                "nobody sends it: give Message(from_=...), Mailer(from_=...) or MAILER_FROM", field="from_"
            )
        reverse_path = None if sender is NULL_SENDER else sender
        own = message.to + message.cc + message.bcc
        if recipients is not None or len(own) != 1 or cls is not Envelope:
            return cls(reverse_path, own if recipients is None else recipients)
        envelope = _Twin()  # of what the message has checked
        envelope.sender, envelope.recipients = reverse_path, own
        envelope.__class__ = Envelope
        return envelope  # type: ignore[no-any-return]  # it has become one

    def for_recipients(self, recipients: Iterable[Address]) -> Envelope:
        """The same sender, with only these recipients."""
        return Envelope(self.sender, recipients)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; the null sender is null."""
        return {
            "sender": self.sender.to_dict() if self.sender else None,
            "recipients": [r.to_dict() for r in self.recipients],
        }

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> Envelope:
        """Read back what :meth:`to_dict` gave; unknown keys are ignored, wrong values raise :class:`MessageError`."""
        sender = data.get("sender")
        return cls(
            Address.from_dict(sender) if sender is not None else None,
            [Address.from_dict(r) for r in data.get("recipients", ())],
        )


_Twin = twin_of(Envelope)

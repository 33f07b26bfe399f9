"""Every exception that leaves the library, and the four outcomes.

The class says what happened; the :class:`Outcome` on the receipt says what to do.

::

    MailerError
    |-- ConfigError                 a URL, setting or account is wrong; nothing was sent
    |-- MessageError                the message cannot be built, composed or carried; .field names the culprit
    |   |-- AddressError            not an address, or one that may not stand here
    |   |-- HeaderError             a header name or value that RFC 5322 forbids
    |   |-- TemplateError           a template is missing or cannot be rendered
    |   `-- UnsupportedFeature      this backend cannot carry what the message asks for
    |-- HookError                   a filter failed, or returned what it must not
    |-- DeliveryError               nobody accepted the mail; .receipt has every recipient
    |   |-- DeliveryUnknown         it was transferred, the answer never came: it may have arrived
    |   |-- DeliveryDeferred        not now: trying again later can succeed
    |   `-- DeliveryRefused         never: the answer was permanent
    |-- TransportError              the connection failed
    |   |-- ConnectError            no connection could be made
    |   |-- TlsError                TLS is required and could not be had, or did not verify
    |   `-- DeadlineExceeded        the time allowed for a step or for the whole call ran out
    |-- ProtocolError               the peer broke the protocol
    |-- AuthError                   credentials were refused, ours by a server or a webhook call's by us
    `-- OutboxError                 the outbox could not store or find a job
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .receipt import Receipt

__all__ = [
    "AddressError",
    "AuthError",
    "ConfigError",
    "ConnectError",
    "DeadlineExceeded",
    "DeliveryDeferred",
    "DeliveryError",
    "DeliveryRefused",
    "DeliveryUnknown",
    "HeaderError",
    "HookError",
    "MailerError",
    "MessageError",
    "Outcome",
    "OutboxError",
    "ProtocolError",
    "TemplateError",
    "TlsError",
    "TransportError",
    "UnsupportedFeature",
]


class Outcome(enum.Enum):
    """What became of the mail for one recipient."""

    __hash__ = object.__hash__  # as equality: by identity. Enum's own is Python code, and outcomes are counted a lot

    ACCEPTED = "accepted"
    """The next hop took responsibility (SMTP: 2xx to the final dot; a provider: its acceptance)."""
    DEFERRED = "deferred"
    """Not taken; trying again later can succeed. Settings and account errors count here: the mail is not at fault."""
    REJECTED = "rejected"
    """Refused for good: trying again cannot help."""
    UNKNOWN = "unknown"
    """The whole mail was handed over and the answer never came: it may or may not arrive."""


class MailerError(Exception):
    """The root of all errors of this library. Survives pickling with its attributes.

    Attributes:
        reply: The peer's reply that decided it (an SMTP :class:`~mailer.smtp.reply.Reply`), or None.
        lacks: The SMTP extension that was needed and is not offered ("STARTTLS", "AUTH"), or "".
        transcript: What was said until then, without secrets, if that was asked for: as on the receipt.
    """

    reply: Any = None
    lacks: str = ""
    transcript: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (type(self), self.args, self.__dict__))


def _rebuilt(cls: type[MailerError], args: tuple[object, ...], state: dict[str, object]) -> MailerError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(MailerError):
    """A URL, setting or account is wrong. The text names it and never contains a secret."""


class MessageError(MailerError):
    """The message is at fault, found before any I/O.

    Attributes:
        field: The name of the field or header at fault ("subject", "to", "X-Order"), or "" if it is the whole.
    """

    def __init__(self, text: str = "", *, field: str = "") -> None:
        super().__init__(f"{field}: {text}" if field else text)
        self.field = field


class AddressError(MessageError):
    """Not an address, or one that may not stand where it was given."""


class HeaderError(MessageError):
    """A header name or value that RFC 5322 forbids, or a header that is the library's to write."""


class TemplateError(MessageError):
    """A template is missing, wrong, or cannot be rendered with this context."""


class UnsupportedFeature(MessageError):
    """The backend cannot carry what the message asks for; nothing was sent."""


class HookError(MailerError):
    """A filter raised, or returned None, a wrong type or an unsafe value. The text names hook and owner."""


class DeliveryError(MailerError):
    """Nobody accepted the mail.

    Attributes:
        receipt: The :class:`~mailer.Receipt` with every recipient's outcome.
    """

    def __init__(self, text: str, receipt: Receipt | Mapping[str, Any]) -> None:
        if isinstance(receipt, Mapping):  # what became of one as JSON: so Celery brings an exception back
            receipt = cast("Receipt", importlib.import_module("mailer.receipt").Receipt.from_dict(receipt))
        super().__init__(text, receipt)
        self.receipt = receipt
        self.transcript = receipt.transcript

    def __str__(self) -> str:
        return str(self.args[0])


class DeliveryUnknown(DeliveryError):
    """Handed over, and the answer never came: it may have arrived. Sending again may duplicate."""


class DeliveryDeferred(DeliveryError):
    """Nobody accepted it now; trying again later can succeed."""


class DeliveryRefused(DeliveryError):
    """Every recipient was refused for good."""


class TransportError(MailerError):
    """The connection to the next hop failed."""


class ConnectError(TransportError):
    """No connection could be made: name not found, refused, unreachable."""


class TlsError(TransportError):
    """TLS is required and was not offered, was refused, or did not verify. The text names host and reason."""


class DeadlineExceeded(TransportError):
    """The time allowed for a step, or for the whole call, ran out. The text names the step."""


class ProtocolError(MailerError):
    """The peer broke the protocol; the connection was closed."""


class AuthError(MailerError):
    """The server refused the credentials, offers no mechanism we have, or they may not be sent in clear.

    Or a call to a webhook does not prove that it is from its provider.
    """


class OutboxError(MailerError):
    """The outbox could not store or find a job."""

"""Django's backend, which hands its messages to a :class:`~mailer.Mailer`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.core.mail.backends.base import BaseEmailBackend

from ...envelope import Envelope
from ...errors import ConfigError, DeliveryError, MessageError, UnsupportedFeature
from ...message import Message
from .anymail import beside_content
from .batch import send
from .mailers import mailer_of
from .message import InvalidMessageError, address_of, addresses_of, fields_of
from .status import note, provider_of

if TYPE_CHECKING:
    from ...receipt import Receipt
    from ...relay.provider import Provider

__all__ = ["EmailBackend"]


class EmailBackend(BaseEmailBackend):  # type: ignore[misc]
    """What ``EMAIL_BACKEND`` and ``MAILERS`` name. Threads may share it.

    Attributes:
        fail_silently: Leave out messages that nobody accepted, rather than raise. Wrong messages and settings raise
            all the same, as under Django's own backends.
        mailer: The mailer behind it, for its ``hooks`` and ``backend``.
    """

    def __init__(self, *, url: str | None = None, fail_silently: bool = False, **options: Any) -> None:
        """Made by Django. Opens no connection.

        Raises:
            ConfigError: There is no URL, it is wrong, or there are other options (a login stands in the URL).
        """
        # Django up to 6.0 gives username=None, password=None, and ignores what it does not know.
        given = {name: value for name, value in options.items() if value is not None}
        if given and "alias" not in given:
            raise ConfigError(f"{__package__}.EmailBackend takes url and fail_silently, not {', '.join(given)}")
        super().__init__(**given)
        self.fail_silently = fail_silently
        self.mailer = mailer_of(url)

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Send Django's messages one after the other, over one connection.

        Args:
            email_messages: Read lazily, once. Those without recipients are passed over.

        Returns:
            How many were accepted for at least one recipient.

        Raises:
            DeliveryError: Nobody accepted a message, unless ``fail_silently``; those behind it are not sent.
            InvalidMessageError: A message cannot be built.
            MailerError: As :meth:`mailer.Mailer.send`.
        """
        count = 0
        provider = provider_of(self.mailer.backend)
        for message in email_messages:
            if not message.recipients():
                continue
            try:
                note(message, self._sent(message, provider), provider)
            except DeliveryError as error:
                note(message, error.receipt, provider)
                if not self.fail_silently:
                    raise
            count += bool(message.mailer_receipt.accepted)
        return count

    def close(self) -> None:
        """Let go of the connection; the next message opens a new one."""
        self.mailer.close()

    def _sent(self, message: Any, provider: Provider | None) -> Receipt:
        try:
            fields = fields_of(message, provider)
            if fields is None:
                sender, notes = beside_content(message, provider)
                envelope = Envelope(
                    address_of(sender, "envelope_sender"), addresses_of(message.recipients(), "recipients")
                )
            else:
                ours = Message(**fields)
        except UnsupportedFeature:
            raise
        except MessageError as error:
            invalid = InvalidMessageError(str(error))
            invalid.field = error.field
            raise invalid from error
        if fields is None:
            receipt = self.mailer.send_raw(message.message().as_bytes(), envelope)
            return receipt.with_(notes=(*receipt.notes, *notes))
        return send(self.mailer, ours)

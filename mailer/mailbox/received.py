"""One mail as the embedded server took it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP

from ..envelope import Envelope

__all__ = ["ReceivedMail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMail:
    """One mail as it was taken, and the session it came by.

    Attributes:
        sender: The reverse-path without angle brackets; None for ``<>``.
        recipients: The accepted forward-paths in order, repeats kept.
        content: The mail with CRLF line ends and without doubled dots.
        parameters: Those of MAIL: keyword in upper case to value, None for a bare one.
        recipient_parameters: Those of each accepted RCPT, in the order of recipients.
        helo_name: What the client called itself.
        is_tls: It came under TLS.
        user: Who was authenticated, if anybody.
    """

    sender: str | None
    recipients: tuple[str, ...]
    content: bytes
    parameters: Mapping[str, str | None]
    recipient_parameters: tuple[Mapping[str, str | None], ...]
    helo_name: str
    is_tls: bool
    user: str | None

    @property
    def envelope(self) -> Envelope:
        """Sender and recipients as a mailer has them; AddressError if they are no addresses with a domain."""
        return Envelope(self.sender, self.recipients)

    @property
    def message(self) -> EmailMessage:
        """The content as the standard library reads it: ``mail.message["Subject"]``, ``.get_body()`` ..."""
        return BytesParser(policy=SMTP).parsebytes(self.content)

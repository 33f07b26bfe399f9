"""What stands where a mail extension has its ``smtplib.SMTP``: a mailer, which keeps its connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..envelope import Envelope
from ..errors import DeliveryError, MessageError
from .message_fields import mailbox

if TYPE_CHECKING:
    from ..address import Address
    from ..mailer import Mailer

__all__ = ["Host"]


class Host:
    """A mailer with the few methods of smtplib's that extensions call."""

    #: Reads an address, given the argument's name too.
    read: Callable[[Any, str], Address] = staticmethod(mailbox)

    def __init__(self, mailer: Mailer) -> None:
        self.mailer = mailer

    def sendmail(
        self,
        from_addr: str,
        to_addrs: str | Sequence[str],
        msg: bytes | str,
        mail_options: Sequence[str] = (),
        rcpt_options: Sequence[str] = (),
    ) -> dict[str, tuple[int, bytes]]:
        """Send ready-made mail, as ``smtplib.SMTP.sendmail`` does.

        Returns:
            Address to (code, text), for whom it was not accepted; the code is 0 where there was no answer.

        Raises:
            DeliveryError: Nobody accepted it; also an exception of smtplib's.
            MessageError: It is no mail, or there are options: those go with messages alone.
        """
        if mail_options or rcpt_options:
            raise MessageError("are for messages that the extension sends", field="mail_options")
        recipients = [to_addrs] if isinstance(to_addrs, str) else to_addrs
        envelope = Envelope(
            self.read(from_addr, "from_addr"), [self.read(one, "to_addrs") for one in recipients if one]
        )
        content = msg.encode() if isinstance(msg, str) else msg
        try:
            receipt = self.mailer.send_raw(content, envelope)
        except DeliveryError as error:
            from ..smtplib.delivery import as_smtplib  # smtplib is loaded where something went wrong

            raise as_smtplib(error, sender=str(envelope.sender)) from error.__cause__
        accepted = receipt.accepted
        return {
            one.address.addr_spec: (one.code or 0, one.text.encode()) for one in receipt.results if one not in accepted
        }

    def quit(self) -> None:
        """Nothing: the connection is kept for the next mail."""

"""What stands where Django's backend has its ``smtplib.SMTP``, while the connection itself is in the pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...envelope import Envelope
from .message import address_of, addresses_of

if TYPE_CHECKING:
    from .backend import EmailBackend

__all__ = ["Connection"]


class Connection:
    """An open connection as apps know it.

    Attributes:
        timeout: In seconds, or None, as the backend has it.
        sock: Something until it is closed, then None.
    """

    def __init__(self, backend: EmailBackend) -> None:
        self.timeout = backend.timeout
        self.sock: Any = backend.mailer.backend
        self._mailer = backend.mailer

    def sendmail(self, from_addr: str, to_addrs: str | Sequence[str], msg: bytes | str) -> dict[str, tuple[int, bytes]]:
        """Send a ready-made mail, as :meth:`smtplib.SMTP.sendmail`.

        Returns:
            The recipients that were refused, each with code and text.

        Raises:
            DeliveryError: Nobody accepted it.
        """
        recipients = [to_addrs] if isinstance(to_addrs, str) else to_addrs
        envelope = Envelope(address_of(from_addr, "from_addr"), addresses_of(recipients, "to_addrs"))
        receipt = self._mailer.send_raw(msg.encode() if isinstance(msg, str) else msg, envelope)
        return {
            result.address.addr_spec: (result.code or 0, (result.text or "").encode())
            for result in receipt.results
            if result not in receipt.accepted
        }

    def close(self) -> None:
        """Let go of it."""
        self.sock = None

    quit = close

"""What stands where Django's backend has its ``smtplib.SMTP``, while the connection itself is in the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..smtplib_host import Host
from .message import address_of

if TYPE_CHECKING:
    from .backend import EmailBackend

__all__ = ["Connection"]


class Connection(Host):
    """An open connection as apps know it.

    Attributes:
        timeout: In seconds, or None, as the backend has it.
        sock: Something until it is closed, then None.
    """

    read = staticmethod(address_of)

    def __init__(self, backend: EmailBackend) -> None:
        super().__init__(backend.mailer)
        self.timeout = backend.timeout
        self.sock: Any = backend.mailer.backend

    def close(self) -> None:
        """Let go of it."""
        self.sock = None

    quit = close

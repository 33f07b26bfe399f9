"""LMTP as smtplib has it, but that each recipient's answer to the mail is read (RFC 2033 section 4.2)."""

from __future__ import annotations

import smtplib as std
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import SMTP
from .line import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from . import _Reply, _Source

__all__ = ["LMTP"]


class LMTP(SMTP):
    """The same for LMTP (RFC 2033), over TCP or, host being an absolute path, a unix socket.

    Each recipient has its own answer to the mail, and all are read: `sendmail` returns those refused then too.
    """

    ehlo_msg = "lhlo"

    def __init__(
        self,
        host: str = "",
        port: int = std.LMTP_PORT,
        local_hostname: str | None = None,
        source_address: _Source | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._taken: list[str] = []
        self._refused: dict[str, _Reply] = {}
        super().__init__(host, port, local_hostname, timeout, source_address)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> _Reply:
        """Connect, and return the greeting."""
        if not host.startswith("/"):
            return super().connect(host, port, source_address)
        self._begin("localhost", self._get_unix_socket(host))
        return self._greeting()

    def mail(self, sender: str, options: Sequence[str] = ()) -> _Reply:
        """MAIL."""
        self._taken = []
        return super().mail(sender, options)

    def rcpt(self, recip: str, options: Sequence[str] = ()) -> _Reply:
        """RCPT."""
        code, text = super().rcpt(recip, options)
        if 200 <= code <= 299:
            self._taken.append(recip)
        return code, text

    def rset(self) -> _Reply:
        """RSET."""
        self._taken = []
        return super().rset()

    def _outcome(self) -> _Reply:
        """The first recipient's answer that is an acceptance, else the first."""
        replies: dict[str, _Reply] = {}
        for recipient in self._taken:
            closing = [reply for reply in replies.values() if reply[0] == 421]
            replies[recipient] = closing[0] if closing else self.getreply()
        self._refused = {recipient: reply for recipient, reply in replies.items() if reply[0] // 100 != 2}
        self._taken = []
        accepted = [(250, text) for code, text in replies.values() if code // 100 == 2]
        return (accepted or list(replies.values()) or [self.getreply()])[0]

    def sendmail(
        self,
        from_addr: str,
        to_addrs: str | Sequence[str],
        msg: Any,
        mail_options: Sequence[str] = (),
        rcpt_options: Sequence[str] = (),
    ) -> dict[str, _Reply]:
        """Send a mail; return the recipients that were refused, before the mail or after it."""
        self._refused = {}
        refused = super().sendmail(from_addr, to_addrs, msg, mail_options, rcpt_options)
        return refused | self._refused

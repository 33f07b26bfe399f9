"""The transaction: one mail on its way through one session, and what is settled of it so far.

The outcome of a cut-off transaction depends on a single moment: before the final dot was handed over nobody can have
the mail (DEFERRED), after it nobody can know (UNKNOWN), until the reply settles it (RFC 5321 section 4.2.5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from ..address import Address
from ..errors import MailerError, Outcome, ProtocolError, TransportError
from ..features import Unsupported
from ..mail import Content, Mail
from ..ready_made import ascii_headers, seven_bit
from ..receipt import Attempt, Receipt, RecipientResult, result_of
from ..verdict import VERDICTS, Scope, event_of, verdict_of_reply
from . import command
from .capabilities import Capabilities
from .extensions import Parameters, asked_of
from .reply import Reply
from .trace import Trace

__all__ = ["SessionRefused", "Transaction", "first_share", "queue_id"]

# Postfix, Exim and most others name their queue id so; sendmail and OpenSMTPD have it in front.
_QUEUE_ID = re.compile(
    r"\b(?:queued as|id=|message accepted for delivery:?|ok id=) ?<?([A-Za-z0-9][\w.@-]{3,80})"
    r"|^([0-9a-f]{8,16}|[a-z]*\d[a-z\d]{3,80}) message accepted for delivery",
    re.I,
)


def queue_id(text: str) -> str | None:
    """What a server calls a mail that it took, by the text of its reply; None if it does not say so in a known way."""
    found = _QUEUE_ID.search(text)
    return (found[1] or found[2]) if found else None


def first_share(
    recipients: Sequence[Address], most: int | None, most_domains: int | None
) -> tuple[list[Address], list[Address]]:
    """Part recipients in those for one transaction and the rest, each in order.

    Args:
        recipients: All of them.
        most: How many at most, 1 or more; None: any number.
        most_domains: Of how many domains at most (RCPTDOMAINMAX of RFC 9422), 1 or more; None: any number.
    """
    share, rest = list(recipients), []
    if most_domains is not None:
        domains = dict.fromkeys([address.domain for address in share])
        chosen = set(list(domains)[:most_domains])
        rest = [address for address in share if address.domain not in chosen]
        share = [address for address in share if address.domain in chosen]
    if most is not None and len(share) > most:
        share, rest = share[:most], share[most:] + rest
    return share, rest


class SessionRefused(TransportError):
    """The server will not have us at all, permanently: EHLO and HELO refused. ``reply`` says how."""


class Transaction:
    """One mail, its recipients' results as they come, and its content as this server can take it.

    Args:
        mail: What is sent.
        deadline: See below.
        clock: Tells the time of day, for ``send_at``.
        policy: What to do about what the server cannot do for it (:mod:`mailer.features`).

    Attributes:
        mail: What is sent.
        content: Its bytes, re-encoded if the server needs that; set by :meth:`fit`.
        has_begun: The server has answered its MAIL; so it is not begun again on another connection.
        in_doubt: The recipients for whom the data was handed over, when the session ended before its reply came.
        deadline: The end of it all, on the runtime's clock; None: ``Timeouts.total_s`` after its MAIL.
        notes: What the server could not do for it.
        trace: Where its time goes, and what is said about it.
    """

    def __init__(
        self,
        mail: Mail,
        deadline: float | None = None,
        *,
        clock: Callable[[], datetime],
        policy: Unsupported = "default",
        trace: Trace | None = None,
    ) -> None:
        self.mail = mail
        self.trace = trace or Trace(0.0)
        self.content: Content = mail.content
        self.has_begun = False
        self.in_doubt: list[Address] = []
        self.deadline = deadline
        self.notes: list[str] = []
        self.cause: MailerError | None = None
        # By identity: an envelope holds each mailbox once, and equality costs more.
        self._pending = {id(address): address for address in mail.envelope.recipients}
        self._results: dict[int, RecipientResult] = {}
        self._policy = policy
        self._clock = clock
        self._asked: Parameters = {}

    @property
    def pending(self) -> list[Address]:
        """Recipients without a result yet, in order."""
        return list(self._pending.values())

    def awaits(self, address: Address) -> bool:
        """Whether this recipient has no result yet."""
        return id(address) in self._pending

    # --- settling -----------------------------------------------------------------------------------------------------

    def settle(
        self,
        recipients: Iterable[Address],
        outcome: Outcome,
        reply: Reply | None = None,
        text: str = "",
        code: str = "",
        scope: Scope = Scope.MESSAGE,
    ) -> None:
        """Give these recipients their result: the reply's code and text, or our own text and enhanced code."""
        results, pending = self._results, self._pending
        if reply is None:
            for address in recipients:
                results[id(address)] = RecipientResult(address, outcome, None, code or None, text, scope=scope)
                del pending[id(address)]
            return
        said, enhanced_code = reply.text, reply.enhanced_code
        provider_id = queue_id(said) if outcome is Outcome.ACCEPTED else None
        for address in recipients:
            results[id(address)] = result_of(address, outcome, reply.code, enhanced_code, said, provider_id, scope)
            del pending[id(address)]

    def refuse(self, recipients: Iterable[Address], step: str, reply: Reply) -> None:
        """Give these recipients what a negative reply to "MAIL", "RCPT", "DATA" or the "dot" means."""
        outcome, scope = verdict_of_reply(step, reply.code)
        self.settle(recipients, outcome, reply, scope=scope)

    def abandon(self, error: MailerError | None) -> None:
        """Settle whoever is pending, because the session ended: by this error, or (None) by cancellation.

        Where nobody is, the error is another mail's.
        """
        if not self._pending:
            return
        if error is not None:
            self.cause = error
        text = str(error) if error is not None else "cut short"
        in_doubt = [address for address in self.in_doubt if self.awaits(address)]
        outcome, scope = VERDICTS["answer lost"]
        self.settle(in_doubt, outcome, text=text, scope=scope)
        if isinstance(error, SessionRefused):
            event = "EHLO and HELO 5xx"
        else:
            event = event_of(error, "reply malformed" if isinstance(error, ProtocolError) else "cut short")
        outcome, scope = VERDICTS[event]
        reply = error.reply if error is not None and isinstance(error.reply, Reply) else None
        self.settle(self.pending, outcome, reply, text=text, scope=scope)

    def doubt(self, recipients: Iterable[Address], error: MailerError) -> None:
        """Take back what these were told: it turned out that the reply may have been another's."""
        self.cause = error
        outcome, scope = VERDICTS["answer lost"]
        for address in recipients:
            self._results[id(address)] = RecipientResult(address, outcome, text=str(error), scope=scope)

    def receipt(self, backend: str, attempts: tuple[Attempt, ...] = ()) -> Receipt:
        """The results in the envelope's order; everybody must be settled."""
        return Receipt(
            id=self.mail.id,
            backend=backend,
            results=tuple([self._results[id(address)] for address in self.mail.envelope.recipients]),
            attempts=attempts,
            notes=tuple(dict.fromkeys(self.notes)),
            error=self.cause,
        )

    # --- its commands -------------------------------------------------------------------------------------------------

    def lines(self, recipients: Sequence[Address], offered: Capabilities) -> tuple[bytes, list[bytes]]:
        """MAIL, and a RCPT for each of these, with what the server offers of what the mail asks for."""
        utf8 = self.needs_smtputf8
        return self._mail_line(offered, utf8), self._rcpt_lines(recipients, offered, utf8)

    def _mail_line(self, offered: Capabilities, utf8: bool) -> bytes:
        sender = self.mail.envelope.sender
        body = None
        if self.content.has_8bit or self.content.has_utf8_headers:
            # RFC 3030 section 3: binary includes all that 8BITMIME allows; it needs CHUNKING.
            body = "8BITMIME" if offered.eightbitmime else "BINARYMIME" if offered.binarymime else None
        return command.mail(
            None if sender is None else sender.ascii,
            size=len(self.content) if offered.size is not None else None,
            body=body,
            smtputf8=utf8,
            extra=self._asked,
        )

    def _rcpt_lines(self, recipients: Sequence[Address], offered: Capabilities, utf8: bool) -> list[bytes]:
        notify = (self.mail.delivery.notify or None) if offered.dsn else None
        return [
            command.rcpt(path := address.ascii, notify=notify, orcpt=path if notify else None, smtputf8=utf8)
            for address in recipients
        ]

    # --- fitting ------------------------------------------------------------------------------------------------------

    def fit(self, capabilities: Capabilities, *, is_safe: bool) -> None:
        """Re-encode what this server cannot take as it is, and settle whom it cannot serve at all.

        Args:
            capabilities: As last announced.
            is_safe: The connection has verified TLS.

        Raises:
            UnsupportedFeature: It asks for an extension that is not offered and must not be left out.
        """
        options, self.content = self.mail.delivery, self.mail.content
        if options.require_tls and not (is_safe and capabilities.has("REQUIRETLS")):
            # RFC 8689 section 4.2.1: the message MUST NOT be sent on.
            text = "REQUIRETLS was asked for and is not offered here under verified TLS"
            return self.settle(self.pending, Outcome.REJECTED, text=text, code="5.7.30")
        if not capabilities.smtputf8 and not self._fit_ascii():
            return None
        if self.content.has_8bit and not (capabilities.eightbitmime or capabilities.binarymime):
            # RFC 6152 section 3: without 8BITMIME only 7-bit data may be sent.
            encoded = seven_bit(bytes(self.content))
            if encoded is None:
                text = "the server takes 7-bit mail only, and a signed or encrypted part cannot be re-encoded"
                return self.settle(self.pending, Outcome.REJECTED, text=text, code="5.6.3")
            self.content = Content.of(encoded)
        if capabilities.size and len(self.content) > capabilities.size:
            # RFC 1870 section 6.1: do not begin what cannot succeed.
            text = f"the mail has {len(self.content)} octets, the server takes {capabilities.size}"
            return self.settle(self.pending, Outcome.REJECTED, text=text, code="5.3.4")
        message = self.mail.message
        if message is not None and (message.delivery is not None or message.send_at is not None):
            self._asked, left_out = asked_of(capabilities, message, now=self._clock(), policy=self._policy)
            self.notes.extend(left_out)
            if options.require_tls:
                self._asked["REQUIRETLS"] = None
        return None

    def _fit_ascii(self) -> bool:
        """For a server without SMTPUTF8 (RFC 6531 section 3.2); whether anyone is left to send to."""
        sender = self.mail.envelope.sender
        lacking = "the server does not offer SMTPUTF8, which {} needs"
        if sender is not None and sender.needs_smtputf8:
            self.settle(self.pending, Outcome.REJECTED, text=lacking.format("the sender's address"), code="5.6.7")
            return False
        foreign = [address for address in self._pending.values() if address.needs_smtputf8]
        if foreign:
            self.settle(foreign, Outcome.REJECTED, text=lacking.format("this address"), code="5.6.7")
        if self._pending and self.content.has_utf8_headers:
            downgraded = ascii_headers(bytes(self.content))
            if downgraded is None:
                self.settle(self.pending, Outcome.REJECTED, text=lacking.format("a header field"), code="5.6.7")
                return False
            self.content = Content.of(downgraded)
        return bool(self._pending)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether MAIL has to say SMTPUTF8: an address or a header is not ASCII."""
        sender = self.mail.envelope.sender
        return (
            self.content.has_utf8_headers
            or (sender is not None and sender.needs_smtputf8)
            or any([address.needs_smtputf8 for address in self._pending.values()])
        )

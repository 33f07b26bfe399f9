"""One client's session with the embedded server: the grammar of `mailer.smtp` seen from the other side (RFC 5321)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import ProtocolError
from ..smtp.command import parse_command
from ..smtp.data import DataDecoder
from ..smtp.reply import Reply
from .dialogue import Asked, Closed, Dialogue, State
from .listener import Connection
from .received import ReceivedMail
from .sasl import Login
from .transaction import Refused, Transaction, chunk_of, path_of, too_big

if TYPE_CHECKING:
    from .server import Mailbox

__all__ = ["Session"]

MAX_COMMAND_BYTES = 2048
"""RFC 5321's 512 and what all parameters may add (`mailer.smtp.command`)."""
MAX_AUTH_BYTES = 12288
MAX_BAD_COMMANDS = 50
_LINGER_S = 1.0
_VERBS = frozenset("EHLO HELO LHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP".split())


class Session(Dialogue):
    """One client's session: reads commands, answers each. A method named for a verb takes its argument."""

    def __init__(self, mailbox: Mailbox, connection: Connection) -> None:
        super().__init__(mailbox, connection)
        self._partly: ReceivedMail | None = None
        self._bad_commands = 0

    def run(self) -> None:
        """Greet, and serve until either side ends it."""
        try:
            if self._mailbox.implicit_tls:
                self._handshake()
            greeting = self._answered([("CONNECT", "")], self._greeting)
            while greeting.is_positive:
                self._one_command()
        except Closed:
            pass
        except TimeoutError:
            self.answer(Reply(421, ("4.4.2 idle for too long",)))
        self.flush()
        self._connection.end()
        # Closing with unread bytes would be a RST, which can overtake the last reply.
        self._connection.settimeout(_LINGER_S)
        with suppress(OSError):
            while self._receive():
                pass

    def _one_command(self) -> None:
        # AUTH may bring its first response on its own line, so the longer limit is the reader's.
        line = self._line(MAX_AUTH_BYTES)
        if line is None or (len(line) > MAX_COMMAND_BYTES - 2 and line[:5].upper() != b"AUTH "):
            self._mailbox.note("C: (a line too long, or without CRLF)")
            return self._bad([("", "")], Reply(500, ("5.5.2 line too long, or not ended by CRLF",)))
        try:
            command = parse_command(line)
        except ProtocolError as exc:
            self._mailbox.note("C: (not a command)")
            return self._bad([("", "")], Reply(500, (f"5.5.2 {exc}",)))
        verb, argument = command.verb, command.argument
        # "AUTH mechanism response": the response is a secret
        shown = argument if verb != "AUTH" or " " not in argument else argument.partition(" ")[0] + " ****"
        self._mailbox.note(f"C: {verb} {shown}".rstrip())
        if verb not in _VERBS or verb in (("EHLO", "HELO") if self._mailbox.lmtp else ("LHLO",)):
            return self._bad([(verb, argument)], Reply(500, ("5.5.2 command not recognised",)))
        getattr(self, f"_do_{verb.lower()}", self._do)(verb, argument)
        return None

    def _do(self, verb: str, argument: str) -> None:
        asked = [(verb, path_of(verb, argument) if verb in ("MAIL", "RCPT") else argument)]
        perform = getattr(self, f"_{verb.lower()}")
        reply = self._answered(asked, lambda: perform(argument))
        if reply.code == 421 or verb == "QUIT":
            raise Closed
        if verb == "DATA" and reply.is_intermediate:
            self._read_data()
        elif verb == "STARTTLS" and reply.is_positive:
            self._start_tls()

    def _bad(self, asked: Asked, reply: Reply) -> None:
        self._bad_commands += 1
        if self._bad_commands > MAX_BAD_COMMANDS:
            self.answer(Reply(421, ("4.7.0 too many bad commands",)))
            raise Closed
        if self._answered(asked, lambda: reply).code == 421:
            raise Closed

    # ---- Session ----

    def _greeting(self) -> Reply:
        return Reply(220, (f"{self._mailbox.hostname} {'LMTP' if self._mailbox.lmtp else 'ESMTP'}",))

    def _ehlo(self, argument: str) -> Reply:
        if not argument or " " in argument:
            return Reply(501, ("5.5.4 one host name or address literal is needed",))
        self._state.helo_name, self._state.transaction = argument, None
        mailbox = self._mailbox
        words = [f"SIZE {mailbox.max_size}" if word == "SIZE" else word for word in self._words]
        keywords = {word.split()[0] for word in words}
        if mailbox.tls is not None and not self._connection.is_tls and "STARTTLS" not in keywords:
            words.append("STARTTLS")
        if self._offers_auth and self._mechanisms and "AUTH" not in keywords:
            words.append(f"AUTH {' '.join(self._mechanisms)}")
        return Reply(250, (mailbox.hostname, *words))

    _lhlo = _ehlo

    def _helo(self, argument: str) -> Reply:
        reply = self._ehlo(argument)
        return Reply(250, (self._mailbox.hostname,)) if reply.is_positive else reply

    def _starttls(self, argument: str) -> Reply:
        if self._mailbox.tls is None:
            return Reply(502, ("5.5.1 TLS is not available",))
        if argument:
            return Reply(501, ("5.5.4 STARTTLS takes no argument",))
        if self._connection.is_tls:
            return Reply(503, ("5.5.1 TLS is on",))
        if self._buffer:
            # What came behind STARTTLS in clear must never count as sent under TLS (CVE-2011-0411).
            self.answer(Reply(554, ("5.5.1 nothing may be pipelined behind STARTTLS",)))
            raise Closed
        return Reply(220, ("2.0.0 go ahead",))

    def _start_tls(self) -> None:
        self.flush()
        self._handshake()
        # "The server MUST discard any knowledge obtained from the client" (RFC 3207 section 4.2)
        self._state = State()

    def _handshake(self) -> None:
        if self._mailbox.tls is None:
            raise Closed
        self._connection.start_tls(self._mailbox.tls)

    def _rset(self, argument: str) -> Reply:
        if argument:
            return Reply(501, ("5.5.4 RSET takes no argument",))
        self._state.transaction = None
        return Reply(250, ("2.0.0 ok",))

    def _noop(self, _: str) -> Reply:
        return Reply(250, ("2.0.0 ok",))

    def _quit(self, _: str) -> Reply:
        return Reply(221, ("2.0.0 bye",))

    def _vrfy(self, _: str) -> Reply:
        return Reply(252, ("2.5.0 send a mail and see",))

    def _help(self, _: str) -> Reply:
        return Reply(214, ("2.0.0 a mailbox for development: everything is taken, nothing is delivered",))

    def _expn(self, _: str) -> Reply:
        return Reply(502, ("5.5.1 not implemented",))

    # ---- AUTH (RFC 4954) ----

    @property
    def _offers_auth(self) -> bool:
        return self._mailbox.has_accounts and (self._connection.is_tls or self._mailbox.tls is None)

    @property
    def _mechanisms(self) -> Sequence[str]:
        return self._mailbox.mechanisms_for(self._connection)

    def _do_auth(self, verb: str, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        asked = [(verb, mechanism)]  # never the response
        reply = self._answered(asked, lambda: self._auth(mechanism.upper(), initial))
        while reply.is_intermediate:
            line = self._line(MAX_AUTH_BYTES)
            self._mailbox.note("C: ****")
            reply = self._answered(asked, lambda line=line: self._response(line))  # type: ignore[misc]
        if reply.code == 421:
            raise Closed

    def _auth(self, mechanism: str, initial: str) -> Reply:
        if not self._mailbox.has_accounts:
            return Reply(502, ("5.5.1 authentication is not available",))
        if self._state.helo_name is None or self._state.user is not None or self._state.transaction is not None:
            return Reply(503, ("5.5.1 not now",))
        if not self._offers_auth:
            return Reply(538, ("5.7.11 TLS first",))
        if mechanism not in self._mechanisms:
            return Reply(504, ("5.5.4 unknown mechanism",))
        self._state.login = login = Login(mechanism, self._mailbox.accounts_for(self._connection))
        if not initial:
            return self._challenge(login.challenge)
        if login.speaks_first:  # "the server MUST reject the AUTH command with a 501 reply" (section 4)
            return Reply(501, ("5.5.4 this mechanism takes no initial response",))
        return self._response(b"" if initial == "=" else initial.encode("utf-8"))

    def _challenge(self, challenge: bytes) -> Reply:
        return Reply(334, (base64.b64encode(challenge).decode("ascii"),))

    def _response(self, line: bytes | None) -> Reply:
        """Return the reply to one line of the exchange, base64."""
        login = self._state.login
        try:
            if login is None or login.is_done or line is None:
                raise ValueError("no response")
            challenge = login.take(base64.b64decode(line, validate=True))
        except (ValueError, binascii.Error):  # cancelled, no base64, or nothing of this mechanism
            self._state.login = None
            return Reply(501, ("5.5.2 cancelled or malformed response",))
        if challenge is not None:
            return self._challenge(challenge)
        if login.user is None:
            return Reply(535, ("5.7.8 wrong user name or password",))
        self._state.user = login.user
        return Reply(235, ("2.7.0 welcome",))

    # ---- Transaction ----

    def _mail(self, argument: str) -> Reply:
        mailbox = self._mailbox
        if self._state.helo_name is None or self._state.transaction is not None:
            return Reply(503, ("5.5.1 EHLO first, and one transaction at a time",))
        if mailbox.has_accounts and self._state.user is None:
            return Reply(530, ("5.7.0 authentication required",))
        self._state.transaction = Transaction.begun(argument, self._offered, mailbox.max_size)
        return Reply(250, ("2.1.0 ok",))

    def _rcpt(self, argument: str) -> Reply:
        if self._state.transaction is None:
            return Reply(503, ("5.5.1 MAIL first",))
        self._state.transaction.add(argument, self._offered, self._mailbox.max_recipients)
        return Reply(250, ("2.1.5 ok",))

    def _data(self, argument: str) -> Reply:
        if argument:
            return Reply(501, ("5.5.4 DATA takes no argument",))
        if self._state.transaction is None:
            return Reply(503, ("5.5.1 not now",))
        self._state.transaction.check_data()
        return Reply(354, ("go ahead; CRLF.CRLF ends it",))

    def _read_data(self) -> None:
        max_size = self._mailbox.max_size
        decoder = DataDecoder(limit=2 * max_size if max_size else None)  # at most twice as long with dots doubled
        decoder.feed(self._taken(len(self._buffer)))
        while not decoder.is_done:
            self._more()
            decoder.feed(self._taken(len(self._buffer)))
        self._buffer += decoder.rest
        content = decoder.content or b""
        self._mailbox.note(f"C: ({len(content)} octets of mail)")
        self._finish([], content, is_too_big=decoder.is_oversized or 0 < max_size < len(content))

    def _do_bdat(self, verb: str, argument: str) -> None:
        chunk = self._chunk(argument)
        transaction = self._state.transaction
        is_last, refusal = False, None
        if "CHUNKING" not in self._offered:
            refusal = Reply(502, ("5.5.1 CHUNKING is not offered",))
        elif transaction is None:
            refusal = Reply(503, ("5.5.1 no transaction",))
        else:
            try:
                is_last = transaction.add_chunk(argument, chunk, self._mailbox.max_size)
            except Refused as refused:
                refusal = refused.reply
        if is_last and transaction is not None:
            return self._finish([(verb, argument)], bytes(transaction.chunks or b""))
        reply = refusal or Reply(250, (f"2.0.0 {len(chunk)} octets",))
        if self._answered([(verb, argument)], lambda: reply).code == 421:
            raise Closed
        return None

    def _chunk(self, argument: str) -> bytes:
        """Read the octets that follow a BDAT command, wanted or not; return them if they can be used."""
        size, _ = chunk_of(argument)
        transaction, max_size = self._state.transaction, self._mailbox.max_size
        held = len(transaction.chunks or b"") if transaction else 0
        missing = size or 0
        is_kept = transaction is not None and not transaction.is_broken and not 0 < max_size < held + missing
        chunk = bytearray()
        while missing:
            if not self._buffer:
                self._more()
            piece = self._taken(min(missing, len(self._buffer)))
            missing -= len(piece)
            if is_kept:
                chunk += piece
        if size is not None:
            self._mailbox.note(f"C: ({size} octets of mail)")
        return bytes(chunk)

    def _finish(self, also: Asked, content: bytes, *, is_too_big: bool = False) -> None:
        """Answer the end of a mail: once, or in LMTP once for each recipient (RFC 2033 section 4.2)."""
        transaction = self._state.transaction
        if transaction is None or not transaction.recipients:  # 354 was said although nobody was accepted
            replies = [self._settled(also, None, Reply(554, ("5.5.1 no valid recipients",)))]
        elif is_too_big:
            reply = too_big(self._mailbox.max_size).reply
            count = len(transaction.recipients) if self._mailbox.lmtp else 1
            replies = [self._settled(also, None, reply) for _ in range(count)]
        elif self._mailbox.lmtp:
            replies = self._finish_each(also, transaction, content)
        else:
            reply = Reply(250, (f"2.0.0 taken, {len(content)} octets",))
            replies = [self._settled(also, self._received(transaction, content), reply)]
        if any(reply.code == 421 for reply in replies):
            raise Closed

    def _settled(self, also: Asked, mail: ReceivedMail | None, reply: Reply) -> Reply:
        def settle() -> Reply:
            self._state.transaction, self._state.taken = None, mail
            return reply

        return self._answered([*also, (".", "")], settle)

    def _finish_each(self, also: Asked, transaction: Transaction, content: bytes) -> list[Reply]:
        self._state.transaction = None
        whole = self._received(transaction, content)
        taken: list[int] = []
        replies = []
        try:
            for number, recipient in enumerate(transaction.recipients):
                # Taken before the reply, which may be the last thing that happens.
                self._partly = _for_some(whole, [*taken, number])
                usual = Reply(250, (f"2.0.0 <{recipient}> taken",))
                reply = self._answered([*also, (".", recipient)], lambda usual=usual: usual)  # type: ignore[misc]
                taken += [number] if reply.is_positive else []
                self._partly = _for_some(whole, taken)
                replies.append(reply)
        finally:
            self._keep_partly()
        return replies

    def _keep_partly(self) -> None:
        """Keep the mail of LMTP for those who have been told by now that it is taken."""
        mail, self._partly = self._partly, None
        if mail is not None:
            self._mailbox.keep(mail)

    def _received(self, transaction: Transaction, content: bytes) -> ReceivedMail:
        return ReceivedMail(
            sender=transaction.sender,
            recipients=tuple(transaction.recipients),
            content=content,
            parameters=transaction.parameters,
            recipient_parameters=tuple(transaction.recipient_parameters),
            helo_name=self._state.helo_name or "",
            is_tls=self._connection.is_tls,
            user=self._state.user,
        )


def _for_some(mail: ReceivedMail, numbers: Sequence[int]) -> ReceivedMail | None:
    """The mail for some of its recipients; None for none of them."""
    if not numbers:
        return None
    return replace(
        mail,
        recipients=tuple(mail.recipients[number] for number in numbers),
        recipient_parameters=tuple(mail.recipient_parameters[number] for number in numbers),
    )

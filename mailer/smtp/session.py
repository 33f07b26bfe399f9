"""The SMTP session: one connection from its greeting to its end, the client's half (RFC 5321).

The idea: every command goes through one method, :meth:`Session._ask`, which writes it, reads its whole reply under one
deadline, and ends the connection on anything that is not a clean reply. So commands and replies can never fall out of
step: a session either knows exactly which reply answers which command, or it is closed.

The rules that must hold:

- Nothing is sent before the greeting, and nothing while unread bytes wait (an unsolicited reply would be mispaired).
- Any exception out of an exchange, cancellation included, closes the stream.
- 421 may answer anything and ends everything (section 3.8); what is unfinished is deferred.
- What was learnt before TLS is forgotten after it (RFC 3207 section 4.2).
- Credentials go out under TLS only, once, unless clear text was allowed in words.
- Only a 2xx to the final dot moves responsibility to the server; :class:`Transaction` keeps that moment.

Read :meth:`begin`, then :meth:`transact`; the rest is their steps.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import (
    AuthError,
    ConnectError,
    DeadlineExceeded,
    MailerError,
    MessageError,
    Outcome,
    ProtocolError,
    TlsError,
    TransportError,
)
from ..log import DIALOGUE, LOGIN, REUSED
from ..mail import Content
from ..redaction import MASK, Secrets
from . import command
from .auth import Credentials, Mechanism, mechanism_for, refusal_of
from .capabilities import Capabilities
from .data import dot_stuffed
from .endpoint import Endpoint
from .reply import Reply, ReplyParser
from .transaction import SessionRefused, Transaction

if TYPE_CHECKING:
    import ssl

    from ..address import Address
    from ..runtime import Runtime
    from ..stream import Stream

__all__ = ["Session"]

_READ_BYTES = 16 * 1024
#: Blocks of the mail are written in stretches of about this many octets.
_WRITE_BYTES = 64 * 1024
#: RFC 5321 section 4.1.4 and practice: these say that EHLO is not known, so HELO may be.
_NO_EHLO = (500, 502, 504, 550)
#: Replies to MAIL that are about the account, not the mail (RFC 4954 section 6).
_ACCOUNT = (530, 534, 535, 538)
#: More challenges than any mechanism has: the server is going round in circles.
_MAX_CHALLENGES = 3


class Session:
    """One connection to a server.

    Attributes:
        capabilities: What the server announced last.
        is_reused: It carried a transaction before.
        has_begun: The server has answered the present transaction's MAIL.
        notes: What the connection could not have, such as TLS.
    """

    def __init__(self, stream: Stream, runtime: Runtime, endpoint: Endpoint) -> None:
        self.capabilities = Capabilities()
        self.is_reused = False
        self.has_begun = False
        self.notes: list[str] = []
        self.token = runtime.token()
        self._stream = stream
        self._runtime = runtime
        self._endpoint = endpoint
        self._parser = ReplyParser()
        self._deadline = 0.0
        self._secrets: Secrets | None = None
        self._mail_id = ""

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether another transaction may be tried: open, in step, and nothing unexpected has come."""
        return not self._stream.closed and not self._parser.buffered and not self._stream.has_input()

    @property
    def facts(self) -> dict[str, str]:
        """What is known of the server, to be shown."""
        tls = f"{self._stream.tls_version}, {self._stream.cipher}" if self._stream.is_secure else "none"
        return {
            "server": self._stream.peer,
            "tls": tls,
            "login": self._endpoint.username or "none",
            **{name.lower(): value or "yes" for name, value in self.capabilities.keywords.items()},
        }

    @property
    def is_safe(self) -> bool:
        """Whether the connection has TLS, and the certificate was checked."""
        return self._stream.is_secure and self._endpoint.verify

    def close(self) -> None:
        """Close the connection without a word. Never waits, never raises."""
        self._stream.close()

    async def quit(self) -> None:
        """Say QUIT and close. The reply is not waited for: nothing depends on it (RFC 5321 section 4.1.1.10)."""
        try:
            if self.is_open:
                if DIALOGUE.wanted():
                    self._log("C", "QUIT")
                await self._stream.send_all(command.quit(), deadline=self._runtime.now() + 1)
        except MailerError:
            pass  # it was leaving anyway
        finally:
            self._stream.close()

    # --- one exchange -------------------------------------------------------------------------------------------------

    async def _ask(self, line: bytes, step: str, timeout_s: float | None = None) -> Reply:
        """Send a command and return its reply, whatever it is but 421.

        Raises:
            TransportError: The connection broke, or the server said 421; then with its reply.
            ProtocolError: What came is no reply, or came before the command.
        """
        deadline = self._until(timeout_s or self._endpoint.timeouts.command_s)
        try:
            if self._parser.buffered or self._stream.has_input():
                await self._out_of_turn(step, deadline)
            if DIALOGUE.wanted():
                self._log("C", _shown_command(line, is_secret=step == "AUTH"))
            await self._stream.send_all(line, deadline=deadline)
            return await self._reply(step, deadline)
        except BaseException:
            self._stream.close()
            raise

    async def _reply(self, step: str, deadline: float) -> Reply:
        while (reply := self._next(step)) is None:
            try:
                received = await self._stream.receive(_READ_BYTES, deadline=deadline)
            except DeadlineExceeded as error:
                raise DeadlineExceeded(f"{self._endpoint}: no answer to {step} in time") from error
            if not received:
                raise TransportError(f"{self._endpoint} closed the connection instead of answering {step}")
            self._parser.feed(received)
        if DIALOGUE.wanted():
            self._log_reply(reply)
        if reply.code == 421:
            self._stream.close()
            raise _told(TransportError(f"{self._endpoint} is closing, in answer to {step}: {reply}"), reply)
        return reply

    def _next(self, step: str) -> Reply | None:
        """The next whole reply, without the credentials: there are servers that repeat what they were told."""
        if self._secrets is None:
            return self._parser.next()
        try:
            reply = self._parser.next()
        except ProtocolError:
            reply = None  # the error quotes the line; not from in here, where it would be the context of the next
        else:
            return reply if reply is None else _masked(reply, self._secrets)
        raise ProtocolError(f"{self._endpoint} answered {step} with what is no reply")

    def _log(self, side: str, line: str) -> None:
        DIALOGUE(connection=self._stream.number, mail_id=self._mail_id, side=side, line=line)

    def _log_reply(self, reply: Reply) -> None:
        for line in reply.lines[:-1]:
            self._log("S", f"{reply.code}-{line}")
        # RFC 4954: 334 is a challenge, of which an answer could be worked out.
        self._log("S", f"{reply.code} {MASK if reply.code == 334 else reply.lines[-1]}")

    def _until(self, timeout_s: float) -> float:
        return min(self._deadline, self._runtime.now() + timeout_s)

    async def _out_of_turn(self, step: str, deadline: float) -> NoReturn:
        """Tell what came although nothing was asked: often the server's reason for hanging up."""
        for _ in range(2):  # under TLS looking took the first byte by itself
            if self._stream.has_input():
                self._parser.feed(await self._stream.receive(_READ_BYTES, deadline=deadline))
        if not self._parser.buffered:
            raise TransportError(f"{self._endpoint} closed the connection before {step}")
        reply = self._next(step)
        if reply is not None and DIALOGUE.wanted():
            self._log_reply(reply)
        if reply is not None and reply.code == 421:
            raise _told(TransportError(f"{self._endpoint} is closing: {reply}"), reply)
        raise ProtocolError(f"{self._endpoint} spoke out of turn before {step}: {reply or 'part of a line'}")

    # --- the beginning ------------------------------------------------------------------------------------------------

    async def begin(self, context: ssl.SSLContext | None, deadline: float) -> None:
        """Go from a fresh connection to a session that is ready for mail: greeting, EHLO, TLS, AUTH.

        Args:
            context: TLS settings; None only where the endpoint's mode is "none".
            deadline: The end of it all, on the runtime's clock.

        Raises:
            TransportError, ProtocolError, AuthError: It did not come to that; the connection is closed.
        """
        self._deadline = deadline
        try:
            if self._endpoint.implicit_tls and context is not None:
                await self._handshake(context)
            await self._greeting()
            await self._hello()
            if context is not None and not self._stream.is_secure:
                await self._starttls(context)
            if self._endpoint.username is not None:
                await self._login()
        except BaseException:
            self._stream.close()
            raise

    async def _greeting(self) -> None:
        reply = await self._reply("the connection", self._until(self._endpoint.timeouts.command_s))
        if not reply.is_positive:
            # RFC 5321 section 3.1: after 554 nothing follows but QUIT. For a relay of ours it is a matter of the
            # account (a block, a wrong host), so the mail is kept, as Postfix does (smtp_skip_5xx_greeting).
            raise _told(ConnectError(f"{self._endpoint} refused the session: {reply}"), reply)

    async def _hello(self) -> None:
        name = command.helo_name(self._endpoint.helo, self._stream.local_ip)
        reply = await self._ask(command.ehlo(name), "EHLO")
        if reply.is_positive:
            self.capabilities = Capabilities.parse(reply)
            return
        self.capabilities = Capabilities()
        if reply.code in _NO_EHLO:
            reply = await self._ask(command.helo(name), "HELO")
        if not reply.is_positive:
            kind = SessionRefused if reply.is_permanent else TransportError
            raise _told(kind(f"{self._endpoint} refused EHLO and HELO: {reply}"), reply)

    async def _starttls(self, context: ssl.SSLContext) -> None:
        required = self._endpoint.tls == "required"
        if not self.capabilities.starttls:
            if required:
                raise TlsError(f"{self._endpoint} does not offer STARTTLS, and TLS is required")
            self.notes.append("tls: none (not offered)")
            return
        reply = await self._ask(command.starttls(), "STARTTLS")
        if reply.code != 220:
            if required:
                raise _told(TlsError(f"{self._endpoint} refused STARTTLS, and TLS is required: {reply}"), reply)
            self.notes.append(f"tls: none (refused: {reply})")
            return
        deadline = self._until(self._endpoint.timeouts.command_s)
        if self._parser.buffered or (self._stream.has_input() and await self._stream.receive(1, deadline=deadline)):
            # RFC 3207 section 6: whatever came in clear behind the 220 was put there by someone in the middle.
            raise TlsError(f"{self._endpoint} sent clear text after its 220 to STARTTLS: injected by an attacker?")
        await self._handshake(context)
        await self._hello()

    async def _handshake(self, context: ssl.SSLContext) -> None:
        deadline = self._until(self._endpoint.timeouts.command_s)
        try:
            await self._stream.start_tls(context, self._endpoint.host, deadline=deadline)
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"{self._endpoint}: the TLS handshake was not finished in time") from error
        self._parser = ReplyParser()
        self.capabilities = Capabilities()

    async def _login(self) -> None:
        try:
            try:
                await self._authenticate()
            except MessageError as error:  # the credentials make no command: the account's fault, not the mail's
                raise AuthError(f"{self._endpoint}: user name or password: {error}") from error
        except MailerError as error:
            # The frames below hold the credentials, and error reporters show a frame's variables.
            _forget_frames(error)
            raise

    async def _authenticate(self) -> None:
        if not self._stream.is_secure and not self._endpoint.auth_in_clear:
            raise AuthError(
                f"{self._endpoint}: there is no TLS, so the password is not sent; the URL can say auth_in_clear=yes"
            )
        tokens = self._endpoint.tokens
        token = None if tokens is None else await tokens.token(self._runtime, self._deadline)
        mechanism = self._mechanism(token)
        refusal = await self._exchange(mechanism)
        if refusal is not None and tokens is not None and _is_about_credentials(refusal):
            # RFC 7628 section 3.2.3: the token may have ended before its time; once, a fresh one is tried.
            fresh = await tokens.token(self._runtime, self._deadline, stale=token)
            if fresh != token:
                mechanism = self._mechanism(fresh)
                refusal = await self._exchange(mechanism)
        if refusal is not None:
            who = self._endpoint.username or ""
            raise _told(AuthError(f"{self._endpoint} refused the login of {who!r}: {refusal}"), refusal)
        if LOGIN.wanted():
            LOGIN(connection=self._stream.number, username=self._endpoint.username or "", mechanism=mechanism.name)

    def _mechanism(self, token: str | None) -> Mechanism:
        endpoint = self._endpoint
        try:
            return mechanism_for(
                self.capabilities.auth,
                Credentials(
                    username=endpoint.username or "",
                    password=None if token is not None else endpoint.password or "",
                    token=token,
                    host=endpoint.host,
                    port=endpoint.port,
                    binding=self._stream.binding,
                ),
                endpoint.auth,
            )
        except AuthError as error:
            raise AuthError(f"{endpoint}: {error}") from error

    async def _exchange(self, mechanism: Mechanism) -> Reply | None:
        """One AUTH from its command to its end; the reply that refused it, or None."""
        endpoint = self._endpoint
        self._secrets = Secrets(endpoint.password or "", mechanism.initial or b"", mechanism.secret)
        reply = await self._ask(command.auth(mechanism.name, mechanism.initial), "AUTH")
        said, challenges = "", 0
        while reply.code == 334:
            challenges += 1
            challenge = _challenge(reply)
            try:
                answer = mechanism.answer(challenge) if challenges <= _MAX_CHALLENGES else None
            except AuthError as error:
                raise AuthError(f"{endpoint}: {error}") from error
            if answer is None:
                # RFC 4954 section 4: "*" cancels, and the server answers 501.
                reply = await self._ask(command.cancel(), "AUTH")
                raise _told(AuthError(f"{endpoint}: {mechanism.name} went on when all was said: {reply}"), reply)
            said = said or refusal_of(challenge)
            reply = await self._ask(command.response(answer), "AUTH")
        if reply.code == 235:
            try:
                mechanism.confirm()
            except AuthError as error:
                raise AuthError(f"{endpoint}: {error}") from error
            return None
        if reply.is_positive or reply.is_intermediate:
            raise ProtocolError(f"{endpoint} answered {reply.code} to AUTH")
        return Reply(reply.code, (*reply.lines[:-1], f"{reply.lines[-1]} ({said})")) if said else reply

    # --- a transaction ------------------------------------------------------------------------------------------------

    async def transact(self, transaction: Transaction, deadline: float) -> None:
        """Take one mail through MAIL, RCPT and DATA until every recipient is settled.

        A refusal is a result and leaves the session usable. More recipients than the server takes at once go out in
        further transactions (RFC 5321 section 4.5.3.1.10).

        Args:
            transaction: Where the results go.
            deadline: The end of it all, on the runtime's clock.

        Raises:
            MailerError: The session broke; the caller abandons the transaction with it.
        """
        self._deadline = deadline
        self.has_begun = False
        self._mail_id = transaction.mail.id
        if self.is_reused and REUSED.wanted():
            REUSED(connection=self._stream.number, mail_id=self._mail_id)
        transaction.fit(self.capabilities, is_safe=self.is_safe)
        transaction.notes.extend(self.notes)
        try:
            while transaction.pending:
                await self._one_transaction(transaction)
        except BaseException:
            self._stream.close()
            raise
        self.is_reused = True

    async def _one_transaction(self, transaction: Transaction) -> None:
        utf8 = transaction.needs_smtputf8
        reply = await self._ask(self._mail(transaction, utf8), "MAIL")
        self.has_begun = True
        if not reply.is_positive:
            self._check_final(reply, "MAIL")
            if reply.code in _ACCOUNT:
                raise _told(AuthError(f"{self._endpoint} takes no mail without a login: {reply}"), reply)
            transaction.refuse(transaction.pending, "MAIL", reply)
            return await self._reset()
        accepted: list[Address] = []
        for address in transaction.pending:
            reply = await self._ask(self._rcpt(transaction, address, utf8), "RCPT")
            if reply.is_positive:
                accepted.append(address)
                continue
            self._check_final(reply, "RCPT")
            if accepted and _is_too_many(reply):
                break  # the rest in a further transaction
            transaction.refuse([address], "RCPT", reply)
        if not accepted:
            return await self._reset()
        reply = await self._ask(command.data(), "DATA")
        if reply.code != 354:
            if reply.is_positive or reply.is_intermediate:
                raise ProtocolError(f"{self._endpoint} answered DATA with {reply.code}, not 354")
            transaction.refuse(accepted, "DATA", reply)
            return await self._reset()
        await self._data(transaction, accepted)
        return None

    def _mail(self, transaction: Transaction, utf8: bool) -> bytes:
        offered, options = self.capabilities, transaction.mail.delivery
        sender = transaction.mail.envelope.sender
        extra: dict[str, str | None] = {}
        if options.deliver_by_s is not None and offered.has("DELIVERBY"):
            extra["BY"] = f"{options.deliver_by_s};R"
        if options.mt_priority is not None and offered.has("MT-PRIORITY"):
            extra["MT-PRIORITY"] = str(options.mt_priority)
        if options.require_tls:
            extra["REQUIRETLS"] = None
        is_8bit = transaction.content.has_8bit or transaction.content.has_utf8_headers
        return command.mail(
            None if sender is None else sender.ascii,
            size=len(transaction.content) if offered.size is not None else None,
            body="8BITMIME" if is_8bit and offered.eightbitmime else None,
            smtputf8=utf8,
            ret=options.ret if offered.dsn else None,
            envid=options.envid if offered.dsn else None,
            extra=extra,
        )

    def _rcpt(self, transaction: Transaction, address: Address, utf8: bool) -> bytes:
        options = transaction.mail.delivery
        notify = options.notify if options.notify and self.capabilities.dsn else None
        return command.rcpt(
            address.ascii,
            notify=notify,
            orcpt=address.ascii if notify else None,
            smtputf8=utf8,
        )

    async def _data(self, transaction: Transaction, accepted: list[Address]) -> None:
        try:
            for block in _blocks(transaction.content):
                if self._parser.buffered or self._stream.has_input():
                    # RFC 5321 section 4.2.5 has the server wait for the end; one that does not has given up on us.
                    return await self._refused_early(transaction, accepted, None)
                await self._stream.send_all(block, deadline=self._until(self._endpoint.timeouts.final_s))
        except TransportError as error:
            return await self._refused_early(transaction, accepted, error)
        transaction.handed_over = True
        if DIALOGUE.wanted():
            self._log("C", f"<{len(transaction.content)} octets of mail>")
        try:
            reply = await self._reply("the final dot", self._until(self._endpoint.timeouts.final_s))
        except TransportError as error:
            if error.reply is None:
                raise
            transaction.handed_over = False  # 421 is an answer: the server did not take it
            raise
        if reply.is_intermediate:
            raise ProtocolError(f"{self._endpoint} answered the final dot with {reply.code}")
        transaction.handed_over = False
        if reply.is_positive:
            transaction.settle(accepted, Outcome.ACCEPTED, reply)
        else:
            transaction.refuse(accepted, "dot", reply)
        return None

    async def _refused_early(
        self, transaction: Transaction, accepted: list[Address], error: TransportError | None
    ) -> None:
        """The server spoke, or hung up, in the middle of the mail: what it said decides; then the session is over."""
        try:
            reply = await self._reply("the mail", self._until(self._endpoint.timeouts.command_s))
        except MailerError as nothing_said:
            if error is None or nothing_said.reply is not None:
                raise
            raise error from nothing_said
        finally:
            self._stream.close()
        if reply.is_positive or reply.is_intermediate:
            raise ProtocolError(f"{self._endpoint} answered {reply.code} before the mail had ended")
        transaction.refuse(accepted, "dot", reply)
        raise _told(TransportError(f"{self._endpoint} refused the mail before its end: {reply}"), reply)

    async def _reset(self) -> None:
        """End a refused transaction (RFC 5321 section 4.1.1.5). If that fails the session ends, and nothing else."""
        try:
            reply = await self._ask(command.rset(), "RSET")
        except MailerError:
            return
        if not reply.is_positive:
            self._stream.close()

    def _check_final(self, reply: Reply, step: str) -> None:
        if reply.is_intermediate:
            raise ProtocolError(f"{self._endpoint} answered {step} with {reply.code}")


def _blocks(content: Content) -> Iterator[bytes]:
    """The mail as DATA sends it, in stretches worth a write; the final dot travels with the last."""
    waiting: list[bytes] = []
    size = 0
    for chunk in dot_stuffed(content):
        if size + len(chunk) > _WRITE_BYTES and waiting:
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(chunk)
        size += len(chunk)
    yield b"".join(waiting)


def _is_too_many(reply: Reply) -> bool:
    """Whether RCPT was refused because the transaction is full: 452, or 552 that says so or gives no other reason."""
    if reply.code == 452:
        return reply.enhanced_code in (None, "4.5.3")
    return reply.code == 552 and reply.enhanced_code in (None, "5.5.3")


def _is_about_credentials(refusal: Reply) -> bool:
    """Whether a fresh token may help: 535, or another refusal for good; not "later" (454)."""
    return refusal.is_permanent


def _challenge(reply: Reply) -> bytes:
    try:
        return base64.b64decode(reply.lines[-1].strip(), validate=False)
    except (binascii.Error, ValueError):
        return b""  # LOGIN's prompts need not be base64 to be answered


def _told(error: Any, reply: Reply) -> Any:
    error.reply = reply
    return error


def _masked(reply: Reply, secrets: Secrets) -> Reply:
    """The reply without the credentials, in whatever form the server says them back."""
    lines = tuple(map(secrets.hide, reply.lines))
    return reply if lines == reply.lines else Reply(reply.code, lines)


def _shown_command(line: bytes, *, is_secret: bool) -> str:
    """The line as the log may have it: of AUTH the mechanism at most."""
    text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
    if not is_secret:
        return text
    verb, mechanism, answer = (*text.split(" "), "", "")[:3]
    if verb != "AUTH":
        return text if text == "*" else MASK
    return f"{verb} {mechanism} {MASK}" if answer else f"{verb} {mechanism}"


def _forget_frames(error: BaseException) -> None:
    """Let the error, and all it is chained from, begin where it is raised next."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            found.__traceback__ = None
            waiting += [found.__cause__, found.__context__]

"""The SMTP session: one connection from its greeting to its end, the client's half (RFC 5321).

The idea: :class:`~mailer.smtp.wire.Wire` knows which reply answers which command, or it is closed; the session says
what comes when until mail may be sent, and :class:`~mailer.smtp.exchange.Exchange` carries the mails.

The rules that must hold:

- Nothing is sent before the greeting, and nothing while unread bytes wait (an unsolicited reply would be mispaired).
- Any exception out of an exchange, cancellation included, closes the stream.
- 421 may answer anything and ends everything (section 3.8); what is unfinished is deferred.
- What was learnt before TLS is forgotten after it (RFC 3207 section 4.2).
- Credentials go out under TLS only, once, unless clear text was allowed in words.

Read :meth:`Session.begin`, then :meth:`Session.transact`; the rest is their steps.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from typing import TYPE_CHECKING

from ..errors import (
    AuthError,
    ConnectError,
    DeadlineExceeded,
    MailerError,
    MessageError,
    ProtocolError,
    TlsError,
    TransportError,
)
from ..log import DIALOGUE, LOGIN, REUSED
from ..redaction import Secrets, forget_frames
from . import command
from .auth import Credentials, Mechanism, mechanism_for, refusal_of
from .capabilities import Capabilities, Learnt
from .endpoint import Endpoint
from .exchange import Exchange
from .fingerprint import fingerprint_of, is_pinned
from .reply import Reply
from .trace import Trace
from .transaction import SessionRefused, Transaction
from .wire import Wire, told

if TYPE_CHECKING:
    import ssl

    from ..runtime import Runtime
    from ..stream import Stream

__all__ = ["Session"]

#: RFC 5321 section 4.1.4 and practice: these say that EHLO is not known, so HELO may be.
_NO_EHLO = (500, 502, 504, 550)
#: More challenges than any mechanism has: the server is going round in circles.
_MAX_CHALLENGES = 3
#: Of what a challenge says is wrong.
_MAX_SAID_CHARS = 80
#: Seconds of silence after which a connection may have died unseen: in a gateway that forgot it, say.
_REST_S = 1.0
_NO_LIMIT = 1 << 30
#: How the certificate was checked, by (verify, whether some are pinned).
_CHECKS = {
    (True, False): "verified",
    (True, True): "verified and pinned",
    (False, True): "pinned",
    (False, False): "not checked",
}


class Session:
    """One connection to a server.

    Attributes:
        capabilities: What the server announced last.
        carried: How many transactions it has begun.
        learnt: What the server showed of its limits.
        token: Where it was opened, and may be used.
        opened_at, used_at: When, on the runtime's clock; used_at is the end of the last transaction.
        notes: What the connection could not have, such as TLS.
    """

    def __init__(
        self,
        stream: Stream,
        runtime: Runtime,
        endpoint: Endpoint,
        *,
        learnt: Learnt | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Make a session of a fresh connection; ``trace`` is of its beginning."""
        self.capabilities = Capabilities()
        self.carried = 0
        self.learnt = learnt or Learnt()
        self.notes: list[str] = []
        self.token = runtime.token()
        self.opened_at = self.used_at = runtime.now()
        self._stream = stream
        self._runtime = runtime
        self._endpoint = endpoint
        self._wire = Wire(stream, runtime, endpoint, trace)
        self._resumed: ssl.SSLSession | None = None

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether another transaction may be tried: open, in step, and nothing unexpected has come."""
        return self._wire.is_open

    @property
    def is_ready(self) -> bool:
        """The same as far as is known without asking the system."""
        return not self._stream.closed and not self._wire.buffered

    @property
    def room(self) -> int:
        """How many more transactions it may begin (MAILMAX of RFC 9422)."""
        most = self.capabilities.limit("MAILMAX")
        return _NO_LIMIT if most is None else most - self.carried

    @property
    def facts(self) -> dict[str, str]:
        """What is known of the server, to be shown."""
        facts = {"server": self._stream.peer, "tls": "none"}
        if self._stream.is_secure:
            facts["tls"] = f"{self._stream.tls_version}, {self._stream.cipher}"
            shown = fingerprint_of(self._stream.certificate)
            facts["certificate"] = f"{shown} ({_CHECKS[self._endpoint.verify, bool(self._endpoint.fingerprints)]})"
        facts["login"] = self._endpoint.login or "none"
        offered = {name.lower(): value or "yes" for name, value in self.capabilities.keywords.items()}
        return facts | offered | facts  # what we know in front, and not as the server may call it

    @property
    def is_safe(self) -> bool:
        """Whether the connection has TLS, and the certificate was checked."""
        return self._stream.is_secure and self._endpoint.is_checked

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """What the next connection may resume, as far as the server has given it."""
        return self._stream.tls_session

    @property
    def number(self) -> int:
        """The connection's number, as the log has it."""
        return self._stream.number

    def close(self) -> None:
        """Close the connection without a word. Never waits, never raises."""
        self._stream.close()

    def quit(self) -> None:
        """Say QUIT and close. The reply is not waited for: nothing depends on it (RFC 5321 section 4.1.1.10)."""
        if self.is_open:
            if DIALOGUE.wanted():
                self._wire.log("C", "QUIT")
            self._stream.send_now(command.quit())
        self._stream.close()

    # --- the beginning ------------------------------------------------------------------------------------------------

    async def begin(
        self, context: ssl.SSLContext | None, deadline: float, *, tls_session: ssl.SSLSession | None = None
    ) -> None:
        """Go from a fresh connection to a session that is ready for mail: greeting, EHLO, TLS, AUTH.

        Args:
            context: TLS settings; None only where the endpoint's mode is "none".
            deadline: The end of it all, on the runtime's clock.
            tls_session: An earlier connection's, to be resumed.

        Raises:
            TransportError, ProtocolError, AuthError: It did not come to that; the connection is closed.
        """
        self._wire.deadline = deadline
        self._resumed = tls_session
        try:
            if self._endpoint.implicit_tls and context is not None:
                self._enter("tls")
                await self._handshake(context)
            self._enter("greeting")
            await self._greeting()
            self._enter("ehlo")
            await self._hello()
            if context is not None and not self._stream.is_secure:
                self._enter("tls")
                await self._starttls(context)
            if self._endpoint.username is not None:
                self._enter("auth")
                await self._login()
        except BaseException:
            self._stream.close()
            raise
        finally:
            self._enter("")
            self._wire.trace = None

    def _enter(self, phase: str) -> None:
        if self._wire.trace is not None:
            self._wire.trace.enter(phase, self._runtime.now())

    async def _greeting(self) -> None:
        reply = await self._wire.reply("the connection", self._wire.until("the connection"))
        if reply.is_intermediate:
            raise ProtocolError(f"{self._endpoint} greeted with {reply.code}")
        if not reply.is_positive:
            # RFC 5321 section 3.1: after 554 nothing follows but QUIT. For a relay of ours it is a matter of the
            # account (a block, a wrong host), so the mail is kept, as Postfix does (smtp_skip_5xx_greeting).
            raise told(ConnectError(f"{self._endpoint} refused the session: {reply}"), reply)

    async def _hello(self) -> None:
        name = command.helo_name(self._endpoint.helo, self._stream.local_ip)
        if self._endpoint.is_lmtp:
            reply = await self._wire.ask(command.lhlo(name), "LHLO")
        else:
            reply = await self._wire.ask(command.ehlo(name), "EHLO")
        if reply.is_positive:
            self.capabilities = Capabilities.parse(reply)
            return
        self.capabilities = Capabilities()
        if reply.code in _NO_EHLO and not self._endpoint.is_lmtp:
            reply = await self._wire.ask(command.helo(name), "HELO")
        if reply.is_intermediate:
            verb = "LHLO" if self._endpoint.is_lmtp else "EHLO"
            raise ProtocolError(f"{self._endpoint} answered {reply.code} to {verb}")
        if not reply.is_positive:
            if self._endpoint.is_lmtp:  # an SMTP server answers so, which is the settings' fault, not the mail's
                raise told(ConnectError(f"{self._endpoint} refused LHLO (does it speak LMTP?): {reply}"), reply)
            kind = SessionRefused if reply.is_permanent else TransportError
            raise told(kind(f"{self._endpoint} refused EHLO and HELO: {reply}"), reply)

    async def _starttls(self, context: ssl.SSLContext) -> None:
        required = self._endpoint.tls == "required"
        if not self.capabilities.starttls:
            if required:
                error = TlsError(f"{self._endpoint} does not offer STARTTLS, and TLS is required")
                error.lacks = "STARTTLS"
                raise error
            self.notes.append("tls: none (not offered)")
            return
        reply = await self._wire.ask(command.starttls(), "STARTTLS")
        if reply.code != 220:
            if reply.is_positive or reply.is_intermediate:
                # Neither yes nor no: somebody's line in front of the answer, which would be taken for the next one's.
                raise ProtocolError(f"{self._endpoint} answered {reply.code} to STARTTLS")
            if required:
                raise told(TlsError(f"{self._endpoint} refused STARTTLS, and TLS is required: {reply}"), reply)
            self.notes.append(f"tls: none (refused: {reply})")
            return
        deadline = self._wire.until("STARTTLS")
        if self._wire.buffered or (self._stream.has_input() and await self._stream.receive(1, deadline=deadline)):
            # RFC 3207 section 6: whatever came in clear behind the 220 was put there by someone in the middle.
            raise TlsError(f"{self._endpoint} sent clear text after its 220 to STARTTLS: injected by an attacker?")
        await self._handshake(context)
        await self._hello()

    async def _handshake(self, context: ssl.SSLContext) -> None:
        deadline = self._wire.until("STARTTLS")
        try:
            await self._stream.start_tls(context, self._endpoint.host, deadline=deadline, session=self._resumed)
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"{self._endpoint}: the TLS handshake was not finished in time") from error
        if self._endpoint.fingerprints and not is_pinned(self._stream.certificate, self._endpoint.fingerprints):
            shown = fingerprint_of(self._stream.certificate)
            raise TlsError(
                f"{self._endpoint}: the certificate is not the pinned one; its SHA-256 fingerprint is {shown}:"
                " if you know that the server has a new one, pin that"
            )
        check = self._endpoint.certificate_check
        if check is not None and (why := check(self._stream.chain)):
            raise TlsError(f"{self._endpoint}: {why}")
        self._wire.forget()
        if self._wire.is_logged:
            self._wire.log("*", f"{self._stream.tls_version}, {self._stream.cipher}")
        self.capabilities = Capabilities()

    async def _login(self) -> None:
        try:
            try:
                await self._authenticate()
            except MessageError as error:  # the credentials make no command: the account's fault, not the mail's
                raise AuthError(f"{self._endpoint}: user name or password: {error}") from error
        except MailerError as error:
            forget_frames(error)
            raise

    async def _authenticate(self) -> None:
        if not self._stream.is_secure and not self._endpoint.auth_in_clear:
            raise AuthError(
                f"{self._endpoint}: there is no TLS, so the password is not sent; the URL can say auth_in_clear=yes"
            )
        tokens = self._endpoint.tokens
        token = None if tokens is None else await tokens.token(self._runtime, self._wire.deadline)
        mechanism = self._mechanism(token)
        refusal = await self._exchange(mechanism)
        if refusal is not None and tokens is not None and _is_about_credentials(refusal):
            # RFC 7628 section 3.2.3: the token may have ended before its time; once, a fresh one is tried.
            fresh = await tokens.token(self._runtime, self._wire.deadline, stale=token)
            if fresh != token:
                mechanism = self._mechanism(fresh)
                refusal = await self._exchange(mechanism)
        if refusal is not None:
            who = self._endpoint.login
            raise told(AuthError(f"{self._endpoint} refused the login of {who!r}: {refusal}"), refusal)
        if LOGIN.wanted():
            LOGIN(connection=self._stream.number, username=self._endpoint.login, mechanism=mechanism.name)

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
            lacking = AuthError(f"{endpoint}: {error}")
            lacking.lacks = "" if self.capabilities.auth else "AUTH"
            raise lacking from error

    async def _exchange(self, mechanism: Mechanism) -> Reply | None:
        """One AUTH from its command to its end; the reply that refused it, or None."""
        endpoint = self._endpoint
        self._wire.secrets = secrets = Secrets(endpoint.password or "", mechanism.initial or b"", mechanism.secret)
        reply = await self._wire.ask(command.auth(mechanism.name, mechanism.initial), "AUTH")
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
                reply = await self._wire.ask(command.cancel(), "AUTH")
                reply = Reply(334, ("",)) if reply.code == 334 else reply  # one more challenge, which is not shown
                raise told(AuthError(f"{endpoint}: {mechanism.name} went on when all was said: {reply}"), reply)
            said = said or secrets.hide(refusal_of(challenge))[:_MAX_SAID_CHARS]
            reply = await self._wire.ask(command.response(answer), "AUTH")
        if reply.code == 235:
            try:
                mechanism.confirm()
            except AuthError as error:
                raise AuthError(f"{endpoint}: {error}") from error
            return None
        if reply.is_positive or reply.is_intermediate:
            raise ProtocolError(f"{endpoint} answered {reply.code} to AUTH")
        return Reply(reply.code, (*reply.lines[:-1], f"{reply.lines[-1]} ({said})")) if said else reply

    # --- mails --------------------------------------------------------------------------------------------------------

    async def transact(self, queue: deque[Transaction], *, window: int = 1, limit: int = _NO_LIMIT) -> None:
        """Carry mails from the front of the queue until it is empty, or the session is spent; then some are left.

        A refusal is a result and leaves the session usable. More recipients than the server takes at once go out in
        further transactions (RFC 5321 section 4.5.3.1.10).

        Args:
            queue: Taken from in place.
            window: How many mails may be unanswered at once, where the server offers what that needs.
            limit: The most transactions.

        Raises:
            MailerError: The session broke, and is closed. Mails that had begun are settled, the others in the queue.
        """
        exchange = Exchange(
            self._wire,
            self._runtime,
            self._endpoint,
            self.capabilities,
            self.learnt,
            window=window,
            is_rested=self._runtime.now() - self.used_at > _REST_S,
        )
        if self.carried and queue and REUSED.wanted():
            REUSED(connection=self._stream.number, mail_id=queue[0].mail.id)
        try:
            await exchange.run(queue, min(limit, self.room), self.is_safe, self.notes)
        finally:
            self._wire.trace = None
            answers = exchange.answers
            if answers.is_dismissed and answers.answered:
                self.learnt.messages = self.carried + answers.answered
            self.carried += exchange.carried
            self.used_at = self._runtime.now()


def _is_about_credentials(refusal: Reply) -> bool:
    """Whether a fresh token may help: 535, or another refusal for good; not "later" (454)."""
    return refusal.is_permanent


def _challenge(reply: Reply) -> bytes:
    try:
        return base64.b64decode(reply.lines[-1].strip(), validate=False)
    except (binascii.Error, ValueError):
        return b""  # LOGIN's prompts need not be base64 to be answered

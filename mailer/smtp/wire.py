"""The wire: commands out, replies in, over one stream. It knows when it has lost step, and ends the connection then.

Reading order: :meth:`Wire.ask` is one command and its reply; :meth:`Wire.write`, :meth:`Wire.next` and
:meth:`Wire.more` are its parts, for whoever has several replies outstanding (:mod:`mailer.smtp.exchange`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import DeadlineExceeded, ProtocolError, TransportError
from ..log import DIALOGUE
from ..redaction import MASK, Secrets
from .endpoint import Endpoint
from .reply import Reply, ReplyParser

if TYPE_CHECKING:
    from ..runtime import Runtime
    from ..stream import Stream
    from .trace import Trace
    from .transaction import Transaction

__all__ = ["Wire", "told"]

_READ_BYTES = 16 * 1024
#: What may wait to be parsed while we write: far more than the replies to one group, far less than memory.
_MAX_BACKLOG_BYTES = 512 * 1024
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3} ", re.ASCII)
_WAITS_FOR_TLS = "; a port that speaks TLS from the first byte (465) waits so: that is smtps://"


class Wire:
    """One connection, in whole commands and replies.

    Attributes:
        stream: What carries the bytes.
        deadline: The end of everything, on the runtime's clock; each step's own timer ends earlier.
        trace: What is said goes there too; None if it goes nowhere.
        is_logged: Somebody reads the dialogue; looked up anew for each run of mails.
        mail_id: Whose mail is being carried, for the log; "" if none is.
    """

    def __init__(self, stream: Stream, runtime: Runtime, endpoint: Endpoint, trace: Trace | None = None) -> None:
        self.stream = stream
        self.deadline = 0.0
        self.trace = trace
        self.is_logged = False
        self.mail_id = ""
        self._is_kept = trace is not None and trace.is_kept
        self.look_who_listens()
        self._secrets: Secrets | None = None
        self._is_in_auth = False
        self._runtime = runtime
        self._endpoint = endpoint
        self._parser = ReplyParser()

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def secrets(self) -> Secrets | None:
        """What must not be repeated from a reply: there are servers that quote what they were told."""
        return self._secrets

    @secrets.setter
    def secrets(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._parser = ReplyParser()  # nothing is in it before a command, and what it knows is to be looked at again
        # A challenge has to be answered as it came, in which a short password may stand by chance. It is shown nowhere.
        self._parser.revise = lambda reply: reply if reply.code == 334 and self._is_in_auth else _hidden(reply, secrets)

    @property
    def has_spoken(self) -> bool:
        """Whether something has come that nobody has taken, the end of the connection included."""
        return bool(self._parser.buffered) or self.stream.has_input()

    @property
    def is_open(self) -> bool:
        """Whether it is open, in step, and nothing unexpected has come."""
        return not self.stream.closed and not self._parser.buffered and not self.stream.has_input()

    @property
    def buffered(self) -> int:
        """Bytes read and not yet taken as a reply."""
        return self._parser.buffered

    def until(self, step: str) -> float:
        """When this step's timer ends, if it starts now."""
        return min(self.deadline, self._runtime.now() + self._endpoint.timeouts.of(step))

    def close(self) -> None:
        """Close the connection without a word. Never waits, never raises."""
        self.stream.close()

    def forget(self) -> None:
        """Drop what was read and not taken: what came before TLS is nobody's word (RFC 3207 section 4.2)."""
        self._parser = ReplyParser()

    # --- one exchange -------------------------------------------------------------------------------------------------

    async def ask(self, line: bytes, step: str) -> Reply:
        """Send a command and return its reply, whatever it is but 421.

        Raises:
            TransportError: The connection broke, or the server said 421; then with its reply.
            ProtocolError: What came is no reply, or came before the command.
        """
        deadline = self.until(step)
        try:
            await self.check_quiet(step, deadline)
            if self.is_logged:
                self.log("C", _shown_command(line, is_secret=step == "AUTH"))
            await self.stream.send_all(line, deadline=deadline)
            return await self.reply(step, deadline)
        except BaseException:
            self.close()
            raise

    async def reply(self, step: str, deadline: float) -> Reply:
        """The next reply. Raises as :meth:`ask`."""
        while (reply := self.next(step)) is None:
            await self.more(step, deadline)
        return reply

    # --- its parts ----------------------------------------------------------------------------------------------------

    async def write(self, data: bytes, deadline: float, *, stops_for_input: bool = False) -> bool:
        """Send data; while the peer does not take it, listen: both sides might be full, or it has something to say.

        Args:
            data: What to send.
            deadline: The end of it.
            stops_for_input: Leave the rest unsent once something has come.

        Returns:
            Whether all of it was sent.

        Raises:
            TransportError, DeadlineExceeded: As :meth:`Stream.send_all`.
            ProtocolError: The peer floods us.
        """

        def listen(received: bytes) -> bool:
            self._parser.feed(received)
            if self._parser.buffered > _MAX_BACKLOG_BYTES:
                raise ProtocolError(f"{self._endpoint} sends replies that nobody asked for")
            return stops_for_input

        return await self.stream.send_all(data, deadline=deadline, listen=listen)

    def next(self, step: str) -> Reply | None:
        """The next reply of what was read, without the credentials; None if it is not whole yet.

        Raises:
            TransportError: It is a 421, with it as its ``reply``; the connection is closed.
            ProtocolError: It is no reply.
        """
        reply = self._parser.next() if self._secrets is None else self._hidden_next(step)
        if reply is not None:
            if self.is_logged:
                self._log_reply(reply)
            if reply.code == 421:
                self.close()
                raise told(TransportError(f"{self._endpoint} is closing, in answer to {step}: {reply}"), reply)
        return reply

    async def more(self, step: str, deadline: float) -> None:
        """Read on. Raises TransportError if the connection has ended or broke, DeadlineExceeded if nothing came."""
        try:
            received = await self.stream.receive(_READ_BYTES, deadline=deadline)
        except DeadlineExceeded as error:
            hint = _WAITS_FOR_TLS if step == "the connection" and self._may_be_smtps else ""
            raise DeadlineExceeded(f"{self._endpoint}: no answer to {step} in time{hint}") from error
        if not received:
            raise TransportError(f"{self._endpoint} closed the connection instead of answering {step}")
        self._parser.feed(received)

    @property
    def _may_be_smtps(self) -> bool:
        """Whether a server that says nothing may be one that waits for TLS to begin."""
        endpoint = self._endpoint
        return not (self.stream.is_secure or self._parser.buffered or endpoint.is_lmtp or endpoint.port == 25)

    async def check_quiet(self, step: str, deadline: float) -> None:
        """Raise if something has come although nothing was asked: it would be taken for the answer to this step."""
        if self.has_spoken:
            await self._out_of_turn(step, deadline)

    async def _out_of_turn(self, step: str, deadline: float) -> NoReturn:
        """Tell what came although nothing was asked: often the server's reason for hanging up."""
        for _ in range(2):  # under TLS looking took the first byte by itself
            if self.stream.has_input():
                self._parser.feed(await self.stream.receive(_READ_BYTES, deadline=deadline))
        if not self._parser.buffered:
            raise TransportError(f"{self._endpoint} closed the connection before {step}")
        reply = self.next(step)
        raise ProtocolError(f"{self._endpoint} spoke out of turn before {step}: {reply or 'part of a line'}")

    def _hidden_next(self, step: str) -> Reply | None:
        self._is_in_auth = step == "AUTH"
        try:
            return self._parser.next()
        except ProtocolError:
            pass  # the error quotes the line; not from in here, where it would be the context of the next
        raise ProtocolError(f"{self._endpoint} answered {step} with what is no reply")

    # --- the log ------------------------------------------------------------------------------------------------------

    def look_who_listens(self) -> None:
        """Look up anew whether what is said is to be told."""
        self.is_logged = self._is_kept or DIALOGUE.wanted()

    def talk_about(self, transaction: Transaction) -> None:
        """The next lines are of this mail."""
        self.mail_id, self.trace = transaction.mail.id, transaction.trace

    def log(self, side: str, line: str) -> None:
        """Tell a line of the dialogue; side is "C", "S", or "*" for what is about them."""
        if self.trace is not None:
            self.trace.say(self._runtime.now(), side, line)
        if side != "*" and DIALOGUE.wanted():
            DIALOGUE(connection=self.stream.number, mail_id=self.mail_id, side=side, line=line)

    def _log_reply(self, reply: Reply) -> None:
        # RFC 4954: 334 is a challenge, of which an answer could be worked out.
        *first, last = (MASK,) if reply.code == 334 else reply.lines
        for line in first:
            self.log("S", f"{reply.code}-{line}")
        self.log("S", f"{reply.code} {last}")


def told(error: Any, reply: Reply) -> Any:
    """The error, with the reply that it tells of."""
    error.reply = reply
    return error


def _hidden(reply: Reply, secrets: Secrets) -> Reply:
    """The reply without the credentials, in whatever form the server says them back."""
    lines = tuple(_hidden_line(line, secrets) for line in reply.lines)
    return reply if lines == reply.lines else Reply(reply.code, lines)


def _hidden_line(line: str, secrets: Secrets) -> str:
    """The same of a line. Its enhanced status code stays, as it decides something; short secrets hide whole lines."""
    code = _ENHANCED.match(line)
    return secrets.hide(line) if code is None else code[0] + secrets.hide(line[code.end() :])


def _shown_command(line: bytes, *, is_secret: bool) -> str:
    """The line as the log may have it: of AUTH the mechanism at most."""
    text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
    if not is_secret:
        return text
    verb, mechanism, answer = (*text.split(" "), "", "")[:3]
    if verb != "AUTH":
        return text if text == "*" else MASK
    return f"{verb} {mechanism} {MASK}" if answer else f"{verb} {mechanism}"

"""The exchange: mails on their way through one session, in as few round trips as the server allows.

The idea: whatever is written puts down what reply it expects and who is to hear of it (:meth:`Exchange._put`). Replies
are taken from the front of that list, so each meets its own command, however many are outstanding. What differs is only
how much is written before reading:

- without PIPELINING one command waits for one reply (RFC 5321 section 4.3.1);
- with it, MAIL, the RCPTs and DATA go in one write (RFC 2920 section 3.1), and when more mails follow, the next of
  these goes in one write with the final dot before it: one round trip for each mail;
- with CHUNKING too, MAIL, the RCPTs and the content as ``BDAT LAST`` go in one write (RFC 3030), and up to a window of
  mails is under way before the first is answered. RSET parts them: what a refused one left open must not swallow the
  next.

LMTP (RFC 2033) answers the end of the data once for each recipient. How many replies that makes has to be known when it
is written, so the content goes once every RCPT is answered.

The rules that must hold:

- Nothing is written while nothing is outstanding and something unread has come: it would be mispaired.
- A group has at most `_GROUP` recipients, and a window `_WINDOW_BYTES` of content, so that neither side is ever busy
  writing into buffers that the other does not empty; while a write blocks, the replies are read all the same.
- Whether a mail was handed over is told by the stream's count of bytes alone, never by where the code was interrupted.
- A mail that was accepted by a reply which may have been another's is not called accepted (:meth:`Exchange._prove`).
- Any exception closes the connection; :class:`~mailer.smtp.transaction.Transaction` then knows who is in doubt.

Read :meth:`Exchange.run`, then the three ways of one passage below it; what replies do stands at the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import AuthError, MailerError, MessageError, Outcome, ProtocolError, TransportError
from ..log import DIALOGUE
from ..redaction import words_of
from . import command
from .data import dot_stuffed, stuffed
from .reply import Reply
from .transaction import first_share
from .wire import told

if TYPE_CHECKING:
    from ..address import Address
    from ..runtime import Runtime
    from .capabilities import Capabilities
    from .endpoint import Endpoint
    from .transaction import Transaction
    from .wire import Wire

__all__ = ["Exchange", "Learnt"]

_GROUP = 100
"""Recipients in one write: their replies fit any buffer (RFC 2920 section 3.1 warns of the deadlock)."""
_RIDE_BYTES = 64 * 1024
"""Content that goes in one write with what surrounds it; larger ones are written apart, in stretches of this size."""
_WINDOW_BYTES = 256 * 1024
"""Content of unacknowledged mails in a window."""
_CHUNK_BYTES = 256 * 1024
_CHUNKS = 4
"""Chunks of one large mail that may be unacknowledged."""
#: Replies to MAIL that are about the account, not the mail (RFC 4954 section 6).
_ACCOUNT = (530, 534, 535, 538)
_NEVER = 1 << 62


@dataclass(slots=True)
class Learnt:
    """What a server showed of its limits; None: nothing yet. Shared by the connections to it.

    Attributes:
        recipients: How many one transaction took, until 452 4.5.3 to RCPT.
        messages: How many transactions one connection took, until 421 to MAIL.
        connections: How many it had from us at once, until 421 to one more.
    """

    recipients: int | None = None
    messages: int | None = None
    connections: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return self.recipients is self.messages is self.connections is None

    def forget(self) -> None:
        """Start again: things may have changed."""
        self.recipients = self.messages = self.connections = None


class _Passage:
    """One transaction for one mail and some of its recipients, from MAIL to the reply to the data."""

    def __init__(self, transaction: Transaction, recipients: list[Address], offered: Capabilities) -> None:
        self.transaction = transaction
        self.recipients = recipients
        self.mail, self.rcpts = transaction.lines(recipients, offered)
        self.size = len(transaction.content)
        #: The content if it is small, else it is read as it goes.
        self.content = bytes(transaction.content) if self.size <= _RIDE_BYTES else None
        self.accepted: list[Address] = []
        self.rest: list[Address] = []  # too many for this one
        self.refusal: Reply | None = None  # of MAIL, or of a chunk
        self.is_odd = False  # somebody was accepted although MAIL was refused
        self.is_go = False  # 354
        self.rides = False  # all of it in one write
        self.end = _NEVER  # the place of its last byte on the wire: behind it, it is handed over

    def served(self) -> list[Address]:
        """Its recipients without the rest."""
        left = set(map(id, self.rest))
        return [address for address in self.recipients if id(address) not in left]

    def chunks(self) -> Iterator[bytes]:
        """The content, in whatever pieces; raises MailerError if it cannot be read."""
        if self.content is not None:
            yield self.content
            return
        try:
            yield from self.transaction.content
        except Exception as error:
            self.transaction.abandon(failed := _unreadable(error))
            raise failed from error


_Handler = Callable[[_Passage, Any, Reply], None]


class Exchange:
    """Carries mails through an open session.

    Args:
        wire: The connection; nothing is outstanding on it.
        runtime: The clock.
        endpoint: For its timers and its name.
        offered: What the server offers.
        learnt: What is known of its limits, to be used and added to.
        window: How many mails may be unanswered at once, where CHUNKING allows more than one.
        is_rested: The connection was idle for a while. It may be dead without our knowing, so that the content does not
            go before the server has answered.

    Attributes:
        carried: How many MAIL commands were written.
        answered: How many of them were answered.
        is_dismissed: The server said 421 where it might have answered another MAIL.
    """

    def __init__(
        self,
        wire: Wire,
        runtime: Runtime,
        endpoint: Endpoint,
        offered: Capabilities,
        learnt: Learnt,
        *,
        window: int = 1,
        is_rested: bool = False,
    ) -> None:
        self.carried = 0
        self.answered = 0
        self.is_dismissed = False
        self._wire = wire
        wire.is_logged = DIALOGUE.wanted()
        self._runtime = runtime
        self._endpoint = endpoint
        self._offered = offered
        self._learnt = learnt
        self._window = window
        self._is_rested = is_rested
        self._pipelines = offered.pipelining
        self._is_lmtp = endpoint.is_lmtp
        self._rides = offered.pipelining and offered.chunking and not endpoint.is_lmtp
        self._expected: deque[tuple[_Handler, str, _Passage, Address | None]] = deque()
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._shown: list[tuple[str, str]] = []  # the outbox as the log has it: mail id and line
        self._outstanding = 0  # of the expected: those whose command has left
        self._in_window: list[_Passage] = []
        self._rests: deque[tuple[Transaction, list[Address]]] = deque()
        self._unproven: list[tuple[Transaction, list[Address]]] = []
        self._must_reset: _Passage | None = None
        self._trouble: AuthError | None = None  # raised once what is outstanding has been answered
        self._is_spent = False

    # --- the whole ----------------------------------------------------------------------------------------------------

    async def run(self, queue: deque[Transaction], limit: int, is_safe: bool, notes: Sequence[str]) -> None:
        """Carry mails from the front of the queue until it is empty, or the session is spent; then some are left.

        Args:
            queue: Taken from in place.
            limit: The most MAIL commands to write.
            is_safe: The connection has verified TLS.
            notes: What the connection lacks, for each receipt.

        Raises:
            MailerError: The session broke, and is closed. Mails that had begun are settled, the others in the queue.
        """
        begun: list[Transaction] = []
        try:
            while True:
                passage = self._next(queue, begun, is_safe, notes) if self.carried < limit else None
                if passage is None:
                    if not self._expected:
                        break
                    await self._flush()
                    await self._drain()  # which may bring more to do
                elif self._may_ride(passage):
                    await self._ride(passage)
                else:
                    await self._step_by_step(passage)
            self._prove()
            await self._reset()
        except BaseException as error:
            self._wire.close()
            self._break_off(begun, error)
            raise
        finally:
            queue.extendleft(reversed([transaction for transaction in begun if transaction.pending]))
        if self._is_spent:
            self._wire.close()

    def _next(
        self, queue: deque[Transaction], begun: list[Transaction], is_safe: bool, notes: Sequence[str]
    ) -> _Passage | None:
        """The next passage: the rest of a mail, else the next mail that this server can take."""
        while not (self._is_spent or self._wire.stream.closed):
            if self._rests:
                transaction, recipients = self._rests.popleft()
            elif queue:
                transaction = queue.popleft()
                recipients = []
            else:
                return None
            try:
                if not recipients:
                    begun.append(transaction)
                    if transaction.deadline is None:
                        transaction.deadline = self._runtime.now() + self._endpoint.timeouts.total_s
                    transaction.notes.extend(notes)
                    transaction.fit(self._offered, is_safe=is_safe)
                    recipients = transaction.pending
                else:
                    recipients = [address for address in recipients if transaction.awaits(address)]
                if len(recipients) > 1:
                    domains = self._offered.limit("RCPTDOMAINMAX")
                    recipients, rest = first_share(recipients, self._most_recipients(), domains)
                    if rest:
                        self._rests.appendleft((transaction, rest))
                if recipients:
                    return _Passage(transaction, recipients, self._offered)
            except MessageError as error:  # it makes no command; nothing of it has been written
                transaction.abandon(error)
            except Exception as error:  # noqa: BLE001 - the content may be read by anybody's code
                transaction.abandon(_unreadable(error))
        return None

    def _most_recipients(self) -> int | None:
        limits = (self._offered.limit("RCPTMAX"), self._learnt.recipients)
        return min([limit for limit in limits if limit is not None], default=None)

    def _break_off(self, begun: Sequence[Transaction], error: BaseException) -> None:
        """Settle whoever had begun. Who has not may begin again elsewhere."""
        reply = getattr(error, "reply", None)
        if reply is None or reply.code != 421:  # 421 is an answer: the server did not take it, nor what came after
            for passage in {id(passage): passage for _, _, passage, _ in self._expected}.values():
                if self._wire.stream.sent_bytes >= passage.end and (passage.refusal is None or passage.is_odd):
                    passage.transaction.in_doubt += passage.served()
        else:
            self.is_dismissed = bool(self._expected) and self._expected[0][1] in ("MAIL", "RSET")
        if isinstance(error, ProtocolError):
            for transaction, recipients in self._unproven:
                transaction.doubt(recipients, error)
        for transaction in begun:
            if not isinstance(error, MailerError):
                transaction.abandon(None)
            elif transaction.has_begun or transaction.in_doubt:
                transaction.abandon(error)

    def _prove(self) -> None:
        """Everything is answered: an answer too many means that those before it may have been one another's."""
        if not self._unproven or not self._wire.buffered:
            return
        try:
            self._wire.next("nothing")
        except TransportError:
            return  # 421: it is leaving, and says so
        raise ProtocolError(f"{self._endpoint} sent more replies than it got commands")

    # --- the ways of one passage --------------------------------------------------------------------------------------

    def _may_ride(self, passage: _Passage) -> bool:
        return (
            self._rides
            and passage.content is not None
            and len(passage.recipients) <= _GROUP
            and len(passage.recipients) == len(passage.transaction.pending)
            and not self._is_rested
        )

    async def _ride(self, passage: _Passage) -> None:
        """Everything in one write, the content as one chunk, beside what is under way already."""
        while self._in_window and not self._has_room(passage):
            await self._flush()
            await self._drain(len(self._expected) - 1)
            while self._expected and self._wire.buffered:
                await self._drain(len(self._expected) - 1)
        passage.rides = True
        self._begin(passage)
        self._put(passage.mail, self._on_mail, "MAIL", passage)
        for line, address in zip(passage.rcpts, passage.recipients, strict=True):
            self._put(line, self._on_rcpt, "RCPT", passage, address)
        self._put_chunk(passage, passage.content or b"", is_last=True)

    def _has_room(self, passage: _Passage) -> bool:
        return (
            len(self._in_window) < self._window
            and len(self._expected) + len(passage.recipients) <= _GROUP + 3 * self._window
            and sum([other.size for other in self._in_window], passage.size) <= _WINDOW_BYTES
        )

    async def _step_by_step(self, passage: _Passage) -> None:
        """The envelope first; the content once it is known that somebody is to have it."""
        if self._in_window:
            await self._flush()
            await self._drain()
        self._begin(passage)
        await (self._envelope(passage) if self._pipelines else self._envelope_by_line(passage))
        self._is_rested = False
        if passage.rest:
            self._rests.appendleft((passage.transaction, passage.rest))
        if passage.is_go:
            await self._data(passage)
        elif passage.refusal is None and passage.accepted and self._offered.chunking:
            await self._chunks(passage)
        else:
            self._must_reset = passage
        if not self._pipelines:
            await self._flush()
            await self._drain()
            await self._reset()

    async def _envelope(self, passage: _Passage) -> None:
        """In groups; the first goes with what waits in the outbox, and DATA with the last."""
        self._put(passage.mail, self._on_mail, "MAIL", passage)
        for start in range(0, len(passage.rcpts), _GROUP):
            for line, address in zip(passage.rcpts[start : start + _GROUP], passage.recipients[start:], strict=False):
                self._put(line, self._on_rcpt, "RCPT", passage, address)
            is_last = start + _GROUP >= len(passage.rcpts)
            if is_last and (start == 0 or passage.accepted) and not self._offered.chunking:
                self._put(command.data(), self._on_data, "DATA", passage)
            await self._flush()
            await self._drain()
            if passage.refusal is not None:
                return

    async def _envelope_by_line(self, passage: _Passage) -> None:
        await self._say(passage.mail, self._on_mail, "MAIL", passage)
        for index, address in enumerate(passage.recipients):
            if passage.refusal is not None:
                return
            if passage.rest:
                passage.rest += passage.recipients[index:]
                break
            await self._say(passage.rcpts[index], self._on_rcpt, "RCPT", passage, address)
        if passage.accepted and not self._offered.chunking:
            await self._say(command.data(), self._on_data, "DATA", passage)

    async def _data(self, passage: _Passage) -> None:
        """After 354: the content and the dot, which waits in the outbox for what may go with it."""
        if not passage.accepted and self._is_lmtp:
            # RFC 2033 section 4.2 has it answer 503. To a dot it would owe no reply at all: it is not to be trusted.
            self._is_spent = True
            return None
        if not passage.accepted:
            # RFC 2920 section 3.1: where 354 comes although nobody was accepted, send a single dot.
            return self._put(b".\r\n", self._on_nothing, "the final dot", passage)
        self._put_end(passage, b"")
        if passage.content is not None:
            self._outbox.append(stuffed(passage.content))
            self._outbox_bytes += len(self._outbox[-1])
            passage.end = self._place()
            return None
        waiting = b""
        for block in _stretches(dot_stuffed(passage.chunks()), _RIDE_BYTES):
            if waiting:
                await self._write_block(passage, waiting)
            waiting = block
        self._outbox.append(waiting)
        self._outbox_bytes += len(waiting)
        passage.end = self._place()
        return None

    async def _write_block(self, passage: _Passage, block: bytes) -> None:
        """Write a stretch of the mail, unless the server has spoken: RFC 5321 section 4.2.5 has it wait for the end."""
        if not self._wire.has_spoken:
            try:
                if await self._wire.write(block, self._due("the mail", passage), stops_for_input=True):
                    return
            except TransportError as error:
                await self._last_words(error)
        await self._drain()  # raises, since the end has not been sent

    async def _chunks(self, passage: _Passage) -> None:
        """The content by BDAT, replies to earlier chunks read on the way (RFC 3030 section 4.2)."""
        left = passage.size
        for chunk in _stretches(passage.chunks(), _CHUNK_BYTES):
            left -= len(chunk)
            self._put_chunk(passage, chunk, is_last=not left)
            if not left:
                return  # written with what comes next
            await self._flush()
            await self._drain(_CHUNKS - 1 if self._pipelines and not self._is_lmtp else 0)
            if passage.refusal is not None:
                # Any refusal ends the transaction (RFC 3030 section 2). All announced octets have been sent.
                await self._drain()
                self._must_reset = passage
                return

    async def _reset(self) -> None:
        """End a refused transaction, if there is one (RFC 5321 section 4.1.1.5).

        If that fails the session ends, and nothing else.
        """
        passage, self._must_reset = self._must_reset, None
        if passage is None:
            return
        try:
            await self._say(command.rset(), self._on_reset, "RSET", passage)
        except MailerError as error:
            if isinstance(error, ProtocolError) and self._unproven:
                raise
            self._is_spent = True
            self._expected.clear()

    # --- writing ------------------------------------------------------------------------------------------------------

    def _put(
        self, data: bytes, handler: _Handler, step: str, passage: _Passage, address: Address | None = None
    ) -> None:
        """Have data written with the next flush, and its reply given to handler."""
        self._outbox.append(data)
        self._outbox_bytes += len(data)
        if self._wire.is_logged:
            self._show(data, passage)
        self._expected.append((handler, step, passage, address))

    def _begin(self, passage: _Passage) -> None:
        """Count it, and put RSET before it if the one before was refused, or may be by now."""
        if self._in_window or self._must_reset is not None:
            self._put(command.rset(), self._on_reset, "RSET", passage)
            self._must_reset = None
        self.carried += 1

    def _put_chunk(self, passage: _Passage, chunk: bytes, *, is_last: bool) -> None:
        line = command.bdat(len(chunk), last=is_last)
        if not is_last:
            return self._put(line + chunk, self._on_chunk, "BDAT", passage)
        self._put_end(passage, line + chunk)
        passage.end = self._place()
        self._in_window.append(passage)
        return None

    def _put_end(self, passage: _Passage, data: bytes) -> None:
        """The end of the data: one reply, or (RFC 2033 section 4.2) one for each recipient accepted, in order."""
        first, *others = passage.accepted if self._is_lmtp else [None]
        self._put(data, self._on_end, "the final dot", passage, first)
        self._expected.extend([(self._on_end, "the final dot", passage, address) for address in others])

    def _place(self) -> int:
        """How many bytes the stream will have sent with the outbox."""
        return self._wire.stream.sent_bytes + self._outbox_bytes

    async def _say(
        self, line: bytes, handler: _Handler, step: str, passage: _Passage, address: Address | None = None
    ) -> None:
        """One command, one reply."""
        self._put(line, handler, step, passage, address)
        await self._flush()
        await self._drain()

    async def _flush(self) -> None:
        """Write the outbox; what it answers to is outstanding then."""
        if not self._outbox:
            return
        handler, step, passage, _ = self._expected[self._outstanding]
        if not self._outstanding:
            if self._wire.has_spoken:
                if handler == self._on_end:  # the server did not wait for the mail, and what it says is about that
                    await self._drain()
                await self._wire.check_quiet(step, self._due(step, passage))
            self._unproven.clear()  # nothing came in between: each reply was the right one's
        if self._shown:
            self._log()
        data = b"".join(self._outbox)
        self._outbox.clear()
        self._outbox_bytes = 0
        try:
            await self._wire.write(data, self._due("the mail", passage))
        except TransportError as error:
            await self._last_words(error)
        self._outstanding = len(self._expected)

    async def _last_words(self, error: TransportError) -> NoReturn:
        """The connection broke as we wrote: what the server said before decides, and may be the reason."""
        try:
            await self._drain()
        except MailerError as nothing_said:
            if nothing_said.reply is not None:
                raise
            raise error from nothing_said
        raise error

    def _show(self, data: bytes, passage: _Passage) -> None:
        """Keep a command for the log, without the mail."""
        line, _, content = data.partition(b"\r\n")
        if line:
            self._shown.append((passage.transaction.mail.id, line.decode("utf-8", "backslashreplace")))
        if content or not line:
            self._shown.append((passage.transaction.mail.id, f"<{len(content) or passage.size} octets of mail>"))

    def _log(self) -> None:
        for mail_id, line in self._shown:
            self._wire.mail_id = mail_id
            self._wire.log("C", line)
        self._shown.clear()

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _drain(self, leave: int = 0) -> None:
        """Take replies until only so many are outstanding, and tell each what it answers."""
        expected, wire = self._expected, self._wire
        while len(expected) > leave:
            handler, step, passage, address = expected[0]
            if wire.is_logged:
                wire.mail_id = passage.transaction.mail.id
            reply = wire.next(step)
            if reply is None:
                reply = await self._awaited(step, passage)
            handler(passage, address, reply)
            expected.popleft()  # now: who is in doubt is found in here
            self._outstanding -= 1
            if self._trouble is not None and self._outstanding <= 0:
                raise self._trouble

    async def _awaited(self, step: str, passage: _Passage) -> Reply:
        """Read until the next reply is whole. Its timer starts now: the ones before it have been answered."""
        deadline = self._due(step, passage)
        try:
            return await self._wire.reply(step, deadline)
        except TransportError as error:
            if self._trouble is not None:
                raise self._trouble from error
            raise

    def _due(self, step: str, passage: _Passage) -> float:
        due = self._runtime.now() + self._endpoint.timeouts.of(step)
        deadline = passage.transaction.deadline
        return due if deadline is None else min(due, deadline)

    # --- what replies do ----------------------------------------------------------------------------------------------

    def _on_mail(self, passage: _Passage, _: None, reply: Reply) -> None:
        transaction = passage.transaction
        transaction.has_begun = True
        self.answered += 1
        if reply.is_positive:
            return
        self._check_final(reply, "MAIL")
        passage.refusal = reply
        if reply.code in _ACCOUNT:
            self._trouble = told(AuthError(f"{self._endpoint} takes no mail without a login: {reply}"), reply)
        else:
            transaction.refuse(transaction.pending, "MAIL", reply)

    def _on_rcpt(self, passage: _Passage, address: Address, reply: Reply) -> None:
        if passage.refusal is not None:
            passage.is_odd = passage.is_odd or reply.is_positive
        elif reply.is_positive:
            passage.accepted.append(address)
        else:
            self._check_final(reply, "RCPT")
            if passage.accepted and _is_too_many(reply):
                # One command at a time, asking costs one round trip, and the server may take more than it did before.
                if self._pipelines and not passage.rest and reply.enhanced_code is not None:
                    self._learnt.recipients = len(passage.accepted)
                passage.rest.append(address)
            else:
                passage.transaction.refuse([address], "RCPT", reply)

    def _on_data(self, passage: _Passage, _: None, reply: Reply) -> None:
        if reply.code == 354:
            if passage.is_odd:
                raise ProtocolError(f"{self._endpoint} refused MAIL and took recipients: whose mail would it be?")
            passage.is_go = True
            self._unproven.clear()  # the one reply of its kind stands in its place: so do those before it
        elif reply.is_positive or reply.is_intermediate:
            raise ProtocolError(f"{self._endpoint} answered DATA with {reply.code}, not 354")
        elif passage.accepted:
            passage.transaction.refuse(passage.accepted, "DATA", reply)

    def _on_chunk(self, passage: _Passage, _: None, reply: Reply) -> None:
        self._check_final(reply, "BDAT")
        if passage.refusal is None and not reply.is_positive:
            passage.refusal = reply
            passage.transaction.refuse(passage.accepted, "dot", reply)

    def _on_end(self, passage: _Passage, address: Address | None, reply: Reply) -> None:
        """The answer to the end of the data: for everyone, or by LMTP for this recipient."""
        self._check_final(reply, "the final dot")
        is_early = self._wire.stream.sent_bytes < passage.end
        if is_early and reply.is_positive:
            raise ProtocolError(f"{self._endpoint} answered {reply.code} before the mail had ended")
        whose = passage.accepted if address is None or is_early else [address]
        if passage.is_go:
            if len(self._expected) > 1 or len(whose) < len(passage.accepted):
                self._unproven.append((passage.transaction, whose))
        else:
            self._unproven.append((passage.transaction, passage.served() if address is None else whose))
        if passage.refusal is None and reply.is_positive:
            passage.transaction.settle(whose, Outcome.ACCEPTED, reply)
        elif passage.refusal is None:
            passage.transaction.refuse(whose, "dot", reply)
        elif reply.is_positive and (passage.is_odd or passage.accepted):
            error = ProtocolError(f"{self._endpoint} refused the mail ({passage.refusal}), then took it ({reply})")
            passage.transaction.doubt(passage.accepted or passage.recipients, error)
            raise error
        if self._in_window and (address is None or address is passage.accepted[-1]):
            if not reply.is_positive and self._in_window[-1] is passage:
                self._must_reset = passage
            self._in_window.remove(passage)
            if passage.rest and passage.rides:
                self._rests.append((passage.transaction, passage.rest))
        if is_early:
            raise told(TransportError(f"{self._endpoint} refused the mail before its end: {reply}"), reply)

    def _on_nothing(self, passage: _Passage, _: None, reply: Reply) -> None:
        self._check_final(reply, "the final dot")  # and it was for nobody

    def _on_reset(self, passage: _Passage, _: None, reply: Reply) -> None:
        if not reply.is_positive:
            self._is_spent = True

    def _check_final(self, reply: Reply, step: str) -> None:
        if reply.is_intermediate:
            raise ProtocolError(f"{self._endpoint} answered {step} with {reply.code}")


def _is_too_many(reply: Reply) -> bool:
    """Whether RCPT was refused because the transaction is full: 452, or 552 that says so or gives no other reason."""
    if reply.code == 452:
        return reply.enhanced_code in (None, "4.5.3")
    return reply.code == 552 and reply.enhanced_code in (None, "5.5.3")


def _unreadable(error: Exception) -> MailerError:
    failed = MailerError(f"the mail's content could not be read: {words_of(error)}")
    failed.__cause__ = error
    return failed


def _stretches(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in stretches worth a write, of ``size`` at most; at least one, which may be empty."""
    waiting: list[bytes] = []
    length = 0
    for chunk in chunks:
        if length and length + len(chunk) > size:
            yield b"".join(waiting)
            waiting, length = [], 0
        for start in range(0, len(chunk) - size, size):
            yield chunk[start : start + size]
        if len(chunk) > size:
            chunk = chunk[(len(chunk) - 1) // size * size :]
        waiting.append(chunk)
        length += len(chunk)
    yield b"".join(waiting)

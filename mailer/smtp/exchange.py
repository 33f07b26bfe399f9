"""The exchange: mails on their way through one session, in as few round trips as the server allows.

The idea: whatever is written puts down what reply it expects, and :class:`~mailer.smtp.answers.Answers` sees that each
meets its own command, however many are outstanding. What differs is only how much is written before reading:

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
- Any exception closes the connection.

Read :meth:`Exchange.run`, then the three ways of one passage below it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import MailerError, MessageError, TransportError
from . import command
from .answers import Answers, Handler
from .data import stuffed
from .passage import Passage, unreadable
from .transaction import first_share

if TYPE_CHECKING:
    from ..address import Address
    from ..runtime import Runtime
    from .capabilities import Capabilities, Learnt
    from .endpoint import Endpoint
    from .transaction import Transaction
    from .wire import Wire

__all__ = ["Exchange"]

_GROUP = 100
"""Recipients in one write: their replies fit any buffer (RFC 2920 section 3.1 warns of the deadlock)."""
_WINDOW_BYTES = 256 * 1024
"""Content of unacknowledged mails in a window."""
_CHUNK_BYTES = 256 * 1024
_CHUNKS = 4
"""Chunks of one large mail that may be unacknowledged."""


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
        answers: What came, and is to come.
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
        self.answers = Answers(wire, runtime, endpoint, learnt, pipelines=offered.pipelining)
        self._wire = wire
        wire.look_who_listens()
        self._runtime = runtime
        self._endpoint = endpoint
        self._offered = offered
        self._learnt = learnt
        self._window = window
        self._is_rested = is_rested
        self._pipelines = offered.pipelining
        self._is_lmtp = endpoint.is_lmtp
        self._rides = offered.pipelining and offered.chunking and not endpoint.is_lmtp
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._shown: list[tuple[Transaction, str]] = []  # the outbox as the log has it
        self._ending: list[Transaction] = []  # those whose last byte is in the outbox

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
                    if not self.answers.expected:
                        break
                    await self._flush()
                    await self.answers.drain()  # which may bring more to do
                elif self._may_ride(passage):
                    await self._ride(passage)
                else:
                    await self._step_by_step(passage)
            self.answers.prove()
            await self._reset()
        except BaseException as error:
            self._wire.close()
            self.answers.break_off(begun, error)
            raise
        finally:
            queue.extendleft(reversed([transaction for transaction in begun if transaction.pending]))
        if self.answers.is_spent:
            self._wire.close()

    def _next(
        self, queue: deque[Transaction], begun: list[Transaction], is_safe: bool, notes: Sequence[str]
    ) -> Passage | None:
        """The next passage: the rest of a mail, else the next mail that this server can take."""
        while not (self.answers.is_spent or self._wire.stream.closed):
            if self.answers.rests:
                transaction, recipients = self.answers.rests.popleft()
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
                        self.answers.rests.appendleft((transaction, rest))
                if recipients:
                    return Passage(transaction, recipients, self._offered)
            except MessageError as error:  # it makes no command; nothing of it has been written
                transaction.abandon(error)
            except Exception as error:  # noqa: BLE001 - the content may be read by anybody's code
                transaction.abandon(unreadable(error))
        return None

    def _most_recipients(self) -> int | None:
        limits = (self._offered.limit("RCPTMAX"), self._learnt.recipients)
        return min([limit for limit in limits if limit is not None], default=None)

    # --- the ways of one passage --------------------------------------------------------------------------------------

    def _may_ride(self, passage: Passage) -> bool:
        return (
            self._rides
            and passage.content is not None
            and len(passage.recipients) <= _GROUP
            and len(passage.recipients) == len(passage.transaction.pending)
            and not self._is_rested
        )

    async def _ride(self, passage: Passage) -> None:
        """Everything in one write, the content as one chunk, beside what is under way already."""
        while self.answers.in_window and not self._has_room(passage):
            await self._flush()
            await self.answers.drain(len(self.answers.expected) - 1)
            while self.answers.expected and self._wire.buffered:
                await self.answers.drain(len(self.answers.expected) - 1)
        passage.rides = True
        self._begin(passage)
        self._put(passage.mail, self.answers.on_mail, "MAIL", passage)
        for line, address in zip(passage.rcpts, passage.recipients, strict=True):
            self._put(line, self.answers.on_rcpt, "RCPT", passage, address)
        self._put_chunk(passage, passage.content or b"", is_last=True)

    def _has_room(self, passage: Passage) -> bool:
        return (
            len(self.answers.in_window) < self._window
            and len(self.answers.expected) + len(passage.recipients) <= _GROUP + 3 * self._window
            and sum([other.size for other in self.answers.in_window], passage.size) <= _WINDOW_BYTES
        )

    async def _step_by_step(self, passage: Passage) -> None:
        """The envelope first; the content once it is known that somebody is to have it."""
        if self.answers.in_window:
            await self._flush()
            await self.answers.drain()
        self._begin(passage)
        await (self._envelope(passage) if self._pipelines else self._envelope_by_line(passage))
        self._is_rested = False
        if passage.rest:
            self.answers.rests.appendleft((passage.transaction, passage.rest))
        if passage.is_go:
            await self._data(passage)
        elif passage.refusal is None and passage.accepted and self._offered.chunking:
            await self._chunks(passage)
        else:
            self.answers.must_reset = passage
            passage.transaction.trace.enter("", self._runtime.now())
        if not self._pipelines:
            await self._flush()
            await self.answers.drain()
            await self._reset()

    async def _envelope(self, passage: Passage) -> None:
        """In groups; the first goes with what waits in the outbox, and DATA with the last."""
        self._put(passage.mail, self.answers.on_mail, "MAIL", passage)
        for start in range(0, len(passage.rcpts), _GROUP):
            for line, address in zip(passage.rcpts[start : start + _GROUP], passage.recipients[start:], strict=False):
                self._put(line, self.answers.on_rcpt, "RCPT", passage, address)
            is_last = start + _GROUP >= len(passage.rcpts)
            if is_last and (start == 0 or passage.accepted) and not self._offered.chunking:
                self._put(command.data(), self.answers.on_data, "DATA", passage)
            await self._flush()
            await self.answers.drain()
            if passage.refusal is not None:
                return
            if passage.rest and not is_last:  # it is full: what follows would be refused, once for each transaction
                passage.rest += passage.recipients[start + _GROUP :]
                if not self._offered.chunking:
                    await self._say(command.data(), self.answers.on_data, "DATA", passage)
                return

    async def _envelope_by_line(self, passage: Passage) -> None:
        await self._say(passage.mail, self.answers.on_mail, "MAIL", passage)
        for index, address in enumerate(passage.recipients):
            if passage.refusal is not None:
                return
            if passage.rest:
                passage.rest += passage.recipients[index:]
                break
            await self._say(passage.rcpts[index], self.answers.on_rcpt, "RCPT", passage, address)
        if passage.accepted and not self._offered.chunking:
            await self._say(command.data(), self.answers.on_data, "DATA", passage)

    async def _data(self, passage: Passage) -> None:
        """After 354: the content and the dot, which waits in the outbox for what may go with it."""
        if not passage.accepted and self._is_lmtp:
            # RFC 2033 section 4.2 has it answer 503. To a dot it would owe no reply at all: it is not to be trusted.
            self.answers.is_spent = True
            return None
        if not passage.accepted:
            # RFC 2920 section 3.1: where 354 comes although nobody was accepted, send a single dot.
            return self._put(b".\r\n", self.answers.on_nothing, "the final dot", passage)
        self._put_end(passage, b"")
        if passage.content is not None:
            self._outbox.append(stuffed(passage.content))
            self._outbox_bytes += len(self._outbox[-1])
            passage.end = self._place()
            return None
        waiting = b""
        for block in passage.dotted():
            if waiting:
                await self._write_block(passage, waiting)
            waiting = block
        self._outbox.append(waiting)
        self._outbox_bytes += len(waiting)
        passage.end = self._place()
        return None

    async def _write_block(self, passage: Passage, block: bytes) -> None:
        """Write a stretch of the mail, unless the server has spoken: RFC 5321 section 4.2.5 has it wait for the end."""
        if not self._wire.has_spoken:
            try:
                if await self._wire.write(block, self.answers.due("the mail", passage), stops_for_input=True):
                    return
            except TransportError as error:
                await self.answers.last_words(error)
        await self.answers.drain()  # raises, since the end has not been sent

    async def _chunks(self, passage: Passage) -> None:
        """The content by BDAT, replies to earlier chunks read on the way (RFC 3030 section 4.2)."""
        left = passage.size
        passage.transaction.trace.enter("data", self._runtime.now())
        for chunk in passage.stretches(_CHUNK_BYTES):
            left -= len(chunk)
            self._put_chunk(passage, chunk, is_last=not left)
            if not left:
                return  # written with what comes next
            await self._flush()
            await self.answers.drain(_CHUNKS - 1 if self._pipelines and not self._is_lmtp else 0)
            if passage.refusal is not None:
                # Any refusal ends the transaction (RFC 3030 section 2). All announced octets have been sent.
                await self.answers.drain()
                self.answers.must_reset = passage
                return

    async def _reset(self) -> None:
        """End a refused transaction, if there is one (RFC 5321 section 4.1.1.5).

        If that fails the session ends, and nothing else.
        """
        passage, self.answers.must_reset = self.answers.must_reset, None
        if passage is None:
            return
        try:
            await self._say(command.rset(), self.answers.on_reset, "RSET", passage)
        except MailerError as error:
            self.answers.forgive(error)

    # --- writing ------------------------------------------------------------------------------------------------------

    def _put(self, data: bytes, handler: Handler, step: str, passage: Passage, address: Address | None = None) -> None:
        """Have data written with the next flush, and its reply given to handler."""
        self._outbox.append(data)
        self._outbox_bytes += len(data)
        if self._wire.is_logged:
            self._shown += [(passage.transaction, line) for line in passage.shown(data)]
        self.answers.expect(handler, step, passage, address)

    def _begin(self, passage: Passage) -> None:
        """Count it, and put RSET before it if the one before was refused, or may be by now."""
        if self.answers.in_window or self.answers.must_reset is not None:
            self._put(command.rset(), self.answers.on_reset, "RSET", passage)
            self.answers.must_reset = None
        passage.transaction.trace.enter("envelope", self._runtime.now())
        self.carried += 1

    def _put_chunk(self, passage: Passage, chunk: bytes, *, is_last: bool) -> None:
        line = command.bdat(len(chunk), last=is_last)
        if not is_last:
            return self._put(line + chunk, self.answers.on_chunk, "BDAT", passage)
        self._put_end(passage, line + chunk)
        passage.end = self._place()
        self.answers.in_window.append(passage)
        return None

    def _put_end(self, passage: Passage, data: bytes) -> None:
        """The end of the data: one reply, or (RFC 2033 section 4.2) one for each recipient accepted, in order."""
        self._ending.append(passage.transaction)
        first, *others = passage.accepted if self._is_lmtp else [None]
        self._put(data, self.answers.on_end, "the final dot", passage, first)
        for address in others:
            self.answers.expect(self.answers.on_end, "the final dot", passage, address)

    def _place(self) -> int:
        """How many bytes the stream will have sent with the outbox."""
        return self._wire.stream.sent_bytes + self._outbox_bytes

    async def _say(
        self, line: bytes, handler: Handler, step: str, passage: Passage, address: Address | None = None
    ) -> None:
        """One command, one reply."""
        self._put(line, handler, step, passage, address)
        await self._flush()
        await self.answers.drain()

    async def _flush(self) -> None:
        """Write the outbox; what it answers to is outstanding then."""
        if not self._outbox:
            return
        answers = self.answers
        if not answers.outstanding:
            await answers.check_quiet()
        passage = answers.expected[answers.outstanding][2]
        for transaction, line in self._shown:
            self._wire.talk_about(transaction)
            self._wire.log("C", line)
        self._shown.clear()
        data = b"".join(self._outbox)
        self._outbox.clear()
        self._outbox_bytes = 0
        try:
            await self._wire.write(data, answers.due("the mail", passage))
        except TransportError as error:
            await answers.last_words(error)
        answers.outstanding = len(answers.expected)
        if self._ending:
            now = self._runtime.now()
            for transaction in self._ending:
                transaction.trace.enter("final", now)
            self._ending.clear()

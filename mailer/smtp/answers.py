"""The answers: which replies are expected on a connection, in order, and what each of them does.

The idea: whatever is written puts down what reply it expects and who is to hear of it (:meth:`Answers.expect`). Replies
are taken from the front of that list (:meth:`Answers.drain`), so each meets its own command, however many are
outstanding. What a reply does stands at the end, a method for each command.

The rules that must hold:

- Whether a mail was handed over is told by the stream's count of bytes alone, never by where the code was interrupted.
- A mail that was accepted by a reply which may have been another's is not called accepted (:meth:`Answers.prove`).
- Once the connection broke, :class:`~mailer.smtp.transaction.Transaction` is told who is in doubt
  (:meth:`Answers.break_off`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import AuthError, MailerError, Outcome, ProtocolError, TransportError
from .reply import Reply
from .wire import told

if TYPE_CHECKING:
    from ..address import Address
    from ..runtime import Runtime
    from .capabilities import Learnt
    from .endpoint import Endpoint
    from .passage import Passage
    from .transaction import Transaction
    from .wire import Wire

__all__ = ["Answers", "Handler"]

Handler = Callable[["Passage", Any, Reply], None]
"""What a reply does: given the passage, the recipient it is about (or None), and the reply."""

#: Replies to MAIL that are about the account, not the mail (RFC 4954 section 6).
_ACCOUNT = (530, 534, 535, 538)


class Answers:
    """Takes the replies of one connection.

    Args:
        wire: The connection; nothing is outstanding on it.
        runtime: The clock.
        endpoint: For its timers and its name.
        learnt: What is known of the server's limits, to be added to.
        pipelines: Replies are taken in groups.

    Attributes:
        expected: What each reply to come is for: handler, step, passage, recipient.
        outstanding: How many of them are to commands that have left.
        answered: How many MAIL commands were answered.
        in_window: Passages that ride, and are not answered in full.
        rests: Recipients that were too many for their passage.
        must_reset: The passage that was refused last, if RSET has to end it.
        is_spent: The session must not be used for another mail.
        is_dismissed: The server said 421 where it might have answered another MAIL.
    """

    def __init__(self, wire: Wire, runtime: Runtime, endpoint: Endpoint, learnt: Learnt, *, pipelines: bool) -> None:
        self.expected: deque[tuple[Handler, str, Passage, Address | None]] = deque()
        self.outstanding = 0
        self.answered = 0
        self.in_window: list[Passage] = []
        self.rests: deque[tuple[Transaction, list[Address]]] = deque()
        self.must_reset: Passage | None = None
        self.is_spent = False
        self.is_dismissed = False
        self._wire = wire
        self._runtime = runtime
        self._endpoint = endpoint
        self._learnt = learnt
        self._pipelines = pipelines
        self._unproven: list[tuple[Transaction, list[Address]]] = []
        self._trouble: AuthError | None = None  # raised once what is outstanding has been answered

    # --- taking them --------------------------------------------------------------------------------------------------

    def expect(self, handler: Handler, step: str, passage: Passage, address: Address | None = None) -> None:
        """Put down that a reply will come, behind those that are expected already."""
        self.expected.append((handler, step, passage, address))

    async def drain(self, leave: int = 0) -> None:
        """Take replies until only so many are outstanding, and tell each what it answers."""
        expected, wire = self.expected, self._wire
        while len(expected) > leave:
            handler, step, passage, address = expected[0]
            if wire.is_logged:
                wire.talk_about(passage.transaction)
            reply = wire.next(step)
            if reply is None:
                reply = await self._awaited(step, passage)
            handler(passage, address, reply)
            expected.popleft()  # now: who is in doubt is found in here
            self.outstanding -= 1
            if self._trouble is not None and self.outstanding <= 0:
                raise self._trouble

    async def _awaited(self, step: str, passage: Passage) -> Reply:
        """Read until the next reply is whole. Its timer starts now: the ones before it have been answered."""
        deadline, wire = self.due(step, passage), self._wire
        reply = None
        try:
            while reply is None:
                await wire.more(step, deadline)
                reply = wire.next(step)
            return reply
        except TransportError as error:
            if self._trouble is not None:
                raise self._trouble from error
            raise

    def due(self, step: str, passage: Passage) -> float:
        """When this step's timer ends, if it starts now, or the mail's time is over."""
        due = self._runtime.now() + self._endpoint.timeouts.of(step)
        deadline = passage.transaction.deadline
        return due if deadline is None else min(due, deadline)

    # --- what they prove ----------------------------------------------------------------------------------------------

    async def check_quiet(self) -> None:
        """Nothing is outstanding and the next command is about to leave: raise if something has come all the same.

        If nothing has, each reply so far was the right one's.
        """
        if self._wire.has_spoken:
            handler, step, passage, _ = self.expected[0]
            if handler == self.on_end:  # the server did not wait for the mail, and what it says is about that
                await self.drain()
            await self._wire.check_quiet(step, self.due(step, passage))
        self._unproven.clear()

    def prove(self) -> None:
        """Everything is answered: an answer too many means that those before it may have been one another's.

        Raises:
            ProtocolError: There is one.
        """
        if not self._unproven or not self._wire.buffered:
            return
        try:
            self._wire.next("nothing")
        except TransportError:
            return  # 421: it is leaving, and says so
        raise ProtocolError(f"{self._endpoint} sent more replies than it got commands")

    # --- when the connection breaks -----------------------------------------------------------------------------------

    async def last_words(self, error: TransportError) -> NoReturn:
        """The connection broke as we wrote: what the server said before decides, and may be the reason."""
        try:
            await self.drain()
        except MailerError as nothing_said:
            if nothing_said.reply is not None:
                raise
            raise error from nothing_said
        raise error

    def break_off(self, begun: Sequence[Transaction], error: BaseException) -> None:
        """Settle whoever had begun. Who has not may begin again elsewhere."""
        reply = getattr(error, "reply", None)
        if reply is None or reply.code != 421:  # 421 is an answer: the server did not take it, nor what came after
            for passage in {id(passage): passage for _, _, passage, _ in self.expected}.values():
                if self._wire.stream.sent_bytes >= passage.end and (passage.refusal is None or passage.is_odd):
                    passage.transaction.in_doubt += passage.served()
        else:
            self.is_dismissed = bool(self.expected) and self.expected[0][1] in ("MAIL", "RSET")
        if isinstance(error, ProtocolError):
            for transaction, recipients in self._unproven:
                transaction.doubt(recipients, error)
        for transaction in begun:
            if not isinstance(error, MailerError):
                transaction.abandon(None)
            elif transaction.has_begun or transaction.in_doubt:
                transaction.abandon(error)

    def forgive(self, error: MailerError) -> None:
        """RSET failed: the session ends, and nothing else, unless that casts doubt on what was said before.

        Raises:
            ProtocolError: It does.
        """
        if isinstance(error, ProtocolError) and self._unproven:
            raise error
        self.is_spent = True
        self.expected.clear()

    # --- what they do -------------------------------------------------------------------------------------------------

    def on_mail(self, passage: Passage, _: None, reply: Reply) -> None:
        """The answer to MAIL."""
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

    def on_rcpt(self, passage: Passage, address: Address, reply: Reply) -> None:
        """The answer to RCPT."""
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

    def on_data(self, passage: Passage, _: None, reply: Reply) -> None:
        """The answer to DATA."""
        if reply.code == 354:
            if passage.is_odd:
                raise ProtocolError(f"{self._endpoint} refused MAIL and took recipients: whose mail would it be?")
            passage.is_go = True
            passage.transaction.trace.enter("data", self._runtime.now())
            self._unproven.clear()  # the one reply of its kind stands in its place: so do those before it
        elif reply.is_positive or reply.is_intermediate:
            raise ProtocolError(f"{self._endpoint} answered DATA with {reply.code}, not 354")
        elif passage.accepted:
            passage.transaction.refuse(passage.accepted, "DATA", reply)

    def on_chunk(self, passage: Passage, _: None, reply: Reply) -> None:
        """The answer to a chunk that is not the last."""
        self._check_final(reply, "BDAT")
        if passage.refusal is None and not reply.is_positive:
            passage.refusal = reply
            passage.transaction.refuse(passage.accepted, "dot", reply)

    def on_end(self, passage: Passage, address: Address | None, reply: Reply) -> None:
        """The answer to the end of the data: for everyone, or by LMTP for this recipient."""
        self._check_final(reply, "the final dot")
        is_early = self._wire.stream.sent_bytes < passage.end
        if is_early and reply.is_positive:
            raise ProtocolError(f"{self._endpoint} answered {reply.code} before the mail had ended")
        passage.transaction.trace.enter("", self._runtime.now())
        whose = passage.accepted if address is None or is_early else [address]
        if passage.is_go:
            if len(self.expected) > 1 or len(whose) < len(passage.accepted):
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
        if self.in_window and (address is None or address is passage.accepted[-1]):
            if not reply.is_positive and self.in_window[-1] is passage:
                self.must_reset = passage
            self.in_window.remove(passage)
            if passage.rest and passage.rides:
                self.rests.append((passage.transaction, passage.rest))
        if is_early:
            early = told(TransportError(f"{self._endpoint} refused the mail before its end: {reply}"), reply)
            passage.transaction.cause = early
            raise early

    def on_nothing(self, passage: Passage, _: None, reply: Reply) -> None:
        """The answer to a lone dot."""
        self._check_final(reply, "the final dot")  # and it was for nobody

    def on_reset(self, passage: Passage, _: None, reply: Reply) -> None:
        """The answer to RSET."""
        if not reply.is_positive:
            self.is_spent = True

    def _check_final(self, reply: Reply, step: str) -> None:
        if reply.is_intermediate:
            raise ProtocolError(f"{self._endpoint} answered {step} with {reply.code}")


def _is_too_many(reply: Reply) -> bool:
    """Whether RCPT was refused because the transaction is full: 452, or 552 that says so or gives no other reason."""
    if reply.code == 452:
        return reply.enhanced_code in (None, "4.5.3")
    return reply.code == 552 and reply.enhanced_code in (None, "5.5.3")

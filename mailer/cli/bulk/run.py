"""A bulk run: each row becomes a mail, is noted, sent, noted again and counted.

Reading order: :meth:`Run.go`, then :meth:`Run._messages`, which makes a mail of each row and notes it as begun in the
moment before it is handed over, and :meth:`Run._settle`, which notes what became of it. Rejects are written before the
journal says that their row is done: a kill between the two leaves a row in doubt, never one untold.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...address import Address
from ...errors import AuthError, ConfigError, MailerError, MessageError, Outcome, TransportError
from ...mail import Mail
from ...mailer import Mailer
from ...merge import Merge
from ...message import Message
from ...rate import RateLimiter
from ...receipt import Receipt
from ...runtime import BlockingRuntime, drive
from ...verdict import Scope
from ..show import plain
from .journal import Journal, State
from .ledger import Ledger
from .progress import Progress
from .rejects import Rejects
from .table import Row, Table
from .tally import Tally

if TYPE_CHECKING:
    from types import FrameType

    from ...runtime import Runtime

__all__ = ["Run", "stopped_by_signals"]

_GIVE_UP_AFTER = 10
"""Rows in a row that the connection failed, or first rows that no mail could be made for: it is no use to go on."""
_NAMED = 20
"""Doubts named one by one; a terminal is no place for more, the rejects are."""

_STOPPING = b"\nstopping: what is on its way is let finish; once more cuts it off\n"

_ANYBODY = "anybody@mailer.invalid"  # a merge wants a recipient; none is sent to

# The worst first: a row may have several recipients if a filter says so.
_WORST = (
    (Outcome.UNKNOWN, State.UNKNOWN),
    (Outcome.DEFERRED, State.DEFERRED),
    (Outcome.REJECTED, State.REJECTED),
    (Outcome.ACCEPTED, State.ACCEPTED),
)
_DONE = frozenset({State.ACCEPTED, State.REJECTED, State.SKIPPED})
_IN_DOUBT = frozenset({State.BEGUN, State.UNKNOWN})


@dataclass(frozen=True, slots=True)
class _Sending:
    """A row on its way, and what an earlier run noted of it."""

    row: Row
    key: int
    before: State | None


class Run:
    """One run over a table.

    Attributes:
        tally: What has come of the rows so far.
        failure: Why it gave up, or None.
        first: The first mail of a dry run.
        doubts: The rows nobody knows about, at most :data:`_NAMED` of them: (line, address).
        examples: Of each state that is no success the first row of this run: (line, reason).
    """

    def __init__(
        self,
        mailer: Mailer,
        mail: Message,
        table: Table,
        journal: Journal,
        ledger: Ledger,
        *,
        progress: Progress,
        rejects: Rejects | None = None,
        limiter: RateLimiter | None = None,
        limit: int | None = None,
        concurrency: int = 1,
        window: int | None = 1,
        sends_duplicates: bool = False,
        resends_doubts: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        """Put a run together.

        Args:
            mailer: Sends.
            mail: What everybody gets; the row's address and values are put in.
            table: The rows.
            journal, ledger: What is known of them, and where it is noted.
            progress: Told of each row.
            rejects: Where rows go that were not accepted.
            limiter: Gives each mail its turn.
            limit: How many mails are begun at most.
            concurrency, window: As :meth:`Mailer.send_many` takes them.
            sends_duplicates: A second row with the same mailbox is sent too.
            resends_doubts: Rows that nobody knows about are sent again.
            runtime: Where it waits for a turn; None makes a blocking one.

        Raises:
            MessageError: Something else than a name stands in ``{{ }}``.
        """
        self.tally = Tally()
        self.failure: MailerError | None = None
        self.first: Mail | None = None
        self.doubts: list[tuple[int, str]] = []
        self.examples: dict[State, tuple[int, str]] = {}
        self._mailer = mailer
        # Merged here and not by a provider, whose placeholders may be of another form.
        self._merge = Merge(mail.with_(to=_ANYBODY, merge_data={_ANYBODY: {}}))
        sender = mail.from_ or mailer.from_
        self._domain = sender[0].ascii.rpartition("@")[2] if sender else ""
        self._table = table
        self._journal = journal
        self._ledger = ledger
        self._progress = progress
        self._rejects = rejects
        self._limiter = limiter
        self._limit = limit
        self._concurrency = concurrency
        self._window = window
        self._sends_duplicates = sends_duplicates
        self._resends_doubts = resends_doubts
        self._stop = (runtime or BlockingRuntime()).event()
        self._is_stopped = False
        self._on_the_way: deque[_Sending] = deque()
        self._begun = 0
        self._failed_in_a_row = 0
        self._uncomposed_rows = 0

    # --- what the command calls ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Begin no further mail; may be called by a signal handler."""
        self._is_stopped = True
        self._stop.set()

    def go(self) -> None:
        """Send to every row, or until :meth:`stop`.

        Raises:
            MailerError: Table, journal or rejects cannot be read or written. What was on its way is settled.
            KeyboardInterrupt: It was cut short; what was on its way is in doubt, and noted so.
        """
        receipts = self._mailer.send_many(self._messages(), concurrency=self._concurrency, window=self._window)
        try:
            with contextlib.closing(receipts):
                for receipt in receipts:
                    self._settle(receipt)
        except BaseException:
            with contextlib.suppress(ConfigError):  # the file that cannot be written is what it is about
                for sending in self._on_the_way:
                    self._note(sending, State.UNKNOWN, "it was being sent when the run was cut short")
            raise

    def go_dry(self) -> None:
        """Make every mail and send none; raises as :meth:`go`."""
        for message in self._messages():
            sending = self._on_the_way.popleft()
            try:
                mail = self._mailer.compose(message)
            except MailerError as error:
                self._note(sending, State.INVALID, str(error))
                self._uncomposed(error)
            else:
                self.first = self.first or mail
                self._note(sending, State.COMPOSED, "")

    # --- a row becomes a mail -----------------------------------------------------------------------------------------

    def _messages(self) -> Iterator[Message]:
        for row in self._table:
            if self._is_stopped or self._begun == self._limit:
                return
            made = self._made(row)
            if made is not None:
                sending, message = made
                if self._limiter is not None and drive(self._stop.wait(self._limiter.reserve())):
                    return
                self._journal.write(State.BEGUN, sending.key, row.line)
                self._on_the_way.append(sending)
                self._begun += 1
                yield message
            self._progress.update(self.tally)

    def _made(self, row: Row) -> tuple[_Sending, Message] | None:
        """What is to be sent to the row; None if nothing can be, or must be again, which is noted."""
        try:
            if row.problem is not None:
                raise MessageError(row.problem)
            address = self._table.address(row)
        except MessageError as error:
            self._note(self._unsendable(row, State.INVALID), State.INVALID, str(error))
            return None
        identity = (str(row.line), *address.key) if self._sends_duplicates else address.key
        key = self._journal.key(identity)
        before, claimed_by = self._ledger.claim(key, row.line)
        if claimed_by is not None:
            reason = f"the same mailbox as on line {claimed_by}: {address.addr_spec}"
            self._note(self._unsendable(row, State.DUPLICATE), State.DUPLICATE, reason)
            return None
        sending = _Sending(row, key, before)
        if before in _DONE:
            self.tally.before[before] += 1
            return None
        if before in _IN_DOUBT and not self._resends_doubts:
            self._doubt(sending, address)
            return None
        try:
            return sending, self._message(address, row, key)
        except MessageError as error:
            self._note(sending, State.INVALID, str(error))
            self._uncomposed(error)
            return None

    def _unsendable(self, row: Row, state: State) -> _Sending:
        """A row that is nobody's, or somebody else's: known by its line."""
        key = self._journal.key((str(row.line), state.value))
        before, _ = self._ledger.claim(key, row.line)
        return _Sending(row, key, before)

    def _message(self, address: Address, row: Row, key: int) -> Message:
        # The same on every try: whoever gets a doubt twice can tell that it is the mail they have.
        name = f"{self._journal.campaign}.{key & 0xFFFF_FFFF_FFFF_FFFF:016x}"
        message_id = f"{name}@{self._domain}" if self._domain else None
        return self._merge.message_for(address, self._table.values(row), idempotency_key=name, message_id=message_id)

    def _doubt(self, sending: _Sending, address: Address) -> None:
        reason = "it was being sent when an earlier run ended: nobody knows whether it arrived"
        if len(self.doubts) < _NAMED:
            self.doubts.append((sending.row.line, address.addr_spec))
            self._progress.say(f"in doubt: line {sending.row.line}, {plain(address.addr_spec)}: {reason}")
        if sending.before is State.UNKNOWN:
            self.tally.before[State.UNKNOWN] += 1
        else:
            self._note(sending, State.UNKNOWN, reason)

    # --- what became of it --------------------------------------------------------------------------------------------

    def _settle(self, receipt: Receipt) -> None:
        state, reason = _verdict(receipt)
        self._note(self._on_the_way[0], state, reason)
        self._on_the_way.popleft()
        self._progress.update(self.tally)
        if state is State.INVALID:
            self._uncomposed(_error_of(receipt))
        elif (blamed := _blamed(receipt)) is Scope.ACCOUNT:  # no row is to blame, and none would fare better
            self._give_up(_error_of(receipt))
        elif blamed is Scope.HOST:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= _GIVE_UP_AFTER:
                self._give_up(_error_of(receipt))
        else:
            self._failed_in_a_row = 0

    def _uncomposed(self, cause: MailerError) -> None:
        """A row whose mail could not be made; if no other could, the mail is to blame and not the rows."""
        self._uncomposed_rows += 1
        sent = self.tally.now.total() - self.tally.now[State.INVALID] - self.tally.now[State.DUPLICATE]
        if not sent and self._uncomposed_rows >= _GIVE_UP_AFTER:
            self._give_up(cause)

    def _give_up(self, cause: MailerError) -> None:
        self.failure = self.failure or cause
        self.stop()

    def _note(self, sending: _Sending, state: State, reason: str) -> None:
        is_reject = state not in (State.ACCEPTED, State.SKIPPED, State.COMPOSED)
        if is_reject:
            self.examples.setdefault(state, (sending.row.line, reason))
        if self._rejects is not None and is_reject and state is not sending.before:  # else it is there already
            self._rejects.write(sending.row, state, reason)
        self._journal.write(state, sending.key, sending.row.line)
        self.tally.now[state] += 1


def _verdict(receipt: Receipt) -> tuple[State, str]:
    """What a receipt means for its row, and why."""
    if receipt.error is not None and not receipt.results:
        # Settings are mended and the row tried again; what cannot be composed is the row's own fault.
        is_ours = isinstance(receipt.error, (ConfigError, AuthError))
        return State.DEFERRED if is_ours else State.INVALID, str(receipt.error)
    if receipt.skipped is not None:
        return State.SKIPPED, receipt.skipped
    for outcome, state in _WORST:
        for result in receipt.results:
            if result.outcome is outcome:
                said = (result.code, result.enhanced_code, result.text)
                return state, " ".join(str(part) for part in said if part)
    return State.UNKNOWN, "the receipt names no recipient"


def _blamed(receipt: Receipt) -> Scope | None:
    """The account or the host if its failure is theirs; anything else is about this row alone."""
    scopes = {result.scope for result in receipt.results if result.outcome is Outcome.DEFERRED}
    if Scope.ACCOUNT in scopes or isinstance(receipt.error, (ConfigError, AuthError)):
        return Scope.ACCOUNT
    is_unreachable = isinstance(receipt.cause, TransportError) and not receipt.ok
    return Scope.HOST if is_unreachable or scopes & {Scope.HOST, Scope.SESSION} else None


def _error_of(receipt: Receipt) -> MailerError:
    try:
        receipt.raise_unless_ok()
    except MailerError as error:
        return receipt.cause or error
    return MailerError("nothing went wrong")


@contextmanager
def stopped_by_signals(run: Run) -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM stop the run, and a second one cut it short (``KeyboardInterrupt``).

    Yields:
        The signals that came, in order; filled meanwhile.
    """
    came: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt
        run.stop()
        with contextlib.suppress(OSError):
            os.write(2, _STOPPING)  # not print: the signal may have come in the middle of one

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield came
        return
    handlers = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

"""A bulk run over a scripted backend: who is sent to, what is noted, counted and told, and when it stops."""

from __future__ import annotations

import contextlib
import gc
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailer import Mailer, Message, Receipt
from mailer.backends.base import Backend
from mailer.cli.bulk.journal import Journal, State
from mailer.cli.bulk.ledger import Ledger
from mailer.cli.bulk.progress import Silence
from mailer.cli.bulk.rejects import Rejects
from mailer.cli.bulk.run import Run
from mailer.cli.bulk.table import Table
from mailer.errors import AuthError, ConnectError, MailerError, Outcome
from mailer.features import Features
from mailer.mail import Mail
from mailer.rate import Rate, RateLimiter

MAIL = Message(subject="Hi {{ name }}", text="Your code is {{ code }}.")
FROM = "shop@example.com"


class Scripted(Backend):
    """Answers by local part: the name of an outcome, else accepted; calls ``on_send`` before."""

    features = Features.everything()
    url = "scripted:"

    def __init__(self, on_send: Callable[[Mail], Any] = lambda mail: None) -> None:
        self.on_send = on_send
        self.mails: list[Mail] = []

    async def send(self, mail: Mail) -> Receipt:
        self.on_send(mail)
        self.mails.append(mail)
        [recipient] = mail.envelope.recipients
        words = {outcome.value: outcome for outcome in Outcome}
        outcome = words.get(recipient.local.rstrip("0123456789"), Outcome.ACCEPTED)
        return Receipt.for_all(mail, outcome, code=250, text=f"said of {recipient.local}")

    @property
    def sent_to(self) -> list[str]:
        return [mail.envelope.recipients[0].addr_spec for mail in self.mails]


class Bulk:
    """A folder with a journal and rejects, and runs in it."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        self.text = text
        self.said = io.StringIO()

    @contextlib.contextmanager
    def run(self, backend: Backend, *, mail: Message = MAIL, dry: bool = False, **options: Any) -> Iterator[Run]:
        with contextlib.ExitStack() as stack:
            table = Table(io.StringIO(self.text, newline=""))
            journal = Journal.open(self.folder / "journal", csv="0" * 64, mail="0" * 64, dry=dry)
            stack.callback(journal.close)
            ledger = Ledger(journal.records())
            stack.callback(ledger.close)
            rejects = Rejects(self.folder / "rejects", table.columns, again=ledger.has_records)
            stack.callback(rejects.close)
            mailer = stack.enter_context(Mailer(backend, from_=FROM, retry=None))
            yield Run(mailer, mail, table, journal, ledger, progress=Silence(self.said), rejects=rejects, **options)

    def go(self, backend: Backend, **options: Any) -> Run:
        with self.run(backend, **options) as run:
            run.go()
        return run

    @property
    def rejects(self) -> list[list[str]]:
        """(line, outcome, reason) of each."""
        return [line.split(",")[:3] for line in (self.folder / "rejects").read_text().splitlines()[1:]]

    @property
    def in_doubt(self) -> int:
        """How many rows are begun, and no more, in the journal now."""
        states: dict[str, str] = {}
        for line in (self.folder / "journal").read_text().splitlines()[1:]:
            state, key, _ = line.split()
            states[key] = state
        return Counter(states.values())["begun"]


def rows(*locals_: str) -> str:
    return "email,name,code\n" + "".join(f"{local}@b.test,Name {local},{n}\n" for n, local in enumerate(locals_))


def test_each_row_gets_a_mail_of_its_own_values(tmp_path):
    backend = Scripted()
    Bulk(tmp_path, rows("ann", "bob")).go(backend)
    assert backend.sent_to == ["ann@b.test", "bob@b.test"]
    assert [mail.message.subject for mail in backend.mails] == ["Hi Name ann", "Hi Name bob"]
    assert [mail.message.text for mail in backend.mails] == ["Your code is 0.", "Your code is 1."]
    assert all(len(mail.message.to) == 1 for mail in backend.mails)


def test_every_outcome_is_counted_noted_and_told(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "deferred", "rejected", "unknown", "ANN") + "x\nno address,,\nann@B.TEST,,\n")
    run = bulk.go(Scripted())
    assert run.tally.now == Counter(counted(accepted=2, deferred=1, rejected=1, unknown=1, invalid=2, duplicate=1))
    assert run.tally.exit_code == 76
    assert [line for line, *_ in bulk.rejects] == ["3", "4", "5", "7", "8", "9"]
    assert bulk.rejects[0] == ["3", "deferred", "250 said of deferred"]
    assert bulk.rejects[-1][2] == "the same mailbox as on line 2: ann@b.test"
    assert bulk.in_doubt == 0


def counted(**counts: int) -> dict[State, int]:
    return {State(name): count for name, count in counts.items()}


@pytest.mark.parametrize(
    ("locals_", "code"),
    [
        (["ann"], 0),
        (["ann", "ann"], 0),
        (["ann", "rejected"], 69),
        (["deferred", "rejected"], 75),
        (["unknown", "deferred"], 76),
        (["ann", "a..b"], 65),
    ],
)
def test_the_worst_row_decides_the_exit_code(tmp_path, locals_, code):
    assert Bulk(tmp_path, rows(*locals_)).go(Scripted()).tally.exit_code == code


def test_a_filter_that_keeps_a_mail_back_is_no_failure(tmp_path):
    def unsubscribed(value, context):
        return Receipt(id="", skipped="unsubscribed") if context.message.to[0].local == "ann" else value

    bulk = Bulk(tmp_path, rows("ann", "bob"))
    backend = Scripted()
    with bulk.run(backend) as run:
        run._mailer.hooks.add_filter("short_circuit", unsubscribed)
        run.go()
    assert run.tally.now == counted(skipped=1, accepted=1)
    assert (run.tally.exit_code, bulk.rejects) == (0, [])
    assert bulk.go(backend).tally.before == counted(skipped=1, accepted=1)
    assert backend.sent_to == ["bob@b.test"]


# --- taken up again ---------------------------------------------------------------------------------------------------


def test_taken_up_again_only_what_can_still_succeed_is_sent(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "deferred", "rejected", "unknown", "ann") + "x\n")
    bulk.go(Scripted())
    rejects = bulk.rejects
    again = Scripted()
    run = bulk.go(again)
    assert again.sent_to == ["deferred@b.test"]
    assert run.tally.before == counted(accepted=1, rejected=1, unknown=1)
    assert run.tally.now == counted(deferred=1, duplicate=1, invalid=1)
    assert run.doubts == [(5, "unknown@b.test")]
    assert "line 5, unknown@b.test" in bulk.said.getvalue()
    assert bulk.rejects == rejects  # once each, however often the run is taken up


def test_a_row_begun_and_no_more_is_a_doubt_that_is_named_each_time_and_not_sent(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "bob", "cy"))

    def killed(mail: Mail) -> None:
        if mail.envelope.recipients[0].local == "bob":
            raise SystemExit  # after which the journal is cut to what a SIGKILL leaves of it

    with pytest.raises(SystemExit):
        bulk.go(Scripted(killed))
    journal = tmp_path / "journal"
    journal.write_text(re.sub(r"unknown .*\n", "", journal.read_text()))
    (tmp_path / "rejects").unlink()
    for is_new in (True, False):
        backend = Scripted()
        run = bulk.go(backend)
        assert backend.sent_to == (["cy@b.test"] if is_new else [])
        assert run.doubts == [(3, "bob@b.test")]
        assert (run.tally.of(State.UNKNOWN), run.tally.exit_code) == (1, 76)
    assert [reject[:2] for reject in bulk.rejects] == [["3", "unknown"]]


def test_doubts_are_sent_again_when_asked_as_the_same_mail(tmp_path):
    bulk = Bulk(tmp_path, rows("unknown", "ann"))
    first, second = Scripted(), Scripted()
    bulk.go(first)
    run = bulk.go(second, resends_doubts=True)
    assert second.sent_to == ["unknown@b.test"]
    one, other = first.mails[0].message, second.mails[0].message
    assert one.message_id is not None
    assert one.message_id == other.message_id != first.mails[1].message.message_id
    assert one.idempotency_key == other.idempotency_key != first.mails[1].message.idempotency_key
    assert run.tally.now == counted(unknown=1)


def test_a_changed_file_that_is_forced_sends_to_nobody_twice(tmp_path):
    Bulk(tmp_path, rows("ann", "bob")).go(Scripted())
    backend = Scripted()
    Bulk(tmp_path, rows("cy", "bob", "ann", "dora")).go(backend)
    assert backend.sent_to == ["cy@b.test", "dora@b.test"]


def test_duplicates_where_they_are_wanted_are_rows_of_their_own(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "ann", "ann"))
    backend = Scripted()
    run = bulk.go(backend, sends_duplicates=True)
    assert len({mail.message.idempotency_key for mail in backend.mails}) == 3
    assert run.tally.now == counted(accepted=3)
    assert bulk.go(backend, sends_duplicates=True).tally.before == counted(accepted=3)
    assert len(backend.mails) == 3


@pytest.mark.parametrize("concurrency", [1, 3])
def test_never_more_rows_are_begun_than_there_are_connections(tmp_path, concurrency):
    bulk = Bulk(tmp_path, rows(*(f"ann{n}" for n in range(20))))
    seen = []
    backend = Scripted(lambda mail: seen.append(bulk.in_doubt))
    bulk.go(backend, concurrency=concurrency)
    assert max(seen) == concurrency
    assert len(seen) == 20
    assert bulk.in_doubt == 0


# --- when it stops ----------------------------------------------------------------------------------------------------


def test_a_stop_lets_the_one_on_its_way_finish(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "bob", "cy"))
    backend = Scripted()
    with bulk.run(backend) as run:
        backend.on_send = lambda mail: run.stop() if mail.envelope.recipients[0].local == "bob" else None
        run.go()
    assert run.tally.now == counted(accepted=2)
    assert bulk.in_doubt == 0
    bulk.go(backend)
    assert backend.sent_to == ["ann@b.test", "bob@b.test", "cy@b.test"]


def test_one_that_is_cut_off_is_in_doubt(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "bob"))

    def interrupted(mail: Mail) -> None:
        raise KeyboardInterrupt

    with bulk.run(Scripted(interrupted)) as run, pytest.raises(KeyboardInterrupt):
        run.go()
    assert run.tally.now == counted(unknown=1)
    assert [reject[:2] for reject in bulk.rejects] == [["2", "unknown"]]
    assert bulk.in_doubt == 0


def test_a_limit_counts_mails_and_the_next_run_goes_on(tmp_path):
    bulk = Bulk(tmp_path, "x\n" and rows("a..b", "ann", "ann", "bob", "cy", "dora"))
    backend = Scripted()
    bulk.go(backend, limit=2)
    assert backend.sent_to == ["ann@b.test", "bob@b.test"]
    bulk.go(backend, limit=2)
    assert backend.sent_to == ["ann@b.test", "bob@b.test", "cy@b.test", "dora@b.test"]


@pytest.mark.parametrize(("error", "tries"), [(AuthError("535 no"), 1), (ConnectError("refused"), 10)])
def test_it_gives_up_where_no_row_is_to_blame(tmp_path, error, tries):
    bulk = Bulk(tmp_path, rows(*(f"ann{n}" for n in range(30))))
    attempts = []

    def failing(mail: Mail) -> None:
        attempts.append(mail)
        raise error

    with bulk.run(Scripted(failing)) as run:
        run.go()
    assert isinstance(run.failure, type(error))
    assert run.tally.now == counted(deferred=tries)
    backend = Scripted()
    bulk.go(backend)
    assert len(backend.mails) == 30


def test_a_connection_that_recovers_is_no_reason_to_give_up(tmp_path):
    bulk = Bulk(tmp_path, rows(*(f"ann{n}" for n in range(40))))
    count = iter(range(1000))

    def now_and_then(mail: Mail) -> None:
        if next(count) % 10:
            raise ConnectError("refused")

    with bulk.run(Scripted(now_and_then)) as run:
        run.go()
    assert run.failure is None
    assert run.tally.rows == 40


@pytest.mark.parametrize("dry", [False, True])
def test_a_mail_that_fits_no_row_ends_the_run_early(tmp_path, dry):
    bulk = Bulk(tmp_path, rows(*(f"ann{n}" for n in range(30))))
    backend = Scripted()
    with bulk.run(backend, mail=MAIL.with_(subject="{{ nmae }}"), dry=dry) as run:
        run.go_dry() if dry else run.go()
    assert "nmae" in str(run.failure)
    assert (run.tally.now, backend.mails) == (counted(invalid=10), [])


def test_many_bad_rows_do_not_end_it(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", *["a..b"] * 50, "bob"))
    backend = Scripted()
    assert bulk.go(backend).failure is None
    assert backend.sent_to == ["ann@b.test", "bob@b.test"]


def test_what_cannot_be_noted_is_not_sent(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "bob"))
    backend = Scripted()
    with bulk.run(backend) as run, open("/dev/full", "wb", buffering=0) as full:
        run._journal._file, kept = full, run._journal._file
        with pytest.raises(MailerError, match="No space left"):
            run.go()
        run._journal._file = kept
    assert backend.mails == []


# --- dry, paced, flat -------------------------------------------------------------------------------------------------


def test_a_dry_run_makes_every_mail_and_sends_none(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "ann", "bob") + "x\n")
    backend = Scripted()
    with bulk.run(backend, dry=True) as run:
        run.go_dry()
    assert (backend.mails, run.tally.now) == ([], counted(composed=2, duplicate=1, invalid=1))
    assert b"Hi Name ann" in bytes(run.first.content)
    assert not (tmp_path / "journal").exists()


class Clock:
    """A runtime whose waits move its own clock."""

    is_async = False

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def event(self) -> Clock:
        return self

    def set(self) -> None:
        """Nothing: it is looked at only in a wait."""

    async def wait(self, deadline: float) -> bool:
        self.time = max(self.time, deadline)
        return False


def test_mails_keep_to_the_rate(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "a..b", "bob", "bob", "cy"))
    clock, times = Clock(), []
    backend = Scripted(lambda mail: times.append(clock.time))
    bulk.go(backend, limiter=RateLimiter(Rate.parse("30/m"), clock), runtime=clock)
    assert times == [100, 102, 104]  # only what is sent takes a turn


def test_a_stop_ends_the_wait_for_a_turn(tmp_path):
    bulk = Bulk(tmp_path, rows("ann", "bob"))
    backend = Scripted()
    with bulk.run(backend, limiter=RateLimiter(Rate.parse("1/d"), Clock())) as run:
        backend.on_send = lambda mail: run.stop()
        run.go()
    assert backend.sent_to == ["ann@b.test"]


def test_memory_does_not_grow_with_the_rows(tmp_path):
    bulk = Bulk(tmp_path, rows(*(f"ann{n}" for n in range(900))))
    blocks = []

    def look(mail: Mail) -> None:
        backend.mails.clear()
        if mail.message.to[0].local in ("ann100", "ann899"):
            gc.collect()
            blocks.append(sys.getallocatedblocks())

    backend = Scripted(look)
    bulk.go(backend)
    first, last = blocks
    assert last - first < 400, "half an object for each row"

"""Trying again within one call: what is tried, when, and what never is."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from cases import each
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, message, sent, url
from hypothesis import given
from hypothesis import strategies as st
from worlds import World

from mailer import (
    AsyncMailer,
    AuthError,
    Backend,
    ConfigError,
    ConnectError,
    Content,
    DeadlineExceeded,
    DeliveryDeferred,
    Envelope,
    Features,
    Mail,
    Mailer,
    MailerError,
    MessageError,
    Outcome,
    ProtocolError,
    Receipt,
    RecipientResult,
    RetryPolicy,
    Scope,
    TlsError,
    TransportError,
    UnsupportedFeature,
)
from mailer.backends.relay import RelayBackend
from mailer.relay.exchange import Request
from mailer.relay.postmark import Postmark
from mailer.retry import DEFAULT_RETRY, MAX_RETRY_AFTER_S, retry_after_seconds
from mailer.runtime import BlockingRuntime, drive
from mailer.tally import Tally
from mailer.testing import Answer, FakeRelay, ScriptedServer
from mailer.verdict import VERDICTS

A, D, R, U = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED, Outcome.UNKNOWN
NOW = datetime(1994, 11, 6, 8, 49, 30, tzinfo=UTC)


@each(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 120\t", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("000000000007", 7.0),
        ("86401", MAX_RETRY_AFTER_S),
        ("9" * 5000, MAX_RETRY_AFTER_S),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 7.0),
        ("Sun Nov  6 08:49:37 1994", 7.0),
        ("Sun, 06 Nov 1994 08:49:60 GMT", 29.0),
        ("Sun, 06 Nov 1994 08:49:29 GMT", 0.0),
        ("Sunday, 06-Nov-44 08:49:37 GMT", MAX_RETRY_AFTER_S),
        ("Sunday, 06-Nov-45 08:49:37 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        (None, None),
        ("", None),
        ("-1", None),
        ("+7", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٧", None),
        ("7 seconds", None),
        ("7, 8", None),
        ("soon\r\nX: y", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +0000", None),
    ],
)
def test_check_72_retry_after_in_seconds_or_as_a_date_with_a_cap(header, seconds):
    assert retry_after_seconds(header, NOW) == seconds
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert retry_after_seconds(header, elsewhere) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2,8}, [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9:]{8} GMT"))
def test_any_retry_after_is_none_or_within_the_cap(header):
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


@given(st.integers(0, 80_000))
def test_any_date_that_the_standard_library_writes_is_read(seconds):
    assert retry_after_seconds(format_datetime(NOW + timedelta(seconds=seconds), usegmt=True), NOW) == seconds


# --- one call ---------------------------------------------------------------------------------------------------------


class Clock:
    """The runtime's clock with sleeping that takes no time but moves it on."""

    def __init__(self, runtime: type, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        self.sleeps: list[float] = []

        async def sleep(runtime: object, seconds: float) -> None:
            self.sleeps.append(seconds)
            self.ahead_s += seconds

        monkeypatch.setattr(runtime, "now", lambda runtime: time.monotonic() + self.ahead_s)
        monkeypatch.setattr(runtime, "sleep", sleep)


@pytest.fixture
def clock(world: World, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(type(world.runtime), monkeypatch)


class Flaky(Backend):
    """Answers from a list, an entry a try: an outcome, outcomes by local part, a receipt's keywords, or an error."""

    url = "flaky:"
    features = Features.everything()

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.mails: list[Mail] = []

    async def send(self, mail: Mail) -> Receipt:
        self.mails.append(mail)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Outcome):
            return Receipt.for_all(mail, answer)
        if "outcome" in answer:
            return Receipt.for_all(mail, **answer)
        return Receipt(mail.id, results=tuple(RecipientResult(a, answer[a.local]) for a in mail.envelope.recipients))

    @property
    def asked(self) -> list[list[str]]:
        return [[address.local for address in mail.envelope.recipients] for mail in self.mails]


def test_two_further_tries_within_ten_seconds_by_default(world: World, clock: Clock) -> None:
    backend = Flaky(D)
    with world.mailer(backend, retry=DEFAULT_RETRY) as mailer:
        receipt, error = sent(mailer)
    assert isinstance(error, DeliveryDeferred)
    assert len(backend.mails) == len(receipt.attempts) == 3
    assert 0.25 <= clock.sleeps[0] <= 0.75
    assert 0.5 <= clock.sleeps[1] <= 1.5
    with world.mailer(backend, retry=None) as mailer:
        assert len(sent(mailer)[0].attempts) == 1
    face = mailer.wrapped.__class__
    assert inspect.signature(face).parameters["retry"].default == RetryPolicy() == DEFAULT_RETRY


def test_only_who_was_deferred_is_tried_again_with_the_same_mail(world: World, clock: Clock) -> None:
    backend = Flaky({"a": A, "d": D, "e": D, "r": R, "u": U}, {"d": A, "e": D}, {"e": R})
    to = [f"{local}@y.test" for local in "adeur"]
    with world.mailer(backend, retry=RetryPolicy()) as mailer:
        told: list[tuple[str, int, list[str]]] = []
        for name in ("sending", "sent", "deferred", "rejected", "unknown"):
            mailer.hooks.add_action(
                name, lambda c, name=name: told.append((name, c.attempt, [a.local for a in c.recipients]))
            )
        receipt, _ = sent(mailer, message(*to))
    assert backend.asked == [["a", "d", "e", "u", "r"], ["d", "e"], ["e"]]
    assert [result.outcome for result in receipt.results] == [A, A, R, U, R]
    assert [dict(attempt.outcomes) for attempt in receipt.attempts] == [{A: 1, D: 2, R: 1, U: 1}, {A: 1, D: 1}, {R: 1}]
    assert {mail.id for mail in backend.mails} == {receipt.id}
    assert len({bytes(mail.content) for mail in backend.mails}) == 1  # Message-ID and Date too
    assert told == [
        ("sending", 1, []),
        ("sending", 2, []),
        ("sending", 3, []),
        ("sent", 3, ["a", "d"]),
        ("rejected", 3, ["e", "r"]),
        ("unknown", 3, ["u"]),
    ]


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (D, 2),
        (A, 1),
        (R, 1),
        (U, 1),
        (ZeroDivisionError("a bug, and who knows when"), 1),
        (ProtocolError("at some time or other"), 1),
        (ConnectError("refused"), 2),
        (DeadlineExceeded("connecting"), 2),
        (TransportError("lost"), 2),
        (TlsError("not verified"), 1),
        (AuthError("wrong password"), 1),
        (ConfigError("wrong host"), 1),
        (MessageError("too big"), 1),
        ({"outcome": D, "scope": Scope.RECIPIENT, "code": 451}, 1),
        ({"outcome": D, "scope": Scope.ACCOUNT, "code": 454}, 1),
        ({"outcome": D, "scope": Scope.MESSAGE, "code": 451}, 2),
        ({"outcome": D, "scope": Scope.SESSION}, 2),
        ({"outcome": D, "scope": Scope.HOST, "code": 503}, 2),
        ({"outcome": D, "scope": Scope.DOMAIN}, 2),
    ],
    ids=str,
)
def test_outcome_and_scope_decide_whether_it_is_tried_again(
    world: World, clock: Clock, answer: Any, tries: int
) -> None:
    backend = Flaky(answer, A)
    with world.mailer(backend, retry=RetryPolicy()) as mailer:
        receipt, error = sent(mailer)
    assert len(backend.mails) == tries
    assert (error is None) == (tries == 2 or answer is A)
    if isinstance(answer, MailerError):
        assert receipt.attempts[0].cause is answer


def test_check_73_unknown_is_sent_again_only_where_that_is_asked_for(world: World, clock: Clock) -> None:
    for then, final in ((A, A), (R, U), (D, U)):
        backend = Flaky(U, then)
        with world.mailer(backend, retry=RetryPolicy(on_unknown="resend", tries=2)) as mailer:
            receipt, _ = sent(mailer)
        assert len(backend.mails) == 2
        assert [result.outcome for result in receipt.results] == [final]  # the first copy may still have arrived
        assert backend.mails[0].id == backend.mails[1].id, "an idempotency key made of it is the same"


@pytest.mark.parametrize(
    ("asked_s", "slept", "left_s"),
    [(7.0, [7.0], None), (0.1, [0.5], None), (11.0, [], 11.0), (86_400.0, [], 86_400.0), (float("nan"), [0.5], None)],
)
def test_f74_retry_after_is_waited_for_or_the_call_ends_at_once(
    world: World, clock: Clock, asked_s: float, slept: list[float], left_s: float | None
) -> None:
    backend = Flaky({"outcome": D, "scope": Scope.HOST, "code": 429, "retry_after_s": asked_s}, A)
    with world.mailer(backend, retry=RetryPolicy(jitter=0)) as mailer:
        receipt, error = sent(mailer)
    assert clock.sleeps == slept
    assert receipt.results[0].retry_after_s == left_s
    assert (error is None) == bool(slept)


def test_f74_a_service_that_throttles_is_asked_again_when_it_said(world: World, clock: Clock) -> None:
    with FakeRelay() as relay, world.mailer(relay.url, retry=RetryPolicy(jitter=0)) as mailer:
        relay.next(Answer(status=429, headers={"Retry-After": "7"}))
        assert mailer.send(message()).ok
    assert (clock.sleeps, len(relay.requests)) == ([7.0], 2)


@pytest.mark.parametrize("honours_keys", [True, False])
@pytest.mark.parametrize(("status", "is_known"), [(500, True), (503, True), (502, False), (504, False)])
def test_f75_check_73_the_same_key_on_each_try_and_none_without_one(
    world: World, clock: Clock, status: int, is_known: bool, honours_keys: bool
) -> None:
    class Keyed(Postmark):
        features = replace(Postmark.features, idempotency_key=honours_keys)

        def request(self, mail: Mail) -> Request:
            asked = super().request(mail)
            return replace(asked, headers=(*asked.headers, ("Idempotency-Key", mail.id)))

    with FakeRelay() as relay:
        for answer in (Answer(status=status), Answer(lose=True)):
            relay.next(answer)
        backend = RelayBackend(Keyed(relay.token, base=relay.base))
        with world.mailer(backend, retry=RetryPolicy(jitter=0)) as mailer:
            receipt, _ = sent(mailer)
        keys = [request.headers["idempotency-key"] for request in relay.requests]
    assert len(set(keys)) == 1
    assert (receipt.ok, len(keys)) == ((True, 3) if honours_keys else (False, 2 if is_known else 1))
    assert receipt.results[0].outcome is (A if honours_keys else U)


def test_f74_a_longer_wait_of_one_recipient_holds_up_no_other(world: World, clock: Clock) -> None:
    class Throttling(Flaky):
        async def send(self, mail: Mail) -> Receipt:
            first = not self.mails
            receipt = await super().send(mail)
            waits = {"a": 3.0, "b": 60.0, "c": 2.0}
            results = tuple(
                replace(r, retry_after_s=waits[r.address.local] if first else None) for r in receipt.results
            )
            return receipt.with_(results=results)

    backend = Throttling(D, A)
    with world.mailer(backend, retry=RetryPolicy()) as mailer:
        receipt, _ = sent(mailer, message("a@y.test", "b@y.test", "c@y.test"))
    assert backend.asked == [["a", "b", "c"], ["a", "c"]]
    assert clock.sleeps == [3.0]
    assert [result.outcome for result in receipt.results] == [A, D, A]
    assert receipt.deferred[0].retry_after_s == 60.0


def test_f75_a_slow_try_leaves_less_time_for_the_next(world: World, clock: Clock) -> None:
    class Slow(Flaky):
        async def send(self, mail: Mail) -> Receipt:
            clock.ahead_s += 6
            return await super().send(mail)

    backend = Slow(D)
    with world.mailer(backend, retry=RetryPolicy(tries=9, within_s=10)) as mailer:
        sent(mailer)
    assert len(backend.mails) == 2  # the second began after 6.5 s; a third would begin after 13


def test_a_mail_that_is_not_taken_the_second_time_keeps_what_is_known(world: World, clock: Clock) -> None:
    backend = Flaky({"a": A, "d": D}, UnsupportedFeature("not any more"))
    with world.mailer(backend, retry=RetryPolicy()) as mailer:
        receipt, error = sent(mailer, message("a@y.test", "d@y.test"))
    assert error is None
    assert [result.outcome for result in receipt.results] == [A, D]
    assert receipt.notes == ("not tried again: not any more",)


def test_send_many_tries_a_batch_again_together(world: World, clock: Clock) -> None:
    class Batching(Flaky):
        batch_size = 3
        batches: ClassVar[list[list[str]]] = []

        async def send_many(self, mails: Sequence[Mail]) -> list[Receipt]:
            self.batches.append([mail.envelope.recipients[0].local for mail in mails])
            return [await super(Batching, self).send(mail) for mail in mails]

    backend = Batching({"a": D}, {"b": A}, {"c": D}, {"a": A}, {"c": R})
    backend.batches.clear()
    with world.mailer(backend, retry=RetryPolicy()) as mailer:
        receipts = mailer.send_many([message(f"{local}@y.test") for local in "abc"])
    assert backend.batches == [["a", "b", "c"], ["a", "c"]]
    assert len(clock.sleeps) == 1
    assert [[result.outcome for result in receipt.results] for receipt in receipts] == [[A], [A], [R]]
    assert [len(receipt.attempts) for receipt in receipts] == [2, 1, 2]
    assert [receipt.message_index for receipt in receipts] == [0, 1, 2]


def test_several_at_once_are_each_tried_again(world: World, clock: Clock) -> None:
    class Forgetful(Flaky):
        """Defers every mail the first time."""

        seen: ClassVar[set[str]] = set()

        async def send(self, mail: Mail) -> Receipt:
            is_new = mail.id not in self.seen
            self.seen.add(mail.id)
            return Receipt.for_all(mail, D if is_new else A)

    with world.mailer(Forgetful(A), retry=RetryPolicy()) as mailer:
        receipts = mailer.send_many([message(f"{number}@y.test") for number in range(12)], concurrency=4)
    assert all(receipt.ok and len(receipt.attempts) == 2 for receipt in receipts)
    assert [receipt.results[0].address.local for receipt in receipts] == [str(number) for number in range(12)]


# --- real servers -----------------------------------------------------------------------------------------------------

RSET = "C: RSET\nS: 250 ok\n"


@pytest.mark.parametrize(
    ("first", "is_retried"),
    [
        (HI + EHLO + "C: MAIL *\nS: 451 4.3.0 later\n" + RSET + MAIL + RCPT + DATA + OK + QUIT, True),
        (HI + EHLO + MAIL + RCPT + "C: DATA\nS: 451 later\n" + RSET + MAIL + RCPT + DATA + OK + QUIT, True),
        (HI + EHLO + MAIL + RCPT + DATA + "S: 451 later\n" + MAIL + RCPT + DATA + OK + QUIT, True),
        ("S: 421 busy\n", True),
        (HI + EHLO + MAIL + "C: RCPT *\nS: close\n", True),
        (HI + EHLO + MAIL + "C: RCPT *\nS: 421 going down\n", True),
        (HI + EHLO + MAIL + "C: RCPT *\nS: what?\n", True),
        (HI + EHLO + MAIL + "C: RCPT *\nS: 451 4.7.1 greylisted\n" + RSET + QUIT, False),
        (HI + EHLO + MAIL + "C: RCPT *\nS: 550 no\n" + RSET + QUIT, False),
        (HI + EHLO + "C: MAIL *\nS: 530 log in\n", False),
        (HI + EHLO + MAIL + RCPT + DATA + "S: close\n", False),
        ("S: 554 no\n", False),
        (HI + "C: EHLO *\nS: 502 no\nC: HELO *\nS: 502 no\n", False),
    ],
    ids="mail data dot greeting lost 421 junk greylisted refused login unknown blocked no-hello".split(),
)
def test_f42_what_a_server_says_decides_whether_it_is_tried_again(
    world: World, clock: Clock, first: str, is_retried: bool
) -> None:
    second = HI + EHLO + MAIL + RCPT + DATA + OK + QUIT
    with ScriptedServer(connections=[first, second]) as peer:
        with world.mailer(url(peer), retry=RetryPolicy()) as mailer:
            receipt, _ = sent(mailer)
        assert peer.wait_idle()
        peer.assert_clean()
    assert len(receipt.attempts) == (2 if is_retried else 1)
    assert receipt.ok == is_retried
    ids = {
        line for data in peer.received for line in data.split(b"\r\n") if line.startswith((b"Message-ID:", b"Date:"))
    }
    assert len(ids) in (0, 2)


def test_f92_tries_times_members_is_all_there_is(world: World, clock: Clock) -> None:
    with ScriptedServer("S: 421 busy\n") as one, ScriptedServer("S: 451 busy\n") as two:
        with world.mailer(f"failover({url(one)} {url(two)})", retry=RetryPolicy(tries=3)) as mailer:
            receipt, error = sent(mailer)
        assert one.wait_idle()
        assert two.wait_idle()
    assert isinstance(error, DeliveryDeferred)
    assert (one.connections, two.connections) == (3, 3)
    assert len(receipt.attempts) == 6
    assert all(isinstance(attempt.cause, TransportError) for attempt in receipt.attempts)


def test_f92_the_log_tells_of_each_further_try_and_of_no_content(
    world: World, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Flaky(TransportError("words of a peer"))
    with caplog.at_level("INFO", logger="mailer"), world.mailer(backend, retry=RetryPolicy(jitter=0)) as mailer:
        receipt, _ = sent(mailer, message("ann@y.test", subject="Quarterly", text="hush"))
    lines = [record.getMessage() for record in caplog.records if record.mailer_event == "mail.retry"]
    assert lines == [
        f"mail.retry: {receipt.id}, attempt 2 in 0.500 s for 1 recipients",
        f"mail.retry: {receipt.id}, attempt 3 in 1.000 s for 1 recipients",
    ]
    assert not any(word in caplog.text for word in ("ann@", "Quarterly", "hush", "words of a peer"))


# --- cut short --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["waiting", "trying"])
def test_cancelled_between_tries_what_is_known_is_told(async_world: World, when: str) -> None:
    class Hanging(Flaky):
        async def send(self, mail: Mail) -> Receipt:
            if self.mails and when == "trying":
                self.begun.set()
                await anyio.sleep_forever()
            return await super().send(mail)

    backend = Hanging({"a": A, "d": D, "r": R})
    told: list[tuple[str, list[str]]] = []

    async def work() -> None:
        backend.begun = anyio.Event()
        policy = RetryPolicy(wait_s=9 if when == "waiting" else 0, max_wait_s=9, jitter=0)
        async with AsyncMailer(backend, retry=policy) as mailer:
            for name in ("sent", "deferred", "rejected", "unknown"):
                mailer.hooks.add_action(name, lambda c, name=name: told.append((name, [a.local for a in c.recipients])))
            async with anyio.create_task_group() as group:
                group.start_soon(mailer.send, message("a@y.test", "d@y.test", "r@y.test"))
                if when == "trying":
                    await backend.begun.wait()
                else:
                    await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()

    async_world.run(work)
    # Nobody's word on the second try of d@y.test: it is unknown.
    open_now = ("deferred", ["d"]) if when == "waiting" else ("unknown", ["d"])
    assert sorted(told) == sorted([("sent", ["a"]), ("rejected", ["r"]), open_now])


def test_ctrl_c_between_tries_comes_out_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(runtime: object, seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BlockingRuntime, "sleep", sleep)
    with Mailer(Flaky(D)) as mailer:
        told: list[str] = []
        mailer.hooks.add_action("deferred", lambda context: told.append(context.receipt.id))
        with pytest.raises(KeyboardInterrupt):
            mailer.send(message())
        assert len(told) == 1


def test_a_backend_that_needs_a_loop_on_the_second_try_says_so() -> None:
    class Suspending(Flaky):
        async def send(self, mail: Mail) -> Receipt:
            if self.mails:
                await asyncio.sleep(0)
            return await super().send(mail)

    with Mailer(Suspending(D), retry=RetryPolicy(wait_s=0)) as mailer, pytest.raises(ConfigError, match="AsyncMailer"):
        mailer.send(message())


# --- the policy -------------------------------------------------------------------------------------------------------


def test_tenacity_is_loaded_by_the_first_retry_and_not_before() -> None:
    code = """
import sys
from mailer import Mailer, Message, Receipt, Outcome, RetryPolicy, Backend
class Once(Backend):
    def send(self, mail):
        return Receipt.for_all(mail, Outcome.ACCEPTED if self.is_well else Outcome.DEFERRED)
backend = Once()
mailer = Mailer(backend, from_="a@x.test", retry=RetryPolicy(wait_s=0, tries=2))
for backend.is_well in (True, False):
    try:
        mailer.send(Message(to="b@y.test", text="t"))
    except Exception as error:
        print(type(error).__name__)
    print("tenacity" in sys.modules, "asyncio" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split()[:2] == ["False", "False"]
    assert done.stdout.split()[2:4] == ["DeliveryDeferred", "True"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tries": 0},
        {"tries": 101},
        {"tries": 1.5},
        {"tries": True},
        {"within_s": -1},
        {"within_s": float("nan")},
        {"within_s": float("inf")},
        {"wait_s": "1"},
        {"max_wait_s": 3601},
        {"jitter": 1.1},
        {"on_unknown": "maybe"},
        {"random": 5},
    ],
    ids=str,
)
def test_a_wrong_policy_cannot_be_built(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_a_mailer_takes_a_policy_or_none() -> None:
    with pytest.raises(ConfigError, match="RetryPolicy"):
        Mailer("memory:", retry=3)
    assert pickle.loads(pickle.dumps(RetryPolicy(tries=5))) == RetryPolicy(tries=5)


A_MAIL = Mail("id", Envelope("a@x.test", ["a@y.test", "b@y.test", "c@y.test"]), None, Content.of(b"x"))
RESULTS = st.builds(
    RecipientResult,
    address=st.just(A_MAIL.envelope.recipients[0]),
    outcome=st.sampled_from(Outcome),
    retry_after_s=st.none() | st.floats(),
    scope=st.none() | st.sampled_from(Scope),
)


@given(
    policy=st.builds(
        RetryPolicy,
        tries=st.integers(1, 8),
        within_s=st.floats(0, 3600),
        wait_s=st.floats(0, 3600),
        max_wait_s=st.floats(0, 3600),
        jitter=st.floats(0, 1),
        on_unknown=st.sampled_from(["keep", "resend"]),
        random=st.sampled_from([lambda: 0.0, lambda: 1.0, lambda: 0.5]),
    ),
    answers=st.lists(st.tuples(RESULTS, RESULTS, RESULTS), min_size=10, max_size=10),
    costs_s=st.floats(0, 100),
)
def test_whatever_is_answered_waits_and_tries_stay_within_the_policy(policy, answers, costs_s):
    clock, sleeps, begun = [0.0], [], []
    tally = Tally(A_MAIL)

    def answer(mail: Mail) -> Receipt:
        begun.append((clock[0], mail.envelope.recipients))
        clock[0] += costs_s
        of = dict(zip(A_MAIL.envelope.recipients, answers[len(begun) - 1], strict=True))
        return Receipt("id", results=tuple(replace(of[a], address=a) for a in mail.envelope.recipients))

    async def carry(parts: Sequence[tuple[Tally, Mail]]) -> None:
        [(_, mail)] = parts
        before = {result.address: result for result in tally.latest()}
        assert all(policy.is_open(before[address]) for address in mail.envelope.recipients)
        assert all(not (before[a].retry_after_s or 0) > sleeps[-1] for a in mail.envelope.recipients)
        tally.add(answer(mail))

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        clock[0] += seconds

    tally.add(answer(A_MAIL))
    drive(policy.try_again([tally], carry, begun_at=0.0, now=lambda: clock[0], sleep=sleep))
    assert len(begun) == len(sleeps) + 1 <= policy.tries
    assert sum(sleeps) <= policy.within_s * (1 + 1e-9)
    assert all(0 <= at <= policy.within_s * (1 + 1e-9) for at, _ in begun)
    taken = {r.address for receipt in tally.receipts for r in receipt.results if r.outcome is A}
    assert {r.address for r in tally.receipt().accepted} == taken
    for earlier, (_, tried) in zip(tally.receipts, begun[1:], strict=False):
        assert not {r.address for r in earlier.results if r.outcome in (A, R)} & set(tried)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_docs_hold_the_table_of_verdicts():
    page = (Path(__file__).parent.parent / "docs" / "explain" / "outcomes.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \| (\w+) \| (\w+) \|$", page, re.M)
    assert rows == [
        (event, verdict.outcome.name, verdict.scope.value, verdict.next_step.value)
        for event, verdict in VERDICTS.items()
    ]

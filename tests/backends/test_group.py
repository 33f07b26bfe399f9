"""Failover: who is tried next, for whom, and what the receipt keeps of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from exchange import DATA, EHLO, HI, MAIL, OK, RCPT, message, sent, shown, url
from hypothesis import given
from hypothesis import strategies as st
from worlds import World

from mailer import (
    AuthError,
    Backend,
    ConfigError,
    Content,
    DeliveryDeferred,
    DeliveryRefused,
    DeliveryUnknown,
    Envelope,
    Mail,
    MessageError,
    Outcome,
    Receipt,
    RetryPolicy,
    Scope,
    TransportError,
    UnsupportedFeature,
)
from mailer.backends.group import FailoverBackend, RoundRobinBackend, WeightedBackend
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.receipt import RecipientResult
from mailer.runtime import BlockingRuntime, drive
from mailer.testing import ScriptedServer

A, D, R, U = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED, Outcome.UNKNOWN


EHLO_SIZE = "C: EHLO [127.0.0.1]\nS: 250-hello\nS: 250 SIZE 10\n"


def test_what_one_server_cannot_take_goes_to_the_next_and_what_it_refused_does_not(world: World) -> None:
    """Too large for SIZE is permanent on this route alone; 552 5.3.4 to RCPT is the server's word and final."""
    refusing = HI + EHLO + MAIL + "C: RCPT *\nS: 552 5.3.4 too large\nC: RSET\nS: 250 ok\nC: QUIT\n"
    for first, outcome, attempts in ((HI + EHLO_SIZE + "C: QUIT\n", "accepted", 2), (refusing, "rejected", 1)):
        with ScriptedServer(first) as small, ScriptedServer(HI + EHLO + MAIL + RCPT + DATA + OK) as large:
            with world.mailer(f"failover({url(small)} {url(large)})") as mailer:
                receipt, _ = sent(mailer)
            assert [fact[1] for fact in shown(receipt)] == [outcome]
            assert len(receipt.attempts) == attempts


def test_a_spare_that_cannot_take_it_is_no_reason_not_to_try_the_first_again(world: World) -> None:
    with (
        ScriptedServer("S: 421 busy\n") as busy,
        ScriptedServer(HI + EHLO_SIZE + "C: QUIT\n") as small,
        world.mailer(f"failover({url(busy)} {url(small)})") as mailer,
    ):
        receipt, error = sent(mailer)
    assert type(error) is DeliveryDeferred
    assert [fact[1:3] for fact in shown(receipt)] == [("deferred", 421)]
    assert [[*attempt.outcomes] for attempt in receipt.attempts] == [[D], [R]]


class Fake(Backend):
    """Answers with an outcome for each recipient (by address, "" for all others), or raises."""

    features = Features.everything()

    def __init__(self, name: str, outcomes: dict[str, Outcome] | Outcome | Exception, cause: Any = None) -> None:
        self.url = f"{name}:"
        self.outcomes = outcomes
        self.cause = cause
        self.asked: list[list[str]] = []

    async def send(self, mail: Mail) -> Receipt:
        addresses = mail.envelope.recipients
        self.asked.append([address.addr_spec for address in addresses])
        if isinstance(self.outcomes, Exception):
            raise self.outcomes
        by = self.outcomes if isinstance(self.outcomes, dict) else {"": self.outcomes}
        results = tuple(
            RecipientResult(address, by.get(address.addr_spec, by.get("", A)), text=self.url) for address in addresses
        )
        return Receipt(mail.id, self.url, results, error=self.cause)


def outcomes(receipt: Receipt) -> list[tuple[Outcome, str]]:
    return [(result.outcome, result.text) for result in receipt.results]


@pytest.mark.parametrize(
    "first",
    [D, AuthError("no"), ConfigError("no"), TransportError("no"), UnsupportedFeature("no")],
    ids=["deferred", "auth", "config", "transport", "unsupported"],
)
def test_failover_moves_on(world: World, first: Any) -> None:
    one, two, three = Fake("one", first), Fake("two", A), Fake("three", A)
    with world.mailer(FailoverBackend([one, two, three])) as mailer:
        receipt, error = sent(mailer)
    assert error is None
    assert outcomes(receipt) == [(A, "two:")]
    assert receipt.backend == "two:"
    assert three.asked == []
    if isinstance(first, UnsupportedFeature):
        assert [attempt.backend for attempt in receipt.attempts] == ["two:"]
        assert receipt.notes == ("no",)
    else:
        assert [attempt.backend for attempt in receipt.attempts] == ["one:", "two:"]
        assert receipt.attempts[0].cause is (first if isinstance(first, Exception) else None)
        assert dict(receipt.attempts[0].outcomes) == {D: 1}


@pytest.mark.parametrize(
    ("first", "outcome", "error"),
    [
        (R, R, DeliveryRefused),
        (MessageError("bad"), R, DeliveryRefused),
        (U, U, DeliveryUnknown),
        (ZeroDivisionError("bug"), U, DeliveryUnknown),
    ],
    ids=["rejected", "message", "unknown", "bug"],
)
def test_failover_stays(world: World, first: Any, outcome: Outcome, error: type[Exception]) -> None:
    one, two = Fake("one", first), Fake("two", A)
    with world.mailer(FailoverBackend([one, two])) as mailer:
        receipt, raised = sent(mailer)
    assert type(raised) is error
    assert [result.outcome for result in receipt.results] == [outcome]
    assert two.asked == []
    assert len(receipt.attempts) == 1


def test_unknown_is_sent_again_where_that_is_asked_for(world: World) -> None:
    for second, final in ((A, A), (D, U), (R, U), (U, U)):
        one, two = Fake("one", U), Fake("two", second)
        with world.mailer(FailoverBackend([one, two], resend_unknown=True)) as mailer:
            receipt, _ = sent(mailer)
        assert [result.outcome for result in receipt.results] == [final]  # the first copy may still have arrived
        assert len(receipt.attempts) == 2


def test_each_recipient_is_cared_for_apart(world: World) -> None:
    one = Fake("one", {"a@y.test": A, "d@y.test": D, "r@y.test": R, "u@y.test": U, "e@y.test": D})
    two = Fake("two", {"d@y.test": A, "e@y.test": D})
    three = Fake("three", {"": D})
    with world.mailer(FailoverBackend([one, two, three])) as mailer:
        receipt, error = sent(mailer, message("a@y.test", "d@y.test", "r@y.test", "u@y.test", "e@y.test"))
    assert error is None
    assert outcomes(receipt) == [(A, "one:"), (A, "two:"), (R, "one:"), (U, "one:"), (D, "three:")]
    assert two.asked == [["d@y.test", "e@y.test"]]
    assert three.asked == [["e@y.test"]]
    assert [dict(attempt.outcomes) for attempt in receipt.attempts] == [{A: 1, D: 2, R: 1, U: 1}, {A: 1, D: 1}, {D: 1}]


def test_all_causes_are_kept_and_the_error_is_chained_from_the_last(world: World) -> None:
    causes = [TransportError("first"), AuthError("second"), TransportError("third")]
    with world.mailer(FailoverBackend([Fake(f"b{n}", cause) for n, cause in enumerate(causes)])) as mailer:
        receipt, error = sent(mailer)
    assert type(error) is DeliveryDeferred
    assert [attempt.cause for attempt in receipt.attempts] == causes
    assert error.__cause__ is causes[-1]
    assert [entry["cause"]["text"] for entry in receipt.to_dict()["attempts"]] == ["first", "second", "third"]


def test_what_no_member_can_carry_is_refused_before_anything_is_sent(world: World) -> None:
    members = [Fake("one", A), Fake("two", A)]
    for member in members:
        member.features = Features(send_at=False)
    with world.mailer(FailoverBackend(members)) as mailer, pytest.raises(UnsupportedFeature):
        mailer.send(message(send_at=datetime(2099, 1, 1, tzinfo=UTC)))
    assert [member.asked for member in members] == [[], []]


def test_what_the_first_cannot_carry_goes_by_the_second(world: World) -> None:
    one, two = Fake("one", A), Fake("two", A)
    one.features = Features(tags=False, reply_to=False)
    with world.mailer(FailoverBackend([one, two])) as mailer:
        receipt, _ = sent(mailer, message(reply_to="r@x.test"))
    assert outcomes(receipt) == [(A, "two:")]
    assert one.asked == []
    assert len(receipt.notes) == 1
    assert "reply_to: is not carried by one:" in receipt.notes[0]


class Once(Fake):
    """Cannot be reached the first time."""

    async def send(self, mail: Mail) -> Receipt:
        await super().send(mail)
        if len(self.asked) == 1:
            raise TransportError("down")
        return Receipt.for_all(mail, A)


def test_a_spare_with_a_wrong_password_does_not_keep_the_first_from_a_second_try(world: World) -> None:
    """Retry goes around the whole group; F76 is about an account alone: with nobody else there is no second try."""
    first, spare = Once("first", A), Fake("spare", AuthError("bad login"))
    with world.mailer(FailoverBackend([first, spare]), retry=RetryPolicy(wait_s=0)) as mailer:
        receipt, error = sent(mailer)
    assert error is None
    assert receipt.ok
    assert [type(attempt.cause).__name__ for attempt in receipt.attempts] == ["TransportError", "AuthError", "NoneType"]
    alone = Fake("alone", AuthError("bad login")), Fake("other", ConfigError("wrong"))
    with world.mailer(FailoverBackend(alone), retry=RetryPolicy(wait_s=0)) as mailer:
        sent(mailer)
    assert [len(fake.asked) for fake in alone] == [1, 1]


def test_groups_within_groups(world: World) -> None:
    inner = FailoverBackend([Fake("a", D), Fake("b", D)])
    with world.mailer(FailoverBackend([inner, Fake("c", A)])) as mailer:
        receipt, _ = sent(mailer)
    assert [attempt.backend for attempt in receipt.attempts] == ["a:", "b:", "c:"]
    assert receipt.backend == "c:"
    assert len({entry.backend for entry in receipt.attempts}) == 3


def test_a_member_that_could_not_be_reached_rests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]

    class Timed(type(world.runtime)):  # type: ignore[misc]
        def now(self) -> float:
            return clock[0]

    one, two = Fake("one", TransportError("down")), Fake("two", A)
    group = FailoverBackend([one, two], rest_s=60)
    group.attach(Timed())
    with world.mailer(group) as mailer:
        assert sent(mailer)[0].backend == "two:"
        assert sent(mailer)[0].backend == "two:"
        assert len(one.asked) == 1  # it rests
        clock[0] += 59
        assert sent(mailer)[0].ok
        assert len(one.asked) == 1
        clock[0] += 2
        assert sent(mailer)[0].ok
        assert len(one.asked) == 2  # and was tried again
        two.outcomes = D
        assert sent(mailer)[1] is not None
        assert len(one.asked) == 3  # who rests is tried last, not never
        one.outcomes = A
        clock[0] += 61
        assert sent(mailer)[0].backend == "one:"
        assert sent(mailer)[0].backend == "one:"  # rested, and well again


def test_deferred_by_the_server_is_no_reason_to_rest(world: World) -> None:
    one, two = Fake("one", D), Fake("two", A)
    with world.mailer(FailoverBackend([one, two], rest_s=60)) as mailer:
        sent(mailer)
        sent(mailer)
    assert len(one.asked) == 2


def test_plain_members_work_in_every_world(world: World) -> None:
    class Plain(Backend):
        url = "plain:"

        def send(self, mail: Mail) -> Receipt:
            return Receipt.for_all(mail, A, backend=self.url)

    with world.mailer(FailoverBackend([Fake("one", D), Plain()])) as mailer:
        assert sent(mailer)[0].backend == "plain:"


def test_check_is_well_if_one_member_is(world: World) -> None:
    with ScriptedServer("S: 554 no\n") as peer, world.mailer(f"failover({url(peer)} memory:)") as mailer:
        health = mailer.check()
        assert health.ok
        assert list(health.facts.values())[1] == "ok"
        assert "554 no" in next(iter(health.facts.values()))
    with ScriptedServer("S: 554 no\n") as peer, world.mailer(f"failover({url(peer)} {url(peer)})") as mailer:
        health = mailer.check()
        assert not health.ok
        assert "554 no" in str(health.cause)


def test_close_closes_every_member(world: World) -> None:
    closed = []

    class Closing(MemoryBackend):
        def close(self) -> None:
            closed.append(self)

    members = [Closing(), Closing()]
    with world.mailer(FailoverBackend(members)):
        pass
    assert closed == members


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: FailoverBackend([]), "members"),
        (lambda: FailoverBackend(["memory:"]), "must be a Backend, not str"),
        (lambda: FailoverBackend([MemoryBackend()], rest_s=-1), "rest_s"),
        (lambda: RoundRobinBackend([], rest_s=float("nan")), "members"),
        (lambda: RoundRobinBackend([MemoryBackend()], rest_s=float("nan")), "rest_s"),
        (lambda: WeightedBackend([MemoryBackend()], []), "1 members need as many weights, not 0"),
        (lambda: WeightedBackend([MemoryBackend()], [0]), "weight 0"),
        (lambda: WeightedBackend([MemoryBackend()], [True]), "weight True"),
        (lambda: WeightedBackend([MemoryBackend()], [1.5]), "weight 1.5"),
        (lambda: WeightedBackend([MemoryBackend()], [1001]), "weight 1001"),
    ],
)
def test_a_wrong_group_cannot_be_built(build: Callable[[], Backend], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build()


def test_it_prints_itself_masked() -> None:
    from mailer import backend_from_url

    group = backend_from_url("failover(smtp://u:hush@a.test smtps://u:hush@b.test)?on_unknown=resend&rest=60")
    assert str(group) == "failover(smtp://u:***@a.test smtps://u:***@b.test)?on_unknown=resend&rest=60"
    assert "hush" not in repr(group)


CASES: list[tuple[str, Callable[[], str], Outcome, int]] = [
    ("refused greeting", lambda: "S: 554 no\n", A, 2),
    ("end before the dot", lambda: HI + EHLO + MAIL + "C: RCPT *\nS: close\n", A, 2),
    ("451 to the dot", lambda: HI + EHLO + MAIL + RCPT + DATA + "S: 451 later\nC: QUIT\n", A, 2),
    ("550 to RCPT", lambda: HI + EHLO + MAIL + "C: RCPT *\nS: 550 no\nC: RSET\nS: 250 ok\nC: QUIT\n", R, 1),
    ("end after the dot", lambda: HI + EHLO + MAIL + RCPT + DATA + "S: close\n", U, 1),
]


@pytest.mark.parametrize(
    ("script", "outcome", "attempts"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_failover_between_real_servers(
    world: World, script: Callable[[], str], outcome: Outcome, attempts: int
) -> None:
    with ScriptedServer(script()) as one, ScriptedServer(HI + EHLO + MAIL + RCPT + DATA + OK + "C: QUIT\n") as two:
        with world.mailer(f"failover({url(one)} {url(two)})") as mailer:
            receipt, _ = sent(mailer)
        assert one.wait_idle()
        assert two.wait_idle()
        one.assert_clean()
        two.assert_clean()
    assert [result.outcome for result in receipt.results] == [outcome]
    assert len(receipt.attempts) == attempts
    assert two.connections == attempts - 1
    if outcome is A:
        assert shown(receipt) == [("b@y.test", "accepted", 250, "2.0.0", "queued as ABC123")]
        assert "127.0.0.1" in receipt.attempts[0].backend


def test_cancelled_in_the_second_member_what_the_first_settled_is_told(async_world: World) -> None:
    import anyio

    from mailer import AsyncMailer

    class Hanging(Backend):
        url = "hanging:"
        features = Features.everything()

        async def send(self, mail: Mail) -> Receipt:
            await anyio.sleep_forever()
            raise AssertionError

    told: list[tuple[str, list[str]]] = []

    async def work() -> None:
        one = Fake("one", {"b@y.test": A, "c@y.test": D, "d@y.test": R})
        async with AsyncMailer(FailoverBackend([one, Hanging()])) as mailer:
            for name in ("sent", "deferred", "rejected", "unknown"):
                mailer.hooks.add_action(
                    name, lambda c, name=name: told.append((name, [a.addr_spec for a in c.recipients]))
                )
            with anyio.move_on_after(0.05):
                await mailer.send(message("b@y.test", "c@y.test", "d@y.test"))

    async_world.run(work)
    # Anybody's backend, cut short without a word: what it did with c@y.test nobody knows.
    assert told == [("sent", ["b@y.test"]), ("rejected", ["d@y.test"]), ("unknown", ["c@y.test"])]


def test_asyncio_cancellation_is_no_reason_to_move_on() -> None:
    from mailer import AsyncMailer

    two = Fake("two", A)

    class Cancelled(Fake):
        async def send(self, mail: Mail) -> Receipt:
            raise asyncio.CancelledError

    async def work() -> None:
        async with AsyncMailer(FailoverBackend([Cancelled("one", A), two])) as mailer:
            await mailer.send(message())

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    assert two.asked == []


OUTCOMES = st.sampled_from(Outcome)


@given(
    kind=st.sampled_from([FailoverBackend, RoundRobinBackend]),
    answers=st.lists(st.tuples(OUTCOMES, OUTCOMES, OUTCOMES), min_size=1, max_size=5),
    resend_unknown=st.booleans(),
)
def test_nobody_is_asked_again_whose_outcome_is_final(kind: Any, answers: list[Any], resend_unknown: bool) -> None:
    to = ["a@y.test", "b@y.test", "c@y.test"]
    members = [Fake(f"b{n}", dict(zip(to, row, strict=True))) for n, row in enumerate(answers)]
    group = kind(members, resend_unknown=resend_unknown)
    group.attach(BlockingRuntime())
    receipt = drive(group.send(Mail("id", Envelope("s@x.test", to), None, Content.of(b"x"))))
    open_ones = (D, U) if resend_unknown else (D,)
    for column, address in enumerate(to):
        was_asked = [any(address in asked for asked in member.asked) for member in members]
        seen = [row[column] for row, is_asked in zip(answers, was_asked, strict=True) if is_asked]
        assert all(outcome in open_ones for outcome in seen[:-1]), "asked again after a final outcome"
        assert seen[-1] not in open_ones or len(seen) == len(members), "left although a member was left"
        result = receipt.results[column]
        assert result.outcome is (U if U in seen and seen[-1] is not A else seen[-1])


# --- resting ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ahead(world: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """By how much the runtime's clock is ahead; to be moved on."""
    offset = [0.0]
    now = type(world.runtime).now
    monkeypatch.setattr(type(world.runtime), "now", lambda runtime: now(runtime) + offset[0])
    return offset


def deferred(scope: Scope, after_s: float | None = None) -> Callable[[Mail], Receipt]:
    return lambda mail: Receipt.for_all(mail, D, scope=scope, retry_after_s=after_s)


class Answering(Fake):
    """Answers with what a function makes of the mail."""

    def __init__(self, name: str, answer: Callable[[Mail], Receipt]) -> None:
        super().__init__(name, A)
        self.answer = answer

    async def send(self, mail: Mail) -> Receipt:
        await super().send(mail)
        return self.answer(mail)


@pytest.mark.parametrize(
    ("scope", "rests"),
    [(Scope.HOST, True), (Scope.ACCOUNT, True), (Scope.SESSION, True)]
    + [(scope, False) for scope in (Scope.MESSAGE, Scope.RECIPIENT, Scope.DOMAIN, None)],
)
def test_only_what_the_next_mail_would_meet_too_is_a_reason_to_rest(world: World, scope: Any, rests: bool) -> None:
    one, two = Answering("one", deferred(scope)), Fake("two", A)
    with world.mailer(FailoverBackend([one, two], rest_s=60)) as mailer:
        sent(mailer)
        sent(mailer)
    assert len(one.asked) == (1 if rests else 2)


def test_a_wrong_password_is_not_tried_with_every_mail(world: World) -> None:
    one, two = Fake("one", AuthError("no")), Fake("two", A)
    with world.mailer(FailoverBackend([one, two], rest_s=60)) as mailer:
        assert all(sent(mailer)[0].ok for _ in range(5))
    assert len(one.asked) == 1


def test_a_member_rests_as_long_as_it_asked_for(world: World, ahead: list[float]) -> None:
    one, two = Answering("one", deferred(Scope.HOST, 600.0)), Fake("two", A)
    with world.mailer(FailoverBackend([one, two], rest_s=60)) as mailer:
        for moved_s, asked in ((0, 1), (61, 1), (500, 1), (40, 2)):
            ahead[0] += moved_s
            sent(mailer)
            assert len(one.asked) == asked


def test_one_call_finds_out_whether_it_is_well_while_the_others_keep_away(world: World, ahead: list[float]) -> None:
    one, two = Fake("one", TransportError("down")), Fake("two", A)
    group = FailoverBackend([one, two], rest_s=60)

    class Busy(Fake):
        async def send(self, mail: Mail) -> Receipt:
            if not self.asked:
                await super().send(mail)
                nested = await group.send(mail.with_(id="meanwhile"))
                assert nested.backend == "two:"
            return await super().send(mail)

    with world.mailer(group) as mailer:
        assert sent(mailer)[0].backend == "two:"
        ahead[0] += 61
        group.members = (Busy("one", A), two)
        group.members[0].attach(group.runtime)
        assert sent(mailer)[0].backend == "one:"
        assert sent(mailer)[0].backend == "one:"  # and it is well again for all


def test_a_probe_that_could_not_be_made_leaves_the_next_call_to_it(world: World, ahead: list[float]) -> None:
    one, two = Fake("one", TransportError("down")), Fake("two", A)
    with world.mailer(FailoverBackend([one, two], rest_s=60)) as mailer:
        sent(mailer)
        ahead[0] += 61
        one.outcomes = UnsupportedFeature("not this one")
        assert sent(mailer)[0].backend == "two:"
        one.outcomes = A
        assert sent(mailer)[0].backend == "one:"


# --- turns ------------------------------------------------------------------------------------------------------------


def turns(mailer: Any, count: int) -> str:
    return "".join(sent(mailer)[0].backend.rstrip(":") for _ in range(count))


@pytest.mark.parametrize(
    ("weights", "order"),
    [((1, 1), "abab"), ((3, 1), "aabaaaba"), ((1, 3), "babbbabb"), ((5, 1, 1), "aabacaaaabacaa"), ((1,), "aaa")],
    ids=str,
)
def test_turns_are_in_proportion_spread_and_always_the_same(world: World, weights: tuple[int, ...], order: str) -> None:
    members = [Fake(name, A) for name in "abc"[: len(weights)]]
    with world.mailer(WeightedBackend(members, weights)) as mailer:
        assert turns(mailer, len(order)) == order


def test_round_robin_goes_round_and_on_from_who_was_first(world: World) -> None:
    a, b, c = (Fake(name, A) for name in "abc")
    with world.mailer(RoundRobinBackend([a, b, c])) as mailer:
        assert turns(mailer, 7) == "abcabca"
        b.outcomes = D
        receipt, _ = sent(mailer)
        assert [attempt.backend for attempt in receipt.attempts] == ["b:", "c:"]
        c.outcomes = D
        receipt, _ = sent(mailer)
        assert [attempt.backend for attempt in receipt.attempts] == ["c:", "a:"]
        a.outcomes = R
        receipt, _ = sent(mailer)
        assert [attempt.backend for attempt in receipt.attempts] == ["a:"]  # refused is final


def test_who_rests_has_no_turn_and_the_others_share_it(world: World, ahead: list[float]) -> None:
    a, b, c = Fake("a", TransportError("down")), Fake("b", A), Fake("c", A)
    with world.mailer(RoundRobinBackend([a, b, c], rest_s=60)) as mailer:
        assert turns(mailer, 1) == "b"
        assert sorted(turns(mailer, 6)) == ["b"] * 3 + ["c"] * 3
        assert len(a.asked) == 1
        ahead[0] += 61
        a.outcomes = A
        assert sorted(turns(mailer, 6)) == ["a"] * 2 + ["b"] * 2 + ["c"] * 2


def test_threads_share_the_turns() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from mailer import Mailer

    group = WeightedBackend([Fake("a", A), Fake("b", A)], [3, 1])
    with Mailer(group) as mailer, ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: mailer.send(message()), range(400)))
    assert sum(receipt.backend == "a:" for receipt in receipts) == 300


# --- batches ----------------------------------------------------------------------------------------------------------


class Batching(Fake):
    """A Fake that takes three mails at once."""

    batch_size = 3

    def __init__(self, name: str, outcomes: Any) -> None:
        super().__init__(name, outcomes)
        self.batches: list[int] = []

    async def send_many(self, mails: Sequence[Mail]) -> list[Receipt]:
        self.batches.append(len(mails))
        return [await Fake.send(self, mail) for mail in mails]


def test_batches_stay_together_and_what_is_left_goes_on(world: World) -> None:
    one = Batching("one", {"1@y.test": D, "4@y.test": D, "5@y.test": R})
    two = Fake("two", A)
    with world.mailer(FailoverBackend([one, two])) as mailer:
        receipts = mailer.send_many([message(f"{number}@y.test") for number in range(6)])
    assert one.batches == [3, 3]
    assert two.asked == [["1@y.test"], ["4@y.test"]]
    assert [receipt.results[0].outcome for receipt in receipts] == [A, A, A, A, A, R]
    assert [receipt.backend for receipt in receipts] == ["one:", "two:", "one:", "one:", "two:", "one:"]


def test_in_a_batch_only_what_no_member_can_carry_is_refused(world: World) -> None:
    one, two = Batching("one", A), Batching("two", A)
    one.features = two.features = Features(reply_to=False)
    with world.mailer(FailoverBackend([one, two])) as mailer:
        receipts = mailer.send_many([message(), message(reply_to="r@x.test"), message()])
    assert [type(receipt.error) for receipt in receipts] == [type(None), UnsupportedFeature, type(None)]
    assert [receipt.ok for receipt in receipts] == [True, False, True]


def test_a_group_merges_if_all_its_members_do() -> None:
    merging, plain = MemoryBackend(), MemoryBackend()
    merging.features = Features(merge=True)
    assert not RoundRobinBackend([merging, plain]).features.merge
    assert RoundRobinBackend([merging, merging]).features.merge


def test_cancelled_within_a_batch_each_mail_keeps_what_is_known(async_world: World) -> None:
    import anyio

    from mailer import AsyncMailer

    class Stops(Fake):
        async def send(self, mail: Mail) -> Receipt:
            if len(self.asked) == 1:
                self.begun.set()
                await anyio.sleep_forever()
            return await super().send(mail)

    told: dict[str, str] = {}

    async def work() -> None:
        # The first member defers three at once; the second takes one at a time, and hangs at its second.
        one, two = Batching("one", D), Stops("two", A)
        two.begun = anyio.Event()
        async with AsyncMailer(FailoverBackend([one, two])) as mailer, anyio.create_task_group() as tasks:
            for name in ("sent", "deferred", "unknown"):
                mailer.hooks.add_action(name, lambda c, name=name: told.update({a.local: name for a in c.recipients}))

            async def send() -> None:
                async for _ in mailer.send_many([message(f"{number}@y.test") for number in range(3)]):
                    pass

            tasks.start_soon(send)
            await two.begun.wait()
            tasks.cancel_scope.cancel()

    async_world.run(work)
    assert told == {"0": "sent", "1": "unknown", "2": "deferred"}

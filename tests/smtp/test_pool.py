"""The pool: who gets which connection, who waits, what is thrown away; in every world, and with competing threads."""

from __future__ import annotations

import os
import threading
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, exchange, message, sent, url
from rules import Rules, RuleServer
from worlds import World

from mailer import AsyncMailer, DeliveryDeferred, Mailer
from mailer.errors import ConfigError, ConnectError, DeadlineExceeded, TransportError
from mailer.runtime import BlockingRuntime, drive
from mailer.smtp.pool import Pool, PoolLimits
from mailer.smtp.reply import Reply

ONE = MAIL + RCPT + DATA + OK


class Fake:
    """As much of a session as a pool looks at."""

    room = 1 << 30

    def __init__(self, clock: Clock) -> None:
        self.token = clock.token()
        self.opened_at = self.used_at = clock.now()
        self.carried = 0
        self.is_open = self.is_ready = True
        self.ended = ""

    def quit(self) -> None:
        self.ended = self.ended or "quit"

    def close(self) -> None:
        self.ended = self.ended or "close"


class Clock(BlockingRuntime):
    """A clock that is set by hand; tokens too."""

    time = 1000.0
    place: object = "here"

    def now(self) -> float:
        return self.time

    def token(self) -> object:
        return self.place


def made(clock: Clock, **limits: Any) -> tuple[Pool, list[Any]]:
    opened: list[Any] = []

    async def connect(_: float) -> Any:
        opened.append(Fake(clock))
        return opened[-1]

    return Pool(connect, PoolLimits(**limits)), opened


def test_the_one_used_last_is_lent_first() -> None:
    clock = Clock()
    pool, opened = made(clock)
    first, second = drive(pool.take(clock, 2000)), drive(pool.take(clock, 2000))
    pool.give_back(second, clock)
    pool.give_back(first, clock)
    assert drive(pool.take(clock, 2000)) is first
    assert drive(pool.take(clock, 2000)) is second
    assert len(opened) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda session, clock: setattr(clock, "time", clock.time + 300),
        lambda session, clock: setattr(session, "carried", 100),
        lambda session, clock: setattr(session, "is_open", False),
        lambda session, clock: setattr(session, "used_at", clock.time - 11),
        lambda session, clock: setattr(session, "room", 0),
    ],
    ids=["age", "messages", "stale", "idle", "MAILMAX"],
)
def test_what_is_too_old_or_dead_is_not_lent_again(spoil: Any) -> None:
    clock = Clock()
    pool, opened = made(clock)
    session = drive(pool.take(clock, 2000))
    pool.give_back(session, clock)
    spoil(session, clock)
    assert drive(pool.take(clock, 3000)) is not session
    assert session.ended == "quit"
    assert (len(opened), pool.lent) == (2, 1)


def test_of_another_event_loop_none_is_lent_and_it_is_closed_without_a_word() -> None:
    clock = Clock()
    pool, opened = made(clock)
    pool.give_back(drive(pool.take(clock, 2000)), clock)
    clock.place = "there"
    assert drive(pool.take(clock, 2000)) is opened[1]
    assert opened[0].ended == "close"


def test_a_connection_that_could_not_be_opened_leaves_its_place() -> None:
    clock, failing = Clock(), [True]

    async def connect(_: float) -> Any:
        if failing:
            raise failing.pop() and ConnectError("no")
        return Fake(clock)

    pool = Pool(connect, PoolLimits(connections=1))
    with pytest.raises(ConnectError):
        drive(pool.take(clock, 2000))
    assert drive(pool.take(clock, 2000)).is_open


def test_nobody_waits_longer_than_its_deadline(world: World) -> None:
    async def work() -> int:
        pool = Pool(connect, PoolLimits(connections=1))
        session = await pool.take(world.runtime, world.runtime.now() + 5)
        with pytest.raises(DeadlineExceeded, match="all 1 connections"):
            await pool.take(world.runtime, world.runtime.now() + 0.02)
        pool.give_back(session, world.runtime)
        assert await pool.take(world.runtime, world.runtime.now() + 5) is session
        return pool.lent

    async def connect(_: float) -> Any:
        made = Fake(Clock())
        made.token, made.opened_at, made.used_at = (
            world.runtime.token(),
            world.runtime.now(),
            world.runtime.now(),
        )
        return made

    assert world.run(work) == 1


def test_a_waiter_that_is_cancelled_as_it_is_woken_hands_the_connection_on(async_world: World) -> None:
    runtime = async_world.runtime
    got: list[str] = []

    async def connect(_: float) -> Any:
        made = Fake(Clock())
        made.token, made.opened_at, made.used_at = runtime.token(), runtime.now(), runtime.now()
        return made

    async def work() -> tuple[int, int]:
        pool = Pool(connect, PoolLimits(connections=1))
        session = await pool.take(runtime, runtime.now() + 5)

        async def wait(name: str, scope: anyio.CancelScope) -> None:
            with scope:
                taken = await pool.take(runtime, runtime.now() + 5)
                got.append(name)
                pool.give_back(taken, runtime)

        first, second = anyio.CancelScope(), anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(wait, "first", first)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(wait, "second", second)
            await anyio.wait_all_tasks_blocked()
            first.cancel()  # it has not run yet
            pool.give_back(session, runtime)  # so this is given to it
        return pool.lent, len(pool.idle)

    assert async_world.run(work) == (0, 1)
    assert got == ["second"]


def test_threads_compete_for_few_connections() -> None:
    problems: list[BaseException] = []

    def work(mailer: Mailer, thread: int) -> None:
        try:
            for number in range(10):
                assert mailer.send(message(f"t{thread}n{number}@y.test")).ok
        except BaseException as error:
            problems.append(error)

    with RuleServer(Rules(offers=("PIPELINING",))) as server:
        with Mailer(url(server, max_connections=3, max_messages=7)) as mailer:
            threads = [threading.Thread(target=work, args=(mailer, number)) for number in range(9)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert mailer.backend._pool.lent == 0  # type: ignore[attr-defined]
            assert len(mailer.backend._pool.idle) <= 3  # type: ignore[attr-defined]
        assert server.wait_idle()
        assert problems == []
        assert len(server.mails) == 90
        assert max(sum(line.startswith("MAIL") for line in lines) for lines in server.commands) <= 7


def test_tasks_compete_for_few_connections(async_world: World) -> None:
    async def work(where: str) -> None:
        async with AsyncMailer(where) as mailer, anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(mailer.send, message(f"n{number}@y.test"))

    with RuleServer(Rules(offers=("PIPELINING", "CHUNKING"))) as server:
        async_world.run(work, url(server, max_connections=2))
        assert server.wait_idle()
        assert len(server.mails) == 30
        assert len(server.commands) <= 2


# --- what a server shows of its limits --------------------------------------------------------------------------------


def test_421_to_one_connection_more_is_learnt_and_the_others_are_waited_for(async_world: World) -> None:
    """The server takes two at once; a third is told 421 in its greeting."""
    busy = HI + EHLO + "C: MAIL *\nS: delay 0.1\nS: 250 ok\n" + RCPT + DATA + OK + (MAIL + RCPT + DATA + OK) * 3 + QUIT
    refused = "S: 421 4.7.0 too many connections\nS: close\n"

    async def work(where: str) -> list[bool]:
        oks: list[bool] = []

        async def one() -> None:
            oks.append((await mailer.send(message())).ok)

        async with AsyncMailer(where) as mailer, anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(one)
            while server.connections < 2:
                await anyio.lowlevel.checkpoint()
            group.start_soon(one)
        assert mailer.backend._pool.learnt.connections == 2  # type: ignore[attr-defined]
        return oks

    from mailer.testing import ScriptedServer

    with ScriptedServer(connections=[busy, busy, refused]) as server:
        assert async_world.run(work, url(server)) == [True] * 3
        assert server.connections == 3


def test_421_with_no_other_connection_defers(world: World) -> None:
    with exchange(world, "S: 421 4.7.0 too many\nC: <eof>\n") as (_, mailer):
        receipt, error = sent(mailer)
    assert type(error) is DeliveryDeferred
    assert receipt.results[0].code == 421


@pytest.mark.parametrize("offers", [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")])
def test_421_after_so_many_mails_is_learnt_and_the_next_goes_elsewhere(world: World, offers: tuple[str, ...]) -> None:
    with RuleServer(Rules(offers=offers, most=4)) as server:
        with world.mailer(url(server)) as mailer:
            receipts = mailer.send_many([message(f"n{number}@y.test") for number in range(14)])
            assert mailer.backend._pool.learnt.messages == 4
        assert server.wait_idle()
    assert all(receipt.ok for receipt in receipts)
    assert [receipt.cause for receipt in receipts] == [None] * 14  # nor of those before it, which Exim showed
    assert sorted(mail[1] for mail in server.mails) == sorted((f"n{number}@y.test",) for number in range(14))
    mails = [sum(line.startswith("MAIL") for line in lines) for lines in server.commands]
    assert [min(count, 4) for count in mails] == [4, 4, 4, 2]
    assert mails[1:] == [4, 4, 2]  # the second is not asked for what the first refused


@pytest.mark.parametrize("offers", [("PIPELINING",), ("PIPELINING", "CHUNKING")])
def test_rcptmax_and_mailmax_are_kept_to(world: World, offers: tuple[str, ...]) -> None:
    made = Rules(offers=(*offers, "LIMITS RCPTMAX=3 MAILMAX=2"), limit=3, most=2)
    with RuleServer(made) as server:
        with world.mailer(url(server)) as mailer:
            receipt = mailer.send(message(*[f"n{number}@y.test" for number in range(8)]))
        assert server.wait_idle()
    assert receipt.ok
    assert [len(mail[1]) for mail in server.mails] == [3, 3, 2]
    assert not any("421" in line for lines in server.commands for line in lines)
    assert len(server.commands) == 2


def test_what_was_learnt_is_forgotten_in_time() -> None:
    clock = Clock()
    pool, _ = made(clock, connections=5)
    pool.give_back(drive(pool.take(clock, 2000)), clock)
    pool.learnt.connections = 1
    drive(pool.take(clock, 2000))
    clock.time += 601
    drive(pool.take(clock, 3000))  # a second one at once
    assert pool.learnt.is_empty


def test_it_learns_from_421_alone() -> None:
    clock = Clock()
    pool, _ = made(clock)
    drive(pool.take(clock, 2000))
    for code, learns in ((554, False), (421, True)):
        error = TransportError("no")
        error.reply = Reply(code, ("no",))
        assert pool._learns_from(error, pool._state(), "here") is learns


def test_421_to_one_connection_more_while_the_other_comes_back_takes_that_one() -> None:
    """As with real Postfix: by the time the 421 is read, nobody uses the connection that was the one too many."""
    clock = Clock()
    pool, opened = made(clock)
    first = drive(pool.take(clock, 2000))

    async def refused(_: float) -> Any:
        pool.give_back(first, clock)
        error = TransportError("too many")
        error.reply = Reply(421, ("too many",))
        raise error

    assert drive(pool.take(clock, 2000, connect=refused)) is first
    assert (pool.learnt.connections, pool.lent, len(opened)) == (1, 1, 1)


# --- its limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option", ["max_connections=0", "max_connections=1001", "max_messages=0", "max_messages=1.5", "max_age=-1"]
)
def test_limits_that_are_none_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=option.partition("=")[0]):
        Mailer(f"smtp://localhost?{option}")
    with pytest.raises(ConfigError, match="connections"):
        PoolLimits(connections=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_begins_anew_even_if_the_lock_was_held() -> None:
    clock = Clock()
    pool, opened = made(clock)
    pool.give_back(drive(pool.take(clock, 2000)), clock)
    with pool._state().lock:
        child = os.fork()
        if child == 0:
            session: Any = drive(pool.take(clock, 2000))
            os._exit(0 if session is opened[1] and opened[0].ended == "close" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert opened[0].ended == ""

"""Rates as they are written, and the limiter on a clock of the test's own."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import World

from mailer.errors import ConfigError, DeadlineExceeded
from mailer.rate import Rate, RateLimiter, WindowLimiter


class Clock:
    """A runtime whose sleep moves its own clock; it notes each sleep."""

    is_async = False

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@pytest.mark.parametrize(
    ("text", "interval_s", "printed"),
    [
        ("50/s", 0.02, "50/s"),
        ("1000/m", 0.06, "1000/m"),
        ("3600/h", 1.0, "3600/h"),
        (" 10000 / d ", 8.64, "10000/d"),
        ("0.5/s", 2.0, "0.5/s"),
    ],
)
def test_a_rate_is_read_and_printed(text, interval_s, printed):
    rate = Rate.parse(text)
    assert rate.interval_s == pytest.approx(interval_s)
    assert str(rate) == printed
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize(
    "text", ["", "50", "50/", "/s", "0/s", "-1/s", "nan/s", "inf/s", "50/y", "50/s/s", "5e3/s", "٥/s"]
)
def test_what_is_no_rate_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match="50/s"):
        Rate.parse(text)


@pytest.mark.parametrize(("count", "period_s"), [(0, 1), (1, 0), (float("nan"), 1), (float("inf"), 1), (1, -1)])
def test_a_wrong_rate_cannot_be_built(count, period_s):
    with pytest.raises(ConfigError):
        Rate(count, period_s)


def test_turns_are_evenly_spread(world: World):
    clock = Clock()
    limiter = RateLimiter(Rate.parse("50/s"), clock)

    async def five() -> list[float]:
        times = []
        for _ in range(5):
            await limiter.wait()
            times.append(clock.now() - 1000.0)
        return times

    assert world.run(five) == pytest.approx([0.0, 0.02, 0.04, 0.06, 0.08])


def test_the_limiter_waits_in_its_runtime(world: World):
    """On the world's own runtime and clock: a rate so high that it hardly waits."""
    limiter = RateLimiter(Rate.parse("100000/s"), world.runtime)

    async def hundred() -> float:
        start = world.runtime.now()
        for _ in range(101):
            await limiter.wait()
        return world.runtime.now() - start

    assert world.run(hundred) >= 100 / 100_000


@given(
    burst=st.integers(1, 5),
    pauses=st.lists(st.floats(0, 0.5), min_size=1, max_size=40),
)
def test_no_stretch_of_time_holds_more_turns_than_the_rate_allows(burst, pauses):
    clock = Clock()
    limiter = RateLimiter(Rate.parse("10/s"), clock, burst=burst)
    turns = []
    for pause in pauses:
        clock.time += pause
        turns.append(max(clock.time, limiter.reserve()))
    assert turns == sorted(turns)
    for first, start in enumerate(turns):
        for last in range(first, len(turns)):
            assert last - first + 1 <= burst + (turns[last] - start) * 10 + 1e-6


def test_an_idle_limiter_saves_nothing_up():
    clock = Clock()
    limiter = RateLimiter(Rate.parse("1/s"), clock, burst=2)
    clock.time += 3600
    assert [limiter.reserve() <= clock.time for _ in range(4)] == [True, True, False, False]


def test_a_turn_after_the_deadline_is_not_taken():
    clock = Clock()
    limiter = RateLimiter(Rate.parse("1/m"), clock)
    assert limiter.reserve() == clock.time
    for _ in range(3):
        with pytest.raises(DeadlineExceeded, match="1/m"):
            limiter.reserve(deadline=clock.time + 59)
    assert limiter.reserve(deadline=clock.time + 60) == clock.time + 60


@pytest.mark.parametrize("burst", [1, 3])
def test_a_hold_puts_the_next_turn_off(burst):
    clock = Clock()
    limiter = RateLimiter(Rate.parse("10/s"), clock, burst=burst)
    limiter.hold(30)
    limiter.hold(5)  # the longer one stands
    assert limiter.reserve() == pytest.approx(clock.time + 30)
    assert limiter.reserve() == pytest.approx(clock.time + 30.1)


def test_no_burst_of_none():
    with pytest.raises(ConfigError, match="burst"):
        RateLimiter(Rate.parse("1/s"), Clock(), burst=0)


def test_threads_share_it_and_each_turn_is_given_once():
    limiter = RateLimiter(Rate.parse("10/s"), Clock())
    turns: list[float] = []

    def take() -> None:
        turns.extend(limiter.reserve() for _ in range(500))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turns) == pytest.approx([1000.0 + number / 10 for number in range(2000)])


def test_a_cancelled_wait_leaves_the_others_their_turns():
    clock = Clock()
    limiter = RateLimiter(Rate.parse("1/s"), clock)

    async def cancelled() -> None:
        limiter.reserve()

        async def never(seconds: float) -> None:
            await asyncio.Event().wait()

        clock.sleep = never
        task = asyncio.ensure_future(limiter.wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert limiter.reserve() == clock.time + 2


# --- in any stretch of a time -----------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 5),
    st.sampled_from([1.0, 60.0]),
    st.lists(st.floats(0, 20), max_size=30),
    st.floats(0, 30),
    st.integers(0, 30),
)
def test_no_stretch_of_the_time_has_more_turns_than_the_rate(count, period_s, pauses, held_s, when):
    """And none is given later than that asks for."""
    clock = Clock()
    limiter = WindowLimiter(Rate(count, period_s), clock)
    turns: list[float] = []
    until = 0.0
    for number, pause_s in enumerate(pauses):
        clock.time += pause_s
        if number == when:
            limiter.hold(held_s)
            until = clock.time + held_s
        assert limiter.wait_s == max(limiter._next() - clock.time, 0)
        turn = limiter.reserve()
        earliest = max(clock.time, until, turns[-count] + period_s if len(turns) >= count else 0)
        assert turn == pytest.approx(earliest)
        turns.append(turn)
    for first, beyond in zip(turns, turns[count:], strict=False):
        assert beyond - first >= period_s * (1 - 1e-9)


def test_a_window_of_no_whole_number_and_of_too_many():
    clock = Clock()
    slow = WindowLimiter(Rate.parse("0.5/s"), clock)
    assert [slow.reserve() - 1000 for _ in range(3)] == [0, 2, 4]
    fast = WindowLimiter(Rate.parse("1000000/h"), clock)
    assert len({fast.reserve() for _ in range(10_000)}) == 1
    assert fast.reserve() - 1000 == pytest.approx(36)
    free = WindowLimiter(None, clock)
    assert [free.reserve() for _ in range(3)] == [1000] * 3
    with pytest.raises(DeadlineExceeded, match="after the pause"):
        free.hold(5)
        free.reserve(1004)
    assert repr(free) == "<WindowLimiter off>"

"""The fake clock: the whole library goes by it, pauses end at once, and waiting for others takes its time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from cases import each
from worlds import World

from mailer import (
    AccessToken,
    ConnectError,
    DeadlineExceeded,
    DeliveryDeferred,
    Mailer,
    Message,
    Outcome,
    RetryPolicy,
    TokenProvider,
)
from mailer import clock as library
from mailer.testing import FakeClock, MailOutbox, SmtpServer

HELLO = Message(from_="shop@example.com", to="ann@example.org", subject="Hi", text="Hello")
NOWHERE = "smtp://user:secret@nowhere.invalid"
NIGHT = "2026-12-24T23:30+01:00"


def test_it_stands_still_and_goes_forward() -> None:
    clock = FakeClock(NIGHT)
    begin = clock.monotonic_s()
    assert clock.now == datetime(2026, 12, 24, 22, 30, tzinfo=UTC)
    clock.advance(1.5)
    clock.advance(timedelta(seconds=0.5), minutes=1, hours=1, days=1)
    assert clock.now == datetime(2026, 12, 25, 23, 31, 2, tzinfo=UTC)
    clock.move_to("2026-12-26T00:00Z")
    assert clock.monotonic_s() - begin == (clock.now - datetime.fromisoformat(NIGHT)).total_seconds()
    clock.sleep(2.0)
    clock.sleep(0)
    clock.sleep(-1)
    assert (clock.sleeps, clock.slept_s, repr(clock)) == ([2.0], 2.0, "<FakeClock 2026-12-26T00:00:02+00:00>")


def test_without_a_time_it_is_now_to_the_second() -> None:
    before = time.time()
    assert before - 1 <= FakeClock().epoch_s() <= time.time()
    assert FakeClock().now.microsecond == 0
    assert FakeClock().monotonic_s() >= time.monotonic() - 1


@each(
    ("move", "says"),
    [
        (lambda clock: clock.advance(-1), "goes forward"),
        (lambda clock: clock.advance(float("nan")), "goes forward"),
        (lambda clock: clock.move_to("2026-12-24T00:00Z"), "goes forward"),
        (lambda clock: clock.move_to(datetime(2027, 1, 1)), "is naive"),
        (lambda _: FakeClock("2026-12-24T23:30"), "is naive"),
        (lambda _: FakeClock("tomorrow"), "tomorrow"),
    ],
)
def test_a_wrong_time_is_refused(move, says) -> None:
    with pytest.raises(ValueError, match=says):
        move(FakeClock(NIGHT))


def test_of_two_the_latest_counts_and_then_the_system_again() -> None:
    with FakeClock(NIGHT) as outer:
        with FakeClock("2030-01-01T00:00Z") as inner:
            assert library.utc_now() == inner.now
            with inner, outer:  # to no effect
                pass
            assert library.clocks.latest is inner
        assert (library.utc_now(), library.epoch_s(), library.monotonic_s()) == (
            outer.now,
            outer.epoch_s(),
            outer.monotonic_s(),
        )
    assert abs(library.epoch_s() - time.time()) < 60
    assert abs(library.monotonic_s() - time.monotonic()) < 60
    assert library.clocks.latest is None


def test_a_pause_takes_no_time_and_a_deadline_is_as_far_as_ever(world: World) -> None:
    runtime = world.runtime

    async def pauses() -> float:
        begin = runtime.now()
        await runtime.sleep(3600)
        await runtime.sleep(0)
        return runtime.now() - begin

    async def waits() -> bool:
        return await runtime.event().wait(runtime.now() + 0.02)

    with FakeClock() as clock:
        begin = time.monotonic()
        assert world.run(pauses) == 3600
        assert world.run(waits) is False
        assert 0.02 <= time.monotonic() - begin < 30
        assert (clock.sleeps, runtime.now()) == ([3600], clock.monotonic_s())


def test_a_server_that_says_nothing_is_waited_for_in_real_time(world: World) -> None:
    """The limit is a tenth of a second of anybody's clock: one that stood still would never end it."""
    with SmtpServer() as server, FakeClock() as clock, world.mailer(f"{server.url}&timeout=0.1") as one:
        clock.advance(hours=1)
        assert one.send(HELLO).ok
        server.on("MAIL").hold()
        with pytest.raises(DeliveryDeferred) as raised:
            one.send(HELLO)
        assert isinstance(raised.value.__cause__, DeadlineExceeded)
        assert clock.sleeps == []


# --- what goes by it --------------------------------------------------------------------------------------------------


def test_retries(world: World, mailer_outbox: MailOutbox, mailer_clock: FakeClock) -> None:
    mailer_outbox.fail_with(Outcome.DEFERRED, times=2, retry_after_s=4)
    with world.mailer(NOWHERE, retry=RetryPolicy()) as one:
        begin = time.monotonic()
        receipt = one.send(HELLO)
    assert time.monotonic() - begin < 4
    assert mailer_clock.sleeps == [4, 4]
    assert [attempt.started_at for attempt in receipt.attempts] == [
        mailer_clock.now - timedelta(seconds=s) for s in (8, 4, 0)
    ]
    assert all(attempt.duration_s == 0 for attempt in receipt.attempts)


def test_a_policy_gives_up_when_its_time_is_over(mailer_outbox: MailOutbox, mailer_clock: FakeClock) -> None:
    mailer_outbox.fail_with(Outcome.DEFERRED, retry_after_s=6)
    with pytest.raises(DeliveryDeferred):
        Mailer(NOWHERE, retry=RetryPolicy(within_s=10)).send(HELLO)
    assert mailer_clock.sleeps == [6]


@pytest.mark.mailer_clock("2026-12-24T23:30+01:00")
def test_dates_quiet_hours_and_rate_limits(mailer_outbox: MailOutbox, mailer_clock: FakeClock) -> None:
    quiet = {"quiet_hours": {"start": "22:00", "end": "08:00", "zone": "Europe/Berlin"}}
    with Mailer(NOWHERE, retry=None, plugins=quiet) as one:
        with pytest.raises(DeliveryDeferred):
            one.send(HELLO)
        mailer_clock.advance(hours=9)
        assert one.send(HELLO).ok
    assert parsedate_to_datetime(dict(mailer_outbox[0].headers)["Date"]) == mailer_clock.now
    with Mailer(NOWHERE, plugins={"rate_limit": {"rate": "1/m", "max_wait_s": 600}}) as one:
        assert [receipt.ok for receipt in one.send_many([HELLO] * 4)] == [True] * 4
    assert mailer_clock.slept_s == pytest.approx(180)


def test_a_circuit_closes_again(mailer_outbox: MailOutbox, mailer_clock: FakeClock) -> None:
    mailer_outbox.fail_with(ConnectError, times=2)
    with Mailer(NOWHERE, retry=None, plugins={"circuit": {"failures": 2, "open_s": 30}}) as one:
        said = [next(one.send_many([HELLO])).ok for _ in range(3)]  # not in one batch, which is one try
        mailer_clock.advance(31)
        assert [*said, one.send(HELLO).ok] == [False, False, False, True]
    assert len(mailer_outbox.attempts) == 3


def test_a_group_lets_a_member_rest(mailer_outbox: MailOutbox, mailer_clock: FakeClock) -> None:
    mailer_outbox.fail_with(ConnectError, times=1)
    with Mailer("failover(smtp://a.invalid smtp://b.invalid)?rest=60", retry=None) as one:
        used = [one.send(HELLO).backend, one.send(HELLO).backend]
        mailer_clock.advance(61)
        used.append(one.send(HELLO).backend)
    assert used == ["smtp://b.invalid", "smtp://b.invalid", "smtp://a.invalid"]


def test_access_tokens_end(mailer_clock: FakeClock) -> None:
    asked = []

    def give() -> AccessToken:
        asked.append(mailer_clock.now)
        return AccessToken(f"token-{len(asked)}", expires_at=mailer_clock.epoch_s() + 3600)

    with SmtpServer(tokens={"me": "token-1"}, mechanisms=["XOAUTH2"]) as server:
        url = f"smtp://me@{server.authority}?tls=none&auth_in_clear=yes&auth=xoauth2"
        with Mailer(url, tokens=TokenProvider(give), retry=None) as one:
            one.send(HELLO)
            one.close()
            one.send(HELLO)
            assert len(asked) == 1
            server.tokens = {"me": "token-2"}
            mailer_clock.advance(minutes=61)
            one.close()
            assert one.send(HELLO).ok
    assert len(asked) == 2

"""One value that does not last, for all who need it; more stands in the tests of ``oauth2`` and ``aws``."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import World, new_world

from mailer import AuthError, TransportError
from mailer.errors import DeadlineExceeded
from mailer.kept import Kept
from mailer.runtime import Runtime


class Source:
    """Gives 1, 2, 3 ..., each good for a hundred seconds, or raises what is next."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[Any] = []
        self.errors: list[Exception | None] = []
        self.kept: Kept[int] = Kept(
            self.ask,
            is_good=lambda value, now: now < 1000 + 100 * value,
            is_same=lambda value, stale: bool(value == stale),
            clock=lambda: self.now,
            timeout_s=30.0,
            max_rest_s=60.0,
            what="number",
        )

    async def ask(self, runtime: Runtime, deadline: float, stale: Any) -> int:
        self.asked.append((deadline - runtime.now(), stale))
        await runtime.sleep(0)
        if self.errors and (error := self.errors.pop(0)) is not None:
            if isinstance(error, AuthError):
                self.kept.rest(error, 10.0)
            raise error
        return len(self.asked)

    def value(self, world: World, stale: Any = None, seconds: float = 60.0) -> int:
        async def asked() -> int:
            return await self.kept.value(world.runtime, world.runtime.now() + seconds, stale)

        return world.run(asked)


def test_it_is_kept_while_it_is_good_and_asked_for_anew_when_it_was_refused(world: World) -> None:
    source = Source()
    assert source.kept.last is None
    assert [source.value(world) for _ in range(3)] == [1, 1, 1]
    assert [source.value(world, stale=1) for _ in range(2)] == [2, 2]
    source.now = 1200.0
    assert source.value(world) == 3
    assert source.kept.last == 3
    assert [stale for _, stale in source.asked] == [None, 1, None]


def test_who_asks_has_its_own_time_and_never_more_than_the_most(world: World) -> None:
    source = Source()
    source.value(world, seconds=5.0)
    source.value(world, stale=1, seconds=500.0)
    first, second = [seconds for seconds, _ in source.asked]
    assert 0 < first <= 5.0
    assert 5.0 < second <= 30.0


def test_a_refusal_that_rests_stands_for_so_long_with_a_traceback_of_its_own(world: World) -> None:
    source = Source()
    source.errors = [AuthError("no"), None]
    seen = []
    for _ in range(3):
        with pytest.raises(AuthError, match="no") as refused:
            source.value(world)
        seen.append(refused.value)
    assert len(source.asked) == 1
    assert len(set(map(id, seen))) == 3
    source.now += 10.0
    assert source.value(world) == 2


def test_a_refusal_of_later_than_a_clock_that_was_set_back_does_not_stand(world: World) -> None:
    source = Source()
    source.errors = [AuthError("no"), None]
    with pytest.raises(AuthError):
        source.value(world)
    source.now -= 3600.0
    assert source.value(world) == 2


def test_other_failures_are_asked_about_again(world: World) -> None:
    source = Source()
    source.errors = [TransportError("gone"), DeadlineExceeded("late"), None]
    for kind in (TransportError, DeadlineExceeded):
        with pytest.raises(kind):
            source.value(world)
    assert source.value(world) == 3


def test_all_who_wait_hear_what_the_one_heard_who_asked() -> None:
    with new_world("trio") as world:
        for error, wanted in ((None, [1] * 8), (AuthError("no"), ["AuthError"] * 8)):
            source = Source()
            source.errors = [error] if error else []

            async def one(source: Source = source) -> int:
                return await source.kept.value(world.runtime, world.runtime.now() + 60)

            async def all_of_them(one: Any = one) -> list[Any]:
                return await world.runtime.gather([one] * 8, 8)

            said = [type(item).__name__ if isinstance(item, Exception) else item for item in world.run(all_of_them)]
            assert said == wanted
            assert len(source.asked) == 1

"""What is done aside of a send: in order, never longer waited for than said, told when it fails, over a fork."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

import pytest
from worlds import World

from mailer import DeadlineExceeded
from mailer.aside import Aside
from mailer.runtime import BlockingRuntime, drive


async def _await(waiting: Any) -> None:
    await waiting


def test_work_is_done_in_order_and_waited_for(world: World) -> None:
    aside = Aside("t", wait_s=30, room=10)
    done: list[int] = []

    async def hand() -> None:
        for number in range(5):
            waiting = aside.do(world.runtime, lambda number=number: done.append(number))
            if number % 2:
                await waiting
                assert done == list(range(number + 1))

    world.run(hand)
    aside.close()
    assert done == list(range(5))


def test_what_hangs_is_waited_for_once_and_then_by_nobody(world: World) -> None:
    aside = Aside("t", wait_s=0.05, room=3)
    release = threading.Event()
    done: list[str] = []

    async def hand() -> None:
        with pytest.raises(DeadlineExceeded, match=r"t: not done within 0\.05 s"):
            await aside.do(world.runtime, release.wait)
        aside.wait_s = 3600  # whoever waited now would do so for ever
        await aside.do(world.runtime, lambda: done.append("b"))
        await aside.do(world.runtime, lambda: done.append("c"))
        with pytest.raises(DeadlineExceeded, match="one is lost"):
            aside.do(world.runtime, lambda: done.append("d"))
        aside.later(lambda: done.append("e"))
        assert (done, aside.lost) == ([], 1)
        release.set()

    world.run(hand)
    aside.close()
    assert done == ["b", "c"]
    world.run(_await, aside.do(world.runtime, lambda: done.append("again")))
    assert done[-1] == "again"
    aside.close()


def test_what_fails_is_logged_and_the_next_is_done(caplog: pytest.LogCaptureFixture) -> None:
    aside = Aside("t", wait_s=30, room=10)

    def fail() -> None:
        raise OSError("words that may hold anything")

    with caplog.at_level(logging.ERROR, "mailer.hooks"):
        drive(_await(aside.do(BlockingRuntime(), fail)))
        drive(_await(aside.do(BlockingRuntime(), lambda: None)))
        aside.close()
    [record] = caplog.records
    assert record.getMessage() == "hook.failed: action 'result' of t raised OSError"


def test_close_waits_no_longer_than_said_and_the_rest_is_done_all_the_same() -> None:
    aside = Aside("t", wait_s=0, room=10)
    release, done = threading.Event(), threading.Event()
    drive(_await(aside.do(BlockingRuntime(), release.wait)))
    aside.close(done.set)
    assert not done.is_set()
    release.set()
    assert done.wait(10)
    aside.close(lambda: pytest.fail("there was nothing to close"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_child_has_a_thread_of_its_own() -> None:
    aside = Aside("t", wait_s=30, room=10)
    release = threading.Event()
    aside.later(release.wait)  # the parent's thread is busy as it forks
    child = os.fork()
    if child == 0:
        done: list[int] = []
        drive(_await(aside.do(BlockingRuntime(), lambda: done.append(1))))
        os._exit(0 if done == [1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    release.set()
    aside.close()

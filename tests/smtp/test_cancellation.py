"""F91: a send that is cancelled, at every await point: what the hooks are told, and that nothing is left open."""

from __future__ import annotations

import gc
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, message, url
from worlds import World, new_world

from mailer import AsyncMailer
from mailer.testing import ScriptedServer

STEPS = {
    "greeting": "",
    "EHLO": HI + "C: EHLO *\n",
    "MAIL": HI + EHLO + "C: MAIL *\n",
    "RCPT": HI + EHLO + MAIL + "C: RCPT *\n",
    "DATA": HI + EHLO + MAIL + RCPT + "C: DATA\n",
    "the final dot": HI + EHLO + MAIL + RCPT + DATA,
}
OUTCOMES = ("sent", "deferred", "rejected", "unknown")


@types.coroutine
def counted(coroutine: Coroutine[Any, Any, Any], at: int, cancel: Callable[[], None]) -> Generator[Any, Any, Any]:
    """Run a coroutine, and call cancel as it suspends for the at-th time."""
    resume, value, count = coroutine.send, None, 0
    while True:
        try:
            awaited = resume(value)
        except StopIteration as stop:
            return stop.value
        count += 1
        if count == at:
            cancel()
        try:
            value, resume = (yield awaited), coroutine.send
        except BaseException as error:
            value, resume = error, coroutine.throw


def listening(mailer: AsyncMailer) -> list[str]:
    """What the plain result actions are told, in order; async ones beside them make awaits after the 250 too."""
    told: list[str] = []

    async def slow(_: Any) -> None:
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()

    for name in OUTCOMES:
        mailer.hooks.add_action(name, lambda context, name=name: told.extend([name] * len(context.recipients)))
        mailer.hooks.add_action(name, slow)
    mailer.hooks.add_action("sending", slow)
    return told


async def _sweep(at: int, where: str) -> tuple[bool, list[str], int, bool]:
    mailer = AsyncMailer(where)
    told = listening(mailer)
    with anyio.CancelScope() as scope:
        await counted(mailer.send(message("b@y.test", "c@y.test")), at, scope.cancel)
    idle = len(mailer.backend._pool.idle)
    kept_is_sound = all(session.is_open for session in mailer.backend._pool.idle)
    with anyio.CancelScope(shield=True):
        await mailer.aclose()
    return scope.cancelled_caught, told, idle, kept_is_sound


def test_f91_cancelled_at_each_await_point(async_world: World) -> None:
    # A reply that comes a little later makes the client suspend once for each; after the dot surely.
    script = (HI + EHLO + MAIL + RCPT + "C: RCPT TO:<c@y.test>\nS: 250 ok\n" + DATA).replace(
        "S:", "S: delay 0.004\nS:"
    ) + OK.replace("S:", "S: delay 0.05\nS:")
    seen = []
    for at in range(1, 200):
        with ScriptedServer(script + QUIT) as peer:
            cancelled, told, idle, kept_is_sound = async_world.run(_sweep, at, url(peer))
            assert peer.wait_idle(), f"await point {at}: the connection was left open"
            handed_over = bool(peer.received)
        assert len(told) == 2, f"await point {at}: {told}"
        assert len(set(told)) == 1
        # The dot decides: before it nobody can have the mail, after it nobody knows, until the 250.
        if told[0] == "deferred":
            assert not handed_over, at
        else:
            assert handed_over, at
        if told[0] != "sent":
            assert cancelled
            assert idle == 0
        assert kept_is_sound
        seen.append(told[0])
        if not cancelled:
            break
    else:
        raise AssertionError("the send never came to its end")
    assert set(seen) == {"deferred", "unknown", "sent"}
    gc.collect()  # what was never awaited or closed would be an error now


async def _moved_on(where: str) -> tuple[bool, list[str], int]:
    mailer = AsyncMailer(where)
    told = listening(mailer)
    with anyio.move_on_after(0.1) as scope:
        await mailer.send(message())
    idle = len(mailer.backend._pool.idle)
    await mailer.aclose()
    return scope.cancelled_caught, told, idle


@pytest.mark.parametrize("step", STEPS)
def test_f91_move_on_after_a_tenth_of_a_second(async_world: World, step: str) -> None:
    with ScriptedServer(STEPS[step] + "S: hold\n") as peer:
        cancelled, told, idle = async_world.run(_moved_on, url(peer))
        assert peer.wait_idle()
    assert cancelled
    assert told == ["unknown" if step == "the final dot" else "deferred"]
    assert idle == 0


async def _waited_for(where: str) -> tuple[list[str], list[Any]]:
    import asyncio

    loop, problems = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    mailer = AsyncMailer(where)
    told = listening(mailer)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(mailer.send(message()), 0.05)
    await mailer.aclose()
    gc.collect()
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    return told, problems


@pytest.mark.parametrize("step", STEPS)
def test_f91_asyncio_wait_for_leaves_nothing_behind(step: str) -> None:
    with new_world("asyncio") as world, ScriptedServer(STEPS[step] + "S: hold\n") as peer:
        told, problems = world.run(_waited_for, url(peer))
        assert peer.wait_idle()
    assert told == ["unknown" if step == "the final dot" else "deferred"]
    assert problems == []


def test_f91_a_cancelled_group_tells_what_its_member_knew(async_world: World) -> None:
    script = STEPS["the final dot"] + "S: hold\n"
    with ScriptedServer("S: 554 no\n") as first, ScriptedServer(script) as second, ScriptedServer(script) as third:
        where = f"failover({url(first)} {url(second)} {url(third)})"
        cancelled, told, _ = async_world.run(_moved_on_group, where)
        assert second.wait_idle()
        assert third.connections == 0
    assert cancelled
    assert told == ["unknown"]


async def _moved_on_group(where: str) -> tuple[bool, list[str], None]:
    mailer = AsyncMailer(where)
    told = listening(mailer)
    with anyio.move_on_after(0.1) as scope:
        await mailer.send(message())
    await mailer.aclose()
    return scope.cancelled_caught, told, None


def test_an_interrupt_tells_the_outcome_too() -> None:
    """Ctrl-C while the final reply is awaited: the blocking face's cancellation."""
    from mailer import Mailer
    from mailer.runtime import BlockingRuntime

    class Interrupted(BlockingRuntime):
        async def wait_readable(self, sock: Any, deadline: float | None) -> None:
            await super().wait_readable(sock, deadline)
            if peer.received:
                raise KeyboardInterrupt

    script = HI + EHLO + MAIL + RCPT + DATA + "S: delay 0.01\n" + OK + "S: hold\n"
    with ScriptedServer(script) as peer:
        mailer = Mailer(url(peer))
        mailer.backend.runtime = Interrupted()
        told: list[str] = []
        for name in OUTCOMES:
            mailer.hooks.add_action(name, lambda _, name=name: told.append(name))
        with pytest.raises(KeyboardInterrupt):
            mailer.send(message())
        assert peer.wait_idle()
        mailer.close()
    assert told == ["unknown"]

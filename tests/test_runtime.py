"""The runtime: the same waiting in three worlds, and what only one of them can do wrong (RUNTIME.md)."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types

import anyio
import pytest
import trio

import mailer.runtime
import mailer.runtime_blocking
from mailer.errors import ConfigError, ConnectError, DeadlineExceeded
from mailer.runtime import AddrInfo, AsyncRuntime, BlockingRuntime, Lock, drive, drive_iter

LONG_S = 10.0  # a deadline that is not meant to come


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


class Suspending:
    """Awaits what only an event loop can answer."""

    def __await__(self):
        yield "a question to the loop"


async def guilty():
    await Suspending()


# --- importing --------------------------------------------------------------------------------------------------------


def test_importing_the_runtime_and_the_stream_loads_no_event_loop_and_no_tls():
    script = """if True:
        import sys
        before = set(sys.modules)
        import mailer.runtime, mailer.runtime_blocking, mailer.stream
        mailer.runtime.BlockingRuntime()
        heavy = {"asyncio", "anyio", "trio", "ssl", "concurrent.futures", "httpx"}
        print(sorted(heavy & (set(sys.modules) - before)))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_public_names_of_the_module_resolve_and_others_do_not():
    assert all(getattr(mailer.runtime, name) is not None for name in mailer.runtime.__all__)
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = mailer.runtime.Nonsense


# --- driving ----------------------------------------------------------------------------------------------------------


def test_drive_returns_the_value_and_lets_exceptions_out_as_they_are():
    async def seven():
        return 7

    async def fault():
        raise KeyError("k")

    assert drive(seven()) == 7
    with pytest.raises(KeyError, match="k"):
        drive(fault())


def test_a_coroutine_that_suspends_is_an_error_whose_traceback_ends_on_the_guilty_await():
    with pytest.raises(ConfigError, match="AsyncMailer") as caught:
        drive(guilty())
    frames = [(frame.name, frame.line) for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-2] == ("guilty", "await Suspending()")
    assert frames[-1] == ("__await__", 'yield "a question to the loop"')


def test_suspending_is_not_taken_for_a_failed_attempt():
    attempts = []

    async def failover():
        for name in ("first", "second"):
            attempts.append(name)
            try:
                await guilty()
            except Exception:
                continue
            return

    with pytest.raises(ConfigError):
        drive(failover())
    assert attempts == ["first"]


def test_suspending_again_in_a_cleanup_still_ends_with_the_first_fault():
    cleaned = []

    async def body():
        try:
            await guilty()
        finally:
            try:
                await Suspending()
            finally:
                cleaned.append(True)

    with pytest.raises(ConfigError) as caught:
        drive(body())
    assert cleaned == [True]
    assert "guilty" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_a_coroutine_that_swallows_the_fault_is_no_success():
    async def stubborn():
        try:
            await guilty()
        except BaseException:
            return "sent"

    async def deaf():
        while True:
            try:
                await Suspending()
            except GeneratorExit:
                raise
            except BaseException:
                continue

    for body in (stubborn, deaf):
        with pytest.raises(ConfigError):
            drive(body())


def test_an_error_raised_by_a_cleanup_is_the_cause():
    async def body():
        try:
            await guilty()
        finally:
            raise ValueError("while cleaning up")

    with pytest.raises(ConfigError) as caught:
        drive(body())
    assert isinstance(caught.value.__cause__, ValueError)


def test_drive_iter_yields_lazily_and_closes_the_generator_on_an_early_end():
    done = []

    async def count():
        try:
            for number in range(5):
                done.append(number)
                yield number
        finally:
            done.append("closed")

    numbers = drive_iter(count())
    assert [next(numbers), next(numbers)] == [0, 1]
    numbers.close()
    assert done == [0, 1, "closed"]
    assert list(drive_iter(count())) == [0, 1, 2, 3, 4]


def test_an_async_generator_that_suspends_is_an_error_after_what_it_yielded():
    closed = []

    async def count():
        try:
            yield 1
            await guilty()
            yield 2
        finally:
            closed.append(True)

    numbers = drive_iter(count())
    assert next(numbers) == 1
    with pytest.raises(ConfigError) as caught:
        next(numbers)
    assert traceback.extract_tb(caught.value.__traceback__)[-2].name == "guilty"
    assert closed == [True]


def test_blocking_works_inside_a_running_loop_of_asyncio_and_of_trio(pair):
    left, right = pair
    runtime = BlockingRuntime()

    async def exchange():
        right.send(b"x")
        await runtime.wait_readable(left, runtime.now() + LONG_S)
        return left.recv(1)

    async def numbers():
        yield await exchange()

    async def outside():
        return drive(exchange()), list(drive_iter(numbers()))

    assert asyncio.run(outside()) == (b"x", [b"x"])
    assert trio.run(outside) == (b"x", [b"x"])


# --- clock, token, sleep ----------------------------------------------------------------------------------------------


def test_sleep_lasts_as_long_as_asked(world):
    async def body():
        start = world.runtime.now()
        await world.runtime.sleep(0.05)
        await world.runtime.sleep(0)
        await world.runtime.sleep(-1)
        return world.runtime.now() - start

    assert 0.045 < world.run(body) < 2


def test_is_async_tells_the_worlds_apart(world):
    assert world.runtime.is_async is (world.name != "blocking")


def test_an_event_loop_has_its_token_while_another_thread_imports_trio(monkeypatch):
    monkeypatch.setitem(sys.modules, "trio", types.ModuleType("trio"))
    monkeypatch.setitem(sys.modules, "trio.lowlevel", types.ModuleType("trio.lowlevel"))

    async def token():
        return AsyncRuntime().token() is asyncio.get_running_loop()

    assert asyncio.run(token())


def test_each_event_loop_has_its_own_token():
    async def token():
        runtime = AsyncRuntime()
        assert runtime.token() == runtime.token()
        return runtime.token()

    tokens = [asyncio.run(token()), asyncio.run(token()), trio.run(token), trio.run(token)]
    assert len(set(tokens)) == 4


def test_an_async_runtime_outside_a_loop_says_what_to_use():
    with pytest.raises(ConfigError, match="event loop"):
        AsyncRuntime().token()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs fork")
def test_a_forked_child_has_another_token():
    script = """if True:
        import os
        from mailer.runtime import BlockingRuntime
        runtime = BlockingRuntime()
        mine = runtime.token()
        assert mine == runtime.token()
        child = os.fork()
        if not child:
            os._exit(7 if runtime.token() == mine else 0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


# --- sockets ----------------------------------------------------------------------------------------------------------


def test_waiting_for_a_socket_ends_when_it_is_ready(world, pair):
    left, right = pair

    async def body():
        await world.runtime.wait_writable(left, None)
        right.send(b"x")
        await world.runtime.wait_readable(left, world.runtime.now() + LONG_S)
        return left.recv(10)

    assert world.run(body) == b"x"


def test_waiting_for_a_silent_or_a_full_socket_ends_at_the_deadline(world, pair):
    left, right = pair

    async def body():
        start = world.runtime.now()
        with pytest.raises(DeadlineExceeded):
            await world.runtime.wait_readable(left, start + 0.1)
        with pytest.raises(BlockingIOError):
            while True:
                right.send(bytes(65536))
        with pytest.raises(DeadlineExceeded):
            await world.runtime.wait_writable(right, start + 0.2)
        return world.runtime.now() - start

    assert 0.19 < world.run(body) < 2


def test_a_deadline_that_has_passed_counts_even_if_the_socket_is_ready(world, pair):
    left, right = pair
    right.send(b"x")

    async def body():
        with pytest.raises(DeadlineExceeded):
            await world.runtime.wait_readable(left, world.runtime.now())

    world.run(body)


def test_without_poll_waiting_works_by_select(pair, monkeypatch):
    """As on Windows; a crew that is called off included."""
    monkeypatch.setattr(mailer.runtime_blocking, "_wait", mailer.runtime_blocking._select)
    runtime = BlockingRuntime()
    left, right = pair

    async def alone():
        start = runtime.now()
        await runtime.wait_writable(left, None)
        with pytest.raises(DeadlineExceeded):
            await runtime.wait_readable(left, start + 0.05)
        right.send(b"x")
        await runtime.wait_readable(left, start + LONG_S)
        await runtime.sleep(0.01)
        return left.recv(1)

    async def waits():
        await runtime.wait_readable(left, None)

    async def sleeps():
        await runtime.sleep(100)

    async def aborts():
        raise Abort

    assert drive(alone()) == b"x"
    with pytest.raises(Abort):
        drive(runtime.gather([waits, sleeps, aborts], limit=3))


# --- events -----------------------------------------------------------------------------------------------------------


def test_an_event_set_before_is_seen_at_once_and_one_never_set_at_the_deadline(world):
    async def body():
        early, never = world.runtime.event(), world.runtime.event()
        early.set()
        early.set()
        return await early.wait(None), await early.wait(0.0), await never.wait(world.runtime.now() + 0.05)

    assert world.run(body) == (True, True, False)


def test_an_event_set_by_another_thread_wakes_all_who_wait(world):
    async def body():
        events = [world.runtime.event() for _ in range(3)]
        starting = world.runtime.event()

        async def wait_for(event):
            starting.set()
            return await event.wait(world.runtime.now() + LONG_S)

        async def set_all():
            await starting.wait(None)
            threads = [threading.Thread(target=event.set) for event in events for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return True

        jobs = [lambda event=event: wait_for(event) for event in (*events, *events)]
        return await world.runtime.gather([*jobs, set_all], limit=7)

    assert world.run(body) == [True] * 7


def test_an_event_set_by_another_thread_wakes_a_loop_that_is_idle(async_world):
    idle = threading.Event()

    async def body():
        event = async_world.runtime.event()

        def set_when_idle():
            idle.wait(LONG_S)
            event.set()

        async def announce():
            await anyio.wait_all_tasks_blocked()
            idle.set()

        other = threading.Thread(target=set_when_idle)
        other.start()
        start = time.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(announce)
            woken = await event.wait(start + LONG_S)
        other.join()
        return woken, time.monotonic() - start

    woken, took_s = async_world.run(body)
    assert woken
    assert took_s < LONG_S / 2


def test_contended_threads_hand_a_slot_on_by_events_and_lose_none():
    """The pool's pattern: a lock that is never held over an await, one event for each waiter."""
    runtime = BlockingRuntime()
    lock, waiters, free, inside, most = Lock(), [], [1], [0], [0]

    async def use():
        for _ in range(50):
            with lock:
                event = None
                if free[0]:
                    free[0] -= 1
                else:
                    event = runtime.event()
                    waiters.append(event)
            if event is not None:
                assert await event.wait(runtime.now() + LONG_S)
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1
            with lock:
                if waiters:
                    waiters.pop(0).set()
                else:
                    free[0] += 1
        return "done"

    assert drive(runtime.gather([use] * 8, limit=8)) == ["done"] * 8
    assert (free[0], waiters, most[0]) == (1, [], 1)


def test_cancelling_who_waits_for_an_event_leaves_the_event_usable(async_world):
    async def body():
        event = async_world.runtime.event()
        async with anyio.create_task_group() as group:
            group.start_soon(event.wait, None)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        event.set()
        return await event.wait(None)

    assert async_world.run(body)


def test_setting_an_event_whose_loop_is_gone_is_harmless():
    event = AsyncRuntime().event()

    async def wait():
        await event.wait(time.monotonic() + 0.01)

    asyncio.run(wait())
    event.set()
    assert trio.run(event.wait, None)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("literal", ["127.0.0.1", "::1"])
def test_an_address_asks_no_resolver_and_starts_no_thread(world, literal, monkeypatch):
    real, flags, threads = socket.getaddrinfo, [], []

    def asked(*args, **keywords):
        flags.append(keywords.get("flags"))
        threads.append(threading.get_ident())
        return real(*args, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    [found] = world.run(world.runtime.resolve, literal, 25, time.monotonic() + LONG_S)
    assert found.sockaddr[:2] == (literal, 25)
    assert str(found) == ("127.0.0.1:25" if literal[0] == "1" else "[::1]:25")
    assert flags == [socket.AI_NUMERICHOST]
    assert threads == [world.call(threading.get_ident)]


def fake_resolver(monkeypatch, answer):
    def getaddrinfo(host, port, *, type, flags):  # noqa: A002
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answer(port)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("limit_s", [None, LONG_S])
def test_a_name_gives_its_addresses_once_each_in_the_resolvers_order(world, limit_s, monkeypatch):
    def answer(port):
        rows = [(socket.AF_INET6, ("2001:db8::1", port, 0, 0)), (socket.AF_INET, ("192.0.2.1", port))]
        return [(family, socket.SOCK_STREAM, 6, "", sockaddr) for family, sockaddr in [*rows, *rows]]

    fake_resolver(monkeypatch, answer)
    deadline = None if limit_s is None else time.monotonic() + limit_s
    assert list(world.run(world.runtime.resolve, "mx.example", 25, deadline)) == [
        AddrInfo(socket.AF_INET6, ("2001:db8::1", 25, 0, 0)),
        AddrInfo(socket.AF_INET, ("192.0.2.1", 25)),
    ]


@pytest.mark.parametrize("limit_s", [None, LONG_S])
def test_a_name_that_does_not_exist_is_a_connect_error_that_names_it(world, limit_s, monkeypatch):
    def answer(port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    fake_resolver(monkeypatch, answer)
    deadline = None if limit_s is None else time.monotonic() + limit_s
    with pytest.raises(ConnectError, match=r"no-such\.example.*not known"):
        world.run(world.runtime.resolve, "no-such.example", 25, deadline)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 70 + ".example", "a..b"])
def test_what_cannot_be_a_name_is_a_connect_error(world, name):
    with pytest.raises(ConnectError, match="not a host name"):
        world.run(world.runtime.resolve, name, 25, time.monotonic() + LONG_S)


def test_a_resolver_that_hangs_does_not_outlast_the_deadline(world, monkeypatch):
    release = threading.Event()

    def answer(port):
        release.wait(LONG_S)
        return []

    fake_resolver(monkeypatch, answer)
    start = time.monotonic()
    try:
        with pytest.raises(DeadlineExceeded, match=r"mx\.example"):
            world.run(world.runtime.resolve, "mx.example", 25, start + 0.1)
        with pytest.raises(DeadlineExceeded):
            world.run(world.runtime.resolve, "mx.example", 25, start)
        assert time.monotonic() - start < 3
    finally:
        release.set()


# --- plain functions --------------------------------------------------------------------------------------------------


def test_run_calls_directly_when_blocking_and_in_a_thread_when_async(world):
    async def body():
        with pytest.raises(KeyError, match="k"):
            await world.runtime.run(lambda: {}["k"])
        return await world.runtime.run(threading.get_ident, world.runtime.now() + LONG_S)

    assert (world.run(body) == world.call(threading.get_ident)) is (world.name == "blocking")


def test_run_leaves_the_thread_behind_at_the_deadline_and_on_cancellation(async_world):
    release = threading.Event()

    async def body():
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await async_world.runtime.run(lambda: release.wait(LONG_S), start + 0.1)
        with anyio.move_on_after(0.1) as scope:
            await async_world.runtime.run(lambda: release.wait(LONG_S))
        return scope.cancelled_caught, time.monotonic() - start

    try:
        cancelled, took_s = async_world.run(body)
    finally:
        release.set()
    assert cancelled
    assert took_s < 3


# --- gather -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_gather_keeps_the_order_of_results_and_errors_and_the_limit(world, limit):
    running, most, lock = 0, 0, Lock()

    async def job(number):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        await world.runtime.sleep(0.001)
        with lock:
            running -= 1
        if number % 3 == 0:
            raise KeyError(number)
        return number

    async def body():
        return await world.runtime.gather((lambda number=number: job(number) for number in range(10)), limit)

    results = world.run(body)
    assert [r.args[0] if isinstance(r, KeyError) else r for r in results] == list(range(10))
    assert [isinstance(r, KeyError) for r in results] == [number % 3 == 0 for number in range(10)]
    assert most <= limit


def test_gather_of_nothing_is_nothing(world):
    assert world.run(world.runtime.gather, [], 4) == []


def test_gather_really_runs_side_by_side(world):
    async def body():
        first, second = world.runtime.event(), world.runtime.event()

        async def meet(mine, other):
            mine.set()
            return await other.wait(world.runtime.now() + LONG_S)

        return await world.runtime.gather([lambda: meet(first, second), lambda: meet(second, first)], limit=2)

    assert world.run(body) == [True, True]


def test_gather_with_limit_one_starts_no_thread_and_one_job_none_either(world):
    async def job():
        return threading.get_ident()

    async def body():
        return [*await world.runtime.gather([job] * 3, limit=1), *await world.runtime.gather([job], limit=5)]

    assert set(world.run(body)) == {world.call(threading.get_ident)}


def test_jobs_see_the_callers_context_and_not_each_others(world):
    variable = contextvars.ContextVar("variable", default="unset")

    async def job(number):
        seen = variable.get()
        variable.set(number)
        await world.runtime.sleep(0.001)
        return seen, variable.get()

    async def body():
        variable.set("caller")
        jobs = [lambda number=number: job(number) for number in range(6)]
        return await world.runtime.gather(jobs, limit=2), variable.get()

    results, after = world.run(body)
    assert results == [("caller", number) for number in range(6)]
    assert after == "caller"


def test_gather_leaves_its_mark_on_no_other_greenlet_of_its_thread(monkeypatch):
    """Where gevent has patched threads after this library was imported, many are in one thread."""

    def look():
        seen.append(mailer.runtime_blocking._crew_here() is not None)

    async def looks():
        both.wait(LONG_S)  # the other has begun
        look()
        with monkeypatch.context() as patched:
            patched.setattr(threading, "get_ident", lambda: -1)
            look()
        both.wait(LONG_S)

    async def waits():
        both.wait(LONG_S)
        both.wait(LONG_S)

    seen, both = [], threading.Barrier(2)
    drive(BlockingRuntime().gather([looks, waits], limit=2))
    look()
    assert seen == [True, False, False]
    assert mailer.runtime_blocking._on_duty == {}


def test_gather_within_gather(world):
    async def job(number):
        await world.runtime.sleep(0)
        return number

    async def inner(tens):
        return await world.runtime.gather([lambda n=n: job(tens * 10 + n) for n in range(3)], limit=3)

    async def body():
        return await world.runtime.gather([lambda tens=tens: inner(tens) for tens in range(3)], limit=3)

    assert world.run(body) == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]


def test_the_iterable_is_drained_in_the_callers_thread_before_any_job_starts(world):
    pulled, started = [], []

    async def job():
        started.append(len(pulled))

    def jobs():
        for _ in range(4):
            pulled.append(threading.get_ident())
            yield job

    async def body():
        await world.runtime.gather(jobs(), limit=2)

    world.run(body)
    assert set(pulled) == {world.call(threading.get_ident)}
    assert started == [4] * 4


def test_a_job_that_suspends_in_a_thread_is_the_callers_error_not_a_result():
    runtime = BlockingRuntime()

    async def waits():
        await runtime.event().wait(None)  # for ever, unless called off

    async def body():
        try:
            return await runtime.gather([waits, guilty, waits], limit=3)
        except Exception:
            return "swallowed"

    with pytest.raises(ConfigError, match="AsyncMailer") as caught:
        drive(body())
    assert traceback.extract_tb(caught.value.__traceback__)[-2].name == "guilty"


class Abort(BaseException):
    """What no job may catch by accident."""


@pytest.mark.parametrize("way", ["event", "sleep", "socket"])
def test_a_base_exception_in_one_job_calls_the_others_off_wherever_they_wait(world, way, pair):
    ended, starting = [], []

    async def body():
        began = world.runtime.event()

        async def waits():
            try:
                starting.append(True)
                began.set()
                if way == "event":
                    await world.runtime.event().wait(None)
                elif way == "sleep":
                    await world.runtime.sleep(100)
                else:
                    await world.runtime.wait_readable(pair[len(starting) - 1], None)
            finally:
                ended.append(True)

        async def aborts():
            await began.wait(None)
            raise Abort

        await world.runtime.gather([waits, aborts], limit=2)

    start = time.monotonic()
    with pytest.raises(Abort):
        world.run(body)
    assert ended == [True]
    assert time.monotonic() - start < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "mailer-gather"]


def test_a_nested_gather_is_called_off_with_the_outer_one(world):
    ended = []

    async def body():
        deep = world.runtime.event()

        async def waits():
            try:
                deep.set()
                await world.runtime.event().wait(None)
            finally:
                ended.append(True)

        async def inner():
            await world.runtime.gather([waits, waits], limit=2)

        async def aborts():
            await deep.wait(None)
            raise Abort

        await world.runtime.gather([inner, aborts], limit=2)

    with pytest.raises(Abort):
        world.run(body)
    assert len(ended) in (1, 2)  # the second may not have begun
    assert not [thread for thread in threading.enumerate() if thread.name == "mailer-gather"]


def test_cancelling_gather_cancels_its_jobs(async_world):
    ended = []

    async def body():
        async def waits():
            try:
                await async_world.runtime.event().wait(None)
            finally:
                ended.append(True)

        async def gathers():
            await async_world.runtime.gather([waits] * 3, limit=3)

        async with anyio.create_task_group() as group:
            group.start_soon(gathers)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    async_world.run(body)
    assert ended == [True] * 3


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
@pytest.mark.parametrize(
    "interrupts",
    ["signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)", "_thread.interrupt_main()"],
    ids=["in the wait", "just before it"],  # as far as a lock can tell: the second does not end a wait
)
def test_ctrl_c_during_a_blocking_gather_stops_every_thread_and_is_raised_once(interrupts):
    script = """if True:
        import _thread, os, signal, socket, sys, threading, time
        from mailer.runtime import BlockingRuntime, drive

        signal.signal(signal.SIGINT, signal.default_int_handler)  # else it is ignored where it is for who started us
        runtime = BlockingRuntime()
        ended, begun = [], threading.Semaphore(0)
        left, right = socket.socketpair()

        def waiting(wait):
            async def job():
                begun.release()
                try:
                    await wait()
                finally:
                    ended.append(True)
            return job

        async def kills():
            for _ in range(3):
                begun.acquire()
            while sys._current_frames()[threading.main_thread().ident].f_code.co_name != "block":
                pass
            INTERRUPTS
            await runtime.sleep(100)

        async def main():
            await runtime.gather([
                waiting(lambda: runtime.wait_readable(left, None)),
                waiting(lambda: runtime.sleep(100)),
                waiting(lambda: runtime.event().wait(None)),
                kills,
            ], limit=4)

        start = time.monotonic()
        try:
            drive(main())
        except KeyboardInterrupt:
            alive = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
            print("interrupted", len(ended), alive, time.monotonic() - start < 10)
        left.close()
        right.close()
    """
    command = [sys.executable, "-W", "error", "-c", script.replace("INTERRUPTS", interrupts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("interrupted 3 [] True", "")

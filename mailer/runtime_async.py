"""The runtime for asyncio and trio, on anyio. Import it from ``mailer.runtime``, which loads it on first use."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio
import anyio.lowlevel
import anyio.to_thread

from .clock import clocks, monotonic_s
from .errors import ConfigError, DeadlineExceeded, TransportError
from .runtime import AddrInfo, Event, Http, Job, address_literal, addresses_of, http_client, in_turn

if TYPE_CHECKING:
    from socket import socket

    from .proxy import Proxy

__all__ = ["AsyncRuntime"]

T = TypeVar("T")

_THREADS = 40
"""Worker threads per event loop; anyio's own figure. Ours alone: those left behind must not use up the app's."""

_limiter: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("mailer_threads")


class AsyncRuntime:
    """Suspends the calling task. Holds no state: one may serve many event loops."""

    __slots__ = ()

    is_async = True

    def now(self) -> float:
        return monotonic_s()

    def token(self) -> object:
        """The running event loop (asyncio) or run (trio)."""
        return _loop()

    def event(self) -> Event:
        return _AsyncEvent()

    async def sleep(self, seconds: float) -> None:
        if (clock := clocks.latest) is not None:
            clock.sleep(seconds)
            seconds = 0.0
        await anyio.sleep(max(0.0, seconds))

    async def wait_readable(self, sock: socket, deadline: float | None) -> None:
        with _until(deadline, "nothing arrived in time"):
            await anyio.wait_readable(sock)

    async def wait_writable(self, sock: socket, deadline: float | None) -> None:
        with _until(deadline, "nothing could be sent in time"):
            await anyio.wait_writable(sock)

    async def wait_either(self, sock: socket, deadline: float | None) -> None:
        async def watch(wait: Callable[[socket], Awaitable[None]]) -> None:
            await wait(sock)
            group.cancel_scope.cancel()

        with _until(deadline, "nothing could be sent in time"):
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(watch, anyio.wait_readable)
                    group.start_soon(watch, anyio.wait_writable)
            except BaseExceptionGroup as caught:
                raise _first_of(caught) from None

    async def wait_any_writable(self, socks: Sequence[socket], deadline: float | None) -> Sequence[socket]:
        ready: list[socket] = []

        async def watch(sock: socket) -> None:
            await anyio.wait_writable(sock)
            ready.append(sock)
            group.cancel_scope.cancel()

        with contextlib.suppress(DeadlineExceeded), _until(deadline, ""):
            try:
                async with anyio.create_task_group() as group:
                    for sock in socks:
                        group.start_soon(watch, sock)
            except BaseExceptionGroup as caught:
                raise _first_of(caught) from None
        return ready

    async def resolve(self, host: str, port: int, deadline: float | None) -> Sequence[AddrInfo]:
        if literal := address_literal(host, port):
            return literal
        with _until(deadline, f"{host}: the name was not resolved in time"):
            return await _in_thread(partial(addresses_of, host, port))

    async def run(self, fn: Callable[[], T], deadline: float | None = None) -> T:
        with _until(deadline, "the function did not return in time"):
            return await _in_thread(fn)

    async def gather(self, jobs: Iterable[Job[T]], limit: int) -> list[T | Exception]:
        jobs = list(jobs)
        if limit <= 1 or len(jobs) <= 1:
            return await in_turn(jobs)
        results: list[T | Exception | None] = [None] * len(jobs)
        places = anyio.Semaphore(limit)

        async def work(index: int, job: Job[T]) -> None:
            try:
                results[index] = await job()
            except Exception as exc:  # noqa: BLE001 - the caller finds it in the list
                results[index] = exc
            finally:
                places.release()

        try:
            async with anyio.create_task_group() as group:
                for index, job in enumerate(jobs):
                    await places.acquire()
                    group.start_soon(work, index, job)
        except BaseExceptionGroup as caught:
            raise _first_of(caught) from None
        return cast("list[T | Exception]", results)

    def http(
        self,
        client: Any = None,
        *,
        connect_timeout_s: float = 10.0,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
    ) -> Http:
        return http_client(self, client, connect_timeout_s, ca_file, proxy)


@contextlib.contextmanager
def _until(deadline: float | None, text: str) -> Iterator[None]:
    """Cancel the body when the deadline comes: ``DeadlineExceeded`` with the text."""
    left = None if deadline is None else deadline - monotonic_s()
    if left is not None and left <= 0:
        raise DeadlineExceeded(text)
    with anyio.move_on_after(left) as scope:
        try:
            yield
        except anyio.ClosedResourceError as exc:
            raise TransportError("the connection was closed by another task") from exc
    if scope.cancelled_caught:
        raise DeadlineExceeded(text) from None


async def _in_thread(fn: Callable[[], T]) -> T:
    try:
        limiter = _limiter.get()
    except LookupError:
        _limiter.set(limiter := anyio.CapacityLimiter(_THREADS))
    return await anyio.to_thread.run_sync(fn, abandon_on_cancel=True, limiter=limiter)


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception in the group that is no mere cancellation, or the group if it has none."""
    _, real = group.split(anyio.get_cancelled_exc_class())
    found: BaseException = group if real is None else real
    while real is not None and isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _loop() -> Any:
    """The event loop of asyncio, or the token of trio, that this runs in. Trio first: it may be a guest on asyncio."""
    lowlevel = sys.modules.get("trio.lowlevel")
    # Another thread may be importing trio at this moment: then it is here in part, and runs nothing yet.
    if lowlevel is not None and getattr(lowlevel, "in_trio_run", bool)():
        return lowlevel.current_trio_token()
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError as exc:
        raise ConfigError("AsyncMailer needs a running event loop (asyncio or trio): use Mailer outside one") from exc


class _AsyncEvent:
    """Each wait has an ``anyio.Event`` of its own, which is set from within its loop."""

    __slots__ = ("_is_set", "_wakers")

    def __init__(self) -> None:
        self._is_set = False
        self._wakers: list[Callable[[], None]] = []

    def set(self) -> None:
        self._is_set = True
        while self._wakers:
            with contextlib.suppress(IndexError):  # another thread sets it too
                self._wakers.pop()()

    async def wait(self, deadline: float | None) -> bool:
        woken = anyio.Event()
        waker = _waker(woken)
        self._wakers.append(waker)  # before the flag is looked at: a set() between the two wakes us
        try:
            if not self._is_set:
                with anyio.move_on_after(None if deadline is None else deadline - monotonic_s()):
                    await woken.wait()
        finally:
            with contextlib.suppress(ValueError):
                self._wakers.remove(waker)
        return self._is_set


def _waker(woken: anyio.Event) -> Callable[[], None]:
    """Return a function that sets the event from any thread."""
    loop, home = _loop(), threading.get_ident()
    schedule = loop.call_soon_threadsafe if hasattr(loop, "call_soon_threadsafe") else loop.run_sync_soon

    def wake() -> None:
        if threading.get_ident() == home:
            woken.set()
        else:
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
                schedule(woken.set)

    return wake

"""The blocking runtime: waits with poll and locks, in the calling thread. Import it from ``mailer.runtime``.

The hard part is Ctrl-C while ``gather`` has threads out. Python raises it in the main thread alone, so the workers must
be told: a worker belongs to a :class:`_Crew`, and wherever it waits (a socket, a sleep, an event) it also waits for its
crew to be called off. Then :class:`_CalledOff` unwinds it, which closes its connection, and nobody is left running.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .clock import clocks, monotonic_s, real_deadline
from .errors import DeadlineExceeded
from .runtime import AddrInfo, Event, Http, Job, address_literal, addresses_of, advance, http_client, in_turn

if TYPE_CHECKING:
    from socket import socket
    from threading import Lock

    from .proxy import Proxy

__all__ = ["BlockingRuntime"]

T = TypeVar("T")


class BlockingRuntime:
    """Blocks the calling thread. Holds no state: one may serve many threads, and outlive a fork."""

    __slots__ = ()

    is_async = False

    def now(self) -> float:
        return monotonic_s()

    def token(self) -> object:
        """The process id: a forked child must not use its parent's connections."""
        return os.getpid()

    def event(self) -> Event:
        return _Event()

    async def sleep(self, seconds: float) -> None:
        if (clock := clocks.latest) is not None:
            clock.sleep(seconds)
        elif seconds > 0:
            _await_ready(None, _READING, time.monotonic() + seconds)

    async def wait_readable(self, sock: socket, deadline: float | None) -> None:
        if not _await_ready(sock, _READING, real_deadline(deadline)):
            raise DeadlineExceeded("nothing arrived in time")

    async def wait_writable(self, sock: socket, deadline: float | None) -> None:
        if not _await_ready(sock, _WRITING, real_deadline(deadline)):
            raise DeadlineExceeded("nothing could be sent in time")

    async def wait_either(self, sock: socket, deadline: float | None) -> None:
        if not _await_ready(sock, _READING | _WRITING, real_deadline(deadline)):
            raise DeadlineExceeded("nothing could be sent in time")

    async def wait_any_writable(self, socks: Sequence[socket], deadline: float | None) -> Sequence[socket]:
        return _await_any(socks, real_deadline(deadline))

    async def resolve(self, host: str, port: int, deadline: float | None) -> Sequence[AddrInfo]:
        """As in :class:`Runtime`; the thread under a deadline is a daemon, so that it never holds up the exit."""
        if literal := address_literal(host, port):
            return literal
        if deadline is None:
            return addresses_of(host, port)
        answered = _Event()
        answer: list[Sequence[AddrInfo] | Exception] = []

        def ask() -> None:
            try:
                answer.append(addresses_of(host, port))
            except Exception as exc:  # noqa: BLE001 - raised in the thread that asked
                answer.append(exc)
            answered.set()

        if self.now() < deadline:
            threading.Thread(target=ask, name=f"mailer-resolve-{host}", daemon=True).start()
            await answered.wait(deadline)
        if not answer:
            raise DeadlineExceeded(f"{host}: the name was not resolved in time")
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    async def run(self, fn: Callable[[], T], deadline: float | None = None) -> T:
        return fn()

    async def gather(self, jobs: Iterable[Job[T]], limit: int) -> list[T | Exception]:
        """As in :class:`Runtime`. A second Ctrl-C, while the first waits for the threads, leaves them as daemons."""
        jobs = list(jobs)
        if limit <= 1 or len(jobs) <= 1:
            return await in_turn(jobs)
        return _Crew(jobs).work(min(limit, len(jobs)))

    def http(
        self,
        client: Any = None,
        *,
        connect_timeout_s: float = 10.0,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
    ) -> Http:
        return http_client(self, client, connect_timeout_s, ca_file, proxy)


# --- waiting ----------------------------------------------------------------------------------------------------------

_LONGEST_WAIT_S = 86_400.0  # poll counts milliseconds in a C int; a wait longer than a day is cut and begun again


_READING, _WRITING = 1, 2


def _await_ready(sock: socket | None, for_what: int, deadline: float | None) -> bool:
    """Block until the socket is ready (None never is), or the deadline comes: False. ``_CalledOff`` in such a crew."""
    crew = _crew_here()
    alarm = None if crew is None else crew.alarm
    while (left := math.inf if deadline is None else deadline - time.monotonic()) > 0:
        ready, alarmed = _wait(sock, for_what, alarm, min(left, _LONGEST_WAIT_S))
        if alarmed:
            raise _CalledOff
        if ready:
            return True
    return False


def _poll(sock: socket | None, for_what: int, alarm: socket | None, timeout_s: float) -> tuple[bool, bool]:
    """Wait for either; return which is ready."""
    # A fresh poll object costs a third of a microsecond more than a kept one, and is never met by two threads.
    poll = select.poll()
    if sock is not None:
        poll.register(sock, _POLL_EVENTS[for_what])
    if alarm is None:
        return bool(poll.poll(timeout_s * 1000)), False
    poll.register(alarm, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(timeout_s * 1000)}
    return bool(ready - {alarm.fileno()}), alarm.fileno() in ready


def _select(sock: socket | None, for_what: int, alarm: socket | None, timeout_s: float) -> tuple[bool, bool]:
    """The same where there is no poll. On Windows a failed connect is an exceptional condition, nothing writable."""
    if sock is None and alarm is None:
        time.sleep(timeout_s)
        return False, False
    mine = [] if sock is None else [sock]
    reads = (mine if for_what & _READING else []) + ([] if alarm is None else [alarm])
    readable, writable, failed = select.select(reads, mine if for_what & _WRITING else [], mine, timeout_s)
    ready = {*readable, *writable, *failed}
    return sock in ready, alarm in ready


_wait = _select
if hasattr(select, "poll"):
    _wait = _poll
    _POLL_EVENTS = (0, select.POLLIN, select.POLLOUT, select.POLLIN | select.POLLOUT)


def _await_any(socks: Sequence[socket], deadline: float | None) -> Sequence[socket]:
    """Block until a write to one of the sockets would not, or the deadline comes: none. ``_CalledOff`` as above."""
    crew = _crew_here()
    alarm = None if crew is None else crew.alarm
    while (left := math.inf if deadline is None else deadline - time.monotonic()) > 0:
        ready, alarmed = _wait_any(socks, alarm, min(left, _LONGEST_WAIT_S))
        if alarmed:
            raise _CalledOff
        if ready:
            return ready
    return ()


def _poll_any(socks: Sequence[socket], alarm: socket | None, timeout_s: float) -> tuple[list[socket], bool]:
    """Wait for any of them; which are writable, and whether the alarm went off."""
    poll = select.poll()
    for sock in socks:
        poll.register(sock, select.POLLOUT)
    if alarm is not None:
        poll.register(alarm, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(timeout_s * 1000)}
    return [sock for sock in socks if sock.fileno() in ready], alarm is not None and alarm.fileno() in ready


def _select_any(socks: Sequence[socket], alarm: socket | None, timeout_s: float) -> tuple[list[socket], bool]:
    """The same where there is no poll."""
    readable, writable, failed = select.select([] if alarm is None else [alarm], socks, socks, timeout_s)
    ready = {*writable, *failed}
    return [sock for sock in socks if sock in ready], bool(readable)


_wait_any = _poll_any if hasattr(select, "poll") else _select_any


class _Event:
    """Each wait has its own gate, a lock released to open it. ``set`` takes no lock: a signal handler may call it."""

    __slots__ = ("_gates", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._gates: list[Lock] = []

    def set(self) -> None:
        self._is_set = True
        while self._gates:
            with contextlib.suppress(IndexError):  # another thread sets it too
                _open(self._gates.pop())

    async def wait(self, deadline: float | None) -> bool:
        return self.block(real_deadline(deadline), _crew_here())

    def block(self, deadline: float | None, crew: _Crew | None) -> bool:
        """Wait; also until the crew is called off, if one is given: ``_CalledOff``."""
        gate = threading.Lock()
        gate.acquire()
        self._gates.append(gate)  # before the flag is looked at: a set() between the two opens the gate
        try:
            if crew is not None:
                crew.watch(gate)
            if self._is_set:
                pass
            elif deadline is None:
                gate.acquire()
            else:
                gate.acquire(timeout=min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX))
        finally:
            with contextlib.suppress(ValueError):
                self._gates.remove(gate)
            if crew is not None:
                crew.unwatch(gate)
        if crew is not None and crew.called_off:
            raise _CalledOff
        return self._is_set


def _open(gate: Lock) -> None:
    with contextlib.suppress(RuntimeError):  # it is open already
        gate.release()


# --- the crew of threads behind gather --------------------------------------------------------------------------------


_LOOK_S = 1.0
"""How often who waits for a crew looks up: a signal just before a wait begins does not end it, and waits with it."""


class _CalledOff(BaseException):
    """Raised in a worker where it waits, once its crew is called off.

    No ``Exception``, as ``KeyboardInterrupt`` is none: it ends the exchange and its connection, and no failover starts.
    """


def _carry_out(job: Job[T]) -> T:
    return advance(job())  # not drive(): that a job suspends is no result of it, and comes out of the caller's drive()


# Whose worker a thread is, by its identifier. No threading.local: where gevent patches threads after this was imported,
# as under `gunicorn --preload`, that would stay one for all greenlets of a thread.
_on_duty: dict[int, _Crew] = {}


def _crew_here() -> _Crew | None:
    return _on_duty.get(threading.get_ident()) if _on_duty else None


class _Crew:
    """The threads of one gather. Whatever its workers wait for also ends when the crew is called off."""

    def __init__(self, jobs: Sequence[Job[Any]]) -> None:
        import socket

        self.called_off = False
        self.alarm, self._trigger = socket.socketpair()  # readable (end of file) once called off
        self._lock = threading.Lock()
        self._gates: set[Lock] = set()
        self._failure: BaseException | None = None
        self._jobs = [(index, job, contextvars.copy_context()) for index, job in enumerate(jobs)][::-1]
        self._results: list[Any] = [None] * len(jobs)

    def watch(self, gate: Lock) -> None:
        """Have the gate opened when the crew is called off."""
        with self._lock:
            if self.called_off:
                raise _CalledOff
            self._gates.add(gate)

    def unwatch(self, gate: Lock) -> None:
        with self._lock:
            self._gates.discard(gate)

    def call_off(self) -> None:
        with self._lock:
            self.called_off = True
            for gate in self._gates:
                _open(gate)
        self._trigger.close()

    def work(self, size: int) -> list[Any]:
        """Start ``size`` threads, wait for all, and return the results."""
        outer = _crew_here()  # a gather within a job of another is called off with it
        ended = [_Event() for _ in range(size)]
        threads = [
            threading.Thread(target=self._serve, args=(event,), name="mailer-gather", daemon=True) for event in ended
        ]
        try:
            for thread in threads:
                thread.start()
            # Not Thread.join(): Ctrl-C in there leaves a thread on Python 3.12 that nobody can wait for any more.
            for event in ended:
                while not event.block(time.monotonic() + _LOOK_S, outer):
                    pass
        except BaseException:
            self.call_off()
            for thread, event in zip(threads, ended, strict=True):
                if thread.ident is not None:  # it was started
                    event.block(None, None)
            self.alarm.close()
            raise
        self._trigger.close()
        self.alarm.close()
        if self._failure is not None:
            raise self._failure
        return self._results

    def _serve(self, ended: _Event) -> None:
        me = threading.get_ident()
        _on_duty[me] = self
        try:
            while self._jobs and not self.called_off:
                try:
                    index, job, context = self._jobs.pop()
                except IndexError:  # another worker took the last
                    break
                try:
                    self._results[index] = context.run(_carry_out, job)
                except Exception as exc:  # noqa: BLE001 - the caller finds it in the list
                    self._results[index] = exc
        except _CalledOff:
            pass
        except BaseException as exc:  # noqa: BLE001 - raised by work(), in the caller's thread
            self._failure = self._failure or exc
            self.call_off()
        finally:
            del _on_duty[me]
            ended.set()

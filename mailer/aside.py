"""Aside: what merely watches does its work in one thread of its own, and a send waits so long for it and no longer.

An archive's disk hangs, a log's database is locked, an alert's webhook answers nobody: none of that may fail a send, or
delay it beyond a stated bound. A blocking mailer cannot stop a call that blocks, so the work is handed to a thread. It
is started by the first work, is a daemon, and does one piece after the other, in order.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

from .errors import DeadlineExceeded, MailerError
from .log import ACTION_FAILED
from .redaction import Unpickled

if TYPE_CHECKING:
    from .runtime import Event, Runtime

__all__ = ["Aside"]


class Aside(Unpickled):
    """Does work beside sends. May be used by threads and tasks at once, and outlives a fork.

    Args:
        owner: Who it is for; names the thread, errors and log records.
        wait_s: For how long a send, or ``close``, waits at most. While work is overdue nobody waits for what is behind
            it.
        room: How many pieces of work may lie there, begun or not; more are refused.

    Attributes:
        lost: How many pieces were refused.
    """

    def __init__(self, owner: str, *, wait_s: float, room: int) -> None:
        self.owner = owner
        self.wait_s = wait_s
        self.room = room
        self.lost = 0
        self._workers: dict[int, _Worker] = {}  # by process: a thread, and its lock, stay behind at a fork

    def do(self, runtime: Runtime, work: Callable[[], object]) -> Awaitable[None]:
        """Hand work over, at once. Await what is returned to wait for it; nothing is lost if nobody does.

        Args:
            runtime: Of the send that this is beside.
            work: Called in the thread, in a copy of the caller's context: an action that it would set off, and that is
                running here, is not called again. What it raises is logged.

        Returns:
            Awaited, it raises DeadlineExceeded if the work is not done in time; it goes on all the same.

        Raises:
            DeadlineExceeded: There is no room; it is never done.
        """
        errand = _Errand(contextvars.copy_context(), work, runtime.event())
        worker = self._handed(errand)
        if worker is None:
            self.lost += 1
            raise DeadlineExceeded(f"{self.owner}: {self.room} are behind what does not come to an end: one is lost")
        if self.wait_s <= 0 or worker.is_overdue:
            return _NOTHING
        return _Waiting(self, worker, errand, runtime)

    def later(self, work: Callable[[], object]) -> None:
        """Hand over what nobody waits for, and what is done another time where there is no room."""
        self._handed(_Errand(contextvars.Context(), work, None))

    def _handed(self, errand: _Errand) -> _Worker | None:
        """The worker that has taken it; None if it has no room."""
        worker = self._workers.get(os.getpid()) or self._workers.setdefault(os.getpid(), _Worker(self.owner))
        with worker.changed:
            if len(worker.waiting) + (worker.current is not None) >= self.room:
                return None
            worker.take(errand)
        return worker

    def close(self, last: Callable[[], object] | None = None) -> None:
        """Wait until all is done, at most ``wait_s``; what is left is done all the same while the process lives.

        Blocks. More may be handed over afterwards.

        Args:
            last: Done behind all the rest, if there was any.
        """
        worker = self._workers.pop(os.getpid(), None)
        if worker is None:
            return
        deadline = time.monotonic() + self.wait_s
        with worker.changed:
            if last is not None:
                worker.take(_Errand(contextvars.Context(), last, None))
            worker.is_closing = True
            worker.changed.notify_all()
            while not worker.has_ended and (left := deadline - time.monotonic()) > 0:
                worker.changed.wait(left)


class _Errand:
    """A piece of work; ``done`` is set at its end."""

    __slots__ = ("context", "done", "work")

    def __init__(self, context: contextvars.Context, work: Callable[[], object], done: Event | None) -> None:
        self.context = context
        self.work = work
        self.done = done


class _Worker:
    """The thread, and what is handed to it.

    Attributes:
        changed: Guards all of it.
        is_overdue: Somebody has waited in vain for what it does now, or for what is behind that.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.changed = threading.Condition()
        self.waiting: deque[_Errand] = deque()
        self.current: _Errand | None = None
        self.is_overdue = False
        self.is_closing = False
        self.has_ended = True

    def take(self, errand: _Errand) -> None:
        """Put it behind the others, and start the thread unless it runs. Called with ``changed`` held."""
        self.waiting.append(errand)
        self.changed.notify_all()
        if self.has_ended:
            self.has_ended = False
            threading.Thread(target=self._work, name=f"mailer-{self.owner}", daemon=True).start()

    def _work(self) -> None:
        while (errand := self._next()) is not None:
            try:
                errand.context.run(errand.work)
            except BaseException as error:  # noqa: BLE001 - anybody's code, and nobody is here to raise it to
                reason = f"{type(error).__name__}: {error}" if isinstance(error, MailerError) else type(error).__name__
                ACTION_FAILED(hook="result", owner=self.owner, reason=reason, exc_info=error)
            with self.changed:
                self.current = None
                self.is_overdue = False
            if errand.done is not None:
                errand.done.set()
            del errand  # it may hold a large mail

    def _next(self) -> _Errand | None:
        """The next piece of work; None to end."""
        with self.changed:
            while not self.waiting and not self.is_closing:
                self.changed.wait()
            if self.waiting:
                self.current = self.waiting.popleft()
                return self.current
            self.has_ended = True
            self.changed.notify_all()
            return None


class _Waiting:
    """Waits for an errand when it is awaited, and is no coroutine: it may also be dropped."""

    __slots__ = ("aside", "deadline", "errand", "runtime", "worker")

    def __init__(self, aside: Aside, worker: _Worker, errand: _Errand, runtime: Runtime) -> None:
        self.aside = aside
        self.worker = worker
        self.errand = errand
        self.runtime = runtime
        self.deadline = runtime.now() + aside.wait_s

    def __await__(self) -> Generator[Any, Any, None]:
        return self._waited().__await__()

    async def _waited(self) -> None:
        assert self.errand.done is not None  # noqa: S101 - for type checkers
        if await self.errand.done.wait(self.deadline):
            return
        with self.worker.changed:
            if self.errand is not self.worker.current and self.errand not in self.worker.waiting:
                return  # just now
            self.worker.is_overdue = True
        raise DeadlineExceeded(f"{self.aside.owner}: not done within {self.aside.wait_s:g} s; it is not waited for")


class _Nothing:
    """Awaited, it is over."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


_NOTHING = _Nothing()

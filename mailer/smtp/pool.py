"""The pool: the connections to one server that are kept, lent to one send at a time.

The rules that must hold:

- The lock is never held over an await. Who has to wait has an event of its own; who gives back a connection hands it to
  the first that waits, and one that is cancelled in that moment hands it on.
- A connection is lent where it was opened: in its event loop, in its process. A fork begins with an empty pool, and
  never says a word on its parent's connections.
- What is lent was alive a moment ago: open, and nothing has come on it.

Read :meth:`Pool.take` and :meth:`Pool.give_back`.
"""

from __future__ import annotations

import os
import weakref
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import runtime as world
from ..errors import ConfigError, DeadlineExceeded, TransportError
from .capabilities import Learnt

if TYPE_CHECKING:
    from ..runtime import Event, Runtime
    from .session import Session

__all__ = ["Pool", "PoolLimits"]

Connect = Callable[[float], Awaitable["Session"]]

_TRUST_S = 600.0
"""What a server showed of its limits is believed so long: it may have been a bad moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """What is kept, and for how long.

    Attributes:
        connections: At once, 1 to 1000; more sends wait for one. Submission servers allow 10 to 50 for an account.
        messages: Transactions over one connection, 1 to 1000000; RFC 5321 knows no limit, many servers have one of 100.
        age_s: Seconds after which a connection is not lent again.
        idle_s: Seconds for which a connection is kept without use.
    """

    connections: int = 10
    messages: int = 100
    age_s: float = 300.0
    idle_s: float = 10.0

    def __post_init__(self) -> None:
        for name, most in (("connections", 1000), ("messages", 1_000_000), ("age_s", 86_400), ("idle_s", 86_400)):
            value = getattr(self, name)
            if not (1 if name in ("connections", "messages") else 0) <= value <= most:  # NaN compares false
                raise ConfigError(f"{name} must be at most {most} and no less than 1 (a time: 0), not {value!r}")


class _Waiter:
    """Who waits for a place.

    Attributes:
        has_place: It was given one; with a connection, or to open one.
    """

    __slots__ = ("event", "has_place", "session", "token")

    def __init__(self, token: object, event: Event) -> None:
        self.token = token
        self.event = event
        self.has_place = False
        self.session: Session | None = None


class _State:
    """What one process has; a forked one makes its own, lock included, which may be held in the parent."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = world.Lock()
        self.idle: deque[Session] = deque()  # the one used last at the end
        self.places: Counter[object] = Counter()  # lent, or being opened, by token
        self.waiters: deque[_Waiter] = deque()

    def farewell(self) -> None:
        """Close what is idle: with a QUIT, if it is ours."""
        while self.idle:
            session = self.idle.popleft()
            (session.quit if self.pid == os.getpid() else session.close)()


class Pool:
    """Connections to one server for one login.

    Args:
        connect: Opens one, ready for mail; takes a deadline.
        limits: How many, how long.

    Attributes:
        learnt: What the server showed of its own limits.
    """

    def __init__(self, connect: Connect, limits: PoolLimits) -> None:
        self.limits = limits
        self.learnt = Learnt()
        self._connect = connect
        self._learnt_at = 0.0
        self._states = {os.getpid(): _State()}
        self._finalizer = weakref.finalize(self, _farewell, self._states)

    @property
    def idle(self) -> tuple[Session, ...]:
        """The connections that nobody uses now."""
        return tuple(self._state().idle)

    @property
    def lent(self) -> int:
        """How many are in use, or being opened."""
        return sum(self._state().places.values())

    async def take(
        self, runtime: Runtime, deadline: float, *, is_new: bool = False, connect: Connect | None = None
    ) -> Session:
        """A connection that nobody else uses, until it is given back.

        Args:
            runtime: Where to wait.
            deadline: The end of waiting and connecting.
            is_new: None that was used before will do.
            connect: Opens one, this time.

        Raises:
            MailerError: It could not be opened, or (DeadlineExceeded) all are in use for too long.
        """
        state, token = self._state(), runtime.token()
        while True:
            waiter: _Waiter | None = None
            session: Session | None = None
            dropped: list[Session] = []
            now = runtime.now()
            with state.lock:
                while state.idle and not self._is_young(state.idle[0], now):
                    dropped.append(state.idle.popleft())
                while state.idle and session is None:
                    found = state.idle.pop()
                    if is_new or found.token != token:
                        dropped.append(found)  # of an event loop that may be gone; or it makes room for a new one
                    else:
                        session = found
                taken = state.places.get(token, 0)
                if taken < self._most(now):
                    state.places[token] = taken + 1
                else:
                    if session is not None:
                        state.idle.append(session)
                    state.waiters.append(waiter := _Waiter(token, runtime.event()))
            if dropped:
                _close_all(dropped, token)
            if waiter is not None:
                session = await self._wait(state, waiter, deadline)
                now = runtime.now()
            if session is not None and not is_new:
                if self.room(session) > 0 and self._is_young(session, now) and session.is_open:
                    return session
                session.quit()
                self._leave(state, token)
                continue
            if session is not None:
                session.quit()
            try:
                return await (connect or self._connect)(deadline)
            except BaseException as error:
                self._leave(state, token)
                if not (isinstance(error, TransportError) and self._learns_from(error, state, token)):
                    raise

    def give_back(self, session: Session, runtime: Runtime) -> None:
        """Give back what was lent, whatever state it is in. Never waits, never raises."""
        state = self._state()
        if session.is_ready and self.room(session) > 0 and self._is_young(session, runtime.now()):
            kept: Session | None = session
        else:
            session.quit()
            kept = None
        self._leave(state, session.token, kept)

    def close(self, runtime: Runtime) -> None:
        """Say QUIT on the idle connections and close them. Those in use are kept when they come back."""
        state = self._state()
        with state.lock:
            idle, state.idle = state.idle, deque()
        _close_all(idle, runtime.token())

    def forget(self) -> None:
        """The same without a word."""
        state = self._state()
        with state.lock:
            idle, state.idle = state.idle, deque()
        _close_all(idle, None)

    # --- places -------------------------------------------------------------------------------------------------------

    def _state(self) -> _State:
        pid = os.getpid()
        state = self._states.get(pid)
        if state is None:
            # After a fork the connections are the parent's: forget them, without a word on the wire.
            state = self._states.setdefault(pid, _State())
            for other in [found for found in self._states.values() if found.pid != pid]:
                other.farewell()
        return state

    def _most(self, now: float) -> int:
        learnt = self.learnt
        if learnt.is_empty:
            self._learnt_at = now
        elif now - self._learnt_at > _TRUST_S:
            learnt.forget()
        return self.limits.connections if learnt.connections is None else learnt.connections

    async def _wait(self, state: _State, waiter: _Waiter, deadline: float) -> Session | None:
        """Wait for a place; the connection that came with it, or None: open one."""
        try:
            await waiter.event.wait(deadline)
        except BaseException:
            with state.lock:
                if not waiter.has_place:
                    state.waiters.remove(waiter)
            if waiter.has_place:
                self._leave(state, waiter.token, waiter.session)
            raise
        with state.lock:
            if not waiter.has_place:
                state.waiters.remove(waiter)
        if not waiter.has_place:
            raise DeadlineExceeded(f"all {state.places[waiter.token]} connections were in use for too long")
        return waiter.session

    def _leave(self, state: _State, token: object, session: Session | None = None) -> None:
        """Give up a place, with the connection or without: to the first that waits for one here."""
        waiter: _Waiter | None = None
        with state.lock:
            if state.waiters:
                most = self.limits.connections if self.learnt.connections is None else self.learnt.connections
                if state.places[token] <= most:
                    waiter = next((found for found in state.waiters if found.token == token), None)
            if waiter is not None:
                state.waiters.remove(waiter)
                waiter.session, waiter.has_place = session, True
            else:
                state.places[token] -= 1
                if not state.places[token]:
                    del state.places[token]  # a token may be an event loop, which is not to be kept alive
                if session is not None:
                    state.idle.append(session)
        if waiter is not None:
            waiter.event.set()

    def _learns_from(self, error: TransportError, state: _State, token: object) -> bool:
        """Whether the server has too many connections of ours, so that one of the others is to be used."""
        with state.lock:
            # One that came back while this one was refused is idle now, and the server's all the same.
            others = state.places[token] + sum(session.token == token for session in state.idle)
            if error.reply is None or error.reply.code != 421 or not others:
                return False
            self.learnt.connections = others
        return True

    # --- connections --------------------------------------------------------------------------------------------------

    def room(self, session: Session) -> int:
        """How many more transactions the connection may have."""
        most = self.limits.messages if self.learnt.messages is None else min(self.limits.messages, self.learnt.messages)
        return min(session.room, most - session.carried)

    def _is_young(self, session: Session, now: float) -> bool:
        return now - session.opened_at < self.limits.age_s and now - session.used_at <= self.limits.idle_s


def _close_all(sessions: Iterable[Session], token: object) -> None:
    for session in sessions:
        (session.quit if session.token == token else session.close)()


def _farewell(states: dict[int, _State]) -> None:
    for state in states.values():
        state.farewell()

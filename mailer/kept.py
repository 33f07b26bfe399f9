"""What is kept: one value that does not last (a token, a session's keys), for all who need it.

The rules that must hold:

- However many threads and tasks need it at once, one asks and the others wait for what it gets, also when that is a
  refusal. Who asks and is cancelled, or runs out of its own time, leaves it to the next.
- The lock is never held over an await; a fork begins with a new one.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import runtime as world
from .errors import AuthError, ConfigError, DeadlineExceeded, MailerError
from .redaction import Unpickled, words_of

if TYPE_CHECKING:
    from .runtime import Event, Runtime

__all__ = ["Kept", "given_by", "name_of"]

T = TypeVar("T")


class _Flight(Generic[T]):
    """A value being asked for.

    Attributes:
        waiters: Who waits for it.
        value: It, once it came.
        error: Why there is none; with neither, the next is to ask.
    """

    __slots__ = ("error", "value", "waiters")

    def __init__(self) -> None:
        self.waiters: list[Event] = []
        self.value: T | None = None
        self.error: MailerError | None = None


class _State(Generic[T]):
    """What one process has; a forked one makes its own, lock included, which may be held in the parent."""

    __slots__ = ("flights", "lock", "pid", "refused", "rests_until", "value")

    def __init__(self, value: T | None = None) -> None:
        self.pid = os.getpid()
        self.lock = world.Lock()
        self.value = value
        self.refused: MailerError | None = None
        self.rests_until = 0.0
        # For each event loop one, and one for all threads: a thread that blocks a loop cannot wait for a task in it.
        self.flights: dict[object, _Flight[T]] = {}


class Kept(Unpickled, Generic[T]):
    """Asks for the value when it is first needed, and anew once it is near its end or was refused.

    Args:
        ask: Gives a new one, with ``(runtime, deadline, stale)``.
        is_good: Whether a kept one still is at a time.
        is_same: Whether it is the one that was refused, as the caller of :meth:`value` names it.
        clock: The time in seconds since 1970.
        timeout_s: The most that asking may take.
        max_rest_s: The most that a refusal stands.
        what: What it is called in texts: "access token".
    """

    def __init__(
        self,
        ask: Callable[[Runtime, float, Any], Awaitable[T]],
        *,
        is_good: Callable[[T, float], bool],
        is_same: Callable[[T, Any], bool],
        clock: Callable[[], float],
        timeout_s: float,
        max_rest_s: float,
        what: str,
    ) -> None:
        self._ask = ask
        self._is_good = is_good
        self._is_same = is_same
        self._clock = clock
        self._timeout_s = timeout_s
        self._max_rest_s = max_rest_s
        self._what = what
        self._state: _State[T] = _State()

    @property
    def last(self) -> T | None:
        """What was given last, good or not; None before."""
        return self._mine().value

    def rest(self, error: MailerError, seconds: float) -> None:
        """Give this error, and ask nobody, for so long; to be called by ``ask``."""
        state = self._mine()
        state.refused, state.rests_until = error, self._clock() + seconds

    async def value(self, runtime: Runtime, deadline: float, stale: Any = None) -> T:
        """One that is good now.

        Args:
            stale: One that was just refused: not to be given again if another can be had. None: none was.

        Raises:
            MailerError: What ``ask`` raised, for this caller or for the one that it waited for.
            DeadlineExceeded: None came in time.
        """
        state = self._mine()
        place = runtime.token()
        while True:
            waiter = None
            with state.lock:
                kept, now = state.value, self._clock()
                if kept is not None and not self._is_stale(kept, stale) and self._is_good(kept, now):
                    return kept
                if state.refused is not None and 0 < state.rests_until - now <= self._max_rest_s:  # clocks are set back
                    raise _again(state.refused)
                flight = state.flights.get(place)
                if flight is None:
                    flight = state.flights[place] = _Flight()
                else:
                    waiter = runtime.event()
                    flight.waiters.append(waiter)
            if waiter is None:
                try:
                    return await self._lead(state, flight, runtime, deadline, stale)
                finally:
                    with state.lock:
                        del state.flights[place]
                    for waiter in flight.waiters:
                        waiter.set()
            if not await waiter.wait(deadline):
                raise DeadlineExceeded(f"no {self._what} came in time: another send was waiting for it, too")
            if flight.error is not None:
                raise _again(flight.error)
            if flight.value is not None and not self._is_stale(flight.value, stale):
                return flight.value

    async def _lead(self, state: _State[T], flight: _Flight[T], runtime: Runtime, deadline: float, stale: Any) -> T:
        """Ask, for all who wait."""
        ours = runtime.now() + self._timeout_s
        try:
            value = await self._ask(runtime, min(deadline, ours), stale)
        except DeadlineExceeded as error:
            if ours <= deadline:  # else the time was this caller's own, and the others may have more
                flight.error = error
            raise
        except MailerError as error:
            flight.error = error
            raise
        state.value = flight.value = value
        return value

    def _is_stale(self, value: T, stale: Any) -> bool:
        return stale is not None and self._is_same(value, stale)

    def _mine(self) -> _State[T]:
        state = self._state
        if state.pid != os.getpid():
            state = self._state = _State(state.value)
        return state


def _again(error: MailerError) -> MailerError:
    """The same for another caller: a traceback belongs to one."""
    return type(error)(*error.args)


# --- an app's own callable --------------------------------------------------------------------------------------------


async def given_by(source: Callable[[], Any], runtime: Runtime, deadline: float, what: str) -> Any:
    """Call an app's own callable: a plain one in a thread, where the runtime is async.

    Args:
        what: What it should give, for texts: "access token".

    Raises:
        ConfigError: It is async, and there is no event loop.
        AuthError: It raised.
    """
    is_async = inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(type(source).__call__)
    if is_async and not runtime.is_async:
        raise _needs_loop(source)
    try:
        if is_async:
            given: Any = source()
        else:
            # In a tuple: trio refuses a function that brings a coroutine out of its thread.
            (given,) = await runtime.run(lambda: (source(),), deadline)
        if inspect.isawaitable(given):
            if not runtime.is_async:
                if inspect.iscoroutine(given):
                    given.close()
                raise _needs_loop(source)
            given = await given
    except MailerError:
        raise
    except Exception as error:
        raise AuthError(f"{name_of(source)} gave no {what}: it raised {words_of(error)}") from error
    return given


def name_of(source: object) -> str:
    """What an error calls it."""
    return str(getattr(source, "__qualname__", type(source).__qualname__))


def _needs_loop(source: object) -> ConfigError:
    return ConfigError(f"{name_of(source)} is async, and needs an event loop: use AsyncMailer, or a plain callable")

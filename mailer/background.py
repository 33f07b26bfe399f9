"""Background: mails on their way beside the requests, which do not wait for them; the app's end does.

What is given is composed at once, where templates still have what the request has (a session's objects, its language)
and what is wrong can be raised; only carrying it comes later. Nothing that was taken vanishes: each mail's outcome goes
to its hooks and the log as that of any send, and of those that are not sent when the time of the shutdown is over too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from .errors import ConfigError, DeadlineExceeded, Outcome
from .log import BACKGROUND_FAILED, BACKGROUND_LEFT
from .mailer import AsyncMailer
from .receipt import Receipt

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup

    from .message import Message

__all__ = ["Background"]

_STOPPED = (
    "the background takes no mail: it does while its app runs, within `async with Background(mailer)`;"
    " a test client is to be entered (`with TestClient(app)`) so that the app's lifespan runs"
)


class Background:
    """Sends beside the caller, within ``async with``; under asyncio and trio.

    ::

        async with AsyncMailer(url) as mailer, Background(mailer) as background:
            await background.send(message)  # it is composed; it goes out while the app does something else
    """

    def __init__(
        self,
        mailer: AsyncMailer,
        *,
        room: int = 1000,
        concurrency: int = 5,
        wait_s: float = 30.0,
        grace_s: float = 20.0,
    ) -> None:
        """Nothing runs yet.

        Args:
            mailer: What sends them. It is not closed here.
            room: How many messages may be there, waiting or on their way, 1-1000000; who gives one more waits.
            concurrency: How many are on their way at once, 1-1000.
            wait_s: How long who gives one waits for room, 0-3600 s.
            grace_s: How long the end waits for them, 0-3600 s. Servers kill a process that takes too long (uvicorn's
                ``--timeout-graceful-shutdown``, Kubernetes' 30 s): stay below that.

        Raises:
            ConfigError: One of these is wrong.
        """
        if not isinstance(mailer, AsyncMailer):
            raise ConfigError(f"Background lives in an event loop: give it an AsyncMailer, not {type(mailer).__name__}")
        for name, value, least, most in (
            ("room", room, 1, 1_000_000),
            ("concurrency", concurrency, 1, 1000),
            ("wait_s", wait_s, 0, 3600),
            ("grace_s", grace_s, 0, 3600),
        ):
            kinds, what = ((int,), "whole number") if least else ((int, float), "number")
            if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
                raise ConfigError(f"{name}={value!r}: must be a {what} from {least} to {most}")
        self.mailer = mailer
        self.wait_s = wait_s
        self.grace_s = grace_s
        self._room_size = room
        self._concurrency = concurrency
        self._pending = 0  # calls of send() and what they gave
        self._left: list[Receipt] = []
        self._scopes: set[anyio.CancelScope] = set()
        self._group: TaskGroup | None = None

    def __repr__(self) -> str:
        return f"<Background of {self.mailer.backend}, {self._pending} pending>"

    @property
    def pending(self) -> int:
        """How many messages are waiting or on their way."""
        return self._pending

    @property
    def left(self) -> tuple[Receipt, ...]:
        """The receipts of what was not sent when the end came: DEFERRED, or UNKNOWN if it was being handed over."""
        return tuple(self._left)

    async def send(self, message: Message) -> tuple[str, ...]:
        """Compose a message and have it sent. Waits while there is no room.

        Returns:
            The ids of the mails that it became, which hooks, log and webhooks will name: one, or one for each recipient
            if it has merge fields; none if a filter keeps it from being sent.

        Raises:
            MessageError, HookError: It cannot be composed, as :meth:`AsyncMailer.send`.
            DeadlineExceeded: There was no room for ``wait_s``: what is before it does not get away.
            ConfigError: It is not running.
            DeliveryDeferred: The end came while it was composed.
        """
        self._running()
        self._pending += 1
        is_handed = has_room = False
        try:
            with anyio.move_on_after(self.wait_s):
                try:
                    self._room.acquire_nowait()
                except anyio.WouldBlock:
                    await self._room.acquire()
                has_room = True
            if not has_room:
                raise DeadlineExceeded(
                    f"{self._room_size} messages were waiting before this one for {self.wait_s:g} s: is"
                    f" {self.mailer.backend} there? See Background(room=, wait_s=)"
                )
            self._running()
            held = await self.mailer._pipeline.hold(message)
            mail_ids = tuple([unit.mail.id for unit in held.units if unit.mail is not None])
            if self._group is None:
                self.mailer._pipeline.drop(held).raise_if_none_accepted()
            else:
                self._group.start_soon(self._carry, held)  # with the caller's context variables: traces go on
                is_handed = True
        finally:
            if not is_handed:
                self._done(has_room=has_room)
        return mail_ids

    async def drained(self) -> None:
        """Wait until nothing is waiting or on its way: for tests, and before something else is shut down."""
        while self._pending:
            await self._idle.wait()

    def stop(self) -> None:
        """Take no more, and call off what is left: its outcome is told."""
        self._group = None
        for scope in tuple(self._scopes):
            scope.cancel()

    # --- its life -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise ConfigError("this Background runs already: make one for each app")
        self._lived = self._life()
        await self._lived.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._lived.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _life(self) -> AsyncIterator[None]:
        self._room = anyio.Semaphore(self._room_size)
        self._places = anyio.Semaphore(self._concurrency)
        self._idle = anyio.Event()
        self._left.clear()
        failure: BaseException | None = None
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                try:
                    try:
                        yield
                    except Exception as error:  # noqa: BLE001 - the mails go all the same; raised below, in no group
                        failure = error
                    except (KeyboardInterrupt, SystemExit) as error:
                        failure = error
                        self.stop()
                    if self._group is not None:  # it was not stopped already, when its time was over
                        with anyio.move_on_after(self.grace_s):
                            await self.drained()
                finally:
                    self.stop()
        finally:
            self._report()
        if failure is not None:
            raise failure

    def _report(self) -> None:
        if self._left and BACKGROUND_LEFT.wanted():
            outcomes = Counter(result.outcome for receipt in self._left for result in receipt.results)
            BACKGROUND_LEFT(
                mails=len(self._left),
                grace_s=self.grace_s,
                deferred=outcomes[Outcome.DEFERRED],
                unknown=outcomes[Outcome.UNKNOWN],
            )

    def _running(self) -> TaskGroup:
        if self._group is None:
            raise ConfigError(_STOPPED)
        return self._group

    async def _carry(self, held: Any) -> None:
        pipeline = self.mailer._pipeline
        is_begun = False
        # Its own, for that of the group holds the app too.
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            if self._group is None:  # stopped before this began
                scope.cancel()
            try:
                async with self._places:
                    is_begun = True
                    await pipeline.carry_held(held)
            except Exception as error:  # noqa: BLE001 - nobody is here to raise it to, and the others go on
                BACKGROUND_FAILED(error=type(error).__name__, exc_info=error)
            except BaseException:
                receipt = held.receipt(None, str(self.mailer.backend)) if is_begun else pipeline.drop(held)
                if not receipt.ok:
                    self._left.append(receipt)
                raise
            finally:
                self._scopes.discard(scope)
                self._done(has_room=True)

    def _done(self, *, has_room: bool) -> None:
        if has_room:
            self._room.release()
        self._pending -= 1
        if not self._pending:
            self._idle.set()
            self._idle = anyio.Event()

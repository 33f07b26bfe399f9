"""The three worlds that waiting code runs in: blocking, asyncio, trio. One test body serves all (fixture ``world``)."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Literal, TypeVar

import anyio
import anyio.from_thread

from mailer.runtime import AsyncRuntime, BlockingRuntime, Runtime, drive

__all__ = ["NAMES", "SyncMailer", "World", "new_world"]

T = TypeVar("T")
Name = Literal["blocking", "asyncio", "trio"]
NAMES: tuple[Name, ...] = ("blocking", "asyncio", "trio")


class World:
    """A runtime, and the way to run a coroutine function in it to its end from an ordinary test function.

    Attributes:
        name: "blocking", "asyncio" or "trio".
        runtime: The runtime of this world. It holds no state, so a test may also make its own.
    """

    def __init__(self, name: Name, portal: anyio.from_thread.BlockingPortal | None) -> None:
        self.name = name
        self.runtime: Runtime = BlockingRuntime() if portal is None else AsyncRuntime()
        self.portal = portal

    def __repr__(self) -> str:
        return f"<World {self.name}>"

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **keywords: Any) -> T:
        """Call the coroutine function and return what it returns; it always runs in the same event loop."""
        if self.portal is None:
            return drive(function(*args, **keywords))
        fatal: list[BaseException] = []

        async def finish() -> Any:
            try:
                return await function(*args, **keywords)
            except (Exception, anyio.get_cancelled_exc_class()):
                raise
            except BaseException as exc:  # as Ctrl-C: raised here and not in the portal, which it would end
                fatal.append(exc)

        value = self.portal.call(finish)
        if fatal:
            raise fatal[0]
        return value

    def call(self, function: Callable[..., T], *args: Any, **keywords: Any) -> T:
        """Call a plain function where ``run`` runs: in the event loop's thread."""
        call = functools.partial(function, *args, **keywords)
        return call() if self.portal is None else self.portal.call(call)

    @contextlib.contextmanager
    def mailer(self, *args: Any, **keywords: Any) -> Iterator[SyncMailer]:
        """Make a ``Mailer`` or ``AsyncMailer``, whichever belongs here, and close it at the end.

        It tries once, unless ``retry`` is given.
        """
        import mailer

        keywords.setdefault("retry", None)
        face = mailer.Mailer if self.portal is None else mailer.AsyncMailer
        wrapped = SyncMailer(self, self.call(face, *args, **keywords))
        try:
            yield wrapped
        finally:
            wrapped.close()


class SyncMailer:
    """Either mailer with plain methods: ``send``, ``send_many`` (a list), ``check`` ...; attributes are passed through.

    Attributes:
        wrapped: The ``Mailer`` or ``AsyncMailer`` itself.
    """

    def __init__(self, world: World, wrapped: Any) -> None:
        self.world = world
        self.wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.wrapped, name)
        if not inspect.ismethod(attribute):
            return attribute
        return functools.partial(self._called, attribute)

    def _called(self, method: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        async def finish() -> Any:
            result = method(*args, **keywords)
            return await result if inspect.isawaitable(result) else result

        return self.world.run(finish)

    def send_many(self, *args: Any, **keywords: Any) -> list[Any]:
        async def collect() -> list[Any]:
            receipts = self.wrapped.send_many(*args, **keywords)
            if inspect.isawaitable(receipts):
                receipts = await receipts
            if not hasattr(receipts, "__aiter__"):
                return list(receipts)
            async with contextlib.aclosing(receipts):
                return [receipt async for receipt in receipts]

        return self.world.run(collect)

    def close(self) -> None:
        self._called(self.wrapped.close if self.world.portal is None else self.wrapped.aclose)

    aclose = close


@contextlib.contextmanager
def new_world(name: Name) -> Iterator[World]:
    """Set a world up, with its event loop in a thread of its own, and take it down."""
    if name == "blocking":
        yield World(name, None)
    else:
        with anyio.from_thread.start_blocking_portal(name) as portal:
            yield World(name, portal)

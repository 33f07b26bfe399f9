"""The one seam to the world: what waits, waits here.

Whatever waits is written once, as ``async def``, against a :class:`Runtime`. There are two, each loaded on first use.
``BlockingRuntime`` (``runtime_blocking.py``) has methods that are ``async def`` in form, but block and never suspend,
so that :func:`drive` takes a coroutine to its end with one ``send(None)``: no event loop, no hidden thread, safe inside
a running loop. ``AsyncRuntime`` (``runtime_async.py``) suspends on anyio, so on asyncio and trio.

A deadline is a point on ``runtime.now()``, in seconds, or None for no limit.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from .errors import ConfigError, ConnectError

if TYPE_CHECKING:
    from socket import socket

    from .lock import Lock
    from .proxy import Proxy
    from .relay.exchange import Response
    from .runtime_async import AsyncRuntime
    from .runtime_blocking import BlockingRuntime

__all__ = ["AddrInfo", "AsyncRuntime", "BlockingRuntime", "Event", "Http", "Lock", "Runtime", "drive", "drive_iter"]

T = TypeVar("T")
Job = Callable[[], Coroutine[Any, Any, T]]
"""What ``gather`` runs: called without arguments, then awaited."""

_ELSEWHERE = {
    "AsyncRuntime": "mailer.runtime_async",
    "BlockingRuntime": "mailer.runtime_blocking",
    "Lock": "mailer.lock",  # for what threads share; never held over an await
}


def __getattr__(name: str) -> object:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_ELSEWHERE[name]), name)
    return value


# --- the protocols ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddrInfo:
    """One address to connect to: the socket family, and the address as ``socket.connect`` takes it."""

    family: int
    sockaddr: tuple[Any, ...] | str

    @classmethod
    def unix(cls, path: str) -> AddrInfo:
        """A unix socket. Raises ``ConfigError`` where the system has none."""
        import socket

        if not hasattr(socket, "AF_UNIX"):
            raise ConfigError(f"{path}: this system has no unix sockets")
        return cls(socket.AF_UNIX, path)

    def __str__(self) -> str:
        if isinstance(self.sockaddr, str):
            return self.sockaddr
        host, port = self.sockaddr[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Event(Protocol):
    """A flag that is set once and waited for."""

    def set(self) -> None:
        """Wake all who wait, now or later. A plain function, from any thread, as often as wished."""

    async def wait(self, deadline: float | None) -> bool:
        """Wait until the flag is set. False if the deadline came first."""
        ...


class Http(Protocol):
    """A client that sends HTTP requests, and keeps connections for the next."""

    async def send(
        self,
        method: str,
        url: str,
        *,
        content: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        deadline: float,
        on_sent: Callable[[], None] = ...,
    ) -> Response:
        """Send a request, and return the answer: never a redirect's target, at most 4 MiB of its body.

        Args:
            method: In capitals.
            url: http or https, in ASCII; TLS is always verified.
            content: The body.
            headers: Beyond Host and Content-Length.
            deadline: The end of it all: name, connection, TLS, request, and the answer however slowly it drips.
            on_sent: Called once the last byte of the request was handed over. Until then the server cannot have acted
                upon it.

        Raises:
            ConnectError: No connection could be made.
            TlsError: TLS could not be had, or did not verify.
            TransportError: The connection broke before a status came; DeadlineExceeded: so did the deadline.
            ProtocolError: What came is not HTTP.
        """
        ...

    async def aclose(self) -> None:
        """Close the kept connections. May be called more than once; sending again opens new ones."""


class Runtime(Protocol):
    """What waiting code may ask of the world."""

    @property
    def is_async(self) -> bool:
        """Whether waiting lets other tasks run; False: it blocks the thread."""
        ...

    def now(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...

    def token(self) -> object:
        """Where this call runs: the event loop, or the process. Compare with ``==``.

        What was opened under another token (a socket, a client) must not be used here.
        """
        ...

    def event(self) -> Event:
        """A new event, not set."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so long; 0 or less only lets others run."""

    async def wait_readable(self, sock: socket, deadline: float | None) -> None:
        """Wait until a read would not block; ``DeadlineExceeded`` if the deadline has passed or comes first."""

    async def wait_writable(self, sock: socket, deadline: float | None) -> None:
        """Wait until a write would not block; ``DeadlineExceeded`` if the deadline has passed or comes first."""

    async def wait_either(self, sock: socket, deadline: float | None) -> None:
        """Wait until a read or a write would not block; else as ``wait_writable``."""

    async def wait_any_writable(self, socks: Sequence[socket], deadline: float | None) -> Sequence[socket]:
        """Wait until a write to at least one of these would not block, and return those; none if the deadline came."""
        ...

    async def resolve(self, host: str, port: int, deadline: float | None) -> Sequence[AddrInfo]:
        """Return the addresses of a host, best first, never none.

        An IP address is returned as it is, without asking a resolver. The system's resolver cannot be interrupted:
        under a deadline it runs in a thread, which is left behind when the deadline comes.

        Raises:
            ConnectError: There is no such name, or no resolver answered. The text names the host.
            DeadlineExceeded: The deadline has passed or came first.
        """
        ...

    async def run(self, fn: Callable[[], T], deadline: float | None = None) -> T:
        """Call a plain function that may block, and return what it returns.

        Blocking: called directly; the deadline cannot bound it. Async: called in a worker thread, which is left behind
        on cancellation and when the deadline comes (``DeadlineExceeded``): it may still do its work, so the outcome is
        unknown then.
        """
        ...

    async def gather(self, jobs: Iterable[Job[T]], limit: int) -> list[T | Exception]:
        """Run the jobs, at most ``limit`` at once, and return what each returned or raised, in their order.

        The iterable is drained before the first job starts, in the caller's thread. With ``limit`` 1 they run one after
        the other, in place; else each in a task or thread, with a copy of the caller's context variables. Nothing runs
        on after the return. An exception that is no ``Exception`` (Ctrl-C, cancellation) calls the others off, waits
        for them, and is raised.
        """
        ...

    def http(
        self,
        client: Any = None,
        *,
        connect_timeout_s: float = 10.0,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
    ) -> Http:
        """A new HTTP client.

        Args:
            client: An ``httpx.Client`` (blocking) or ``httpx.AsyncClient`` of the app's own, to be used in its place.
            connect_timeout_s: The most that finding the host's addresses, and each of them, may take.
            ca_file: A PEM file with the only authorities to trust; None: the system's.
            proxy: By way of which; None: straight there. A client of the app's own has its own.

        Raises:
            ConfigError: The client is of the other kind, or none.
        """
        ...


# --- driving ----------------------------------------------------------------------------------------------------------


class SuspendedError(BaseException):
    """Thrown in where a coroutine suspends under the blocking face; never leaves :func:`drive`.

    No ``Exception``, so that neither failover nor retry takes it for a failed attempt: the mail would go out twice.
    """


_CLEANUPS = 100  # a coroutine may suspend again in each ``finally`` on its way out; one that never ends is dropped


def advance(coro: Coroutine[Any, Any, T]) -> T:
    """Take a coroutine to its end; ``SuspendedError`` if it suspends, its traceback ending where it did."""
    try:
        awaited = coro.send(None)
    except StopIteration as stop:
        return cast(T, stop.value)
    suspended = SuspendedError(f"{type(awaited).__module__}.{type(awaited).__qualname__}")
    for _ in range(_CLEANUPS):
        try:
            coro.throw(suspended)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - StopIteration too: that it swallowed ours makes it no success
            if exc is not suspended and not isinstance(exc, StopIteration):
                suspended.__cause__ = exc
            break
    else:
        with contextlib.suppress(RuntimeError):
            coro.close()
    raise suspended


def drive(coro: Coroutine[Any, Any, T]) -> T:
    """Take a coroutine that never suspends to its end, and return its value. What it raises comes out as it is.

    Raises:
        ConfigError: It suspended, so it needs an event loop. It was stopped there: the traceback ends on that await.
    """
    try:
        return advance(coro)
    except SuspendedError as exc:
        raise ConfigError(
            f"the coroutine awaited something that needs an event loop ({exc}), and Mailer has none: use AsyncMailer"
        ).with_traceback(exc.__traceback__) from exc.__cause__


def drive_iter(agen: AsyncGenerator[T, Any]) -> Generator[T, None, None]:
    """Iterate over an async generator that never suspends; closing this one closes that. Raises as :func:`drive`."""
    try:
        while True:
            try:
                item = drive(agen.__anext__())
            except StopAsyncIteration:
                return
            yield item
    finally:
        drive(agen.aclose())


# --- what both runtimes do alike --------------------------------------------------------------------------------------


def http_client(
    runtime: Runtime, client: Any, connect_timeout_s: float, ca_file: str | None, proxy: Proxy | None
) -> Http:
    """See :meth:`Runtime.http`."""
    if client is not None:
        from .http_given import GivenClient

        return GivenClient(runtime, client)
    from .http import HttpClient

    return HttpClient(runtime, connect_timeout_s=connect_timeout_s, ca_file=ca_file, proxy=proxy)


async def in_turn(jobs: Iterable[Job[T]]) -> list[T | Exception]:
    """Await the jobs one after the other, in place; what each returned or raised."""
    results: list[T | Exception] = []
    for job in jobs:
        try:
            results.append(await job())
        except Exception as exc:  # noqa: BLE001 - the caller finds it in the list
            results.append(exc)
    return results


def address_literal(host: str, port: int) -> Sequence[AddrInfo]:
    """Return the address that the host is, or nothing if it is a name. Asks no resolver."""
    import socket

    try:
        return _addresses(host, port, socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return ()


def addresses_of(host: str, port: int) -> Sequence[AddrInfo]:
    """Ask the system's resolver, blocking without limit. Raises ``ConnectError``."""
    try:
        return _addresses(host, port, 0)
    except OSError as exc:
        raise ConnectError(f"{host}: the name could not be resolved: {exc.strerror or exc}") from exc
    except ValueError as exc:  # also a label that is empty or too long
        raise ConnectError(f"{host!r} is not a host name: {exc}") from exc


def _addresses(host: str, port: int, flags: int) -> Sequence[AddrInfo]:
    import socket

    if not host or "\0" in host:  # the system would read the name up to the NUL
        raise ValueError("it is empty or holds a NUL")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return tuple(dict.fromkeys(AddrInfo(family, sockaddr) for family, _, _, _, sockaddr in found))

"""The race for a connection: a host's addresses, each tried a moment after the one before, until one answers.

"Happy eyeballs" (RFC 8305): families take turns, a refusal leads to the next address at once, silence after a quarter
of a second while the first may still win. The first that connects wins, the others are closed. Written once: the
runtime only waits for several sockets at a time, by ``poll`` or by tasks.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from .errors import ConnectError, DeadlineExceeded

if TYPE_CHECKING:
    from .runtime import AddrInfo, Runtime

__all__ = ["ATTEMPT_DELAY_S", "connected", "interleaved"]

ATTEMPT_DELAY_S = 0.25
"""How long an address has before the next is tried beside it: the recommendation of RFC 8305 section 5."""


def interleaved(addresses: Sequence[AddrInfo]) -> list[AddrInfo]:
    """The addresses with their families in turn, the first one's first (RFC 8305 section 4); order kept within each."""
    families: dict[int, list[AddrInfo]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    return [address for address in chain.from_iterable(zip_longest(*families.values())) if address is not None]


async def connected(
    runtime: Runtime,
    host: str,
    port: int,
    *,
    deadline: float,
    connect_timeout_s: float | None = None,
    addresses: Sequence[AddrInfo] = (),
    sources: Sequence[str] = (),
    attempt_delay_s: float = ATTEMPT_DELAY_S,
    on_found: Callable[[], None] | None = None,
) -> tuple[socket.socket, AddrInfo]:
    """Connect, and return the socket, not blocking, and the address that it leads to.

    Args:
        runtime: Where to wait.
        host: A name or an IP address, without brackets; of a unix socket, its path.
        port: The TCP port.
        deadline: The end of it all, on ``runtime.now()``.
        connect_timeout_s: The most that finding the addresses, and each of them, may take; None: the deadline's.
        addresses: Where the host is, if that is known; its name is not looked up then.
        sources: IP addresses of this machine to connect from, one for each family; a family that has none is not used.
            (): the system chooses.
        attempt_delay_s: How long an address has before the next is tried beside it.
        on_found: Called once the addresses are known.

    Raises:
        ConnectError: No address answered. The text names host, port and the reason for each address.
        DeadlineExceeded: The deadline came first, or the name was not resolved in time.
    """

    def limit() -> float:
        return deadline if connect_timeout_s is None else min(deadline, runtime.now() + connect_timeout_s)

    found = addresses or await runtime.resolve(host, port, limit())
    if on_found is not None:
        on_found()
    race = _Race(runtime, interleaved(found), {_family_of(source): source for source in sources})
    try:
        winner = await race.run(deadline, limit, attempt_delay_s)
    finally:
        race.close()
    if winner is not None:
        return winner
    name = host if host.startswith("/") else f"{host}:{port}"
    reasons = "; ".join(race.reasons)
    if runtime.now() >= deadline:
        raise DeadlineExceeded(f"no connection to {name} in time ({reasons})") from race.last
    raise ConnectError(f"no connection to {name} ({reasons})") from race.last


def _family_of(source: str) -> int:
    return socket.AF_INET6 if ":" in source else socket.AF_INET


@dataclass(frozen=True, slots=True)
class _Runner:
    address: AddrInfo
    until: float


class _Race:
    """Those that are on their way, and why the others are not."""

    def __init__(self, runtime: Runtime, addresses: Sequence[AddrInfo], sources: dict[int, str]) -> None:
        self.reasons: list[str] = []
        self.last: Exception | None = None
        self._runtime = runtime
        self._waiting = deque(addresses)
        self._sources = sources
        self._running: dict[socket.socket, _Runner] = {}

    def close(self) -> None:
        """Close what is still under way."""
        while self._running:
            self._running.popitem()[0].close()

    async def run(
        self, deadline: float, limit: Callable[[], float], delay_s: float
    ) -> tuple[socket.socket, AddrInfo] | None:
        """The first to connect; None if nobody does."""
        runtime = self._runtime
        next_at = runtime.now()
        while self._waiting or self._running:
            now = runtime.now()
            for sock in [sock for sock, runner in self._running.items() if runner.until <= now]:
                self._drop(sock, None)
            if self._waiting and (not self._running or now >= next_at):
                address = self._waiting.popleft()
                if now >= deadline:
                    self._waiting.clear()
                    self._say(address, "no time was left to try it")
                    continue
                before = len(self._running)
                if winner := self._start(address, limit()):
                    return winner, address
                # RFC 8305 section 5: what failed at once need not be waited out.
                next_at = now + delay_s if len(self._running) > before else now
                continue
            if not self._running:
                continue
            ends = [runner.until for runner in self._running.values()]
            for sock in await self._ready(min([*ends, next_at] if self._waiting else ends)):
                if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._drop(sock, OSError(code, os.strerror(code)))
                    next_at = now
                else:
                    return sock, self._running.pop(sock).address
        return None

    async def _ready(self, until: float) -> Sequence[socket.socket]:
        if len(self._running) > 1 or self._waiting:
            return await self._runtime.wait_any_writable(list(self._running), until)
        (sock,) = self._running
        try:
            await self._runtime.wait_writable(sock, until)
        except DeadlineExceeded:
            return ()
        return (sock,)

    def _start(self, address: AddrInfo, until: float) -> socket.socket | None:
        """Set out for this address; the socket if it is there already."""
        is_unix = isinstance(address.sockaddr, str)
        source = self._sources.get(address.family)
        if self._sources and source is None and not is_unix:
            self._say(address, "no source address is of its family")
            return None
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as exc:
            self._say(address, _reason(exc), exc)
            return None
        self._running[sock] = _Runner(address, until)
        bound = source is None
        try:
            sock.setblocking(False)
            if not is_unix:
                # Replies and commands are small and wait for each other: Nagle's algorithm would hold them back.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source is not None:
                sock.bind((source, 0))
                bound = True
            sock.connect(address.sockaddr)
        except (BlockingIOError, InterruptedError):
            if is_unix:  # EAGAIN: nothing is under way that could be waited for
                self._drop(sock, OSError("the server's queue of connections is full"))
            return None
        except OSError as exc:
            self._drop(sock, exc, "" if bound else f"not from the source address {source}: ")
            return None
        return sock if self._running.pop(sock) else None

    def _drop(self, sock: socket.socket, exc: OSError | None, prefix: str = "") -> None:
        sock.close()
        runner = self._running.pop(sock)
        self._say(runner.address, prefix + ("no answer in time" if exc is None else _reason(exc)), exc)

    def _say(self, address: AddrInfo, reason: str, exc: Exception | None = None) -> None:
        self.reasons.append(f"{address}: {reason}")
        self.last = exc or self.last


def _reason(exc: OSError) -> str:
    return exc.strerror or str(exc)

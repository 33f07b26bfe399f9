"""The race for a connection (RFC 8305): turns, head starts, losers closed, and where it starts from."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from worlds import World

from mailer.errors import ConfigError, ConnectError, DeadlineExceeded, DeliveryRefused
from mailer.race import connected, interleaved
from mailer.runtime import AddrInfo

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="relies on how Linux treats a full accept queue")


def v4(port: int, host: str = "127.0.0.1") -> AddrInfo:
    return AddrInfo(socket.AF_INET, (host, port))


def v6(port: int, host: str = "::1") -> AddrInfo:
    return AddrInfo(socket.AF_INET6, (host, port, 0, 0))


@contextlib.contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[Any]:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        server.settimeout(10)
        yield server


@contextlib.contextmanager
def black_hole(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that neither accepts nor refuses: its queue is full."""
    with contextlib.ExitStack() as stack:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = stack.enter_context(socket.create_server((host, 0), family=family, backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def race(world: World, *addresses: AddrInfo, within_s: float = 30.0, **more: Any) -> tuple[socket.socket, AddrInfo]:
    async def body() -> tuple[socket.socket, AddrInfo]:
        deadline = world.runtime.now() + within_s
        return await connected(world.runtime, "mx.test", 25, deadline=deadline, addresses=addresses, **more)

    return world.run(body)


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ("", ""),
        ("4a", "4a"),
        ("4a 4b", "4a 4b"),
        ("6a 6b 6c 4a", "6a 4a 6b 6c"),
        ("4a 4b 6a 6b 6c", "4a 6a 4b 6b 6c"),
    ],
)
def test_families_take_turns(given: str, order: str) -> None:
    made = [AddrInfo(int(word[0]), (word,)) for word in given.split()]
    assert [address.sockaddr[0] for address in interleaved(made)] == order.split()


@only_linux
def test_f73_a_black_hole_costs_a_head_start_and_no_more(world: World) -> None:
    with black_hole("::1") as hole, listening() as server:
        start = world.runtime.now()
        sock, address = race(world, v6(hole), v4(server.getsockname()[1]), connect_timeout_s=20)
        assert address == v4(server.getsockname()[1])
        assert 0.2 < world.runtime.now() - start < 3
        assert sock.getpeername() == server.getsockname()
        sock.close()


@only_linux
def test_the_first_may_still_win_after_its_head_start(world: World) -> None:
    """The loser's socket is closed: one left open is a ResourceWarning, an error in these tests."""
    seen: list[int] = []

    class Watched(type(world.runtime)):  # type: ignore[misc]
        async def wait_any_writable(self, socks: Any, deadline: Any) -> Any:
            seen.append(len(socks))
            return [socks[0]] if len(socks) == 2 else []

    world.runtime = Watched()
    with black_hole() as one, black_hole("127.0.0.2") as two:
        sock, address = race(world, v4(one), v4(two, "127.0.0.2"), attempt_delay_s=0.0)
        assert address == v4(one)
        assert seen[-1] == 2
        sock.close()


@only_linux
def test_f1_every_failure_is_named_and_the_deadline_kept(world: World) -> None:
    with refusing() as closed, black_hole() as hole:
        for within_s, timeout_s, kind in [(30.0, 0.1, ConnectError), (0.2, None, DeadlineExceeded)]:
            start = world.runtime.now()
            with pytest.raises(kind) as caught:
                race(
                    world,
                    v4(closed),
                    v4(hole),
                    v4(closed, "127.0.0.3"),
                    within_s=within_s,
                    connect_timeout_s=timeout_s,
                    attempt_delay_s=0.01,
                )
            assert world.runtime.now() - start < 3
            assert f"127.0.0.1:{closed}: Connection refused" in str(caught.value)
            assert f"127.0.0.3:{closed}: Connection refused" in str(caught.value)
            assert f"127.0.0.1:{hole}: no answer in time" in str(caught.value)
            assert isinstance(caught.value.__cause__, OSError)


@only_linux
def test_cancelled_among_several_it_leaves_no_socket_behind(async_world: World) -> None:
    """One left open is a ResourceWarning, an error in these tests."""
    import anyio

    async def body(one: int, two: int) -> bool:
        with anyio.move_on_after(0.05) as scope:
            deadline = async_world.runtime.now() + 30
            addresses = [v4(one), v4(two)]
            await connected(async_world.runtime, "x", 25, deadline=deadline, addresses=addresses, attempt_delay_s=0)
        return scope.cancelled_caught

    with black_hole() as one, black_hole() as two:
        assert async_world.run(body, one, two)


def test_no_time_at_all(world: World) -> None:
    with pytest.raises(DeadlineExceeded, match="no time was left"):
        race(world, v4(9), v4(10), within_s=-1)


def test_it_starts_where_it_is_told_to(world: World) -> None:
    with listening() as server:
        port = server.getsockname()[1]
        sock, _ = race(world, v6(port), v4(port), sources=("127.0.0.9",))
        assert sock.getsockname()[0] == "127.0.0.9"
        accepted, peer = server.accept()
        assert peer[0] == "127.0.0.9"
        accepted.close()
        sock.close()
        with pytest.raises(ConnectError, match=r"not from the source address 192\.0\.2\.77") as caught:
            race(world, v6(port), v4(port), sources=("192.0.2.77",))
        assert "no source address is of its family" in str(caught.value)


def test_the_source_is_a_setting() -> None:
    from mailer import Mailer, Message
    from mailer.testing import ScriptedServer

    script = "S: 220 hi\nC: EHLO *127.0.0.8*\nS: 250 hello\nC: MAIL *\nS: 550 no\nC: RSET\nS: 250 ok\nC: QUIT\n"
    with (
        ScriptedServer(script) as server,
        Mailer(f"smtp://127.0.0.1:{server.port}?source_address=127.0.0.8", retry=None) as mailer,
        pytest.raises(DeliveryRefused),
    ):
        mailer.send(Message(from_="a@x.test", to="b@x.test", subject="s", text="t"))
    for value in ("localhost", "127.0.0.1,127.0.0.2", "1.2.3"):
        with pytest.raises(ConfigError, match="source_address"):
            Mailer(f"smtp://127.0.0.1?source_address={value}")

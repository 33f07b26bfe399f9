"""Pipelining and chunks at their limits: timers, buffers, large mails, cancellation, what was learnt."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import anyio
import pytest
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, exchange, message, sent, shown, url
from hypothesis import given
from hypothesis import strategies as st
from rules import Cut, Rules, RuleServer
from test_cancellation import counted
from test_exchange import WAYS
from worlds import World

from mailer import AsyncMailer, DeliveryRefused, Mailer
from mailer.errors import ConfigError, TransportError
from mailer.mail import Content
from mailer.runtime import BlockingRuntime, drive
from mailer.smtp.endpoint import Timeouts
from mailer.smtp.passage import _stretches
from mailer.testing import ScriptedServer, SmtpServer

BIG = "x" * 76 + "\n"

# --- timers -----------------------------------------------------------------------------------------------------------


class Watched(BlockingRuntime):
    """Writes down how long it was ready to wait, each time."""

    def __init__(self) -> None:
        self.waits: list[int] = []

    async def wait_readable(self, sock: Any, deadline: float | None) -> None:
        assert deadline is not None
        self.waits.append(round(deadline - self.now()))
        await super().wait_readable(sock, deadline)


@pytest.mark.parametrize("way", ["plain", "pipelining"])
def test_check_01_each_step_has_its_own_timer_in_every_way(way: str) -> None:
    timers = {"greeting": 31, "ehlo": 32, "mail": 33, "rcpt": 34, "data": 35, "final": 36}
    options = {f"{name}_timeout": value for name, value in timers.items()}
    with RuleServer(Rules(offers=WAYS[way], segments="line")) as server:
        mailer = Mailer(url(server, **{"command_timeout": 90, "timeout": 9000, **options}))
        mailer.backend.runtime = watched = Watched()
        assert mailer.send(message("b@y.test", "c@y.test")).ok
        mailer.close()
    # A reply that came with the one before is not waited for; what is waited for has its own time.
    waits = list(dict.fromkeys(watched.waits))
    assert set(waits) <= set(timers.values())
    assert waits == sorted(waits)
    assert waits[0] == 31
    assert waits[-1] == 36
    if way == "plain":
        assert waits == list(timers.values())


@pytest.mark.parametrize(
    ("option", "script"),
    [
        ("greeting_timeout", ""),
        ("ehlo_timeout", HI + "C: EHLO *\n"),
        ("mail_timeout", HI + EHLO + "C: MAIL *\n"),
        ("rcpt_timeout", HI + EHLO + MAIL + "C: RCPT *\n"),
        ("data_timeout", HI + EHLO + MAIL + RCPT + "C: DATA\n"),
        ("final_timeout", HI + EHLO + MAIL + RCPT + DATA),
    ],
)
def test_check_01_each_timer_fires_at_its_step(world: World, option: str, script: str) -> None:
    options = {"command_timeout": 30, "final_timeout": 30, option: 0.1}
    started = time.monotonic()
    with exchange(world, script + "S: hold\n", **options) as (_, mailer):
        _, error = sent(mailer)
    assert time.monotonic() - started < 10
    assert "in time" in str(error.__cause__)


def test_check_01_the_values_of_the_rfc() -> None:
    rfc = Timeouts.rfc5321()
    steps = ("the connection", "EHLO", "MAIL", "RCPT", "DATA", "the mail", "the final dot")
    assert [rfc.of(step) for step in steps] == [300, 300, 300, 300, 120, 180, 600]
    assert Timeouts().of("the mail") == Timeouts().final_s
    with pytest.raises(ConfigError, match="rcpt_s"):
        Timeouts(rcpt_s=0)


# --- buffers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["pipelining", "chunking"])
def test_check_39_a_thousand_recipients_go_in_groups(world: World, way: str) -> None:
    """Long replies to each of them would fill both sides' buffers, were all commands written first."""
    names = [f"r{number}" for number in range(1000)]
    replies = dict.fromkeys(names, "250 2.1.5 " + "y" * 480)
    with RuleServer(Rules(offers=WAYS[way], rcpt=replies)) as server:
        with world.mailer(url(server)) as mailer:
            receipt = mailer.send(message(*[f"{name}@y.test" for name in names]))
        assert server.wait_idle()
    assert receipt.ok
    (mail,) = server.mails
    assert len(mail[1]) == 1000


@pytest.mark.parametrize("end", ["S: delay 20\n", "S: close\n", "S: reset\n"])
def test_f54_a_refusal_is_seen_though_the_server_reads_no_more(world: World, end: str) -> None:
    offer = "C: EHLO *\nS: 250-hello\nS: 250 PIPELINING\n"
    script = HI + offer + "C: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
    script += "C: <bytes 65536>\nS: 552 5.3.4 too big\n" + end
    started = time.monotonic()
    with ScriptedServer(script) as peer, world.mailer(url(peer, final_timeout=30)) as mailer:
        receipt, error = sent(mailer, message(text=BIG * 200_000))
        assert time.monotonic() - started < 10
    assert type(error) is DeliveryRefused
    assert shown(receipt) == [("b@y.test", "rejected", 552, "5.3.4", "too big")]


@pytest.mark.parametrize("way", ["pipelining", "chunking", "lone chunking"])
def test_a_large_mail_arrives_octet_for_octet_in_flat_memory(way: str) -> None:
    class Lines:
        def __len__(self) -> int:
            return 78 * 120_000

        def __iter__(self) -> Any:
            return iter([(b"." + b"z" * 75 + b"\r\n") * 100] * 1200)

    with RuleServer(Rules(offers=WAYS[way])) as server, Mailer(url(server)) as mailer:
        mail = mailer.compose(message()).with_(content=Content((b"Subject: s\r\n\r\n", Lines())))
        tracemalloc.start()
        receipt = drive(mailer.backend.send(mail))  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert receipt.ok
    ((_, _, content),) = server.mails
    assert content == bytes(mail.content)
    assert peak < len(content) * 4  # the server's copies are in it; ours would be on top


@pytest.mark.parametrize("way", ["chunking", "lone chunking"])
def test_f57_a_chunk_refused_half_way_ends_the_transaction(world: World, way: str) -> None:
    made = Rules(offers=WAYS[way], chunks=("250 2.0.0 go on", "503 5.5.1 no"))
    with RuleServer(made) as server:
        with world.mailer(url(server)) as mailer:
            receipt, error = sent(mailer, message(text=BIG * 40_000))
            assert sent(mailer)[0].ok
        assert server.wait_idle()
    assert type(error) is DeliveryRefused
    assert shown(receipt) == [("b@y.test", "rejected", 503, "5.5.1", "no")]
    (mail,) = server.mails  # the second alone
    assert len(mail[2]) < 1000
    (lines,) = server.commands
    assert "RSET" in lines
    assert "DATA" not in lines
    assert not any("LAST" in line for line in lines[: lines.index("RSET")]) or way == "chunking"


@given(st.lists(st.binary(max_size=40)), st.integers(1, 12))
def test_stretches_are_the_same_bytes_none_too_long(chunks: list[bytes], size: int) -> None:
    made = list(_stretches(chunks, size))
    assert b"".join(made) == b"".join(chunks)
    assert max(map(len, made)) <= size
    assert all(made) or made == [b""]


# --- many at once -----------------------------------------------------------------------------------------------------


def test_the_next_envelope_rides_behind_the_dot(world: World) -> None:
    """One write for each mail but the first and the last: the server sees them come together."""
    script = HI + "C: EHLO *\nS: 250-hello\nS: 250 PIPELINING\n" + "C: MAIL *\nC: RCPT *\nC: DATA\n"
    for _ in range(3):
        script += "S: 250 ok\nS: 250 ok\nS: 354 go\nC: <data>\nC: MAIL *\nC: RCPT *\nC: DATA\nS: 250 taken\n"
    script += "S: 250 ok\nS: 250 ok\nS: 354 go\nC: <data>\n" + OK + QUIT
    with exchange(world, script) as (peer, mailer):
        assert all(receipt.ok for receipt in mailer.send_many([message() for _ in range(4)]))
    assert len(peer.received) == 4


def test_a_window_of_mails_is_written_before_the_first_is_answered(world: World) -> None:
    script = HI + "C: EHLO *\nS: 250-hello\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
    one = "C: MAIL *\nC: RCPT *\nC: BDAT * LAST\nC: <chunk>\n"
    script += one + ("C: RSET\n" + one) * 3 + "S: 250 ok\nS: 250 ok\nS: 250 taken\n"
    script += "C: RSET\n" + one + "S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 250 taken\n" * 4
    with exchange(world, script + QUIT, window=4) as (peer, mailer):
        assert all(receipt.ok for receipt in mailer.send_many([message() for _ in range(5)]))
    assert len(peer.received) == 5


def test_at_most_the_window_is_unknown_when_the_link_dies(world: World) -> None:
    made = Rules(offers=WAYS["chunking"], cut=Cut(22, "close"))
    with RuleServer(made) as server:
        with world.mailer(url(server, window=4)) as mailer:
            receipts = mailer.send_many([message(f"n{number}@y.test") for number in range(20)])
        assert server.wait_idle()
    outcomes = [receipt.results[0].outcome.value for receipt in receipts]
    assert 1 <= outcomes.count("unknown") <= 4
    assert set(outcomes) == {"accepted", "unknown"}  # those that had not left went over another connection
    assert len(server.commands) == 2


def test_check_20_a_host_that_breaks_every_connection_gets_few(world: World) -> None:
    script = HI + EHLO + "C: MAIL *\nS: close\n"
    with exchange(world, script) as (peer, mailer):
        receipts = mailer.send_many([message() for _ in range(50)])
    assert {receipt.results[0].outcome.value for receipt in receipts} == {"deferred"}
    assert all(isinstance(receipt.cause, TransportError) for receipt in receipts)
    assert peer.connections == 3


@pytest.mark.parametrize(("way", "ends"), [("plain", "uuudddd"), ("pipelining", "uuudddd"), ("chunking", "uuuuuuu")])
def test_f46_check_20_a_host_that_breaks_at_every_dot_leaves_few_in_doubt(world: World, way: str, ends: str) -> None:
    with SmtpServer(extensions=WAYS[way]) as peer, world.mailer(peer.url, retry=None) as mailer:
        peer.on(".").drop()
        receipts = mailer.send_many([message() for _ in range(7)])
    assert "".join(receipt.results[0].outcome.value[0] for receipt in receipts) == ends
    assert len(peer.sessions) == (1 if way == "chunking" else 3)


def test_a_mail_whose_content_cannot_be_read_harms_no_other(world: World) -> None:
    class Broken:
        def __init__(self, size: int) -> None:
            self.size = size

        def __len__(self) -> int:
            return self.size

        def __iter__(self) -> Any:
            yield b"Subject: s\r\n\r\n"
            raise OSError("the disk is gone")

    async def work(mailer: Any) -> Any:
        composed = [(await aio(mailer.compose(message(f"n{number}@y.test")))) for number in range(5)]
        composed[1] = composed[1].with_(content=Content((Broken(5000),)))
        composed[3] = composed[3].with_(content=Content((Broken(500_000),)))
        return await mailer.backend.send_many(composed)

    for way in WAYS:
        with RuleServer(Rules(offers=WAYS[way])) as server:
            with world.mailer(url(server)) as mailer:
                receipts = world.run(work, mailer.wrapped)
            assert server.wait_idle()
        outcomes = [receipt.results[0].outcome.value for receipt in receipts]
        assert outcomes == ["accepted", "deferred", "accepted", "deferred", "accepted"], way
        assert "the disk is gone" in str(receipts[1].cause)
        assert "the disk is gone" in str(receipts[3].cause)


async def aio(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


@pytest.mark.parametrize("way", ["pipelining", "chunking"])
def test_f91_send_many_cancelled_at_each_await_point(async_world: World, way: str) -> None:
    async def work(where: str, at: int) -> tuple[bool, dict[str, str]]:
        told: dict[str, str] = {}
        mailer = AsyncMailer(where)
        for name in ("sent", "deferred", "rejected", "unknown"):

            def tell(context: Any, name: str = name) -> None:
                assert context.message.subject not in told
                told[context.message.subject] = name

            mailer.hooks.add_action(name, tell)

        async def send() -> None:
            async for _ in mailer.send_many([message(subject=f"number {number}") for number in range(3)]):
                pass

        with anyio.CancelScope() as scope:
            await counted(send(), at, scope.cancel)
        kept = all(session.is_open for session in mailer.backend._pool.idle)  # type: ignore[attr-defined]
        assert mailer.backend._pool.lent == 0  # type: ignore[attr-defined]
        assert kept
        with anyio.CancelScope(shield=True):
            await mailer.aclose()
        return scope.cancelled_caught, told

    seen: set[str] = set()
    for at in range(1, 200):
        with RuleServer(Rules(offers=WAYS[way], segments="line")) as server:
            cancelled, told = async_world.run(work, url(server), at)
            assert server.wait_idle(), f"await point {at}: the connection was left open"
        for subject, outcome in told.items():
            times = sum(f"Subject: {subject}\r\n".encode() in mail[2] for mail in server.mails)
            assert times == {"sent": 1, "deferred": 0}.get(outcome, times), (at, told)
        seen |= set(told.values())
        if not cancelled:
            assert len(told) == 3
            break
    else:
        raise AssertionError("it never came to its end")
    assert "sent" in seen
    assert "deferred" in seen

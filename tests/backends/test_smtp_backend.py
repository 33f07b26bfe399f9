"""The SMTP backend: connections kept, dropped and never shared; what ``send`` and ``send_many`` say of them."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, exchange, message, sent, shown, url
from worlds import World

from mailer import (
    AsyncMailer,
    DeliveryDeferred,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnknown,
    Mailer,
    MailerError,
    Message,
    Outcome,
)
from mailer.errors import AuthError, ConnectError, MessageError, ProtocolError, TransportError
from mailer.mailbox import Mailbox
from mailer.testing import ScriptedServer

ONE = MAIL + RCPT + DATA + OK
WHOLE = HI + EHLO + ONE + QUIT


def stale(mailer: object) -> None:
    """Wait until something has come on the kept connection; on a slow machine it came with the reply before."""
    for session in mailer.backend._pool.idle:  # type: ignore[attr-defined]
        assert select.select([session._stream._sock], [], [], 5)[0]


# --- kept connections -------------------------------------------------------------------------------------------------


def test_two_sends_share_one_connection_and_close_says_quit(world: World) -> None:
    with exchange(world, HI + EHLO + ONE + ONE + "C: QUIT\nS: 221 bye\nC: <eof>\n") as (peer, mailer):
        assert sent(mailer)[0].ok
        assert sent(mailer)[0].ok
    assert peer.connections == 1
    assert len(peer.received) == 2


def test_a_closed_mailer_connects_anew(world: World) -> None:
    with exchange(world, WHOLE) as (peer, mailer):
        assert sent(mailer)[0].ok
        mailer.close()
        mailer.close()
        assert sent(mailer)[0].ok
    assert peer.connections == 2


@pytest.mark.parametrize("end", ["S: close", "S: 421 4.4.2 idle\nS: close", "S: reset"], ids=["end", "421", "reset"])
def test_f66_an_idle_connection_that_the_server_closed_is_replaced(world: World, end: str) -> None:
    with exchange(world, HI + EHLO + ONE + "S: delay 0.05\n" + end + "\n---\n" + WHOLE) as (peer, mailer):
        assert sent(mailer)[0].ok
        stale(mailer)
        receipt, error = sent(mailer)
    assert error is None
    assert shown(receipt) == [("b@y.test", "accepted", 250, "2.0.0", "queued as ABC123")]
    assert len(receipt.attempts) == 1  # none is counted against the message
    assert receipt.attempts[0].cause is None
    assert peer.connections == 2
    assert len(peer.received) == 2


@pytest.mark.parametrize("data", ["250 ok\\r\\n", "2", "*** hello\\r\\n"])
def test_stale_data_before_mail_is_never_taken_for_an_answer(world: World, data: str) -> None:
    with exchange(world, HI + EHLO + ONE + f"S: delay 0.05\nS: bytes b'{data}'\nC: <eof>\n---\n" + WHOLE) as (
        peer,
        mailer,
    ):
        assert sent(mailer)[0].ok
        stale(mailer)
        assert sent(mailer)[0].ok
    assert peer.connections == 2


@pytest.mark.parametrize("answer", ["S: close", "S: 421 4.4.2 too late\nC: <eof>", "S: reset"])
def test_f66_an_idle_connection_that_ends_at_mail_is_replaced(world: World, answer: str) -> None:
    script = HI + EHLO + ONE + f"C: MAIL *\n{answer}\n---\n" + WHOLE
    with exchange(world, script) as (peer, mailer):
        assert sent(mailer)[0].ok
        receipt, error = sent(mailer)
    assert error is None
    assert receipt.ok
    assert peer.connections == 2
    assert len(peer.received) == 2


def test_only_the_kept_connection_is_replaced_not_the_new_one(world: World) -> None:
    broken = HI + EHLO + "C: MAIL *\nS: close\n"
    with exchange(world, HI + EHLO + ONE + "C: MAIL *\nS: close\n---\n" + broken) as (peer, mailer):
        assert sent(mailer)[0].ok
        receipt, error = sent(mailer)
    assert type(error) is DeliveryDeferred
    assert peer.connections == 2
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]


@pytest.mark.parametrize("step", ["RCPT", "DATA", "dot"])
def test_what_was_begun_on_a_kept_connection_is_not_begun_again(world: World, step: str) -> None:
    """Only before the answer to MAIL is it sure that the server did nothing with the mail."""
    rest = {"RCPT": MAIL + "C: RCPT *\n", "DATA": MAIL + RCPT + "C: DATA\n", "dot": MAIL + RCPT + DATA}[step]
    with exchange(world, HI + EHLO + ONE + rest + "S: close\n") as (peer, mailer):
        assert sent(mailer)[0].ok
        receipt, error = sent(mailer)
    assert type(error) is (DeliveryUnknown if step == "dot" else DeliveryDeferred)
    assert [r.outcome for r in receipt.results] == [Outcome.UNKNOWN if step == "dot" else Outcome.DEFERRED]
    assert peer.connections == 1


def test_a_broken_session_is_not_used_again(world: World) -> None:
    broken = HI + EHLO + MAIL + RCPT + "C: DATA\nS: 250 what\nC: <eof>\n"
    with exchange(world, broken + "---\n" + WHOLE) as (peer, mailer):
        assert type(sent(mailer)[1].__cause__) is ProtocolError
        assert sent(mailer)[0].ok
    assert peer.connections == 2


def test_check_closes_what_it_opened_and_says_what_is_offered(world: World) -> None:
    script = HI + "C: EHLO *\nS: 250-hello\nS: 250-SIZE 1000\nS: 250 DSN\nC: QUIT\nC: <eof>\n"
    with exchange(world, script) as (peer, mailer):
        health = mailer.check()
        assert peer.wait_idle()
    assert health.ok
    assert health.raise_unless_ok() is health
    assert health.facts["size"] == "1000"
    assert health.facts["dsn"] == "yes"
    assert health.facts["tls"] == "none"


def test_check_says_what_is_wrong_and_raises_nothing(world: World) -> None:
    with exchange(world, "S: 554 go away\nC: <eof>\n") as (_, mailer):
        health = mailer.check()
    assert not health.ok
    assert type(health.cause) is ConnectError
    with pytest.raises(ConnectError, match="554 go away"):
        health.raise_unless_ok()


def test_nothing_is_opened_before_it_is_needed(world: World) -> None:
    with ScriptedServer(HI) as peer:
        with world.mailer(url(peer)) as mailer:
            mailer.compose(message())
        assert peer.connections == 0


# --- who shares a connection ------------------------------------------------------------------------------------------

FORK = """
import os, sys
from mailer import Mailer, Message
url = sys.argv[1]
message = Message(from_="a@x.test", to="b@y.test", subject="s", text="t")
mailer = Mailer(url)
assert mailer.send(message).ok
child = os.fork()
if child == 0:
    ok = mailer.send(message).ok
    mailer.close()
    os._exit(0 if ok else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert mailer.send(message).ok
mailer.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("secure", [False, True])
def test_a_fork_shares_no_connection(secure: bool, server_tls: ssl.SSLContext, ca_file: str) -> None:
    with Mailbox(tls=server_tls if secure else None) as mailbox:
        where = f"smtp://localhost:{mailbox.port}?" + (f"tls=required&ca_file={ca_file}" if secure else "tls=none")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", FORK, where], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        assert len(mailbox.wait_for(3)) == 3
        greetings = [line for line in mailbox.dialogue if line.startswith("S: 220") and "ESMTP" in line]
        assert len(greetings) == 2  # the parent's, kept through the fork, and the child's


def test_eight_threads_on_one_mailer() -> None:
    errors: list[BaseException] = []

    def work(mailer: Mailer, thread: int) -> None:
        try:
            for number in range(15):
                receipt = mailer.send(message(f"t{thread}n{number}@y.test"))
                assert receipt.ok
        except BaseException as error:
            errors.append(error)

    with Mailbox() as mailbox, Mailer(mailbox.url) as mailer:
        threads = [threading.Thread(target=work, args=(mailer, n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert errors == []
        got = mailbox.wait_for(120)
        assert len(mailer.backend._pool.idle) <= 8
    assert sorted(mail.recipients for mail in got) == sorted((f"t{t}n{n}@y.test",) for t in range(8) for n in range(15))
    assert all(b"To: " + mail.recipients[0].encode() in mail.content for mail in got)  # no two mails mixed
    gc.collect()


def test_many_tasks_on_one_async_mailer(async_world: World) -> None:
    import anyio

    async def work(where: str) -> int:
        async with AsyncMailer(where) as mailer, anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(mailer.send, message(f"n{number}@y.test"))
        return len(mailer.backend._pool.idle)

    with Mailbox() as mailbox:
        assert async_world.run(work, mailbox.url) == 0
        got = mailbox.wait_for(20)
    assert {mail.recipients for mail in got} == {(f"n{n}@y.test",) for n in range(20)}


def test_one_async_mailer_met_by_two_event_loops() -> None:
    with ScriptedServer(HI + EHLO + ONE + "C: <eof>\n---\n" + WHOLE) as peer:
        mailer = AsyncMailer(url(peer))
        assert asyncio.run(mailer.send(message())).ok
        assert asyncio.run(mailer.send(message())).ok  # the first loop's connection is dropped, not used

        asyncio.run(mailer.aclose())  # a third loop: the connection is closed without a word
        assert peer.wait_idle()
        assert peer.connections == 2
        assert len(peer.received) == 2
    gc.collect()


def test_a_mailer_that_is_only_dropped_leaves_no_warning_behind_its_close(world: World) -> None:
    with exchange(world, WHOLE) as (_, mailer):
        assert sent(mailer)[0].ok
    gc.collect()  # a socket left open would be an error (filterwarnings = error)
    assert len(mailer.backend._pool.idle) == 0


def test_the_blocking_mailer_works_inside_a_running_loop() -> None:
    async def work(where: str) -> bool:
        with Mailer(where) as mailer:
            return mailer.send(message()).ok

    with ScriptedServer(WHOLE) as peer:
        assert asyncio.run(work(url(peer)))
        assert peer.wait_idle()
        peer.assert_clean()


# --- what send says ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "dot", "error"),
    [
        (("250", "550"), "451", DeliveryDeferred),
        (("250", "450"), "554", DeliveryDeferred),
        (("250", "550"), "554", DeliveryRefused),
        (("250", "550"), None, DeliveryUnknown),
        (("250", "450"), None, DeliveryUnknown),
        (("250", "450"), "250", None),
        (("550", "250"), "250", None),
    ],
)
def test_the_first_that_applies_of_unknown_deferred_refused_is_raised(
    world: World, codes: tuple[str, str], dot: str | None, error: type[DeliveryError] | None
) -> None:
    script = HI + EHLO + MAIL + "".join(f"C: RCPT *\nS: {code} so\n" for code in codes) + DATA
    script += f"S: {dot} so\nC: QUIT\n" if dot else "S: close\n"
    with exchange(world, script) as (_, mailer):
        receipt, raised = sent(mailer, message("b@y.test", "c@y.test"))
    assert (type(raised) if raised else None) is error
    assert len(receipt.results) == 2
    if raised is not None:
        assert raised.receipt is receipt
        assert str(raised.receipt.results[0].address.addr_spec) in str(raised) or "c@y.test" in str(raised)
        assert (raised.__cause__ is None) is (dot is not None)


def test_raise_for_rejected_and_raise_unless_ok(world: World) -> None:
    script = HI + EHLO + MAIL + RCPT + "C: RCPT *\nS: 550 5.1.1 no\nC: RCPT *\nS: 450 4.2.0 later\n" + DATA + OK
    with exchange(world, script + "C: QUIT\n") as (_, mailer):
        receipt = mailer.send(message("b@y.test", "c@y.test", "d@y.test"))
    assert not receipt.ok
    with pytest.raises(DeliveryRefused, match=r"c@y\.test: 550 5\.1\.1 no") as refused:
        receipt.raise_for_rejected()
    assert refused.value.receipt is receipt
    with pytest.raises(DeliveryDeferred, match=r"d@y\.test: 450 4\.2\.0 later"):
        receipt.raise_unless_ok()


def test_the_attempt_is_recorded(world: World) -> None:
    script = HI + EHLO + MAIL + RCPT + "C: RCPT *\nS: 550 5.1.1 no\n" + DATA + OK + "C: QUIT\n"
    with exchange(world, script) as (_, mailer):
        receipt = mailer.send(message("b@y.test", "c@y.test"))
        (attempt,) = receipt.attempts
        assert attempt.backend == receipt.backend == str(mailer.backend)
    assert attempt.started_at.tzinfo is not None
    assert 0 <= attempt.duration_s < 5
    assert dict(attempt.outcomes) == {Outcome.ACCEPTED: 1, Outcome.REJECTED: 1}
    assert attempt.cause is None
    assert type(receipt).from_dict(receipt.to_dict()) == receipt


def test_the_hooks_hear_each_outcome_once(world: World) -> None:
    script = HI + EHLO + MAIL + RCPT + "C: RCPT *\nS: 550 5.1.1 no\nC: RCPT *\nS: 451 4.2.0 later\n" + DATA + OK
    told = []
    with exchange(world, script + "C: QUIT\n") as (_, mailer):
        for name in ("sending", "sent", "deferred", "rejected", "unknown", "failed"):
            mailer.hooks.add_action(
                name, lambda c, name=name: told.append((name, [a.addr_spec for a in c.recipients], c.attempt))
            )
        mailer.send(message("b@y.test", "c@y.test", "d@y.test"))
    assert told == [
        ("sending", [], 1),
        ("sent", ["b@y.test"], 1),
        ("deferred", ["d@y.test"], 1),
        ("rejected", ["c@y.test"], 1),
    ]


# --- send_many --------------------------------------------------------------------------------------------------------


def test_send_many_gives_a_receipt_for_each_in_order_over_one_connection(world: World) -> None:
    refused = MAIL + "C: RCPT *\nS: 550 5.1.1 no\nC: RSET\nS: 250 ok\n"
    with exchange(world, HI + EHLO + ONE + refused + ONE + "C: QUIT\n") as (peer, mailer):
        receipts = mailer.send_many([message(), message(), Message(from_="a@x.test", text="x"), message()])
    assert [r.message_index for r in receipts] == [0, 1, 2, 3]
    assert [r.ok for r in receipts] == [True, False, False, True]
    assert [r.outcome for r in receipts[1].results] == [Outcome.REJECTED]
    assert receipts[1].error is None
    assert isinstance(receipts[2].error, MessageError)
    assert receipts[2].results == ()
    with pytest.raises(MessageError):
        receipts[2].raise_unless_ok()
    assert peer.connections == 1


def test_send_many_goes_on_after_a_connection_that_broke(world: World) -> None:
    with exchange(world, HI + EHLO + MAIL + RCPT + DATA + "S: close\n---\n" + HI + EHLO + ONE + "C: QUIT\n") as (
        _,
        mailer,
    ):
        receipts = mailer.send_many([message(), message()])
    assert [[r.outcome for r in receipt.results] for receipt in receipts] == [[Outcome.UNKNOWN], [Outcome.ACCEPTED]]
    assert isinstance(receipts[0].cause, TransportError)


def test_send_many_is_lazy_and_an_iterable_that_raises_does_so_after_the_receipts(world: World) -> None:
    pulled: list[int] = []
    receipts: list[object] = []

    def messages() -> Iterator[Message]:
        for number in range(2):
            pulled.append(number)
            yield message()
        raise LookupError("the third")

    async def work(mailer: AsyncMailer) -> None:
        async for receipt in mailer.send_many(messages(), window=1):
            assert len(pulled) == len(receipts) + 1
            receipts.append(receipt)

    def blocking(mailer: Mailer) -> None:
        for receipt in mailer.send_many(messages(), window=1):
            assert len(pulled) == len(receipts) + 1
            receipts.append(receipt)

    with (
        exchange(world, HI + EHLO + ONE + ONE + "C: QUIT\n") as (_, mailer),
        pytest.raises(LookupError, match="the third"),
    ):
        if world.portal is None:
            blocking(mailer.wrapped)
        else:
            world.run(work, mailer.wrapped)
    assert len(receipts) == 2


def test_send_many_left_early_finishes_what_is_on_the_wire(world: World) -> None:
    async def work(mailer: AsyncMailer) -> None:
        import contextlib

        async with contextlib.aclosing(mailer.send_many((message() for _ in range(9)), window=1)) as receipts:
            async for receipt in receipts:
                assert receipt.ok
                break

    with exchange(world, HI + EHLO + ONE + "C: QUIT\n") as (peer, mailer):
        if world.portal is None:
            for _ in mailer.wrapped.send_many((message() for _ in range(9)), window=1):
                break
        else:
            world.run(work, mailer.wrapped)
    assert len(peer.received) == 1


def test_send_many_takes_an_async_iterable(async_world: World) -> None:
    async def messages():  # type: ignore[no-untyped-def]
        yield message()
        yield message()

    with exchange(async_world, HI + EHLO + ONE + ONE + "C: QUIT\n") as (_, mailer):
        assert [r.message_index for r in mailer.send_many(messages())] == [0, 1]


# --- the URL's settings -----------------------------------------------------------------------------------------------


def test_the_name_for_ehlo_is_a_setting(world: World) -> None:
    with exchange(world, HI + "C: EHLO mail.x.test\nS: 250 hello\n" + ONE + "C: QUIT\n", helo="mail.x.test") as (
        _,
        mailer,
    ):
        assert sent(mailer)[0].ok


def test_an_ipv6_literal_says_so(world: World) -> None:
    script = HI + "C: EHLO [IPv6:::1]\nS: 250 hello\n" + ONE + "C: QUIT\n"
    try:
        peer = ScriptedServer(script, host="::1").start()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with peer:
        with world.mailer(url(peer, host="[::1]")) as mailer:
            assert sent(mailer)[0].ok
        assert peer.wait_idle()
        peer.assert_clean()


def test_credentials_over_tls_to_the_embedded_server(world: World, server_tls: ssl.SSLContext, ca_file: str) -> None:
    with Mailbox(tls=server_tls, users={"us@er": "p:ss/wörd"}) as mailbox:
        where = f"smtp://us%40er:p%3Ass%2Fw%C3%B6rd@localhost:{mailbox.port}?ca_file={ca_file}"
        with world.mailer(where) as mailer:
            assert mailer.send(message()).ok
        (mail,) = mailbox.wait_for(1)
        assert (mail.user, mail.is_tls, mail.sender) == ("us@er", True, "a@x.test")
        with world.mailer(where.replace("p%3A", "q%3A")) as mailer:
            _, error = sent(mailer)
        assert type(error.__cause__) is AuthError


def test_every_error_that_leaves_is_of_the_library(world: World) -> None:
    for script in ("S: close\n", "S: abc\n", "S: 554 no\n", HI + "C: EHLO *\nS: 421 no\n"):
        with ScriptedServer(script) as peer, world.mailer(url(peer)) as mailer, pytest.raises(MailerError):
            mailer.send(message())

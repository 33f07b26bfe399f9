"""The background: what is given to it goes out beside the caller, and nothing of it vanishes."""

from __future__ import annotations

import contextvars
import logging

import anyio
import anyio.lowlevel
import pytest

from mailer import (
    AsyncMailer,
    ConfigError,
    DeadlineExceeded,
    DeliveryDeferred,
    HookError,
    Mailer,
    Message,
    MessageError,
    Outcome,
    Receipt,
)
from mailer.backends.base import Backend
from mailer.backends.memory import MemoryBackend
from mailer.background import Background
from mailer.testing.scripted import ScriptedServer

OUTCOMES = ("sent", "deferred", "rejected", "unknown", "skipped", "failed")


def hello(to="ann@example.org", **more):
    return Message(from_="shop@example.com", to=to, subject="Hi", text="Hello", **more)


class Gated(Backend):
    """Carries nothing before it is let go."""

    url = "gated:"

    def __init__(self):
        self.begun, self.most, self.now = [], 0, 0
        self.gate = anyio.Event()

    async def send(self, mail):
        self.begun.append(mail)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
        finally:
            self.now -= 1
        return Receipt.for_all(mail, Outcome.ACCEPTED)


def told(mailer):
    """What its hooks hear: (hook, what became of it, addresses)."""
    heard = []
    for name in OUTCOMES:
        mailer.hooks.add_action(name, lambda context, name=name: heard.append((name, context)))
    return heard


async def settle():
    """Let all other tasks go as far as they can: none of them waits for the world outside."""
    for _ in range(30):
        await anyio.lowlevel.checkpoint()


def test_the_caller_goes_on_and_the_end_waits(async_world):
    async def main():
        backend = Gated()
        async with AsyncMailer(backend) as mailer:
            heard = told(mailer)
            async with Background(mailer) as background:
                [first] = await background.send(hello())
                await background.send(hello("bob@example.org"))
                assert (background.pending, heard) == (2, [])
                await settle()
                assert first in [mail.id for mail in backend.begun]
                backend.gate.set()
            assert [name for name, _ in heard] == ["sent", "sent"]
            assert first in [context.mail_id for _, context in heard]
            assert (background.pending, background.left) == (0, ())

    async_world.run(main)


def test_composing_is_the_callers(async_world):
    """A wrong message is raised to who gives it, and what a template reads is read there and then."""

    async def main():
        async with AsyncMailer("memory:") as mailer, Background(mailer) as background:
            heard = told(mailer)
            with pytest.raises(MessageError, match="from"):
                await background.send(Message(to="ann@example.org", text="x"))
            assert [name for name, _ in heard] == ["failed"]
            given = {"name": "Ann"}
            await background.send(hello().with_(text=None, html=None, headers={"X-Who": given["name"]}))
            mailer.hooks.add_filter("message", lambda message, context: None)
            with pytest.raises(HookError):
                await background.send(hello())
            assert background.pending <= 1  # what was refused takes no room
            await background.drained()
            assert len(mailer.backend.mails) == 1

    async_world.run(main)


def test_what_is_not_sent_in_time_is_told(async_world, caplog):
    """On its way: UNKNOWN, as far as such a backend can say; waiting: DEFERRED. To hooks, log and ``left``."""

    async def main():
        backend = Gated()
        async with AsyncMailer(backend, retry=None) as mailer:
            heard = told(mailer)
            async with Background(mailer, concurrency=1, grace_s=0) as background:
                for name in ("ann", "bob", "cid"):
                    await background.send(hello(f"{name}@example.org"))
                await settle()
            assert len(backend.begun) == 1
            receipts = {str(context.recipients[0]): context.receipt for _, context in heard}
            assert sorted(receipts) == ["ann@example.org", "bob@example.org", "cid@example.org"]
            assert {name for name, _ in heard} == {"deferred", "unknown"}
            assert sorted(r.results[0].outcome.value for r in receipts.values()) == ["deferred", "deferred", "unknown"]
            assert sorted(r.id for r in background.left) == sorted(r.id for r in receipts.values())

    with caplog.at_level(logging.WARNING, "mailer"):
        async_world.run(main)
    assert "background.left: 3 mails were not sent within 0 s" in caplog.text
    assert caplog.text.count("mail.outcome") == 3


NEVER_ANSWERS = """
    S: 220 hi
    C: EHLO *
    S: 250 mx.example.org
    C: MAIL FROM:*
    S: 250 ok
    C: RCPT TO:*
    S: 250 ok
    C: DATA
    S: 354 go on
    C: <data>
    S: hold
"""


def test_what_was_handed_over_is_unknown(async_world):
    """A server that never answers the final dot, and an app that has to end."""

    async def main(server):
        async with AsyncMailer(f"smtp://127.0.0.1:{server.port}?tls=none", retry=None) as mailer:
            heard = told(mailer)
            async with Background(mailer) as background:
                await background.send(hello())
                while not server.received:  # noqa: ASYNC110 - it is another thread's
                    await anyio.sleep(0.002)
                background.stop()
            [(name, context)] = heard
            assert (name, [result.outcome for result in context.receipt.results]) == ("unknown", [Outcome.UNKNOWN])
            assert background.left == (context.receipt,)

    with ScriptedServer(NEVER_ANSWERS) as server:
        async_world.run(main, server)


def test_room_is_bounded_and_who_waits_too_long_is_told(async_world):
    async def main():
        backend = Gated()
        async with AsyncMailer(backend) as mailer, Background(mailer, room=2, wait_s=0) as background:
            await background.send(hello())
            await background.send(hello())
            with pytest.raises(DeadlineExceeded, match=r"2 messages were waiting .* is gated: there"):
                await background.send(hello())
            assert background.pending == 2
            background.wait_s = 60
            async with anyio.create_task_group() as group:
                group.start_soon(background.send, hello("bob@example.org"))
                await settle()
                assert len(backend.begun) == 2
                backend.gate.set()
            await background.drained()
            assert len(backend.begun) == 3

    async_world.run(main)


def test_who_stops_waiting_for_room_takes_none(async_world):
    async def main():
        backend = Gated()
        async with AsyncMailer(backend) as mailer, Background(mailer, room=1) as background:
            await background.send(hello())
            with anyio.move_on_after(0.01) as scope:
                await background.send(hello())
            assert scope.cancelled_caught
            assert background.pending == 1
            backend.gate.set()
            await background.drained()
            await background.send(hello())
        assert len(backend.begun) == 2

    async_world.run(main)


def test_so_many_at_once(async_world):
    async def main():
        backend = Gated()
        async with AsyncMailer(backend) as mailer, Background(mailer, concurrency=3) as background:
            for _ in range(10):
                await background.send(hello())
            await settle()
            assert backend.now == 3
            backend.gate.set()
        assert (len(backend.begun), backend.most) == (10, 3)

    async_world.run(main)


def test_a_filter_keeps_one_back_and_each_recipient_has_a_mail_of_its_own(async_world):
    async def main():
        async with AsyncMailer("memory:") as mailer:
            heard = told(mailer)
            async with Background(mailer) as background:
                merged = hello(["ann@example.org", "bob@example.org"], merge_data={"ann@example.org": {"name": "Ann"}})
                backend_merges = mailer.backend.features.merge
                ids = await background.send(merged)
                assert len(ids) == (1 if backend_merges else 2)
                await background.drained()
                mailer.hooks.add_filter("recipients", lambda value, context: ())
                assert await background.send(hello()) == ()
            assert [name for name, _ in heard] == ["sent"] * len(ids) + ["skipped"]

    async_world.run(main)


def test_the_callers_context_goes_with_it(async_world):
    trace = contextvars.ContextVar("trace", default="none")

    async def main():
        seen = []
        async with AsyncMailer("memory:") as mailer, Background(mailer) as background:
            mailer.hooks.add_action("sent", lambda context: seen.append(trace.get()))

            async def request(name):
                trace.set(name)
                await background.send(hello())

            async with anyio.create_task_group() as group:
                for name in ("one", "two"):
                    group.start_soon(request, name)
        assert sorted(seen) == ["one", "two"]

    async_world.run(main)


def test_what_the_app_raises_comes_out_as_it_is_and_mails_go_all_the_same(async_world):
    async def main():
        backend = MemoryBackend()
        async with AsyncMailer(backend) as mailer:
            with pytest.raises(KeyError, match="the app's own"):
                async with Background(mailer) as background:
                    await background.send(hello())
                    raise KeyError("the app's own")
        assert len(backend.mails) == 1

    async_world.run(main)


def test_a_cancelled_app_tells_what_is_left(async_world):
    async def main():
        backend = Gated()
        async with AsyncMailer(backend, retry=None) as mailer:
            heard = told(mailer)
            with anyio.CancelScope() as scope:
                async with Background(mailer, concurrency=1, grace_s=60) as background:
                    await background.send(hello())
                    await background.send(hello("bob@example.org"))
                    await settle()
                    scope.cancel()
                await anyio.lowlevel.checkpoint()
            assert scope.cancelled_caught
            assert len(heard) == len(background.left) == 2

    async_world.run(main)


def test_outside_its_life_it_takes_none(async_world):
    async def main():
        async with AsyncMailer("memory:") as mailer:
            background = Background(mailer)
            for _ in range(2):
                with pytest.raises(ConfigError, match=r"with TestClient\(app\)"):
                    await background.send(hello())
                async with background:
                    await background.send(hello())
                    with pytest.raises(ConfigError, match="runs already"):
                        await background.__aenter__()
            assert len(mailer.backend.mails) == 2

    async_world.run(main)


def test_the_end_meets_one_that_is_being_composed(async_world):
    """It is told and raised: nobody believes it was taken."""

    async def main():
        async with AsyncMailer("memory:") as mailer:
            heard = told(mailer)
            gate, composing = anyio.Event(), anyio.Event()

            async def slow(message, context):
                composing.set()
                await gate.wait()
                return message

            mailer.hooks.add_filter("message", slow)
            errors = []

            async def request(background):
                try:
                    await background.send(hello())
                except DeliveryDeferred as error:
                    errors.append(error)

            async with anyio.create_task_group() as group:
                async with Background(mailer, grace_s=0) as background:
                    group.start_soon(request, background)
                    await composing.wait()
                gate.set()
            assert [name for name, _ in heard] == ["deferred"]
            assert errors[0].receipt == heard[0][1].receipt
            assert mailer.backend.mails == []

    async_world.run(main)


@pytest.mark.parametrize("merge", [{}, {"merge_data": {"ann@example.org": {"name": "Ann"}}}])
def test_who_is_cancelled_while_composing_leaves_nothing_and_hears_no_error(async_world, merge):
    async def main():
        async with AsyncMailer("memory:") as mailer, Background(mailer) as background:

            async def never(message, context):
                await anyio.sleep_forever()

            mailer.hooks.add_filter("message", never)
            with anyio.move_on_after(0.01) as scope:
                await background.send(hello(**merge))
            assert scope.cancelled_caught
            assert background.pending == 0

    async_world.run(main)


def test_once_stopped_it_gives_no_second_grace(async_world):
    """Composing hangs: who stopped it has waited, and it has nothing of its own to wait for."""

    async def main():
        async with AsyncMailer("memory:") as mailer, anyio.create_task_group() as group:
            composing = anyio.Event()

            async def never(message, context):
                composing.set()
                await anyio.sleep_forever()

            mailer.hooks.add_filter("message", never)
            with anyio.fail_after(5):
                async with Background(mailer, grace_s=60) as background:
                    group.start_soon(background.send, hello())
                    await composing.wait()
                    background.stop()
            group.cancel_scope.cancel()

    async_world.run(main)


def test_hooks_run_in_the_order_of_a_send(async_world):
    async def main():
        ran = []
        async with AsyncMailer("memory:") as mailer:
            for name in ("message", "recipients", "headers", "mail", "sign", "backend"):
                mailer.hooks.add_filter(name, lambda value, context, name=name: (ran.append(name), value)[1])
            for name in ("sending", "sent"):
                mailer.hooks.add_action(name, lambda context, name=name: ran.append(name))
            await mailer.send(hello())
            ran, plain = [], ran
            async with Background(mailer) as background:
                await background.send(hello())
            assert ran == plain

    async_world.run(main)


def test_what_breaks_off_is_logged_and_the_others_go_on(async_world, caplog, monkeypatch):
    """An exception that is none of ours, where nobody is to whom it could be raised."""

    async def main():
        async with AsyncMailer("memory:") as mailer, Background(mailer, room=2) as background:
            carry = mailer._pipeline.carry_held

            async def breaks(held):
                if held.units[0].mail.envelope.recipients[0].local == "bob":
                    raise RuntimeError("a fault of ours")
                return await carry(held)

            monkeypatch.setattr(mailer._pipeline, "carry_held", breaks)
            for name in ("bob", "ann", "bob", "bob", "cid"):
                await background.send(hello(f"{name}@example.org"))
            await background.drained()
            assert sorted(mail.envelope.recipients[0].local for mail in mailer.backend.mails) == ["ann", "cid"]

    async_world.run(main)
    failed = [record for record in caplog.records if record.mailer_event == "background.failed"]
    assert [record.levelname for record in failed] == ["WARNING"] * 3
    assert "a send broke off: RuntimeError" in failed[0].getMessage()
    assert failed[0].exc_info[0] is RuntimeError


def test_wrong_limits_are_told():
    mailer = AsyncMailer("memory:")
    for wrong in ({"room": 0}, {"room": 1.5}, {"concurrency": 1001}, {"wait_s": -1}, {"grace_s": "1"}, {"room": True}):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))}=.*: must be a"):
            Background(mailer, **wrong)
    with pytest.raises(ConfigError, match="give it an AsyncMailer, not Mailer"):
        Background(Mailer("memory:"))
    assert repr(Background(mailer)) == "<Background of memory:, 0 pending>"

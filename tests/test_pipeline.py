"""A message's way to its receipt, in each world: order of hooks, contexts, errors, cancellation."""

from __future__ import annotations

import dataclasses
import re
import socket

import anyio
import pytest

from mailer.address import Address
from mailer.backends.base import Backend
from mailer.backends.memory import MemoryBackend
from mailer.backends.wrapping import WrappingBackend
from mailer.envelope import Envelope
from mailer.errors import (
    ConfigError,
    DeliveryRefused,
    DeliveryUnknown,
    HeaderError,
    HookError,
    MessageError,
    Outcome,
    UnsupportedFeature,
)
from mailer.features import Features
from mailer.hookspecs import ACTIONS, FILTERS, KNOWN
from mailer.mail import Content
from mailer.message import Message
from mailer.receipt import Receipt, RecipientResult


def hello(**more: object) -> Message:
    return Message(
        **{"from_": "shop@example.com", "to": ["ann@b.test", "bob@b.test"], "subject": "Hi", "text": "Hello", **more}
    )


class Mixed(Backend):
    """Says for each recipient what its local part is."""

    url = "mixed:"
    features = Features.everything()

    def send(self, mail):
        outcome = {o.value: o for o in Outcome}
        results = tuple(RecipientResult(a, outcome[a.local]) for a in mail.envelope.recipients)
        return Receipt(mail.id, results=results)


def watch(mailer) -> list[tuple[str, object]]:
    """Register on every hook; returns the (name, context) of what ran."""
    seen = []

    def of(name):
        def callback(*args):
            seen.append((name, args[-1]))
            return args[0]

        return callback

    for name in FILTERS:
        mailer.hooks.add_filter(name, of(name))
    for name in ACTIONS:
        mailer.hooks.add_action(name, of(name))
    return seen


@pytest.fixture
def templates(tmp_path):
    """A folder with the template "hi", which leaves all to what the message gives."""
    (tmp_path / "hi.subject.txt").write_text("Never seen")
    return tmp_path


def test_hooks_run_once_in_the_documented_order_with_what_is_known(world, templates):
    with world.mailer("memory:", templates=templates) as mailer:
        seen = watch(mailer)
        receipt = mailer.send(hello(template="hi"))
        assert [name for name, _ in seen] == [*FILTERS, "sending", "sent"]
        contexts = dict(seen)
        assert {context.mail_id for context in contexts.values()} == {receipt.id}
        assert {context.mailer for context in contexts.values()} == {mailer.wrapped}
        assert contexts["message"].mail is None
        assert contexts["mail"].mail.message == contexts["sign"].message
        assert (contexts["sending"].attempt, contexts["message"].attempt) == (1, None)
        assert contexts["sending"].receipt is None
        assert contexts["sent"].receipt == receipt
        assert contexts["sent"].recipients == contexts["sent"].mail.envelope.recipients
        assert contexts["sent"].backend is mailer.backend
        always = {"mailer", "mail_id", "runtime", "backend"}
        for name, context in seen:
            has = {
                field.name for field in dataclasses.fields(context) if getattr(context, field.name) not in (None, ())
            }
            assert has - always == set(KNOWN[name]), name


def test_result_actions_fire_once_for_each_outcome_with_its_recipients(world):
    with world.mailer(Mixed()) as mailer:
        seen = watch(mailer)
        mailer.send(
            hello(
                to=[f"{word}@b.test" for word in ("unknown", "accepted", "rejected", "deferred")], cc="accepted@c.test"
            )
        )
    told = [(name, [a.addr_spec for a in context.recipients]) for name, context in seen if context.receipt]
    assert told == [
        ("sent", ["accepted@b.test", "accepted@c.test"]),
        ("deferred", ["deferred@b.test"]),
        ("rejected", ["rejected@b.test"]),
        ("unknown", ["unknown@b.test"]),
    ]


def test_compose_runs_filters_and_no_action(world, templates):
    with world.mailer("memory:", templates=templates) as mailer:
        seen = watch(mailer)
        mail = mailer.compose(hello(template="hi"))
        assert [name for name, _ in seen] == [name for name in FILTERS if name != "backend"]
        assert mail.message == hello()
        assert mailer.backend.mails == []


def test_filters_change_what_is_sent(world):
    with world.mailer("memory:") as mailer:
        mailer.hooks.add_filter("message", lambda m, c: m.with_(subject=m.subject + "!", headers={"X-A": "1"}))
        mailer.hooks.add_filter("recipients", lambda r, c: [a for a in r if a.local != "bob"])
        mailer.hooks.add_filter("headers", lambda h, c: [*h, ("X-B", "2")])
        mailer.hooks.add_filter("mail", lambda m, c: m.with_(content=Content.of(b"X-Mail: 1\r\n" + bytes(m.content))))
        mailer.hooks.add_filter("sign", lambda m, c: m.with_(content=Content.of(b"X-Sign: 1\r\n" + bytes(m.content))))
        receipt = mailer.send(hello())
        [mail] = mailer.backend.mails
    data = bytes(mail.content)
    assert data.startswith(b"X-Sign: 1\r\nX-Mail: 1\r\nFrom:")
    assert b"Subject: Hi!\r\n" in data
    assert b"X-A: 1\r\nX-B: 2\r\n" in data
    assert b"To: ann@b.test, bob@b.test" in data, "the recipients filter is about the envelope"
    assert [r.address.local for r in receipt.results] == ["ann"]


def test_the_backend_filter_may_give_another(world):
    other = MemoryBackend()
    with world.mailer("null:") as mailer:
        mailer.hooks.add_filter("backend", lambda b, c: other)
        receipt = mailer.send(hello())
    assert receipt.backend == "memory:"
    assert len(other.mails) == 1


def test_what_a_backend_filter_gave_is_closed_with_the_mailer(world):
    class Closing(MemoryBackend):
        closed = 0

        def close(self):
            self.closed += 1
            raise RuntimeError("it is stuck")

    first, other = Closing(), Closing()
    with pytest.raises(RuntimeError, match="stuck"), world.mailer(first) as mailer:
        mailer.hooks.add_filter("backend", lambda b, c: other if c.message.subject == "Other" else Closing())
        for subject in ("Hi", "Other", "Other"):
            mailer.send(hello(subject=subject))
    assert (first.closed, other.closed) == (1, 1), "each once, whatever another does"


def test_what_a_backend_filter_gave_is_closed_behind_the_wrapper_of_another(world):
    class Closing(MemoryBackend):
        closed = 0

        async def close(self):
            self.closed += 1

    first, other = Closing(), Closing()
    with world.mailer(first, plugins=["suppression"]) as mailer:
        mailer.hooks.add_filter("backend", lambda b, c: other if c.message.subject == "Other" else b)
        for subject in ("Other", "Hi"):  # the plug-in wraps the one, then the other
            mailer.send(hello(subject=subject))
    assert first.closed
    assert other.closed
    with world.mailer(WrappingBackend(first)):
        first.closed = 0
    assert first.closed == 1


def test_a_backend_filter_s_choice_is_to_carry_what_is_needed_and_has_batches_of_its_own(world):
    class Narrow(MemoryBackend):
        features = Features(headers=False)
        batch_size = 2

        async def send_many(self, mails):
            calls.append(len(mails))
            return [await self.send(mail) for mail in mails]

    calls: list[int] = []
    wide, narrow = MemoryBackend(), Narrow()
    wide.batch_size = 10
    with world.mailer(wide) as mailer:
        mailer.hooks.add_filter("backend", lambda b, c: narrow)
        with pytest.raises(UnsupportedFeature, match="headers"):
            mailer.send(hello(headers={"X-A": "1"}))
        receipts = list(mailer.send_many([hello()] * 5))
        assert all(receipt.ok for receipt in receipts)
        assert calls == [2, 2], "and the fifth alone"


def test_no_action_ever_changes_a_result(world):
    with world.mailer("memory:") as mailer:
        for name in ACTIONS:
            mailer.hooks.add_action(name, lambda context: 1 / 0)
            mailer.hooks.add_action(name, lambda context: "ignored")
        assert mailer.send(hello()).ok
        with pytest.raises(MessageError):
            mailer.send(hello(to=()))
        assert mailer.hooks.errors == {"sending": 1, "sent": 1, "failed": 1}


@pytest.mark.parametrize("name", sorted(FILTERS.keys() - {"short_circuit"}))
@pytest.mark.parametrize("bad", [None, 5, "raise"])
def test_a_broken_filter_is_a_hook_error_and_nothing_is_sent(world, templates, name, bad):
    def broken(value, context):
        if bad == "raise":
            raise ValueError
        return bad

    with world.mailer("memory:", templates=templates) as mailer:
        seen = []
        mailer.hooks.add_action("failed", lambda context: seen.append(context.error))
        mailer.hooks.add_filter(name, broken)
        with pytest.raises(HookError, match=name) as caught:
            mailer.send(hello(template="hi"))
        assert seen == [caught.value]
        assert mailer.backend.mails == []
        [receipt] = mailer.send_many([hello(template="hi")])
        assert isinstance(receipt.error, HookError)


@pytest.mark.parametrize("name", ["mail", "sign"])
def test_a_mail_keeps_its_id(world, name):
    with world.mailer("memory:") as mailer:
        mailer.hooks.add_filter(name, lambda mail, context: mail.with_(id="another"), owner="mine")
        with pytest.raises(HookError, match=f"filter '{name}' of mine returned a Mail of another id"):
            mailer.send(hello())
        assert mailer.backend.mails == []


@pytest.mark.parametrize(
    "header", [("X-A", "b\r\nBcc: x"), ("Bcc", "x@y.test"), ("X A", "b"), ("X-A", "\0"), ("X-A",), 5, ("Subject", "x")]
)
def test_b1_a_headers_filter_cannot_smuggle(world, header):
    with world.mailer("memory:") as mailer:
        mailer.hooks.add_filter("headers", lambda h, c: [header])
        with pytest.raises((HookError, HeaderError)):
            mailer.send(hello())
        assert mailer.backend.mails == []


def test_short_circuit_answers_in_its_place(world):
    with world.mailer("memory:") as mailer:
        seen = watch(mailer)
        mailer.hooks.add_filter("short_circuit", lambda value, context: Receipt(context.mail_id, skipped="suppressed"))
        receipt = mailer.send(hello())
        assert receipt.skipped == "suppressed"
        assert [name for name, _ in seen][-2:] == ["short_circuit", "skipped"]
        assert seen[-1][1].receipt == receipt
        assert mailer.backend.mails == []
        with pytest.raises(MessageError, match="suppressed"):
            mailer.compose(hello())


def test_a_recipients_filter_that_leaves_nobody_skips(world):
    with world.mailer("memory:") as mailer:
        mailer.hooks.add_filter("recipients", lambda r, c: ())
        for receipt in (mailer.send(hello()), mailer.send_raw(b"From: a@b.test\nTo: c@d.test\n\n")):
            assert receipt.skipped
        assert mailer.backend.mails == []


def test_failed_fires_for_an_exception_before_any_receipt(world):
    with world.mailer("memory:") as mailer:
        seen = watch(mailer)
        with pytest.raises(MessageError):
            mailer.send(hello(from_=()))
        assert [name for name, _ in seen][-1] == "failed"
        assert seen[-1][1].error.field == "from_"


def test_none_accepted_raises_with_the_receipt(world):
    with world.mailer(Mixed()) as mailer:
        with pytest.raises(DeliveryRefused) as caught:
            mailer.send(hello(to="rejected@b.test"))
        assert caught.value.receipt.results[0].outcome is Outcome.REJECTED
        with pytest.raises(DeliveryUnknown):
            mailer.send(hello(to=["rejected@b.test", "unknown@b.test"]))


def test_send_many_goes_on_after_a_bad_message(world):
    with world.mailer("memory:", from_="shop@example.com") as mailer:
        receipts = mailer.send_many(iter([hello(), hello(to=()), "no message", hello(from_=())]))
        assert [r.message_index for r in receipts] == [0, 1, 2, 3]
        assert [r.ok for r in receipts] == [True, False, False, True]
        assert [type(r.error) for r in receipts] == [type(None), MessageError, MessageError, type(None)]


def test_the_default_sender_is_the_mailers(world):
    with world.mailer("memory:", from_="Shop <shop@example.com>") as mailer:
        mail = mailer.compose(hello(from_=()))
        assert mail.envelope.sender == Address.parse("Shop <shop@example.com>")
        assert b"@example.com>\r\n" in bytes(mail.content).split(b"Message-ID: ")[1][:80]


def test_check_58_message_ids_are_unique_and_leak_nothing(world):
    with world.mailer("memory:") as mailer:
        mails = [mailer.compose(hello()) for _ in range(200)]
    ids = [bytes(mail.content).split(b"Message-ID: ")[1].split(b"\r\n")[0] for mail in mails]
    assert len(set(ids)) == len({mail.id for mail in mails}) == 200
    assert all(re.fullmatch(rb"<[0-9a-f]{32}@example\.com>", i) for i in ids), "random bits and the sender's domain"
    assert socket.gethostname().encode() not in b"".join(ids)


def test_async_callbacks_work_under_async_and_are_refused_by_the_blocking_face(world):
    async def slowly(message, context):
        await context.runtime.sleep(0)
        return message.with_(subject="async")

    with world.mailer("memory:") as mailer:
        if world.name == "blocking":
            with pytest.raises(ConfigError, match="AsyncMailer"):
                mailer.hooks.add_filter("message", slowly)
        else:
            mailer.hooks.add_filter("message", slowly)
            assert b"Subject: async" in bytes(mailer.compose(hello()).content)


def test_ready_made_mail_takes_the_same_way(world):
    with world.mailer("memory:") as mailer:
        seen = watch(mailer)
        receipt = mailer.send_raw(b"From: a@b.test\nTo: c@d.test\nBcc: e@f.test\n\nx", Envelope(None, "z@y.test"))
        assert receipt.ok
        assert [name for name, _ in seen] == [
            "recipients",
            "short_circuit",
            "mail",
            "sign",
            "backend",
            "sending",
            "sent",
        ]
        [mail] = mailer.backend.mails
        assert (mail.message, mail.envelope) == (None, Envelope(None, "z@y.test"))
        with pytest.raises(MessageError) as caught:
            mailer.send_raw(b"From: a@b.test\nResent-To: c@d.test\n\nx")
        assert caught.value.field == "envelope"


class Stuck(Backend):
    """Never ends."""

    features = Features.everything()

    async def send(self, mail):
        self.begun.set()
        await anyio.sleep_forever()


def test_a_cancelled_send_tells_the_outcome_to_plain_actions(async_world):
    backend = Stuck()
    seen = []

    async def cancel(mailer):
        backend.begun = anyio.Event()

        async def waits(context):
            seen.append("async")

        mailer.wrapped.hooks.add_action("unknown", lambda context: seen.append(context.recipients))
        mailer.wrapped.hooks.add_action("unknown", waits)
        async with anyio.create_task_group() as group:
            group.start_soon(mailer.wrapped.send, hello())
            await backend.begun.wait()
            group.cancel_scope.cancel()

    with async_world.mailer(backend) as mailer:
        async_world.run(cancel, mailer)
    assert seen == [hello().to]

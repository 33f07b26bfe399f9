"""Merge fields: a mail for each recipient, by placeholders; and many messages at once."""

from __future__ import annotations

import re
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_messages import composed, messages, one_line

from mailer import Mailer
from mailer.address import Address
from mailer.attachment import Attachment
from mailer.backends.base import Backend, carry_many
from mailer.backends.memory import MemoryBackend
from mailer.envelope import Envelope
from mailer.errors import ConfigError, DeliveryRefused, MessageError, Outcome, TransportError, UnsupportedFeature
from mailer.features import Features
from mailer.merge import Merge
from mailer.message import Message, MessageFields
from mailer.mime import Plan
from mailer.receipt import Receipt

ANN, BOB, ZOE = "ann@a.test", "bob@b.test", "zoe@c.test"


def letter(**more: object) -> Message:
    fields = {
        "from_": "shop@example.com",
        "to": [f"Ann <{ANN}>", BOB],
        "subject": "Order {{ order.number }}",
        "text": "Dear {{name}}, greetings from {{ shop }}.",
        "html": "<p>Dear {{ name }}</p>",
        "context": {"shop": "the shop", "name": "friend"},
        "merge_data": {ANN: {"name": "Ann & Co", "order": {"number": 7}}, BOB: {"order": {"number": 8}}},
    }
    return Message(**{**fields, **more})


def texts(mails):
    return [(m.message.subject, m.message.text, m.message.html) for m in mails]


# --- placeholders -----------------------------------------------------------------------------------------------------


def test_each_recipient_gets_a_mail_with_their_own_values(world):
    with world.mailer("memory:") as mailer:
        receipt = mailer.send(
            letter(
                bcc=ZOE,
                cc=BOB,
                merge_data={
                    ANN: {"order": {"number": 7}},
                    **{address: {"name": "<b>", "order": {"number": 8}} for address in (BOB, ZOE)},
                },
            )
        )
        mails = mailer.backend.mails
    assert receipt.ok
    assert [r.address.addr_spec for r in receipt.results] == [ANN, BOB, ZOE]
    assert texts(mails)[:2] == [
        ("Order 7", "Dear friend, greetings from the shop.", "<p>Dear friend</p>"),
        ("Order 8", "Dear <b>, greetings from the shop.", "<p>Dear &lt;b&gt;</p>"),
    ]
    for mail, address in zip(mails, [ANN, BOB, ZOE], strict=True):
        assert [a.addr_spec for a in mail.envelope.recipients] == [address]
        others = {ANN, BOB, ZOE} - {address}
        assert not any(other.encode() in bytes(mail.content) for other in others)
    assert len({mail.id for mail in mails}) == 3
    assert len({bytes(mail.content).split(b"Message-ID: ")[1].split(b"\r\n")[0] for mail in mails}) == 3


def test_metadata_and_headers_are_each_recipients_own():
    message = letter(
        headers={"X-Group": "all", "X-Same": "1"},
        metadata={"a": "1", "b": "2"},
        merge_headers={ANN: {"x-group": "one", "List-Unsubscribe": "<https://a.test/ann>"}},
        merge_metadata={BOB: {"b": "3"}},
    )
    ann, bob = Merge(message)
    assert ann.headers == (("X-Same", "1"), ("x-group", "one"), ("List-Unsubscribe", "<https://a.test/ann>"))
    assert bob.headers == (("X-Group", "all"), ("X-Same", "1"))
    assert (ann.metadata, bob.metadata) == ({"a": "1", "b": "2"}, {"a": "1", "b": "3"})
    assert (ann.merge_data, ann.merge_headers, ann.merge_metadata) == ({}, {}, {})


def test_without_merge_data_braces_are_text(world):
    with world.mailer("memory:") as mailer:
        mailer.send(letter(merge_data=None, merge_metadata={ANN: {"a": "1"}}))
        assert [text for _, text, _ in texts(mailer.backend.mails)] == [letter().text] * 2


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("text", "{{ name|upper }}"),
        ("text", "{{ }}"),
        ("text", "{{ name.__class__() }}"),
        ("html", "{{ 1 + 1 }}"),
        ("subject", "{{ a b }}"),
    ],
)
def test_more_than_a_name_is_an_error_that_names_the_field(world, field, bad):
    with world.mailer("memory:") as mailer:
        with pytest.raises(MessageError) as caught:
            mailer.send(letter(**{field: bad}))
        assert caught.value.field == field
        assert mailer.backend.mails == []


def test_attributes_are_not_reached():
    """A dotted name walks through mappings alone: no object's insides can be named."""
    with pytest.raises(MessageError, match="no value"):
        list(Merge(letter(text="{{ name.__class__.__mro__ }}")))


def test_a_value_cannot_bring_a_header(world):
    with world.mailer("memory:") as mailer:
        receipt = mailer.send(
            letter(merge_data={ANN: {"order": {"number": "7\r\nBcc: x@evil.test"}}, BOB: {"order": {"number": 8}}})
        )
        assert [m.envelope.recipients[0].addr_spec for m in mailer.backend.mails] == [BOB]
    assert [r.outcome for r in receipt.results] == [Outcome.REJECTED, Outcome.ACCEPTED]
    assert "subject" in receipt.results[0].text


def test_who_has_no_value_is_rejected_and_the_others_get_theirs(world):
    with world.mailer("memory:") as mailer:
        failed = []
        mailer.hooks.add_action("failed", lambda context: failed.append(str(context.error)))
        receipt = mailer.send(letter(merge_data={ANN: {"order": {"number": 7}}}))
    assert [r.outcome for r in receipt.results] == [Outcome.ACCEPTED, Outcome.REJECTED]
    assert receipt.results[1].text == "subject: bob@b.test has no value for {{ order.number }}"
    with pytest.raises(DeliveryRefused):
        receipt.raise_for_rejected()


def test_when_nobody_has_a_value_the_reason_is_raised(world):
    with world.mailer("memory:") as mailer:
        with pytest.raises(MessageError, match="no value"):
            mailer.send(letter(text="{{ nothing }}"))
        [receipt] = mailer.send_many([letter(text="{{ nothing }}")])
    assert isinstance(receipt.error, MessageError)
    assert receipt.results == ()
    assert receipt.message_index == 0


def test_keys_differ_by_recipient_and_stay_the_same():
    first, again = [[m.idempotency_key for m in Merge(letter(idempotency_key="k" * 255))] for _ in range(2)]
    assert first == again
    assert len(set(first)) == 2
    assert all(len(key) <= 255 for key in first)
    other = [m.idempotency_key for m in Merge(letter(idempotency_key="k" * 254 + "x"))]
    assert not set(first) & set(other)


def test_one_message_id_is_not_given_to_several_mails():
    with pytest.raises(MessageError) as caught:
        Merge(letter(message_id="<a@b>"))
    assert caught.value.field == "message_id"
    [alone] = Merge(letter(to=ANN, message_id="<a@b>"))
    assert alone.message_id == "<a@b>"


@given(st.dictionaries(st.from_regex(r"\A[a-z_]{1,9}\Z"), st.text(st.characters(exclude_categories=["Cs", "Cc"]))))
def test_values_arrive_as_they_are_whatever_they_hold(values):
    text = "|".join(f"{{{{ {name} }}}}" for name in values)
    message = letter(to=ANN, subject="s", html=None, text=text or "none", merge_data={ANN: {"order": 1, **values}})
    [own] = Merge(message)
    assert own.text == ("|".join(values.values()) if values else "none")


_WORDS = one_line(2).filter(lambda text: "{" not in text)


@given(
    messages(wide=True),
    st.lists(st.tuples(_WORDS, _WORDS, st.booleans()), min_size=1, max_size=4),
    st.sampled_from(["ann{}@a.test", "jösé{}@a.test", "Zoë Ü <u{}@bücher.test>"]),
)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_merged_mail_has_the_bytes_of_its_message_composed_alone(made, people, form):
    """Whatever the message holds and the values are: filled by hand, and composed without the others."""
    made = made.with_(html=None if made.html is None else made.html.replace("{", ""), alternatives=())
    to = [Address.parse(form.format(number)) for number in range(len(people))]
    merged = made.with_(
        to=to,
        cc=(),
        bcc=(),
        subject="Hello {{ name }}",
        text="Dear {{name}},\n{{ order.code }} {{ shop }}",
        context={"shop": "é"},
        metadata={"a": "1"},
        merge_data={a.addr_spec: {"name": n, "order": {"code": c}} for a, (n, c, _) in zip(to, people, strict=True)},
        merge_headers={a.addr_spec: {"X-Own": n} for a, (n, _, has) in zip(to, people, strict=True) if has},
        merge_metadata={a.addr_spec: {"b": n} for a, (n, _, has) in zip(to, people, strict=True) if has},
    )
    with Mailer("memory:") as mailer:
        mails = list(mailer.compose_all(merged))
    for mail, address, (name, code, has_own) in zip(mails, to, people, strict=True):
        alone = Message(
            **{field: getattr(made, field) for field in MessageFields.__annotations__},
        ).with_(
            to=address,
            cc=(),
            bcc=(),
            subject=f"Hello {name}",
            text=f"Dear {name},\n{code} é",
            context={"shop": "é"},
            headers=[*made.headers, *([("X-Own", name)] if has_own else [])],
            metadata={"a": "1", **({"b": name} if has_own else {})},
        )
        assert mail.message == alone
        data = bytes(mail.content)
        boundary = re.search(rb'boundary="=_[123]_([0-9a-f]{32})', data)
        content = composed(
            alone,
            message_id=re.search(rb"\r\nMessage-ID: (.*)\r\n", data)[1].decode(),
            boundary=boundary[1].decode() if boundary else "b" * 32,
        )
        assert data == bytes(content)
        assert (mail.content.has_8bit, mail.content.has_utf8_headers) == (content.has_8bit, content.has_utf8_headers)
        assert mail.envelope == Envelope.of(alone)


def test_compose_all_gives_every_mail_and_compose_refuses(world):
    with world.mailer("memory:") as mailer:
        with pytest.raises(MessageError, match="compose_all"):
            mailer.compose(letter())

        async def collect():
            mails = mailer.wrapped.compose_all(letter())
            return [m async for m in mails] if hasattr(mails, "__aiter__") else list(mails)

        assert [text[0] for text in texts(world.run(collect))] == ["Order 7", "Order 8"]
        assert mailer.backend.mails == []


def test_an_attachment_is_encoded_once_for_all():
    class Counting(bytes):
        pass

    opened = []

    def stream():
        opened.append(1)
        import io

        return io.BytesIO(b"x" * 100_000)

    attachment = Attachment.from_stream("a.bin", stream)
    opened.clear()
    plan = Plan("b")
    parts = [plan.part(attachment) for _ in range(5)]
    assert len(opened) == 1
    assert len({id(part[1][0]) for part in parts}) == 1
    small = Plan("b", kept_bytes=1000)
    assert b"".join(small.part(attachment)[1][0]) == b"".join(parts[0][1][0])
    assert len(opened) == 2


# --- many at once -----------------------------------------------------------------------------------------------------


class Batching(Backend):
    """Takes three at once; remembers the sizes."""

    url = "batching:"
    features = Features(tags=True)
    batch_size = 3

    def __init__(self, fail: Exception | None = None) -> None:
        self.sizes: list[int] = []
        self.fail = fail

    async def send(self, mail):
        self.sizes.append(1)
        return Receipt.for_all(mail, Outcome.ACCEPTED)

    async def send_many(self, mails):
        self.sizes.append(len(mails))
        if self.fail:
            raise self.fail
        return [Receipt.for_all(mail, Outcome.ACCEPTED, provider_id=mail.id) for mail in mails]


def plain(number: int, **more: object) -> Message:
    return Message(from_="shop@example.com", to=f"u{number}@a.test", subject=str(number), text="t", **more)


def test_batches_as_large_as_the_backend_takes(world):
    with world.mailer(backend := Batching()) as mailer:
        receipts = mailer.send_many(plain(n) for n in range(8))
    assert backend.sizes == [3, 3, 2]
    assert [r.message_index for r in receipts] == list(range(8))
    assert [r.results[0].address.local for r in receipts] == [f"u{n}" for n in range(8)]
    assert [r.provider_ids for r in receipts] == [(r.id,) for r in receipts]
    assert all(len(r.attempts) == 1 for r in receipts)


def test_a_window_of_one_keeps_single_file(world):
    with world.mailer(backend := Batching()) as mailer:
        assert len(mailer.send_many((plain(n) for n in range(4)), window=1)) == 4
    assert backend.sizes == [1] * 4


def test_a_merged_message_goes_out_in_batches(world):
    with world.mailer(backend := Batching()) as mailer:
        addresses = [f"u{n}@a.test" for n in range(7)]
        message = plain(0).with_(to=addresses, merge_data={a: {"n": "1"} for a in addresses})
        receipts = mailer.send_many([message, plain(9)])
    assert backend.sizes == [3, 3, 1, 1]
    assert [len(r.results) for r in receipts] == [7, 1]


def test_what_one_mail_needs_does_not_stop_the_batch(world):
    with world.mailer(Batching()) as mailer:
        receipts = mailer.send_many([plain(0), plain(1, provider_template="t"), plain(2)])
    assert [type(r.error) for r in receipts] == [type(None), UnsupportedFeature, type(None)]
    assert [r.ok for r in receipts] == [True, False, True]


def test_a_batch_that_fails_settles_every_mail(world):
    with world.mailer(Batching(TransportError("down"))) as mailer:
        receipts = mailer.send_many((plain(n) for n in range(3)), concurrency=1)
    assert all([r.outcome for r in receipt.results] == [Outcome.DEFERRED] for receipt in receipts)
    assert all(str(r.attempts[0].cause) == "down" for r in receipts)


def test_a_backend_that_miscounts_leaves_everybody_unknown(world):
    class Short(Batching):
        async def send_many(self, mails):
            return (await super().send_many(mails))[:-1]

    backend = Short()
    with world.mailer(backend) as mailer:
        receipts = mailer.send_many(plain(n) for n in range(3))
    assert all([r.outcome for r in receipt.results] == [Outcome.UNKNOWN] for receipt in receipts)


def test_receipts_keep_the_order_whatever_ends_first(world):
    class Backwards(Backend):
        """The first of each pair waits for the second."""

        def __init__(self):
            self.second = world.call(world.runtime.event)

        async def send(self, mail):
            if mail.message.subject == "0":
                assert await self.second.wait(self.runtime.now() + 30)
            elif mail.message.subject == "1":
                self.second.set()
            return Receipt.for_all(mail, Outcome.ACCEPTED)

    with world.mailer(Backwards()) as mailer:
        receipts = mailer.send_many((plain(n) for n in range(20)), concurrency=2)
    assert [r.results[0].address.local for r in receipts] == [f"u{n}" for n in range(20)]


def test_it_reads_ahead_by_no_more_than_a_round(world):
    read, seen = [], []

    def messages():
        for number in range(100):
            read.append(number)
            yield plain(number)

    class Watching(MemoryBackend):
        async def send(self, mail):
            seen.append(len(read))
            return await super().send(mail)

    with world.mailer(Watching()) as mailer:
        mailer.send_many(messages(), concurrency=2)
    assert seen[0] == 16
    assert max(ahead - index for index, ahead in enumerate(seen)) <= 16


def test_large_mails_are_not_gathered(world):
    big = Attachment.from_bytes("a.bin", bytes(9 * 1024 * 1024))
    with world.mailer(backend := Batching()) as mailer:
        mailer.send_many(plain(n, attachments=[big]) for n in range(4))
    assert backend.sizes == [2, 2]


def test_an_iterable_that_raises_does_so_after_the_receipts(world):
    def messages():
        yield plain(0)
        yield plain(1)
        raise ZeroDivisionError("theirs")

    with world.mailer(backend := Batching()) as mailer:

        async def run():
            got, stream = [], mailer.wrapped.send_many(messages())
            try:
                if hasattr(stream, "__aiter__"):
                    async for receipt in stream:
                        got.append(receipt)
                else:
                    got.extend(stream_until(stream, got))
            except ZeroDivisionError:
                return got
            return None

        def stream_until(stream, got):
            for receipt in stream:
                got.append(receipt)
            return ()

        assert [r.ok for r in world.run(run)] == [True, True]
    assert backend.sizes == [2]


def test_hooks_and_composing_stay_in_the_callers_thread():
    from mailer import Mailer

    where = set()
    with Mailer("memory:") as mailer:
        for name in ("message", "mail"):
            mailer.hooks.add_filter(name, lambda value, context: where.add(threading.get_ident()) or value)
        mailer.hooks.add_action("sent", lambda context: where.add(threading.get_ident()))
        assert all(r.ok for r in mailer.send_many((plain(n) for n in range(20)), concurrency=4))
    assert where == {threading.get_ident()}


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2", 10**6])
def test_counts_out_of_range_are_errors(world, bad):
    with world.mailer("memory:") as mailer:
        for name in ("concurrency", "window"):
            with pytest.raises(ConfigError, match=name):
                mailer.send_many([plain(0)], **{name: bad})


def test_carry_many_keeps_places(world):
    backend = Batching()
    world.call(backend.attach, world.runtime)
    from mailer import Mailer

    with Mailer("memory:") as mailer:
        mails = [mailer.compose(plain(n, provider_template="t" if n == 1 else None)) for n in range(5)]
    said = world.run(carry_many, backend, mails)
    assert [type(s) for s in said] == [Receipt, UnsupportedFeature, Receipt, Receipt, Receipt]
    assert backend.sizes == [3, 1]
    assert [s.id for s in said if isinstance(s, Receipt)] == [m.id for n, m in enumerate(mails) if n != 1]


def test_merge_recipients_are_each_mailbox_once():
    merge = Merge(letter(to=["Ann@A.test", "Ann@a.test"], cc=BOB, bcc=BOB, merge_data={BOB: {"order": {"number": 1}}}))
    assert merge.recipients == (Address.parse("Ann@a.test"), Address.parse(BOB))


class Mute:
    def __str__(self):
        raise RuntimeError("no words")


class NoMarkup:
    def __html__(self):
        raise RuntimeError("no markup")


def test_a_value_that_cannot_be_shown_is_its_recipients_own_fault(world):
    """F89: one poisoned value; the others get theirs, and the iterable goes on."""
    values = {ANN: {"name": "Ann"}, BOB: {"name": Mute()}, ZOE: {"name": NoMarkup()}}
    poisoned = letter(to=[ANN, BOB, ZOE], subject="s", text=None, html="<p>{{ name }}</p>", merge_data=values)
    with world.mailer("memory:") as mailer:
        receipt, other = mailer.send_many([poisoned, plain(0)])
    assert [r.outcome for r in receipt.results] == [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.REJECTED]
    assert receipt.results[1].text == f"html: {BOB}'s value for {{{{ name }}}} raised RuntimeError"
    assert other.ok


def test_a_cancelled_round_tells_what_another_backend_had_taken_already(async_world):
    """A filter may choose a backend that takes fewer at once than the mailer's own."""
    import anyio

    sent, told = [], []

    class OneByOne(Backend):
        url = "one:"

        async def send(self, mail):
            if sent:
                await anyio.sleep(60)
            sent.append(mail)
            return Receipt.for_all(mail, Outcome.ACCEPTED)

    other = OneByOne()

    async def cut_short(mailer):
        with anyio.move_on_after(0.05):
            async for _ in mailer.send_many([plain(n) for n in range(3)]):
                pass

    with async_world.mailer(Batching()) as mailer:
        mailer.hooks.add_filter("backend", lambda value, context: other)
        for name in ("sent", "deferred", "unknown"):
            mailer.hooks.add_action(name, lambda context, name=name: told.append(name))
        async_world.run(cut_short, mailer.wrapped)
    assert told == ["sent", "unknown", "deferred"]

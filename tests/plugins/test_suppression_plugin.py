"""The plug-in ``suppression``: fed by events, asked before sending, honest on the receipt."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailer import Address, ConfigError, DeliveryDeferred, DeliveryRefused, Event, Message, Outcome, Receipt
from mailer.backends.base import Backend
from mailer.backends.memory import MemoryBackend
from mailer.plugins.suppression import Suppression
from mailer.suppression import MemorySuppressionList, SqliteSuppressionList, Suppressed, SuppressionList

A, D, R = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED


def hello(*to: str, **more: object) -> Message:
    return Message(**{"from_": "shop@example.com", "to": list(to), "subject": "Hi", "text": "Hello", **more})


def event(kind: str, to: str | None = "ann@example.org", **more: object) -> Event:
    recipient = None if to is None else Address.parse(to)
    return Event(**{"kind": kind, "provider": "postmark", "recipient": recipient, **more})


def test_who_is_suppressed_is_rejected_and_the_others_get_it(world, tmp_path):
    with world.mailer("memory:", plugins={"suppression": {"path": str(tmp_path / "list.db")}}) as mailer:
        assert mailer.send(hello("ann@example.org")).ok
        assert mailer.publish([event("bounced", is_hard=True, text="550 5.1.1 who?")]) == 0
        receipt = mailer.send(hello("bob@example.org", "ANN@example.org", bcc="cyd@example.org"))
        assert [result.outcome for result in receipt.results] == [A, R, A]
        assert receipt.results[1].text == "suppressed: bounced (postmark): 550 5.1.1 who?"
        assert receipt.backend == "memory:"
        assert len(receipt.attempts) == 1
        assert [str(r) for r in mailer.backend.mails[-1].envelope.recipients] == ["bob@example.org", "cyd@example.org"]
        with pytest.raises(DeliveryRefused, match="suppressed: bounced") as refused:
            mailer.send(hello("ann@example.org"))
        assert refused.value.receipt.attempts == ()
        with pytest.raises(DeliveryRefused, match="suppressed: bounced"):
            mailer.send_raw(b"From: shop@example.com\r\nTo: ann@example.org\r\n\r\nHello\r\n")
        assert len(mailer.backend.mails) == 2
    assert len(SqliteSuppressionList(tmp_path / "list.db")) == 1


def test_which_events_suppress_and_which_do_not():
    table = [
        (event("bounced", is_hard=True), True),
        (event("bounced", is_hard=False), False),
        (event("bounced"), False),
        (event("complained"), True),
        (event("unsubscribed"), True),
        *[(event(kind), False) for kind in ("queued", "sent", "delivered", "deferred", "rejected", "failed")],
        *[(event(kind), False) for kind in ("opened", "clicked", "subscribed", "unknown")],
        (event("complained", None), False),
    ]
    from mailer import Mailer

    for one, is_suppressed in table:
        with Mailer("memory:", plugins=["suppression"]) as mailer:
            mailer.publish([one])
            assert len(mailer.plugins["suppression"].list) == is_suppressed, one
    with Mailer("memory:", plugins=[Suppression(events=["opened"])]) as mailer:
        mailer.publish([event("complained"), event("opened", "bob@example.org")])
        assert [str(entry.address) for entry in mailer.plugins["suppression"].list] == ["bob@example.org"]


def test_who_subscribes_again_takes_back_that_alone_that_he_unsubscribed(world):
    entries = MemorySuppressionList()
    with world.mailer("memory:", plugins=[Suppression(list=entries)]) as mailer:
        mailer.publish([event("unsubscribed"), event("subscribed")])
        assert list(entries) == []
        mailer.publish([event("complained"), event("subscribed")])
        assert [entry.kind for entry in entries] == ["complained"]
        # Nor by way of unsubscribing, which would be taken back then.
        mailer.publish([event("unsubscribed"), event("subscribed")])
        assert [entry.kind for entry in entries] == ["complained"]


def test_a_subscription_that_is_told_late_takes_nothing_back(world):
    entries = MemorySuppressionList()
    early, late = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    with world.mailer("memory:", plugins=[Suppression(list=entries)]) as mailer:
        mailer.publish([event("unsubscribed", time=late), event("subscribed", time=early)])
        assert [entry.since for entry in entries] == [late]
        mailer.publish([event("subscribed", time=late)])
        assert list(entries) == []


def test_many_mails_stay_one_batch_after_one_question(world):
    class Counting(MemorySuppressionList):
        asked = 0

        def among(self, addresses):
            Counting.asked += 1
            return super().among(addresses)

    class Batching(MemoryBackend):
        batch_size = 50
        sizes: list[int]

        async def send_many(self, mails):
            self.sizes.append(len(mails))
            return [await self.send(mail) for mail in mails]

    backend = Batching()
    backend.sizes = []
    entries = Counting([Suppressed(address=Address.parse("n3@example.org"), kind="complained")])
    with world.mailer(backend, plugins=[Suppression(list=entries)]) as mailer:
        receipts = mailer.send_many(hello(f"n{number}@example.org") for number in range(100))
    assert [receipt.results[0].outcome for receipt in receipts] == [R if n == 3 else A for n in range(100)]
    assert backend.sizes == [49, 50]
    assert Counting.asked == 2


def test_a_list_that_fails_lets_nothing_through(world):
    class Broken(SuppressionList):
        def among(self, addresses):
            raise OSError("gone")

        def add(self, entry):
            raise OSError("gone")

    with world.mailer("memory:", plugins=[Suppression(list=Broken())]) as mailer:
        with pytest.raises(DeliveryDeferred, match="suppression list raised OSError") as put_off:
            mailer.send(hello("ann@example.org"))
        assert isinstance(put_off.value.__cause__, ConfigError)
        assert mailer.backend.mails == []
        assert mailer.publish([event("complained"), event("opened")]) == 1


def test_a_list_may_be_async(async_world):
    class Remote(SuppressionList):
        def __init__(self):
            self.inner = MemorySuppressionList()

        async def among(self, addresses):
            return self.inner.among(addresses)

        async def add(self, entry):
            self.inner.add(entry)

    with async_world.mailer("memory:", plugins=[Suppression(list=Remote())]) as mailer:
        mailer.publish([event("complained")])
        receipt = mailer.send(hello("ann@example.org", "bob@example.org"))
        assert [result.outcome for result in receipt.results] == [R, A]


def test_what_the_backend_cannot_carry_or_defers_stays_as_it_says():
    from mailer import Mailer, UnsupportedFeature
    from mailer.features import Features

    class Plain(Backend):
        features = Features(attachments=False)

        def send(self, mail):
            return Receipt.for_all(mail, Outcome.DEFERRED, text="busy")

    entries = MemorySuppressionList([Suppressed(address=Address.parse("ann@example.org"), kind="complained")])
    with Mailer(Plain(), plugins=[Suppression(list=entries)], retry=None) as mailer:
        with pytest.raises(UnsupportedFeature):
            mailer.send(hello("bob@example.org", attachments=[_file()]))
        with pytest.raises(DeliveryDeferred) as deferred:
            mailer.send(hello("ann@example.org", "bob@example.org", tags="a"))
        assert [result.outcome for result in deferred.value.receipt.results] == [R, D]
        assert len(deferred.value.receipt.notes) == 1


def test_what_is_cut_short_is_known_as_far_as_it_came():
    from mailer import Mailer

    class Interrupted(Backend):
        def send(self, mail):
            raise KeyboardInterrupt

    seen = []
    entries = MemorySuppressionList([Suppressed(address=Address.parse("ann@example.org"), kind="complained")])
    with Mailer(Interrupted(), plugins=[Suppression(list=entries)]) as mailer:
        for name in ("rejected", "unknown"):
            mailer.hooks.add_action(name, lambda context: seen.append([str(one) for one in context.recipients]))
        with pytest.raises(KeyboardInterrupt):
            mailer.send(hello("ann@example.org", "bob@example.org"))
    assert seen == [["ann@example.org"], ["bob@example.org"]]


def test_events_are_told_with_our_mails_id_and_a_raising_callback_stops_nobody(world):
    seen = []
    with world.mailer("memory:") as mailer:
        mailer.hooks.add_action("event", lambda context: 1 / 0)
        mailer.hooks.add_action("event", lambda context: seen.append((context.mail_id, context.event.kind.value)))
        assert mailer.publish(iter([event("sent", mail_id="ab" * 16), event("opened")])) == 2
        assert mailer.publish([]) == 0
    assert seen == [("ab" * 16, "sent"), ("", "opened")]


def test_a_path_that_is_none_is_told_at_the_start():
    for path in (" ", "a\0b"):
        with pytest.raises(ConfigError, match="path: needs the name of a file"):
            Suppression(path=path)


def _file():
    from mailer import Attachment

    return Attachment.from_bytes("a.bin", b"a")

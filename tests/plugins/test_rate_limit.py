"""The plug-in ``rate_limit``: what goes, when, and what is said of the rest; on a clock of the test's own."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer import Address, Attachment, ConfigError, DeliveryDeferred, Envelope, Mail, Mailer, Message, Outcome
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.mail import Content
from mailer.plugins.rate_limit import RateLimit
from mailer.rate import Rate
from mailer.rate_table import RateTable
from mailer.runtime import drive
from mailer.testing import FakeRelay, SmtpServer

A, D = Outcome.ACCEPTED, Outcome.DEFERRED


class Clock:
    """A blocking runtime whose sleep moves its own clock."""

    is_async = False

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds


class Timed(MemoryBackend):
    """Notes when each mail came, and in what company."""

    batch_size = 50

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.came: list[tuple[float, Mail]] = []
        self.sizes: list[int] = []

    async def send(self, mail):
        self.came.append((self.clock.now(), mail))
        return await super().send(mail)

    async def send_many(self, mails):
        self.sizes.append(len(mails))
        return [await self.send(mail) for mail in mails]


def mail(*to: str, sender: str = "shop@example.com", id_: str = "ab" * 16) -> Mail:
    envelope = Envelope(Address.parse(sender), [Address.parse(one) for one in to])
    return Mail(id_, envelope, None, Content.of(b"Subject: s\r\n\r\nx\r\n"))


def limited(clock: Clock | None = None, **settings: object):
    """The backend that stands before another, on its own clock."""
    from mailer.hooks import Hooks

    plugin = RateLimit(**settings)
    plugin.register(Hooks())
    inner = Timed(clock or Clock())
    backend = plugin.wrap(inner, None)
    backend.attach(inner.clock)
    return backend, inner


def hello(*to: str, **more: object) -> Message:
    return Message(**{"from_": "shop@example.com", "to": list(to), "subject": "Hi", "text": "Hello", **more})


WAYS = st.lists(
    st.tuples(
        st.floats(0, 3),
        st.sampled_from(["a@one.test", "b@two.test"]),
        st.lists(st.sampled_from(["x@d1.test", "y@d1.test", "z@d2.test"]), min_size=1, unique=True),
    ),
    max_size=25,
)


@given(WAYS, st.sampled_from([0.0, 2.0, 100.0]), st.integers(1, 3), st.sampled_from(["mails", "recipients"]))
def test_no_stretch_of_time_sees_more_than_its_rate(ways, max_wait_s, burst, count):
    backend, inner = limited(
        rate="2/s", per_domain="1/s", per_sender="1/s", burst=burst, max_wait_s=max_wait_s, count=count
    )
    clock = inner.clock
    for pause, sender, to in ways:
        clock.time += pause
        asked_at = clock.time
        receipt = drive(backend.send(mail(*to, sender=sender)))
        assert clock.time - asked_at <= max_wait_s + 1e-6
        assert [result.address.addr_spec for result in receipt.results] == to
        assert {result.outcome for result in receipt.results} <= {A, D}
        for result in receipt.deferred:
            assert clock.time - asked_at + result.retry_after_s >= max_wait_s  # nobody was put off who could wait
    keys = {
        "all": (lambda one: True, 2.0),
        **{name: (lambda one, name=name: one.author.addr_spec == name, 1.0) for name in ("a@one.test", "b@two.test")},
        **{name: (lambda one, name=name: name in domains(one), 1.0) for name in ("d1.test", "d2.test")},
    }
    for name, (counts, rate) in keys.items():
        came = []
        for at, one in inner.came:
            if counts(one):
                mine = [domain for domain in domains(one) if not name.startswith("d") or domain == name]
                came.append((at, 1 if count == "mails" else len(mine)))
        # What counts for more than the burst goes when the rate is idle: the surplus of the last one is allowed for.
        for first, (begin, _) in enumerate(came):
            for last in range(first, len(came)):
                total = sum(weight for _, weight in came[first:last]) + min(came[last][1], burst)
                surplus = max([max(0, weight - burst) for _, weight in came[first : last + 1]], default=0)
                assert total <= burst + (came[last][0] - begin) * rate + surplus + 1e-6, (name, came)


def domains(one: Mail) -> list[str]:
    return [address.key[1] for address in one.envelope.recipients]


def test_a_slow_domain_holds_up_no_other():
    backend, inner = limited(domains={"Slow.test": "1/h"}, rate="10/s", burst=2, over="defer")
    assert [drive(backend.send(mail("a@slow.test"))).ok for _ in range(2)] == [True, True]
    inner.clock.time += 1.0
    receipt = drive(backend.send(mail("a@slow.test", "b@quick.test", "c@slow.test")))
    assert [result.outcome for result in receipt.results] == [D, A, D]
    said = "over the rate (10/s in all, 1/h to the domain): the next turn comes in 3599 s"
    assert [(result.text, result.retry_after_s) for result in receipt.deferred] == [(said, 3599.0)] * 2
    inner.clock.time += 3599.0
    assert drive(backend.send(mail("a@slow.test"))).ok is True


def test_mails_keep_together_as_far_as_the_rate_allows():
    backend, inner = limited(rate="1/s", burst=3)
    mails = [mail("a@d.test", id_=f"{n:032x}") for n in range(5)]
    receipts = drive(backend.send_many(mails))
    assert [receipt.id for receipt in receipts] == [one.id for one in mails]
    assert all(receipt.ok for receipt in receipts)
    assert inner.sizes == [3]  # and then one by one, which are no batches
    assert [at - 1000.0 for at, _ in inner.came] == [0, 0, 0, 1, 2]


def test_what_was_sent_before_an_interrupt_is_known():
    backend, inner = limited(rate="1/s")

    async def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    inner.clock.sleep = interrupted
    mails = [mail("a@d.test", id_=f"{n:032x}") for n in range(3)]
    with pytest.raises(KeyboardInterrupt):
        drive(backend.send_many(mails))
    assert [backend.settled(one).results[0].outcome for one in mails] == [A, D, D]


def test_idle_counts_are_forgotten():
    table = RateTable()
    for number in range(20_000):
        assert table.take({("domain", number): (Rate(1, 1.0), 1)}, number * 0.01) <= number * 0.01
    assert len(table) < 2100


def test_those_who_wait_are_counted_in_what_is_expected():
    table = RateTable()
    claims = {"all": (Rate(1, 1.0), 1)}
    assert table.take(claims, 0.0) <= 0.0
    assert table.expected(claims, 0.0) == 1.0
    with table.waiting(claims), table.waiting(claims):
        assert table.expected(claims, 0.0) == 3.0
    assert table.expected(claims, 0.0) == 1.0
    assert table.take(claims, 1.0) <= 1.0


def test_many_threads_take_no_more_than_there_is():
    table, taken = RateTable(burst=5), []

    def work() -> None:
        for _ in range(200):
            if table.take({"all": (Rate(1, 3600.0), 1)}, 0.0) <= 0.0:
                taken.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 5


def test_through_smtp_and_a_relay_the_rate_holds_and_says_so(world):
    settings = {"per_domain": "1/h", "over": "defer", "domains": {"free.test": "1000/s"}}
    with SmtpServer() as server, FakeRelay("postmark") as relay:
        for url in (server.url, relay.url):
            with world.mailer(url, plugins={"rate_limit": settings}) as mailer:
                assert mailer.send(hello("a@one.test")).ok
                receipt = mailer.send(hello("b@one.test", "c@two.test"))
                assert [result.outcome for result in receipt.results] == [D, A]
                with pytest.raises(DeliveryDeferred, match="over the rate") as over:
                    mailer.send(hello("d@one.test", "e@two.test"))
                assert 3500 < over.value.receipt.results[0].retry_after_s <= 3600
                receipts = mailer.send_many([hello("x@one.test"), hello("y@free.test")])
                assert [receipt.results[0].outcome for receipt in receipts] == [D, A]
        assert [one.recipients for one in server.mails] == [("a@one.test",), ("c@two.test",), ("y@free.test",)]
        assert [request.json["To"] for request in relay.requests][-1] == "y@free.test"


def test_a_mailer_waits_for_its_turn(world):
    with world.mailer("memory:", plugins=[RateLimit(rate="50/s")]) as mailer:
        begun = time.monotonic()
        assert all(receipt.ok for receipt in mailer.send_many(hello("a@d.test") for _ in range(4)))
        assert time.monotonic() - begun >= 0.055  # the fourth turn comes after 60 ms


def test_mailers_that_share_a_plug_in_share_its_count():
    plugin = RateLimit(rate="1/h", over="defer")
    with Mailer("memory:", plugins=[plugin]) as one, Mailer("memory:", plugins=[plugin]) as other:
        assert one.send(hello("a@d.test")).ok
        with pytest.raises(DeliveryDeferred, match="over the rate"):
            other.send(hello("a@d.test"))


def test_what_is_over_goes_by_another_backend(world):
    with SmtpServer() as server, FakeRelay("postmark") as relay:
        settings = {"rate": "1/h", "over": "overflow", "overflow": server.url}
        with world.mailer(relay.url, plugins={"rate_limit": settings}) as mailer:
            first, second = mailer.send(hello("a@d.test")), mailer.send(hello("b@d.test"))
        assert [request.json["To"] for request in relay.requests] == ["a@d.test"]
        assert [one.recipients for one in server.mails] == [("b@d.test",)]
        assert first.notes == ()
        assert second.ok
        assert second.notes == (f"over the rate, so for {server.url}: 1 of 1",)
        assert second.attempts[-1].backend == server.url


def test_what_the_other_backend_cannot_carry_is_deferred_and_a_merge_is_done_here():
    class Plain(MemoryBackend):
        features = Features(attachments=False)

    class Merging(MemoryBackend):
        features = Features(merge=True)

    other = Plain()
    plugin = RateLimit(rate="1/h", over="overflow", overflow=other)
    with Mailer(Merging(), plugins=[plugin], retry=None) as mailer:
        mailer.send(hello("a@d.test"))
        with pytest.raises(DeliveryDeferred, match="over the rate"):
            mailer.send(hello("b@d.test", attachments=[Attachment.from_bytes("a.bin", b"a")]))
        merged = mailer.send(
            hello("a@d.test", "b@d.test", text="{{ n }}", merge_data={"a@d.test": {"n": 1}, "b@d.test": {"n": 2}})
        )
        assert merged.ok
        assert len(other.mails) == 2


def test_wrong_settings_are_told_and_show_no_secret():
    table = [
        ({}, "no rate is given"),
        ({"rate": "quick"}, "50/s"),
        ({"domains": {"d.test": "5"}}, r"domains\.d\.test"),
        ({"domains": {"not a domain": "5/s"}}, "domains"),
        ({"senders": {"nobody": "5/s"}}, "senders"),
        ({"rate": "1/s", "burst": 0}, "burst"),
        ({"rate": "1/s", "over": "overflow"}, "belong together"),
        ({"rate": "1/s", "overflow": "memory:"}, "belong together"),
        ({"rate": "1/s", "over": "overflow", "overflow": "smtp://u:hunter2@"}, "overflow"),
        ({"rate": "1/s", "max_wait": 3}, "did you mean 'max_wait_s'"),
    ]
    for settings, said in table:
        with pytest.raises(ConfigError, match=said) as told:
            RateLimit(settings)
        assert "hunter2" not in str(told.value)
    plugin = RateLimit(rate="1/s", over="overflow", overflow="smtp://user:hunter2@mail.example.com")
    assert "hunter2" not in repr(plugin.settings)

"""The plug-in ``dedupe``: the same to the same recipient goes once, what did not arrive may go again."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from base64 import urlsafe_b64encode

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer import (
    Address,
    Attachment,
    ConfigError,
    DeliveryDeferred,
    DeliveryRefused,
    DeliveryUnknown,
    Mailer,
    Message,
    Outcome,
)
from mailer.backends.base import Backend
from mailer.plugins.dedupe import Dedupe
from mailer.plugins.list_unsubscribe import ListUnsubscribe
from mailer.plugins.tracking import Tracking
from mailer.receipt import Receipt
from mailer.seen import Ended, MemorySeen, Seen, SeenStore, SqliteSeen
from mailer.signed_token import timeless
from mailer.testing import FakeRelay, SmtpServer
from mailer.unsubscribe import UnsubscribeLinks

A, D, R, U = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED, Outcome.UNKNOWN


def hello(*to: str, **more: object) -> Message:
    return Message(
        **{"from_": "shop@example.com", "to": list(to) or ["a@x.test"], "subject": "Hi", "text": "Hello", **more}
    )


def known(clock: list[float], **settings: object) -> Dedupe:
    plugin = Dedupe(settings)
    plugin.clock = lambda: clock[0]
    return plugin


class Scripted(Backend):
    """Answers each mail as it is told, all well by default."""

    url = "scripted:"
    batch_size = 20

    def __init__(self) -> None:
        self.says: list[Outcome] = []
        self.sent: list[list[str]] = []

    async def send(self, mail):
        return (await self.send_many([mail]))[0]

    async def send_many(self, mails):
        receipts = []
        for mail in mails:
            self.sent.append([address.addr_spec for address in mail.envelope.recipients])
            receipts.append(Receipt.for_all(mail, self.says.pop(0) if self.says else A, text="so it is"))
        return receipts


def test_by_smtp_and_a_relay_the_second_is_skipped_with_what_became_of_the_first(world, tmp_path):
    clock = [1e9]
    with SmtpServer() as server, FakeRelay("postmark") as relay:
        for number, url in enumerate((server.url, relay.url)):
            plugin, told = known(clock, path=str(tmp_path / f"{number}.db")), []
            with world.mailer(url, plugins=[plugin]) as mailer:
                for name in ("sent", "skipped", "deferred"):
                    mailer.hooks.add_action(name, lambda c, name=name, told=told: told.append((name, c.receipt.id)))
                first = mailer.send(hello())
                clock[0] += 12
                second = mailer.send(hello())
                assert first.ok
                assert first.skipped is None
                assert second.ok
                assert second.skipped.startswith(f"duplicate of mail {first.id}, accepted 12 s ago")
                assert first.results[0].text in second.skipped
                assert second.provider_ids == first.provider_ids
                assert second.attempts == ()
                assert told == [("sent", first.id), ("skipped", second.id)]
                receipts = mailer.send_many([hello(), hello("b@x.test"), hello(text="other")])
                assert [receipt.skipped is None for receipt in receipts] == [False, True, True]
        assert len(server.mails) == 3
        assert len(relay.requests) <= 3


def test_what_did_not_arrive_may_be_sent_again_and_what_may_have_not():
    for said, error, again in ((D, DeliveryDeferred, True), (R, DeliveryRefused, True), (U, DeliveryUnknown, False)):
        backend = Scripted()
        backend.says = [said]
        with Mailer(backend, plugins=[known([1e9])], retry=None) as mailer:
            with pytest.raises(error):
                mailer.send(hello())
            receipt = mailer.send(hello())
            assert (receipt.skipped is None) is again, said
            assert receipt.results[0].outcome is (A if again else U)
            assert len(backend.sent) == 1 + again


def test_each_recipient_is_known_apart():
    backend = Scripted()
    with Mailer(backend, plugins=[known([1e9])]) as mailer:
        first = mailer.send(hello("a@x.test"))
        second = mailer.send(hello("A@x.test", "b@x.test"))
        assert backend.sent == [["a@x.test"], ["b@x.test"]]
        assert [result.outcome for result in second.results] == [A, A]
        assert second.skipped is None
        assert second.notes == (f"dedupe: duplicate of mail {first.id}, accepted 0 s ago: so it is",)


def test_what_is_the_same():
    base = {"attachments": [Attachment.from_bytes("a.bin", b"a")], "html": "<p>x</p>"}
    same = [
        {"headers": [("X-Y", "z")]},
        {"tags": "a"},
        {"metadata": {"a": "b"}},
        {"cc": "c@x.test"},
        {"priority": "high"},
        {"message_id": "<other@example.com>"},
    ]
    other = [
        {"text": "Hello!"},
        {"subject": "Ho"},
        {"html": "<p>y</p>"},
        {"from_": "else@example.com"},
        {"from_": "Shop <shop@example.com>"},
        {"reply_to": "r@example.com"},
        {"amp_html": "<html>"},
        {"alternatives": [("text/calendar", "x")]},
        {"attachments": [Attachment.from_bytes("a.bin", b"b")]},
        {"attachments": [Attachment.from_bytes("b.bin", b"a")]},
        {"attachments": []},
        {"idempotency_key": "k"},
    ]
    for changes, is_same in [*[(one, True) for one in same], *[(one, False) for one in other]]:
        backend = Scripted()
        with Mailer(backend, plugins=[known([1e9])], unsupported="degrade") as mailer:
            mailer.send(hello(**base))
            receipt = mailer.send(hello(**{**base, **changes}))
            assert ("a@x.test" not in sum(backend.sent[1:], [])) is is_same, changes  # noqa: RUF017
            assert receipt.ok


def test_links_that_are_signed_for_each_mail_make_no_two_of_it():
    secret = "s3cret-" * 6
    times = iter(range(1_000_000, 2_000_000))
    tracking = Tracking(url="https://e.test/t", secret=secret, clicks=True, opens=True)
    tracking.clock = lambda: next(times)
    leaving = ListUnsubscribe(url="https://e.test/u", secret=secret)
    leaving.clock = lambda: next(times)
    html = '<a href="https://q.test/{}">it</a>'
    for plugins in ([Dedupe(), tracking, leaving], [leaving, tracking, Dedupe()]):
        with Mailer("memory:", plugins=plugins) as mailer:
            assert mailer.send(hello(html=html.format(1))).skipped is None
            assert mailer.send(hello(html=html.format(1))).skipped is not None
            assert mailer.send(hello(html=html.format(2))).skipped is None  # it leads elsewhere
            assert mailer.send(hello("b@x.test", html=html.format(1))).skipped is None
    links = UnsubscribeLinks("https://e.test/u", secret)
    said = [
        timeless(f"Leave: {links.link(Address.parse(who), name, now_s=at)}.", "id")
        for who, name, at in (("a@x.test", "", 1), ("a@x.test", "", 2), ("b@x.test", "", 1), ("a@x.test", "news", 1))
    ]
    assert said[0] == said[1]
    assert len(set(said)) == 3


def test_text_that_looks_like_a_signed_link_is_text():
    for payload in (b"[" * 3000, b"{}", b'"x"', b"\xff", b"x", b"[1e999999]", b"9" * 5000):
        text = f"1.01234567.{urlsafe_b64encode(payload).decode().rstrip('=')}.{'A' * 22}"
        assert timeless(text, "id").startswith("1." if payload[:2] != b"[1" else "[")


def test_of_duplicates_nothing_is_kept():
    plugin = Dedupe()
    with Mailer("memory:", plugins=[plugin]) as mailer:
        for number in range(20):
            assert (mailer.send(hello()).skipped is None) == (number == 0)
        mailer.send(hello("a@x.test", "b@x.test"))
        assert [backend._claimed for _, backend in plugin._wrapped._made.values()] == [{}]


def test_a_key_counts_for_itself():
    backend = Scripted()
    with Mailer(backend, plugins=[known([1e9], by="key")], unsupported="degrade") as mailer:
        assert mailer.send(hello()).skipped is None
        assert mailer.send(hello()).skipped is None
        assert mailer.send(hello(idempotency_key="order-1")).skipped is None
        assert mailer.send(hello(idempotency_key="order-1", text="else")).skipped is not None
        assert mailer.send(hello(idempotency_key="order-2")).skipped is None
        assert mailer.send_raw(b"From: a@x.test\r\nTo: a@x.test\r\nSubject: s\r\n\r\nx\r\n").skipped is None
    with Mailer(backend, plugins=[known([1e9], tags=["once"])]) as mailer:
        assert [mailer.send(hello(tags=tag)).skipped is None for tag in ("once", "once", "often", "often")] == [
            True,
            False,
            True,
            True,
        ]


def test_ready_made_mail_is_known_by_all_but_what_is_made_anew():
    def raw(number: int, subject: str = "s", body: str = "x") -> bytes:
        return (
            f"Date: Mon, 1 Jan 2024 00:00:0{number} +0000\r\nMessage-ID:\r\n <{number}@x.test>\r\n"
            f"From: a@x.test\r\nTo: b@x.test\r\nSubject: {subject}\r\n\r\n{body}\r\n"
        ).encode()

    with Mailer("memory:", plugins=[known([1e9])]) as mailer:
        sent = [mailer.send_raw(one).skipped is None for one in (raw(1), raw(2), raw(3, "t"), raw(4, body="y"), raw(5))]
    assert sent == [True, False, True, True, False]


def test_after_the_window_it_is_new():
    clock, backend = [1e9], Scripted()
    with Mailer(backend, plugins=[known(clock, window_s=60)]) as mailer:
        mailer.send(hello())
        clock[0] += 59.9
        assert mailer.send(hello()).skipped is not None
        clock[0] += 0.2
        assert mailer.send(hello()).skipped is None


def test_the_same_twice_in_a_batch_goes_once(world):
    backend = Scripted()
    with world.mailer(backend, plugins=[known([1e9])], retry=None) as mailer:
        receipts = mailer.send_many([hello(), hello("b@x.test"), hello()])
        assert [receipt.results[0].outcome for receipt in receipts] == [A, A, D]
        assert receipts[2].results[0].text.startswith(f"the same mail is on its way: {receipts[0].id}, begun ")
        assert backend.sent == [["a@x.test"], ["b@x.test"]]
    from mailer import RetryPolicy

    backend = Scripted()
    retry = RetryPolicy(wait_s=0.0, jitter=0)
    with world.mailer(backend, plugins=[known([1e9])], retry=retry) as mailer:
        receipts = mailer.send_many([hello(), hello()])
        assert [receipt.ok for receipt in receipts] == [True, True]
        assert receipts[1].skipped.startswith(f"duplicate of mail {receipts[0].id}")  # the second try knows
        assert len(backend.sent) == 1


def test_a_retry_of_its_own_is_no_duplicate():
    from mailer import RetryPolicy

    backend = Scripted()
    backend.says = [D, U, A]
    retry = RetryPolicy(wait_s=0.0, on_unknown="resend")
    with Mailer(backend, plugins=[known([1e9])], retry=retry) as mailer:
        assert mailer.send(hello()).ok
        assert len(backend.sent) == 3
        assert mailer.send(hello()).skipped is not None


def test_one_that_never_ended_counts_for_the_lease():
    class Dead(MemorySeen):
        def settle(self, ended):
            """The process died before."""

    clock = [1e9]
    with Mailer(Scripted(), plugins=[known(clock, lease_s=60, store=Dead())], retry=None) as mailer:
        mailer.send(hello())
        clock[0] += 59
        with pytest.raises(DeliveryDeferred, match="on its way"):
            mailer.send(hello())
        clock[0] += 1
        assert mailer.send(hello()).skipped is None


def test_one_that_was_cut_short_may_have_arrived_or_not(tmp_path):
    class Interrupted(Scripted):
        outcome = U

        async def send_many(self, mails):
            if self.says == ["interrupt"]:
                self.says = []
                raise KeyboardInterrupt
            return await super().send_many(mails)

        def settled(self, mail):
            return Receipt.for_all(mail, self.outcome, text="cut short")

    for outcome in (U, D):
        for settings in ({}, {"path": str(tmp_path / f"{outcome.value}.db")}):
            backend = Interrupted()
            backend.says, backend.outcome = ["interrupt"], outcome
            with Mailer(backend, plugins=[known([1e9], **settings)], retry=None) as mailer:
                with pytest.raises(KeyboardInterrupt):
                    mailer.send(hello())
                [receipt] = mailer.send_many([hello()])
                assert (receipt.skipped is None, receipt.results[0].outcome) == (
                    (outcome is D),
                    U if outcome is U else A,
                )


def test_it_is_told_through_what_stands_around_it():
    from mailer import Address
    from mailer.plugins.suppression import Suppression
    from mailer.suppression import MemorySuppressionList, Suppressed

    entries = MemorySuppressionList([Suppressed(address=Address.parse("bad@x.test"))])
    with Mailer("memory:", plugins=[Suppression(list=entries), known([1e9])]) as mailer:
        mailer.send(hello("a@x.test"))
        receipt = mailer.send(hello("a@x.test", "bad@x.test"))
        assert [result.outcome for result in receipt.results] == [A, R]
        assert receipt.skipped.startswith("duplicate of mail")


STEPS = st.lists(
    st.tuples(st.sampled_from(["claim", "accept", "release"]), st.integers(0, 3), st.floats(0, 40)), max_size=15
)


@hypothesis.settings(deadline=None, max_examples=15)  # it writes to a disk
@given(STEPS)
def test_both_stores_do_as_the_plainest_one(tmp_path_factory, steps):
    stores = [MemorySeen(), SqliteSeen(tmp_path_factory.mktemp("seen") / "seen.db")]
    plain: dict[bytes, Seen] = {}
    now = 1e9
    for number, (step, which, pause) in enumerate(steps):
        now += pause
        key, mail_id = bytes([which]), f"{number}"
        old = plain.get(key)
        if step == "claim":
            is_there = old is not None and now < old.at + (30 if old.outcome is None else 100)
            for store in stores:
                assert store.claim([(key, Seen(mail_id=mail_id, at=now))], 100, 30) == [old if is_there else None]
            if not is_there:
                plain[key] = Seen(mail_id=mail_id, at=now)
        elif old is not None:
            end = Seen(mail_id=old.mail_id, at=now, outcome=A, code=250, text="ok") if step == "accept" else None
            for store in stores:
                if old.counts(now, 100, 30):
                    store.settle([Ended(key, "another's", end)])  # changes nothing
                store.settle([Ended(key, old.mail_id, end)])
            if old.outcome is None and end is not None:
                plain[key] = end
            elif old.outcome is None:
                del plain[key]


def test_what_counts_no_more_is_forgotten(tmp_path):
    stores = [MemorySeen(), SqliteSeen(tmp_path / "seen.db")]
    for store in stores:
        store.claim([(b"%d" % n, Seen(mail_id="m", at=1e9)) for n in range(500)], 10, 10)
        assert len(store) == 500
        store._pruned_at = float("-inf")
        store.claim([(b"new", Seen(mail_id="m", at=1e9 + 11))], 10, 10)
        assert len(store) == 1
    small = MemorySeen(most=10)
    small.claim([(b"%d" % n, Seen(mail_id="m", at=1e9)) for n in range(500)], 10, 10)
    assert len(small) == 10


CLAIMING = """\
import sys
from mailer.seen import Seen, SqliteSeen
store = SqliteSeen(sys.argv[1], wait_s=30)
mine = 0
for number in range(100):
    [there] = store.claim([(b"%d" % number, Seen(mail_id=sys.argv[2], at=1e9))], 100, 100)
    mine += there is None
print(mine)
"""


def test_of_two_processes_one_sends_it(tmp_path, warm):
    script, path = tmp_path / "claiming.py", tmp_path / "seen.db"
    script.write_text(CLAIMING)
    workers = [
        subprocess.Popen([*warm, str(script), str(path), name], stdout=subprocess.PIPE, text=True) for name in "ab"
    ]
    assert sum(int(worker.communicate(timeout=60)[0]) for worker in workers) == 100


class Failing(SeenStore):
    asked = 0

    def claim(self, begun, window_s, lease_s):
        Failing.asked += 1
        raise OSError("gone")

    settle = claim


def test_a_store_that_fails_is_noted_or_defers(world):
    clock, backend = [1e9], Scripted()
    Failing.asked = 0
    with world.mailer(backend, plugins=[known(clock, store=Failing())]) as mailer:
        for _ in range(4):
            assert mailer.send(hello()).notes == (
                "dedupe: its store could not be asked, so a duplicate would not have been noticed",
            )
        assert Failing.asked == 1  # in thirty seconds
        clock[0] += 30
        mailer.send(hello())
        assert Failing.asked == 2
    with world.mailer(backend, plugins=[known(clock, store=Failing(), without_store="defer")]) as mailer:
        for _ in range(2):
            with pytest.raises(DeliveryDeferred, match="its store could not be asked"):
                mailer.send(hello())
        clock[0] += 30
        with pytest.raises(DeliveryDeferred):
            mailer.send(hello())
        assert Failing.asked == 4
    assert len(backend.sent) == 5


def test_a_file_that_is_locked_or_gone_delays_one_send_by_no_more_than_it_says(tmp_path):
    locked, strange = tmp_path / "locked.db", tmp_path / "strange.db"
    SqliteSeen(locked).claim([(b"x", Seen(mail_id="m", at=1e9))], 10, 10)
    strange.write_bytes(b"no database at all" * 100)
    with sqlite3.connect(locked) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        for path in (locked, strange, tmp_path, tmp_path / "no such folder" / "x.db"):
            with Mailer("memory:", plugins=[Dedupe(path=str(path), wait_s=0.2)]) as mailer:
                begun = time.monotonic()
                assert all(mailer.send(hello()).notes for _ in range(3))
                assert time.monotonic() - begun < 2.0, path
        holder.execute("ROLLBACK")
    holder.close()


def test_nothing_of_a_mail_is_in_the_file(tmp_path):
    path = tmp_path / "seen.db"
    with Mailer("memory:", plugins=[Dedupe(path=str(path))]) as mailer:
        mailer.send(hello("ann@secret.test", subject="Geheim", text="Losung"))
    kept = path.read_bytes()
    assert len(SqliteSeen(path)) == 1
    assert not any(word in kept for word in (b"secret.test", b"Geheim", b"Losung"))


def test_wrong_settings_are_told():
    for settings, said in (
        ({"window_s": 0}, "window_s"),
        ({"window_s": 40 * 86400}, "window_s"),
        ({"by": "moon"}, "by"),
        ({"path": "a", "store": MemorySeen()}, "one of them"),
        ({"path": " "}, "path: needs the name of a file"),
        ({"path": "a\0b"}, "path: needs the name of a file"),
        ({"window": 1}, "did you mean 'window_s'"),
    ):
        with pytest.raises(ConfigError, match=said):
            Dedupe(settings)
    with pytest.raises(ConfigError):
        SqliteSeen(" ")

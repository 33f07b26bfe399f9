"""The plug-in ``circuit``: opens, probes and closes, alone and with other processes, and never stands in the way."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer import ConfigError, DeliveryDeferred, DeliveryUnknown, Mailer, Message, Outcome, Receipt
from mailer.backends.base import Backend
from mailer.circuit import Circuit, CircuitPolicy, CircuitStore, MemoryCircuits, RedisCircuits, SqliteCircuits
from mailer.features import Features
from mailer.plugins.circuit import CircuitBreaker
from mailer.testing import FakeRelay, SmtpServer
from mailer.testing.relay import Answer
from mailer.verdict import Scope

A, D, R, U = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED, Outcome.UNKNOWN


def hello(*to: str, **more: object) -> Message:
    return Message(**{"from_": "shop@example.com", "to": list(to), "subject": "Hi", "text": "Hello", **more})


class Patient(Backend):
    """Answers each mail as it is told, all well by default; counts its calls."""

    url = "patient:"
    batch_size = 10

    def __init__(self) -> None:
        self.says: list[tuple[Outcome, Scope | None]] = []
        self.calls: list[int] = []

    async def send(self, mail):
        return (await self.send_many([mail]))[0]

    async def send_many(self, mails):
        self.calls.append(len(mails))
        outcome, scope = self.says.pop(0) if self.says else (A, None)
        return [Receipt.for_all(mail, outcome, scope=scope, text="so it is") for mail in mails]


DOWN = (D, Scope.HOST)


def broken(clock: list[float], **settings: object) -> CircuitBreaker:
    plugin = CircuitBreaker(settings)
    plugin.clock = lambda: clock[0]
    return plugin


def outcome(mailer: Mailer, *to: str) -> Receipt:
    [receipt] = mailer.send_many([hello(*(to or ["a@x.test"]))])
    return receipt


@given(
    st.lists(st.tuples(st.floats(0, 25), st.sampled_from(["well", "down", "lost", "theirs"])), max_size=40),
    st.integers(1, 3),
)
def test_it_goes_by_the_rules(steps, failures):
    """Against the rules in the plainest words: a streak, and the time when it was long enough."""
    clock, backend = [1e9], Patient()
    plugin = broken(clock, failures=failures, open_s=10)
    says = {"well": (A, None), "down": DOWN, "lost": (U, None), "theirs": (D, Scope.RECIPIENT)}
    streak, opened_at = 0, None
    with Mailer(backend, plugins=[plugin], retry=None) as mailer:
        for pause, kind in steps:
            clock[0] += pause
            backend.says, calls = [says[kind]], len(backend.calls)
            receipt = outcome(mailer)
            may_go = opened_at is None or clock[0] >= opened_at + 10
            assert (len(backend.calls) > calls) is may_go
            if not may_go:
                [result] = receipt.results
                assert (result.outcome, result.scope) == (D, Scope.HOST)
                assert 0 < result.retry_after_s <= 10
                assert clock[0] + result.retry_after_s >= opened_at + 10
                assert receipt.attempts == ()
                continue
            assert receipt.results[0].outcome is says[kind][0]
            is_bad = kind in ("down", "lost")
            streak = streak + 1 if is_bad else 0
            opened_at = clock[0] if is_bad and streak >= failures else None


@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["ask", "well", "failed", "lost"])), max_size=60))
def test_of_many_workers_one_is_the_probe(steps):
    """However calls of several workers overlap: at most one probe in ``probe_s``, and none while it is open."""
    policy = CircuitPolicy(failures=2, open_s=10, probe_s=30)
    circuit, now, flying = Circuit(), 1e9, []
    opened_at, probe_at = None, None
    for pause, step in steps:
        now += pause
        if step == "ask":
            wait_s = policy.wait_s(circuit, now)
            if policy.is_closed(circuit):
                assert wait_s == 0
                flying.append("call")
            elif wait_s == 0:
                assert now >= opened_at + 10
                assert probe_at is None or now >= probe_at + 30
                circuit, probe_at = policy.probed(circuit, now), now
                flying.append("probe")
            else:
                assert wait_s <= 30
        elif flying and step == "well":
            flying.pop()
            circuit, opened_at, probe_at = Circuit(), None, None
        elif flying and step == "failed":
            flying.pop()
            was_open = not policy.is_closed(circuit)
            was_waiting = was_open and circuit.probe_until == 0 and now < circuit.open_until
            until = circuit.open_until
            circuit = policy.failed(circuit, now, "down")
            if was_waiting:
                assert circuit.open_until == until  # a late answer prolongs nothing
            elif not policy.is_closed(circuit):
                assert circuit.open_until == now + 10
                opened_at, probe_at = now, None
        elif flying:
            flying.pop()  # and no answer ever comes


def test_a_batch_is_one_call_and_its_first_is_the_probe(world):
    clock, backend = [1e9], Patient()
    with world.mailer(backend, plugins=[broken(clock, failures=2, open_s=10)]) as mailer:
        batch = [hello(f"{n}@x.test") for n in range(5)]
        backend.says = [DOWN, DOWN]
        assert {receipt.results[0].outcome for receipt in mailer.send_many(batch)} == {D}
        assert {receipt.results[0].outcome for receipt in mailer.send_many(batch)} == {D}
        assert backend.calls == [5, 5]
        receipts = mailer.send_many(batch)
        assert backend.calls == [5, 5]
        assert receipts[4].results[0].text == "the circuit is open, after 2 failures (so it is): next try in 10 s"
        clock[0] += 10
        backend.says = [DOWN]
        assert {receipt.results[0].outcome for receipt in mailer.send_many(batch)} == {D}
        assert backend.calls == [5, 5, 1]
        clock[0] += 10
        assert all(receipt.ok for receipt in mailer.send_many(batch))
        assert backend.calls == [5, 5, 1, 1, 4]


def test_what_the_peer_asks_for_is_heeded_and_a_mail_that_cannot_be_carried_is_no_answer():
    class Plain(Patient):
        features = Features(attachments=False)

        async def send_many(self, mails):
            self.calls.append(1)
            if not self.says:
                return [Receipt.for_all(mail, A) for mail in mails]
            self.says.pop()
            return [Receipt.for_all(mail, D, scope=Scope.HOST, retry_after_s=60.0) for mail in mails]

    from mailer import Attachment, UnsupportedFeature

    clock, backend = [1e9], Plain()
    with Mailer(backend, plugins=[broken(clock, failures=1, open_s=10)], retry=None) as mailer:
        backend.says = [DOWN]
        outcome(mailer)
        clock[0] += 59
        assert outcome(mailer).results[0].retry_after_s == 1
        clock[0] += 1
        with pytest.raises(UnsupportedFeature):
            mailer.send(hello("a@x.test", attachments=[Attachment.from_bytes("a.bin", b"a")]))
        assert outcome(mailer).ok  # the probe was not used up
        assert len(backend.calls) == 2


def test_a_probe_that_is_lost_keeps_nobody_for_ever():
    class Interrupted(Patient):
        async def send_many(self, mails):
            if self.says == ["interrupt"]:
                raise KeyboardInterrupt
            return await super().send_many(mails)

    clock, backend = [1e9], Interrupted()
    with Mailer(backend, plugins=[broken(clock, failures=1, open_s=10, probe_s=20)], retry=None) as mailer:
        backend.says = [DOWN]
        outcome(mailer)
        clock[0] += 10
        backend.says = ["interrupt"]
        with pytest.raises(KeyboardInterrupt):
            outcome(mailer)
        backend.says = []
        clock[0] += 19
        assert not outcome(mailer).ok
        clock[0] += 1
        assert outcome(mailer).ok


def test_a_clock_that_was_put_back_keeps_it_open_for_no_longer_than_an_hour():
    policy = CircuitPolicy(failures=1, open_s=10)
    circuit = policy.failed(Circuit(), 2e9, "down")
    assert policy.wait_s(circuit, 1e9) == 3600


def test_through_smtp_and_a_relay_a_dead_server_is_asked_no_more(world, tmp_path, caplog):
    clock = [1e9]
    with SmtpServer() as server, FakeRelay("postmark") as relay:
        server.on("CONNECT").times(2).reply("421 4.3.2 going down")
        relay.next(Answer(status=503), Answer(status=503))
        for url, asked in ((server.url, lambda: len(server.sessions)), (relay.url, lambda: len(relay.requests))):
            plugin = broken(clock, failures=2, open_s=10, path=str(tmp_path / "circuits.db"))
            with world.mailer(url, plugins=[plugin]) as mailer:
                for _ in range(2):
                    with pytest.raises(DeliveryDeferred):
                        mailer.send(hello("a@x.test", "b@x.test"))
                before = asked()
                with pytest.raises(DeliveryDeferred, match="the circuit is open, after 2 failures"):
                    mailer.send(hello("a@x.test", "b@x.test"))
                assert asked() == before
                clock[0] += 10
                assert mailer.send(hello("a@x.test", "b@x.test")).ok
    told = [record.getMessage() for record in caplog.records if record.name == "mailer.plugins"]
    assert len(told) == 4
    assert told[0] == f"circuit: the circuit of {server.url} is open"
    assert told[3].endswith("is closed")
    assert "TOKEN" not in "".join(told)


def test_a_member_of_a_group_has_its_own_circuit_in_code():
    from mailer.backends.group import FailoverBackend
    from mailer.backends.memory import MemoryBackend
    from mailer.plugins.circuit import CircuitBackend

    clock, first, second = [1e9], Patient(), MemoryBackend()
    circuits = MemoryCircuits()
    policy = CircuitPolicy(failures=2, open_s=10)
    group = FailoverBackend([CircuitBackend(first, circuits, policy, lambda: clock[0]), second])
    first.says = [DOWN] * 5
    with Mailer(group) as mailer:
        assert all(mailer.send(hello("a@x.test")).ok for _ in range(4))
        assert (len(first.calls), len(second.mails)) == (2, 4)


FAILING = """\
import sys
from mailer.circuit import CircuitPolicy, SqliteCircuits
store = SqliteCircuits(sys.argv[1], wait_s=30)
policy = CircuitPolicy(failures=1000)
for _ in range(100):
    store.change("smtp://x", lambda circuit: policy.failed(circuit, 1e9, "down"))
probes = 0
def probe(circuit):
    global probes
    if policy.wait_s(circuit, 3e9):
        return circuit
    probes += 1
    return policy.probed(circuit, 3e9)
for number in range(20):
    store.change(f"probe {number}", lambda circuit: probe(circuit if circuit.failures else OPEN))
print(probes)
"""


def test_two_processes_share_it_by_a_file(tmp_path, warm):
    script, path = tmp_path / "failing.py", tmp_path / "circuits.db"
    script.write_text("from mailer.circuit import Circuit\nOPEN = Circuit(failures=1000, open_until=1e9)\n" + FAILING)
    workers = [subprocess.Popen([*warm, str(script), str(path)], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert SqliteCircuits(path).look("smtp://x").failures == 200  # no count is lost
    assert sum(printed) == 20  # each circuit had one probe, by either


def test_what_another_process_found_out_counts_here(tmp_path):
    clock, path = [1e9], str(tmp_path / "circuits.db")
    one, other = Patient(), Patient()
    one.says = [DOWN] * 5
    with Mailer(one, plugins=[broken(clock, failures=3, path=path)], retry=None) as first:
        for _ in range(3):
            outcome(first)
        with Mailer(other, plugins=[broken(clock, failures=3, path=path)], retry=None) as second:
            assert "circuit is open" in outcome(second).results[0].text
            assert other.calls == []
            clock[0] += 30
            assert outcome(second).ok
        one.says = []
        assert outcome(first).ok


class Failing(CircuitStore):
    asked = 0

    def look(self, name):
        Failing.asked += 1
        raise OSError("gone")

    change = look


def test_a_store_that_fails_is_no_reason_not_to_send(world, caplog):
    clock, backend = [1e9], Patient()
    Failing.asked = 0
    with world.mailer(backend, plugins=[broken(clock, failures=2, open_s=10, store=Failing())]) as mailer:
        assert all(mailer.send(hello("a@x.test")).ok for _ in range(5))
        assert Failing.asked == 1  # in thirty seconds
        backend.says = [DOWN, DOWN]
        for _ in range(2):
            with pytest.raises(DeliveryDeferred):
                mailer.send(hello("a@x.test"))
        with pytest.raises(DeliveryDeferred, match="circuit is open"):  # as far as this process knows
            mailer.send(hello("a@x.test"))
        clock[0] += 30
        assert mailer.send(hello("a@x.test")).ok
        assert Failing.asked == 2
    told = [record.getMessage() for record in caplog.records if "store" in record.getMessage()]
    assert told == ["store.failed: plug-in circuit goes on without its store for 30 s: OSError: gone"] * 2


def test_a_file_that_is_locked_full_or_gone_delays_one_send_by_no_more_than_it_says(tmp_path):
    locked, folder, empty = tmp_path / "locked.db", tmp_path / "folder", tmp_path / "not.db"
    folder.mkdir()
    empty.write_bytes(b"no database at all" * 100)
    SqliteCircuits(locked).change("x", lambda circuit: circuit)
    with sqlite3.connect(locked) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        for path in (locked, folder, empty, tmp_path / "no such folder" / "x.db", "/dev/full"):
            backend = Patient()
            backend.says = [(U, None)]
            with Mailer(backend, plugins=[CircuitBreaker(path=str(path), wait_s=0.2)], retry=None) as mailer:
                begun = time.monotonic()
                with pytest.raises(DeliveryUnknown):
                    mailer.send(hello("a@x.test"))
                assert mailer.send(hello("a@x.test")).ok
                assert time.monotonic() - begun < 2.0, path
                assert backend.calls == [1, 1]
        holder.execute("ROLLBACK")
    holder.close()


def test_threads_lose_no_count():
    store, policy = MemoryCircuits(), CircuitPolicy(failures=1000)

    def work() -> None:
        for _ in range(500):
            store.change("x", lambda circuit: policy.failed(circuit, 1e9, "down"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.look("x").failures == 2000


def test_wrong_settings_and_states_are_refused():
    for settings, said in (
        ({"failures": 0}, "failures"),
        ({"open_s": 4000}, "open_s"),
        ({"path": "a", "store": MemoryCircuits()}, "one of them"),
        ({"path": ""}, "path: needs the name of a file"),
        ({"redis": "http://hunter2@x"}, "Redis"),
        ({"probe": 1}, "did you mean 'probe_s'"),
    ):
        with pytest.raises(ConfigError, match=said) as told:
            CircuitBreaker(settings)
        assert "hunter2" not in str(told.value)
    with pytest.raises(ConfigError):
        CircuitPolicy(failures=0)
    for state in ({"failures": -1}, {"open_until": float("nan")}, {"probe_until": "soon"}):
        with pytest.raises(ValueError):
            Circuit(**state)
    with pytest.raises(ConfigError):
        SqliteCircuits(" ")


def test_redis_that_is_gone_is_no_reason_not_to_send():
    pytest.importorskip("redis")
    with Mailer(Patient(), plugins=[CircuitBreaker(redis="redis://:hunter2@127.0.0.1:1/0", wait_s=0.2)]) as mailer:
        assert "hunter2" not in repr(mailer.plugins["circuit"].settings)
        begun = time.monotonic()
        assert mailer.send(hello("a@x.test")).ok
        assert time.monotonic() - begun < 2.0
    assert RedisCircuits("redis://127.0.0.1:1/0") is not None

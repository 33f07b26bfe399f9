"""Circuits in a real Redis, shared by processes; and a Redis that hangs or goes away."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer import Mailer, Message, Outcome, Receipt
from mailer.backends.base import Backend
from mailer.circuit import Circuit, CircuitPolicy, RedisCircuits
from mailer.plugins.circuit import CircuitBreaker
from mailer.verdict import Scope

from .peers import _program, free_port

pytestmark = pytest.mark.real


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"redis://127.0.0.1:{port}/0"
            store, until = RedisCircuits(url), time.monotonic() + 20
            while True:
                try:
                    store.look("x")
                    break
                except Exception:
                    assert time.monotonic() < until, "redis-server does not answer"
                    time.sleep(0.02)
            store.close()
            yield url, server
        finally:
            server.send_signal(signal.SIGCONT)
            server.terminate()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    if os.environ.get("REAL_PEERS") != "1":
        pytest.skip("REAL_PEERS is not set to 1; it needs redis-server")
    with redis_server(tmp_path) as made:
        yield made


class Scripted(Backend):
    url = "scripted:"

    def __init__(self, *says: Outcome) -> None:
        self.says, self.calls = list(says), 0

    def send(self, mail):
        self.calls += 1
        said = self.says.pop(0) if self.says else Outcome.ACCEPTED
        return Receipt.for_all(mail, said, scope=Scope.HOST, text="down")


HELLO = Message(from_="shop@example.com", to="a@x.test", subject="Hi", text="Hello")
WORKER = """\
import sys
from mailer.circuit import Circuit, CircuitPolicy, RedisCircuits
store = RedisCircuits(sys.argv[1], wait_s=30)
policy = CircuitPolicy(failures=1000)
for _ in range(100):
    store.change("smtp://x", lambda circuit: policy.failed(circuit, 1e9, "down"))
probes = 0
for number in range(20):
    def probe(circuit):
        global is_mine
        circuit = circuit if circuit.failures else Circuit(failures=1000, open_until=1e9)
        is_mine = policy.wait_s(circuit, 3e9) == 0
        return policy.probed(circuit, 3e9) if is_mine else circuit
    store.change(f"probe {number}", probe)
    probes += is_mine
print(probes)
"""


def test_processes_share_it(redis, tmp_path):
    url, _ = redis
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    workers = [subprocess.Popen([sys.executable, script, url], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [int(worker.communicate(timeout=120)[0]) for worker in workers]
    assert RedisCircuits(url).look("smtp://x").failures == 300
    assert sum(printed) == 20


def test_what_one_mailer_finds_out_another_knows(redis, world):
    url, _ = redis
    one, other = Scripted(*[Outcome.DEFERRED] * 2), Scripted()
    made = [CircuitBreaker(redis=url, failures=2, open_s=10) for _ in range(2)]
    clock = [time.time()]
    for plugin in made:
        plugin.clock = lambda: clock[0]
    with world.mailer(one, plugins=[made[0]]) as first, world.mailer(other, plugins=[made[1]]) as second:
        assert not [receipt for receipt in first.send_many([HELLO, HELLO]) if receipt.ok]
        [receipt] = second.send_many([HELLO])
        assert "the circuit is open, after 2 failures (down)" in receipt.results[0].text
        assert other.calls == 0
        clock[0] += 10
        assert second.send(HELLO).ok
        assert first.send(HELLO).ok


def test_a_redis_that_hangs_or_is_gone_delays_one_send_by_its_bound(redis):
    url, server = redis
    backend = Scripted()
    with Mailer(backend, plugins=[CircuitBreaker(redis=url, wait_s=0.3)]) as mailer:
        assert mailer.send(HELLO).ok
        for ended in (lambda: server.send_signal(signal.SIGSTOP), server.kill):
            mailer.plugins["circuit"].circuits._rests_until = 0.0
            ended()
            begun = time.monotonic()
            assert all(mailer.send(HELLO).ok for _ in range(5))
            assert time.monotonic() - begun < 2.0
        assert backend.calls == 11


def test_a_strange_value_is_a_store_that_fails(redis):
    import redis as client

    url, _ = redis
    with contextlib.closing(client.Redis.from_url(url)) as raw:
        for value in ("nonsense", '{"failures": -1}', '{"odd": 1}', "[]"):
            raw.set("mailer:circuit:scripted:", value)
            with Mailer(Scripted(), plugins=[CircuitBreaker(redis=url)]) as mailer:
                assert mailer.send(HELLO).ok
    assert RedisCircuits(url).change("new", lambda c: CircuitPolicy().failed(c, 1e9, "x")) == Circuit(
        failures=1, reason="x"
    )

"""Celery and Dramatiq, with a real Redis between: the blocking mailer in tasks, whichever the worker's kind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailer.testing import SmtpServer

from .peers import START_TIMEOUT_S
from .test_app_servers import BIN, ROOT, processes_of
from .test_circuit_redis import redis_server

pytestmark = pytest.mark.real

CELERY = ["celery", "-A", "celery_tasks", "worker", "--concurrency", "2", "--loglevel", "INFO"]
CELERY += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
# Worker -> the command, and what its log says once it is there.
WORKERS = {
    "celery prefork": ([*CELERY, "--pool", "prefork"], " ready."),
    "celery threads": ([*CELERY, "--pool", "threads"], " ready."),
    "celery gevent": ([*CELERY, "--pool", "gevent"], " ready."),
    "dramatiq": (["dramatiq", "dramatiq_tasks", "--processes", "2", "--threads", "2"], "is ready for action"),
    "dramatiq gevent": (["dramatiq-gevent", "dramatiq_tasks", "--processes", "1", "--threads", "4"], "is ready"),
}
ADDRESSES = [f"{name}@example.org" for name in ("ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal")]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if os.environ.get("REAL_PEERS") != "1":
        pytest.skip("REAL_PEERS is not set to 1; it needs what .ci/install-real-peers installs")
    with redis_server(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    """Refuses one for good, and another's first try for now."""
    with SmtpServer(tls=True, users={"ann": "s:cret"}) as server:
        server.on("RCPT", "gone@*").reply("550 5.1.1 no such user")
        server.on("RCPT", "later@*").times(1).reply("451 4.3.0 come back")
        yield server


def environment(url: str, broker: str, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILER_")}
    root = "1" if os.geteuid() == 0 else "0"
    return {**kept, "PYTHONPATH": str(ROOT), "APP_URL": url, "APP_BROKER": broker, "C_FORCE_ROOT": root, **more}


@contextlib.contextmanager
def worker(name: str, folder: Path, env: dict[str, str]) -> Iterator[None]:
    """Run it; it must end well once it is told to."""
    (program, *rest), ready = WORKERS[name]
    log = folder / "log"
    with log.open("wb") as out:
        started = subprocess.Popen(
            [str(BIN / program), *rest],
            cwd=Path(__file__).parent,
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + START_TIMEOUT_S
            while ready not in log.read_text():
                assert started.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            yield
            started.send_signal(signal.SIGTERM)
            assert started.wait(60) == 0, log.read_text()
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
            started.wait(60)


def asked(script: str, env: dict[str, str], *addresses: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(BIN / "python"), script, *addresses],
        cwd=Path(__file__).parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_connections(smtp: SmtpServer) -> None:
    """Whole mails of one process on each connection."""
    assert all(len(set(processes_of(record))) <= 1 for record in smtp.sessions)
    came = sorted(mail.recipients[0] for mail in smtp.mails)
    assert [one for one in came if not one.startswith("master@")] == sorted([*ADDRESSES, "later@example.org"])


@pytest.mark.parametrize(
    ("name", "results"),
    [*((name, "json") for name in WORKERS if name.startswith("celery")), ("celery prefork", "pickle")],
)
def test_celery(name: str, results: str, broker: str, smtp: SmtpServer, tmp_path: Path) -> None:
    """Refused is refused at the caller, receipt and all; deferred is tried again; each went once."""
    env = environment(smtp.url, broker, APP_RESULTS=results)
    with worker(name, tmp_path, env):
        told = asked("celery_tasks.py", env, *ADDRESSES, "gone@example.org", "later@example.org")
    assert [one.get("outcomes") for one in told[:8]] == [["accepted"]] * 8
    assert told[8] == {"error": "DeliveryRefused", "code": 550, "to": "gone@example.org"}
    assert told[9]["outcomes"] == ["accepted"]
    assert told[10] == {"eager": "accepted"}
    mails = [mail for mail in smtp.mails if mail.recipients[0] == ADDRESSES[0]]
    assert len(mails) == 2, "by the worker, and eagerly"
    assert all(len(set(processes_of(record))) <= 1 for record in smtp.sessions)


@pytest.mark.parametrize("name", [name for name in WORKERS if name.startswith("dramatiq")])
def test_dramatiq(name: str, broker: str, smtp: SmtpServer, tmp_path: Path) -> None:
    env = environment(smtp.url, broker)
    with worker(name, tmp_path, env):
        told = asked("dramatiq_tasks.py", env, *ADDRESSES, "gone@example.org", "later@example.org")
    assert [one.get("outcomes") for one in told[:8]] == [["accepted"]] * 8
    assert told[8:] == [{"error": "DeliveryRefused"}, {"id": told[9]["id"], "outcomes": ["accepted"]}]
    check_connections(smtp)


def test_dramatiq_with_the_broker_of_its_tests(broker: str, smtp: SmtpServer) -> None:
    env = environment(smtp.url, "")
    told = asked("dramatiq_tasks.py", env, *ADDRESSES, "gone@example.org", "later@example.org")
    assert [one.get("outcomes") for one in told[:8]] == [["accepted"]] * 8
    assert told[8] == {"error": "DeliveryRefused"}
    check_connections(smtp)

"""Gunicorn and uWSGI, which fork their workers, and gevent: a mailer made before the fork is good in each worker.

The servers run in an environment of their own (``.ci/install-real-peers``), with this checkout on their path. The SMTP
server is in this process, so that it sees every octet that any of theirs says on any connection.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mailer.testing import SmtpServer

from .peers import HOME, START_TIMEOUT_S

pytestmark = pytest.mark.real

BIN = HOME / "servers" / "bin"
ROOT = Path(__file__).parents[2]
GUNICORN = ["gunicorn", "--no-control-socket", "--bind", "unix:{path}", "--workers", "2", "wsgi_app:app"]
UWSGI = ["uwsgi", "--http-socket", "{path}", "--processes", "2", "--wsgi-file", "wsgi_app.py", "--callable", "app"]
UWSGI += ["--master", "--die-on-term", "--need-app", "--virtualenv", str(HOME / "servers")]
SERVERS = {
    "sync": [*GUNICORN, "--preload"],
    "threads": [*GUNICORN, "--preload", "--worker-class", "gthread", "--threads", "4"],
    "gevent": [*GUNICORN, "--worker-class", "gevent"],
    "gevent, preloaded": [*GUNICORN, "--preload", "--worker-class", "gevent"],
    "uwsgi": UWSGI,
    "uwsgi with threads": [*UWSGI, "--threads", "4"],
}
LOADED_FIRST = [name for name in SERVERS if name != "gevent"]


@pytest.fixture(autouse=True)
def asked_for() -> None:
    if os.environ.get("REAL_PEERS") != "1":
        pytest.skip("REAL_PEERS is not set to 1; it needs the servers that .ci/install-real-peers installs")


class Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def get(path: Path, what: str) -> dict[str, Any]:
    with contextlib.closing(Unix(path)) as connection:
        connection.request("GET", what)
        answer = connection.getresponse()
        body = answer.read()
    assert answer.status == 200, body
    said: dict[str, Any] = json.loads(body)
    return said


@contextlib.contextmanager
def running(command: list[str], folder: Path, url: str, **settings: str) -> Iterator[Path]:
    """Run the app; yields the Unix socket it listens at. It must end well once it is told to."""
    path = folder / "app.sock"
    program, *rest = (part.format(path=path) for part in command)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILER_")}
    env = {**kept, "PYTHONPATH": str(ROOT), "APP_URL": url, "PYTHONWARNINGS": "ignore", **settings}
    log = folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [str(BIN / program), *rest], cwd=Path(__file__).parent, env=env, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            until = time.monotonic() + START_TIMEOUT_S
            while True:
                with contextlib.suppress(OSError), contextlib.closing(Unix(path)) as connection:
                    connection.connect()
                    break
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.02)
            yield path
            server.send_signal(signal.SIGTERM)
            # uvicorn, once it has shut down, lets the signal have its way.
            assert server.wait(60) in (0, -signal.SIGTERM), log.read_text()
        finally:
            if server.poll() is None:
                server.kill()
            server.wait(60)
    assert "Traceback" not in log.read_text(), log.read_text()


def all_of(path: Path, what: str, count: int) -> list[dict[str, Any]]:
    """Ask, several at once, until so many processes have answered.

    For a worker of Gunicorn's with gevent that is told to end while it begins does so only as it is killed.
    """
    said: list[dict[str, Any]] = []
    until = time.monotonic() + START_TIMEOUT_S
    with ThreadPoolExecutor(8) as pool:
        while len({one["process"] for one in said}) < count and time.monotonic() < until:
            said += pool.map(lambda _: get(path, what), range(8))
    assert len({one["process"] for one in said}) == count
    return said


def processes_of(record: Any) -> list[str]:
    """Who sent the mails of a connection, in their order."""
    return re.findall(r"^X-Process: (\d+)\r$", record.received.decode("latin-1"), re.M)


@pytest.fixture(scope="module", params=["clear", "TLS and login"])
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {} if request.param == "clear" else {"tls": True, "users": {"ann": "s:cret"}}


@pytest.mark.parametrize("name", SERVERS)
def test_no_connection_is_shared_by_processes(name: str, kind: dict[str, Any], tmp_path: Path) -> None:
    """Each connection carries whole mails of one process, the master's none after the fork."""
    with SmtpServer(**kind) as smtp:
        with running(SERVERS[name], tmp_path, smtp.url, APP_USES_IT="1") as path:
            said = [one for _ in range(3) for one in all_of(path, "/send", 2)]
        assert all(one["ok"] for one in said)
        workers = {str(one["process"]) for one in said}
        first = {str(one["master"]) for one in said}
        used_by = [processes_of(record) for record in smtp.sessions]
        assert all(len(set(processes)) <= 1 for processes in used_by), used_by
        by_process: dict[str, int] = defaultdict(int)
        for processes in used_by:
            for process in processes:
                by_process[process] += 1
        if name in LOADED_FIRST:
            assert len(first) == 1
            assert not first & workers
            assert [processes for processes in used_by if set(processes) <= first and processes] == [list(first)]
        assert sum(by_process[process] for process in workers) == len(said) + (
            0 if name in LOADED_FIRST else len(workers)
        )
        assert len(smtp.mails) == sum(by_process.values()), "no octet of one mail in another"
        for record in smtp.sessions:  # a worker's end says QUIT on its own connections, on no other's
            assert record.commands.count("QUIT") <= 1
            assert not any(re.match("[^A-Z]", line) for line in record.commands), "nothing but commands"
        if name in LOADED_FIRST:
            [masters] = [record for record in smtp.sessions if set(processes_of(record)) == first]
            assert "X-Process" not in masters.received.decode("latin-1").partition("\r\n.\r\n")[2]


@pytest.mark.parametrize("name", SERVERS)
def test_a_name_and_several_connections(name: str, tmp_path: Path) -> None:
    """Names are looked up in a thread, and ``send_many`` has threads too: both come to their end in any worker."""
    with SmtpServer() as smtp:
        url = smtp.url.replace("127.0.0.1", "localhost")
        with running(SERVERS[name], tmp_path, url, APP_USES_IT="1") as path:
            assert all(one["ok"] == [True] * 4 for one in all_of(path, "/many", 2))


@pytest.mark.parametrize("name", ["gevent", "gevent, preloaded", "threads", "uwsgi with threads"])
def test_two_sends_of_one_process_are_on_their_way_at_once(name: str, tmp_path: Path) -> None:
    """The server answers the one only once the other's mail has come, too."""
    command = [{"2": "1"}.get(part, part) for part in SERVERS[name]]  # one worker
    both = threading.Barrier(2)

    def answer(command: object) -> str:
        both.wait(30)
        return "250 ok"

    with SmtpServer() as smtp:
        rule = smtp.on(".").skip(1).reply(answer)  # that of the master, or of the one worker as it loads the app
        with (
            running(command, tmp_path, smtp.url, APP_USES_IT="1") as path,
            ThreadPoolExecutor(4) as pool,
        ):
            said = list(pool.map(lambda _: get(path, "/send"), range(4)))
        assert [one["ok"] for one in said] == [True] * 4
        assert len({one["process"] for one in said}) == 1
        assert rule.count == 4


@pytest.mark.parametrize("name", ["gevent", "gevent, preloaded", "threads"])
def test_who_waits_for_a_connection_gets_it(name: str, tmp_path: Path) -> None:
    """One connection for many: whoever has to wait is woken, by whichever greenlet or thread gives it back."""
    command = [{"2": "1"}.get(part, part) for part in SERVERS[name]]
    with SmtpServer() as smtp:
        url = f"{smtp.url}&max_connections=1"
        with running(command, tmp_path, url, APP_USES_IT="1") as path, ThreadPoolExecutor(8) as pool:
            said = list(pool.map(lambda _: get(path, "/send"), range(24)))
        assert all(one["ok"] for one in said)
        assert len([record for record in smtp.sessions if processes_of(record)]) <= 2

"""LMTP: where it listens, and what its many replies after the data mean. Dialogues: ``check_50_*`` and ``f58_*``."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import UnixSocketController
from aiosmtpd.lmtp import LMTP
from exchange import HI, exchange, message, sent, shown
from worlds import World

from mailer import Attachment, backend_from_url
from mailer.backends.smtp import SmtpBackend
from mailer.errors import ConfigError, ConnectError, ProtocolError
from mailer.smtp.endpoint import Endpoint

LHLO = HI + "C: LHLO *\nS: 250-hi\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
TWO = LHLO + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: RCPT *\nS: 250 ok\n"
LARGE = Attachment.from_bytes("large.bin", bytes(range(256)) * 1600)


class Store:
    """An LMTP server's mails; "full" recipients are refused after the data."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - its name
        self.mails.append((list(envelope.rcpt_tos), envelope.content))
        full = ["full" in address for address in envelope.rcpt_tos]
        return "\r\n".join("552 5.2.2 full" if is_full else "250 2.1.5 saved" for is_full in full)


class _Controller(UnixSocketController):
    def factory(self) -> LMTP:
        return LMTP(self.handler, enable_SMTPUTF8=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Store, str]]:
    """aiosmtpd's LMTP on a unix socket: the store and the socket's path."""
    controller = _Controller(Store(), unix_socket=str(tmp_path / "lmtp"))
    controller.start()
    yield controller.handler, str(tmp_path / "lmtp")
    controller.stop()


def test_check_50_a_unix_socket_by_its_path(world: World, store: tuple[Store, str]) -> None:
    kept, path = store
    with world.mailer(f"lmtp://{path}") as mailer:
        receipt, _ = sent(mailer, to=["a@y.test", "full@y.test", "b@y.test"])
        again, _ = sent(mailer)
        health = mailer.check()
    assert [(r.outcome.value, r.code, r.enhanced_code) for r in receipt.results] == [
        ("accepted", 250, "2.1.5"),
        ("rejected", 552, "5.2.2"),
        ("accepted", 250, "2.1.5"),
    ]
    assert again.ok
    assert [to for to, _ in kept.mails] == [["a@y.test", "full@y.test", "b@y.test"], ["b@y.test"]]
    assert (health.ok, health.facts["server"], health.facts["tls"]) == (True, path, "none")
    assert receipt.backend == f"lmtp://{path}"
    assert receipt.notes == ()


def test_a_socket_that_is_not_there_is_deferred_and_named(world: World, tmp_path: Path) -> None:
    with world.mailer(f"lmtp://{tmp_path}/none") as mailer:
        receipt, error = sent(mailer)
    assert isinstance(error.__cause__, ConnectError)
    assert str(error.__cause__) == (f"no connection to {tmp_path}/none ({tmp_path}/none: No such file or directory)")
    assert [r.outcome.value for r in receipt.results] == ["deferred"]


def test_a_socket_whose_queue_is_full_is_deferred(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        waiting = []
        while True:  # until the queue has no room
            client = socket.socket(socket.AF_UNIX)
            waiting.append(client)
            client.setblocking(False)
            try:
                client.connect(path)
            except BlockingIOError:
                break
        with world.mailer(f"lmtp://{path}") as mailer:
            _, error = sent(mailer)
        for client in waiting:
            client.close()
    assert "queue of connections is full" in str(error.__cause__)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("lmtp://mail.example.com:25", "must not be spoken on port 25"),  # check 50
        ("lmtp:", "names no host"),
        ("lmtp:///", "names no host"),
        ("lmtp://:24/run/lmtp", "takes no port"),
        ("lmtp://host/run/lmtp", "takes no path"),
        ("lmtp:run/lmtp", "names no host"),
        ("lmtp:///run/lmtp?source_address=127.0.0.1", "no source_address leads to a unix socket"),
        ("lmtp:///run/lmtp?proxy=socks5://127.0.0.1:1080", "no proxy leads to a unix socket"),
    ],
)
def test_check_50_urls_that_are_refused(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        backend_from_url(url)


@pytest.mark.parametrize(
    ("url", "port", "path", "tls"),
    [
        ("lmtp://mail.example.com", 24, "", "opportunistic"),
        ("lmtp://mail.example.com:2424?tls=none", 2424, "", "none"),
        ("lmtp:///var/run/dovecot/lmtp", 24, "/var/run/dovecot/lmtp", "none"),
        ("lmtp:/var/run/dovecot/lmtp", 24, "/var/run/dovecot/lmtp", "none"),
        ("lmtp://user:pw@mail.example.com", 24, "", "required"),
    ],
)
def test_where_it_listens(url: str, port: int, path: str, tls: str) -> None:
    endpoint = backend_from_url(url).endpoint
    assert (endpoint.is_lmtp, endpoint.port, endpoint.path, endpoint.tls) == (True, port, path, tls)


def test_made_by_hand_it_prints_itself_as_its_url() -> None:
    endpoint = Endpoint(host="localhost", port=24, path="/run/lmtp", is_lmtp=True, tls="none")
    assert str(SmtpBackend(endpoint)) == "lmtp:///run/lmtp?tls=none"
    assert str(endpoint) == "/run/lmtp"


def test_one_reply_too_many_puts_all_of_them_in_doubt(world: World) -> None:
    script = TWO + "C: BDAT *\nC: <chunk>\nS: 550 5.0.0 no\nS: 250 2.0.0 ok\nS: 250 2.0.0 ok\nC: <eof>\n"
    with exchange(world, script, scheme="lmtp") as (_, mailer):
        receipt, error = sent(mailer, to=["b@y.test", "c@y.test"])
    assert [r.outcome.value for r in receipt.results] == ["unknown", "unknown"]
    assert isinstance(error.__cause__, ProtocolError)


def test_a_large_mail_refused_at_an_early_chunk_is_refused_for_all(world: World) -> None:
    script = TWO + "C: BDAT *\nC: <chunk>\nS: 552 5.3.4 too big\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye\n"
    with exchange(world, script, scheme="lmtp") as (_, mailer):
        receipt, _ = sent(mailer, to=["b@y.test", "c@y.test"], attachments=[LARGE])
    assert [(outcome, code) for _, outcome, code, _, _ in shown(receipt)] == [("rejected", 552)] * 2


def test_a_large_mail_in_chunks_is_answered_for_each_at_the_last(world: World) -> None:
    chunks = "C: BDAT 2*\nC: <chunk>\nS: 250 ok\n" * 2
    script = TWO + chunks + "C: BDAT * LAST\nC: <chunk>\nS: 250 a\nS: 452 4.2.2 full\nC: RSET\nS: 250 ok\nC: QUIT\n"
    with exchange(world, script, scheme="lmtp") as (server, mailer):
        receipt, _ = sent(mailer, to=["b@y.test", "c@y.test"], attachments=[LARGE])
    assert [(outcome, code) for _, outcome, code, _, _ in shown(receipt)] == [("accepted", 250), ("deferred", 452)]
    assert len(server.received) == 3


def test_mails_in_a_row_share_writes(world: World) -> None:
    """The next envelope rides behind the dot; its replies come after one for each recipient of the mail before."""
    lhlo = HI + "C: LHLO *\nS: 250-hi\nS: 250 PIPELINING\n"
    envelope = "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\n"
    script = lhlo + envelope + "C: <data>\n"
    # The server holds its answers back until it has read the next envelope.
    script += "C: MAIL *\nC: RCPT *\nC: RCPT *\nC: DATA\nS: 250 one\nS: 451 two\n"
    script += "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: <data>\nS: 451 three\nS: 250 four\nC: QUIT\n"
    with exchange(world, script, scheme="lmtp") as (_, mailer):
        mails = [mailer.compose(message("b@y.test", "c@y.test")) for _ in range(2)]
        receipts = world.run(mailer.backend.send_many, mails)
    assert [[r.text for r in receipt.results] for receipt in receipts] == [["one", "two"], ["three", "four"]]
    assert [r.outcome.value for r in receipts[1].results] == ["deferred", "accepted"]


def test_no_thread_is_started_for_it(store: tuple[Store, str]) -> None:
    from mailer import Mailer

    before = threading.active_count()
    with Mailer(f"lmtp://{store[1]}") as mailer:
        mailer.send(message())
        assert threading.active_count() == before

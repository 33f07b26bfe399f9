"""The plug-in ``log``: an entry for each recipient; a store that is locked, full or gone costs a send its bound."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from mailer import ConfigError, DeliveryRefused, Mailer, Message, MessageError
from mailer.dkim import DkimKey
from mailer.mail_log import Logged, MailLog, SqliteMailLog
from mailer.plugins.dkim import Dkim
from mailer.plugins.log import Log
from mailer.testing import FakeRelay, SmtpServer

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


class At(Log):
    clock = staticmethod(lambda: NOW)


SIGNED = Dkim(keys=[DkimKey.generate("example.com", "e", "ed25519")])


def hello(**more: object) -> Message:
    fields = {"from_": "Shop <Shop@example.com>", "to": "ann@example.org", "subject": "Hi", "text": "Hello"}
    return Message(**{**fields, **more})


def found(log: MailLog, **asked: Any) -> list[tuple[str, str, str]]:
    return [(one.recipient, one.outcome, one.answer) for one in reversed(log.search(**asked))]


def test_what_went_by_smtp_is_found_again(world: World, tmp_path: Path) -> None:
    with (
        SmtpServer() as server,
        world.mailer(server.url, plugins=[SIGNED, At(path=str(tmp_path / "log.db"))]) as mailer,
    ):
        server.on("RCPT", "bob@*").reply("550 5.1.1 no such user")
        server.on("RCPT", "cyd@*").reply("450 4.2.1 later")
        receipt = mailer.send(hello(to=["Ann@example.org", "bob@example.org", "cyd@example.org"], tags=["a", "b"]))
        with pytest.raises(DeliveryRefused):
            mailer.send(hello(to="bob@example.org"))
        log = mailer.plugins["log"].log
    assert [(one.recipient, one.outcome, one.code) for one in reversed(log.search(mail_id=receipt.id))] == [
        ("ann@example.org", "accepted", 250),
        ("bob@example.org", "rejected", 550),
        ("cyd@example.org", "deferred", 450),
    ]
    [one] = log.search(recipient="Ann@Example.org")
    [content] = server.mails
    assert one.message_id == content.message["Message-ID"]
    assert (one.time, one.sender, one.subject, one.tags) == (NOW, "shop@example.com", "Hi", "a, b")
    assert (one.backend, one.attempts, log.body(receipt.id)) == (str(mailer.backend), 1, None)
    assert len(log.search(recipient="bob@example.org", outcome="rejected")) == 2
    assert {(one.enhanced_code, one.answer) for one in log.search(recipient="bob@example.org")} == {
        ("5.1.1", "no such user")
    }


def test_what_went_by_a_relay_has_the_providers_id(world: World, tmp_path: Path) -> None:
    with (
        FakeRelay("postmark") as relay,
        world.mailer(relay.url, plugins=[Log(path=str(tmp_path / "log.db"))]) as mailer,
    ):
        receipt = mailer.send(hello())
        [one] = mailer.plugins["log"].log.search()
    assert (one.provider_id,) == receipt.provider_ids
    assert "TOKEN" not in str(one.to_row())


def test_what_was_not_sent_is_logged_with_the_reason(tmp_path: Path) -> None:
    plugin = Log(path=str(tmp_path / "log.db"))
    with Mailer("memory:", plugins=[plugin]) as mailer:
        with pytest.raises(MessageError):
            mailer.send(hello(from_=()))
        mailer.hooks.add_filter("recipients", lambda value, context: ())
        assert mailer.send(hello(cc="bob@example.org")).skipped
        assert [one[:2] for one in found(plugin.log)] == [
            ("ann@example.org", "failed"),
            ("ann@example.org", "skipped"),
            ("bob@example.org", "skipped"),
        ]
        assert found(plugin.log)[0][2].startswith("MessageError: ")


def test_bodies_are_kept_on_request_and_up_to_a_size(tmp_path: Path) -> None:
    for index, (given, is_kept) in enumerate(
        [({}, False), ({"bodies": True}, True), ({"bodies": True, "max_body_bytes": 99}, False)]
    ):
        with Mailer("memory:", plugins=[Log(path=str(tmp_path / f"{index}.db"), **given)]) as mailer:
            receipt = mailer.send(hello())
            body = mailer.plugins["log"].log.body(receipt.id)
            assert body == (bytes(mailer.backend.mails[0].content) if is_kept else None)
            assert len(mailer.plugins["log"].log.search()) == 1


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    store = SqliteMailLog(tmp_path / "log.db")
    old = [NOW - timedelta(days=days) for days in (400, 91, 89)]
    store.add([Logged(time=time, mail_id="old", outcome="accepted") for time in old])
    with Mailer("memory:", plugins=[At(store=store)]) as mailer:
        mailer.send(hello())
    assert [one.time for one in store.search()] == [NOW, old[2]]
    store.add([Logged(time=old[0], mail_id="old", outcome="accepted")])
    with Mailer("memory:", plugins=[At(path=store.path, keep_days=None)]) as mailer:
        mailer.send(hello())
    assert len(store.search()) == 4


def test_a_locked_store_costs_one_send_the_bound_and_loses_nothing(world: World, tmp_path: Path) -> None:
    plugin = Log(path=str(tmp_path / "log.db"), wait_s=0.05)
    with world.mailer("memory:", plugins=[plugin]) as mailer:
        plugin.log.search()
        with contextlib.closing(sqlite3.connect(plugin.settings.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            assert mailer.send(hello()).ok
            assert mailer.hooks.errors["sent"] == 1
            plugin._aside.wait_s = 3600  # whoever waited now would do so for the ten seconds that SQLite waits
            assert all(receipt.ok for receipt in mailer.send_many([hello() for _ in range(20)]))
            assert mailer.hooks.errors["sent"] == 1
            other.execute("COMMIT")
        plugin._aside.wait_s = 30
    assert len(plugin.log.search()) == 21
    assert plugin.lost == 0


class Full(SqliteMailLog):
    """A disk that takes no further page."""

    is_full = True

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with super()._opened() as db:
            db.execute(f"PRAGMA max_page_count = {1 if self.is_full else 1_000_000}")
            yield db


def test_what_a_full_store_does_not_take_is_written_once_there_is_room(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Full(tmp_path / "log.db")
    now = 0.0
    plugin = Log(store=store, bodies=True)
    plugin.monotonic = lambda: now
    with world.mailer("memory:", plugins=[plugin]) as mailer:
        for _ in range(3):
            assert mailer.send(hello(text="x" * 100_000)).ok
        assert "database or disk is full" in caplog.text
        assert store.search() == []
        assert caplog.text.count("of log raised") == 1  # it is left in peace for a second
        store.is_full = False
        now = 1.0
        assert mailer.send(hello()).ok
        assert len(store.search()) == 4


def test_a_store_that_is_gone_keeps_a_thousand_mails_waiting_and_counts_the_others(tmp_path: Path) -> None:
    plugin = Log(path=str(tmp_path / "gone" / "log.db"))
    with Mailer("memory:", plugins=[plugin]) as mailer:
        assert all(receipt.ok for receipt in mailer.send_many(hello(subject=str(n)) for n in range(1003)))
        assert plugin.lost == 3
        (tmp_path / "gone").mkdir()
    assert [one.subject for one in plugin.log.search(limit=10_000)] == [str(n) for n in range(1002, 2, -1)]


def test_a_wrong_setting_is_told_at_the_start() -> None:
    table: list[tuple[dict[str, Any], str]] = [
        ({}, "one of path, url and store"),
        ({"path": "a", "url": "sqlite://"}, "one of path, url and store"),
        ({"path": " "}, "path: "),
        ({"url": "nonsense://u:s3cret@host"}, "url: "),
        ({"path": "a", "keep_days": 0}, "keep_days"),
        ({"path": "a", "store": "b"}, "store"),
    ]
    for given, said in table:
        with pytest.raises(ConfigError, match=r"plugins\.log") as caught:
            Log(given)
        assert said in str(caught.value), given
        assert "s3cret" not in str(caught.value)

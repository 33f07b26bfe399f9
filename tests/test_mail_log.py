"""The mail log: what is kept is found again, by either store and by plain Python alike, off an index, and pruned."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailer import ConfigError
from mailer.mail_log import Logged, MailLog, SqliteMailLog
from mailer.mail_log_sql import SqlalchemyMailLog

T0 = datetime(2026, 11, 30, 12, tzinfo=UTC)


def entry(number: int, **more: Any) -> Logged:
    fields: dict[str, Any] = {
        "time": T0 + timedelta(seconds=number // 3, microseconds=1),
        "mail_id": f"{number // 2:032x}",
        "sender": f"s{number % 3}@example.com",
        "recipient": f"r{number % 7}@example.org",
        "subject": ["Hello", "100% off!", "a_b", "ÄRGER", "", "h\nello"][number % 6],
        "outcome": ["accepted", "deferred", "rejected", "unknown", "failed", "skipped"][number % 6],
        "code": [None, 250, 550][number % 3],
        "answer": "250 ok",
    }
    return Logged(**{**fields, **more})


@pytest.fixture(params=["sqlite", "sqlalchemy"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MailLog]:
    file = tmp_path / "log.db"
    made = SqliteMailLog(file) if request.param == "sqlite" else SqlalchemyMailLog(f"sqlite:///{file}")
    yield made
    made.close()


def test_what_is_found_is_what_plain_python_finds(log: MailLog) -> None:
    entries = [entry(number) for number in range(100)]
    log.add(entries[:50])
    log.add(entries[50:])
    newest = sorted(enumerate(entries), key=lambda pair: (pair[1].time, pair[0]), reverse=True)
    kept = [one for _, one in newest]
    searches: list[tuple[dict[str, Any], Any]] = [
        ({}, lambda one: True),
        ({"recipient": "R3@example.org"}, lambda one: one.recipient == "r3@example.org"),
        (
            {"sender": "s1@example.com", "outcome": "accepted"},
            lambda one: one.sender[1] == "1" and one.outcome[0] == "a",
        ),
        ({"mail_id": f"{7:032x}"}, lambda one: one.mail_id == f"{7:032x}"),
        ({"subject": "%"}, lambda one: "%" in one.subject),
        ({"subject": "A_"}, lambda one: "a_" in one.subject.lower()),
        ({"subject": "ELL"}, lambda one: "ell" in one.subject.lower()),
        ({"subject": "!"}, lambda one: "!" in one.subject),
        ({"since": T0 + timedelta(seconds=9)}, lambda one: one.time >= T0 + timedelta(seconds=9)),
        (
            {"since": entries[12].time, "until": entries[30].time, "recipient": "r1@example.org"},
            lambda one: entries[12].time <= one.time < entries[30].time and one.recipient == "r1@example.org",
        ),
        ({"recipient": "' OR 1=1 --"}, lambda one: False),
        ({"outcome": None, "limit": 5, "until": entries[30].time}, lambda one: one.time < entries[30].time),
    ]
    for asked, fits in searches:
        wanted = [one for one in kept if fits(one)][: asked.get("limit", 100)]
        assert [plain(one) for one in log.search(**asked)] == [plain(one) for one in wanted], asked
    pages: list[Logged] = []
    while page := log.search(limit=7, before=pages[-1] if pages else None):
        pages += page
    assert [plain(one) for one in pages] == [plain(one) for one in kept]


def plain(one: Logged) -> dict[str, Any]:
    return one.to_row()


def test_bodies_are_kept_once_and_go_with_their_entries(log: MailLog) -> None:
    body = bytes(range(256))
    log.add([entry(0), entry(1)], {"a": (T0, body), "b": (T0 + timedelta(days=2), b"")})
    log.add([], {"a": (T0, b"another")})
    assert (log.body("a"), log.body("b"), log.body("c")) == (body, b"", None)
    assert sum(log.prune(T0 + timedelta(days=1))) == 2
    assert (log.body("a"), log.body("b")) == (None, b"")


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_what_is_too_old_goes_in_batches_and_nothing_else(log: MailLog, batch: int) -> None:
    log.add([entry(number) for number in range(40)])
    before = entry(20).time
    went = list(log.prune(before, batch=batch))
    assert sum(went) == 18
    assert max(went) <= batch + 2  # three are of one time
    assert [one.time >= before for one in log.search()] == [True] * 22
    assert list(log.prune(before)) == []


def test_both_stores_write_the_same_tables(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    SqliteMailLog(file).add([entry(1)])
    other = SqlalchemyMailLog(f"sqlite:///{file}")
    other.add([entry(2)])
    assert [one.mail_id for one in other.search()] == [one.mail_id for one in SqliteMailLog(file).search()]
    other.close()


def test_a_page_is_read_off_an_index(tmp_path: Path) -> None:
    log = SqliteMailLog(tmp_path / "log.db")
    log.add([entry(number) for number in range(100)])
    with log._opened() as db:
        for where, index in {
            "recipient = 'a'": "mail_log_recipient",
            "sender = 'a'": "mail_log_sender",
            "mail_id = 'a'": "mail_log_mail_id",
            "time >= 5": "mail_log_time",
            "1": "mail_log_time",
        }.items():
            query = f"EXPLAIN QUERY PLAN SELECT * FROM mail_log WHERE {where} ORDER BY time DESC, id DESC LIMIT 9"
            plan = " ".join(row[3] for row in db.execute(query))
            assert index in plan, plan
            assert where.startswith("mail_id") or "TEMP B-TREE" not in plan, plan


def test_texts_are_one_line_and_no_longer_than_a_column() -> None:
    made = entry(0, subject="a\r\nb\x1b[2J" + "x" * 2000, answer="y" * 5000)
    assert made.subject.isprintable()
    assert (len(made.subject), len(made.answer)) == (998, 1000)
    with pytest.raises(ValueError, match="time zone"):
        entry(0, time=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="outcome"):
        entry(0, outcome="sent")


def test_what_is_asked_wrongly_is_said(log: MailLog) -> None:
    for error, asked in [
        (TypeError, {"recipients": "a"}),
        (ValueError, {"limit": 0}),
        (ValueError, {"since": datetime(2026, 1, 1)}),
    ]:
        with pytest.raises(error):
            log.search(**asked)


def test_a_store_that_cannot_be_used_is_named_and_its_password_is_not(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database at all, and longer than that" * 50)
    for log in (SqliteMailLog(tmp_path / "gone/log.db"), SqliteMailLog(tmp_path / "text.db")):
        with pytest.raises(ConfigError, match=r"the mail log .* cannot be used"):
            log.search()
    with pytest.raises(ConfigError, match="name of a file"):
        SqliteMailLog(" ")
    for url in ("nonsense", "nonsense://user:s3cret@host/x", "postgresql+pg8000://user:s3cret@host/x"):
        with pytest.raises(ConfigError) as caught:
            SqlalchemyMailLog(url)
        assert "s3cret" not in str(caught.value)
    gone = SqlalchemyMailLog(f"sqlite:///{tmp_path}/gone/log.db")
    with pytest.raises(ConfigError, match=r"cannot be used: OperationalError"):
        gone.search()


def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailer.mail_log._WAIT_S", 0.0)
    log = SqliteMailLog(tmp_path / "log.db")
    log.add([entry(0)])
    with sqlite3.connect(log.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigError, match="locked"):
            log.add([entry(1)])
        assert len(log.search()) == 1  # reading goes on
        other.execute("COMMIT")
    other.close()
    log.add([entry(1)])
    assert len(log.search()) == 2


def test_tables_that_another_process_makes_at_the_same_time(tmp_path: Path) -> None:
    import sqlalchemy

    from mailer.mail_log_sql import _tables

    url = f"sqlite:///{tmp_path}/log.db"
    table, _ = _tables()
    calls = []

    def other_is_quicker(*_: object, **__: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            other = sqlalchemy.create_engine(url)
            table.metadata.create_all(other)
            other.dispose()

    sqlalchemy.event.listen(table, "before_create", other_is_quicker)
    try:
        log = SqlalchemyMailLog(url)
        log.add([entry(1)], {entry(1).mail_id: (T0, b"body")})
    finally:
        sqlalchemy.event.remove(table, "before_create", other_is_quicker)
    assert len(calls) == 2
    assert log.body(entry(1).mail_id) == b"body"
    log.close()

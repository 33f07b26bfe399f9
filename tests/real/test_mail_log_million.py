"""The mail log at a million entries: searched by page, and pruned, in about the time that a thousand take."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.mail_log import Logged, SqliteMailLog

pytestmark = pytest.mark.real

_ENTRIES = 1_000_000
_T0 = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_million_entries_are_searched_and_pruned(tmp_path: Path) -> None:
    log = SqliteMailLog(tmp_path / "log.db")
    took: dict[str, float] = {}

    def timed(what: str) -> float:
        took[what] = time.perf_counter() - began
        return took[what]

    began = time.perf_counter()
    for start in range(0, _ENTRIES, 10_000):
        log.add(
            Logged(
                time=_T0 + timedelta(seconds=number),
                mail_id=f"{number:032x}",
                sender=f"s{number % 5}@example.com",
                recipient=f"r{number % 50_000}@example.org",
                subject=f"Order {number}",
                outcome="accepted" if number % 1000 else "rejected",
                answer="250 2.0.0 Ok: queued as 4ABC",
            )
            for number in range(start, start + 10_000)
        )
    timed("write")
    for what, asked, count in [
        ("recipient", {"recipient": "r77@example.org"}, 20),
        ("mail_id", {"mail_id": f"{500_000:032x}"}, 1),
        ("sender", {"sender": "s3@example.com"}, 100),
        ("an old day", {"since": _T0 + timedelta(days=1), "until": _T0 + timedelta(days=2)}, 100),
    ]:
        began = time.perf_counter()
        assert len(log.search(**asked)) == count
        assert timed(what) < 0.5, took
    for what, asked, count in [("rejected", {"outcome": "rejected"}, 100), ("subject", {"subject": "order 12345"}, 11)]:
        began = time.perf_counter()
        assert len(log.search(**asked)) == count
        assert timed(what) < 30, took
    began = time.perf_counter()
    batches = [next(log.prune(_T0 + timedelta(seconds=500_000)))]
    assert timed("one batch pruned") < 10, took
    began = time.perf_counter()
    batches += log.prune(_T0 + timedelta(seconds=500_000))
    timed("half a million pruned")
    assert (sum(batches), max(batches)) == (500_000, 10_000)
    print({what: round(seconds, 4) for what, seconds in took.items()})

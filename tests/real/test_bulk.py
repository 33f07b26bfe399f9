"""``mailer send --csv`` at its real size: 100,000 rows to Postfix' smtp-sink, killed three times and taken up again.

Takes some two minutes on two quiet cores.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .peers import POLL_S, Certificates, MissingProgramError, smtp_sink_of_many

pytestmark = pytest.mark.real

_RECORDS_BYTES = 58  # what the journal takes of a row at least: its two lines
_ENDS_WITH = re.compile(rb"^End of the mail to (\S+)\.$", re.M)
_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.M)


@dataclass
class Run:
    """What is left of one run.

    Attributes:
        code: What it exited with; negative is the signal that killed it.
        summary: None if it was killed.
        peak_kib: The most memory it had resident.
    """

    code: int
    summary: dict[str, Any] | None
    peak_kib: int


@dataclass
class Bulk:
    """A CSV in a folder of its own, and the sink it is sent to."""

    folder: Path
    url: str
    mails: Path

    def write(self, rows: int) -> None:
        with (self.folder / "people.csv").open("w", encoding="utf-8") as file:
            file.write("email,name\n")
            file.writelines(f"user{number}@example.org,Name {number}\n" for number in range(rows))

    def run(self, *options: str, killed_at_row: int | None = None) -> Run:
        """Send, and kill the process when the journal has so many rows."""
        text = "Dear {{ name }},\n\nhere is the news.\n\nEnd of the mail to {{ email }}.\n"
        command = [sys.executable, "-m", "mailer", "send", "--csv", "people.csv", "--url", self.url, "--json"]
        command += ["--from", "shop@example.com", "--subject", "News for {{ name }}", "--text", text]
        journal, peak = self.folder / "journal", 0
        output = self.folder / "summary.json"
        with (
            output.open("wb") as stdout,
            subprocess.Popen(
                [*command, "--resume", "journal", *options], cwd=self.folder, stdout=stdout, stderr=subprocess.DEVNULL
            ) as process,
        ):
            while process.poll() is None:
                peak = max(peak, _peak_kib(process.pid))
                size = journal.stat().st_size if journal.exists() else 0
                if killed_at_row is not None and size > killed_at_row * _RECORDS_BYTES:
                    process.kill()
                try:
                    process.wait(POLL_S)
                except subprocess.TimeoutExpired:
                    continue
        text = output.read_text()
        return Run(process.returncode, json.loads(text) if text else None, peak)

    def arrived(self) -> Counter[str]:
        """How many whole mails each address has got."""
        return Counter(found.decode() for found in _ENDS_WITH.findall(self.mails.read_bytes()))


def _peak_kib(pid: int) -> int:
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:  # it has just ended
        return 0
    return int(found[1]) if found else 0


@pytest.fixture
def bulk(certificates: Certificates, tmp_path: Path) -> Iterator[Bulk]:
    with tempfile.TemporaryDirectory(prefix="mailer-bulk-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # pytest's own are closed to the user that smtp-sink becomes
        try:
            with smtp_sink_of_many(folder) as (url, mails):
                yield Bulk(tmp_path, url, mails)
        except MissingProgramError as missing:
            pytest.fail(f"smtp-sink: {missing}", pytrace=False)


def test_a_hundred_thousand_rows_killed_three_times_reach_everybody_once(bulk: Bulk, tmp_path: Path) -> None:
    few = Bulk(tmp_path / "few", bulk.url, bulk.mails)
    few.folder.mkdir()
    few.write(1000)
    base = few.run("--no-progress")
    assert base.code == 0
    bulk.mails.write_bytes(b"")

    count = 100_000
    bulk.write(count)
    killed = [bulk.run("--no-progress", killed_at_row=row) for row in (25_000, 50_000, 75_000)]
    last = bulk.run("--no-progress")

    assert [run.code for run in killed] == [-9, -9, -9]
    assert last.summary is not None
    doubts = {doubt["address"] for doubt in last.summary["doubts"]}
    assert len(doubts) == last.summary["unknown"] <= 3
    assert last.summary["accepted"] == count - len(doubts)
    assert last.code == (76 if doubts else 0)
    arrived = bulk.arrived()
    everybody = {f"user{number}@example.org" for number in range(count)}
    assert set(arrived) <= everybody
    assert everybody - set(arrived) <= doubts, "who is not in doubt has it"
    assert max(arrived.values()) == 1, "nobody has it twice"
    peaks = [run.peak_kib for run in (*killed, last)]
    print(f"peak: {base.peak_kib} KiB for 1,000 rows, {peaks} for {count}; {len(doubts)} doubts")
    assert max(peaks) < base.peak_kib * 1.10


def test_over_four_connections_a_kill_leaves_four_doubts_at_most(bulk: Bulk) -> None:
    count = 8000
    bulk.write(count)
    assert bulk.run("--concurrency", "4", killed_at_row=2000).code == -9
    last = bulk.run("--concurrency", "4", "--rejects", "rejects.csv")
    assert last.summary is not None
    doubts = {doubt["address"] for doubt in last.summary["doubts"]}
    assert len(doubts) <= 4
    arrived = bulk.arrived()
    assert max(arrived.values()) == 1
    assert {f"user{number}@example.org" for number in range(count)} - set(arrived) <= doubts
    rejects = (bulk.folder / "rejects.csv").read_text()
    assert all(doubt in rejects for doubt in doubts)

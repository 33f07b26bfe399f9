"""The journal, the ledger made of it, and the rejects: what is on disk survives a kill; nothing else is trusted."""

from __future__ import annotations

import csv
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.cli.bulk.journal import Journal, State
from mailer.cli.bulk.ledger import Ledger
from mailer.cli.bulk.rejects import COLUMNS, Rejects
from mailer.cli.bulk.table import Row
from mailer.errors import ConfigError

CSV, MAIL, OTHER = "c" * 64, "a" * 64, "0" * 64


def opened(path, **changed) -> Journal:
    return Journal.open(path, **{"csv": CSV, "mail": MAIL, **changed})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sent.journal"


def test_what_is_written_is_read_by_the_next_run(path):
    first = opened(path)
    written = [(State.BEGUN, 5, 2), (State.ACCEPTED, 5, 2), (State.BEGUN, -7, 3)]
    for record in written:
        first.write(*record)
    first.close()
    second = opened(path)
    assert list(second.records()) == written
    assert second.campaign == first.campaign
    assert second.key(("a", "b")) == first.key(("a", "b"))
    second.close()


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(State), st.integers(1, 10**17))
def test_any_record_comes_back(tmp_path_factory, key, state, line):
    journal = opened(tmp_path_factory.mktemp("j") / "j")
    journal.write(state, key, line)
    assert list(journal.records()) == [(state, key, line)]
    journal.close()


def test_a_journal_cut_anywhere_loses_its_last_line_at_most(path):
    journal = opened(path)
    for line in range(2, 5):
        journal.write(State.BEGUN, line, line)
    journal.close()
    whole = path.read_bytes()
    header = whole.index(b"\n") + 1
    for size in (*range(0, header, 40), *range(header - 2, len(whole) + 1)):
        path.write_bytes(whole[:size])
        journal = opened(path)
        known = [line for _, _, line in journal.records()]
        assert known == list(range(2, 5))[: whole[header : max(size, header)].count(b"\n")]
        journal.write(State.ACCEPTED, 9, 9)
        assert list(journal.records())[-1] == (State.ACCEPTED, 9, 9)
        journal.close()


@pytest.mark.parametrize(
    "content", [b"email,name\na@b.test,x", b"mailer-journal 2 x", b"x" * 500, b"mailer-journal 1 \n", b"\0" * 300]
)
def test_a_file_that_is_none_is_left_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no journal"):
        opened(path)
    assert path.read_bytes() == content


def test_an_edited_journal_is_named_by_its_line(path):
    opened(path).close()
    with path.open("ab") as file:
        file.write(b"accepted zz 1\naccepted 0000000000000001 1\n")
    journal = opened(path)
    with pytest.raises(ConfigError, match="line 2"):
        list(journal.records())
    journal.close()


@pytest.mark.parametrize(("changed", "said"), [({"csv": OTHER}, "the CSV"), ({"mail": OTHER}, "the mail")])
def test_a_journal_belongs_to_its_csv_and_mail(path, changed, said):
    opened(path).close()
    with pytest.raises(ConfigError, match=f"{said} is another.*--force"):
        opened(path, **changed)
    opened(path, **changed, force=True).close()


def test_two_runs_at_once_are_kept_apart_also_between_processes(path):
    journal = opened(path)
    with pytest.raises(ConfigError, match="another run"):
        opened(path)
    code = "import pathlib, sys; from mailer.cli.bulk.journal import Journal\n"
    code += "Journal.open(pathlib.Path(sys.argv[1]), csv='', mail='')"
    other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert "another run" in other.stderr
    journal.close()
    opened(path).close()


def test_a_dry_run_reads_and_never_writes(path):
    dry = opened(path, dry=True)
    dry.write(State.BEGUN, 1, 1)
    dry.close()
    assert not path.exists()
    journal = opened(path)
    journal.write(State.BEGUN, 1, 2)
    before = path.read_bytes()
    dry = opened(path, dry=True)  # while a run goes on
    dry.write(State.BEGUN, 3, 4)
    assert list(dry.records()) == [(State.BEGUN, 1, 2)]
    dry.close()
    journal.close()
    assert path.read_bytes() == before


def test_keys_tell_nobody_whose_they_are(path, tmp_path):
    one, other = opened(path), opened(tmp_path / "other")
    assert one.key(("ann", "b.test")) != other.key(("ann", "b.test"))
    assert one.key(("ann", "b.test")) != one.key(("annb", ".test"))
    one.close()
    other.close()


def test_a_journal_that_cannot_be_opened_or_written_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no/such"):
        opened(tmp_path / "no/such")
    opened(tmp_path / "j").close()
    with open("/dev/full", "wb", buffering=0) as full:
        journal = Journal(tmp_path / "j", full, "0" * 32, is_writable=True)
        with pytest.raises(ConfigError, match="j: No space left"):
            journal.write(State.BEGUN, 1, 2)


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_the_last_record_of_a_key_counts():
    ledger = Ledger([(State.BEGUN, 1, 2), (State.BEGUN, 2, 3), (State.ACCEPTED, 1, 2)])
    assert ledger.has_records
    assert ledger.claim(1, 20) == (State.ACCEPTED, None)
    assert ledger.claim(2, 21) == (State.BEGUN, None)
    assert ledger.claim(3, 22) == (None, None)
    assert ledger.claim(1, 23) == (State.ACCEPTED, 20)
    assert ledger.claim(3, 24) == (None, 22)
    ledger.close()


def test_a_new_ledger_knows_nobody():
    ledger = Ledger()
    assert not ledger.has_records
    assert ledger.claim(-(2**63), 2) == (None, None)
    assert ledger.claim(-(2**63), 3) == (None, 2)
    ledger.close()


# --- the rejects ------------------------------------------------------------------------------------------------------


def read(path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_rejects_are_a_csv_with_the_rows_own_cells(tmp_path):
    path = tmp_path / "r.csv"
    rejects = Rejects(path, ("email", "note"), again=False)
    rejects.write(Row(2, ("a@b.test", "=1+1")), State.REJECTED, "550 no such user\x1b[31m")
    rejects.write(Row(3, ("c@d.test",)), State.INVALID, "short")
    rejects.write(Row(4, ("e@f.test", "x", "y")), State.INVALID, "=cmd|' /C calc'!A0")
    rejects.close()
    assert read(path) == [
        [*COLUMNS, "email", "note"],
        ["2", "rejected", r"550 no such user\x1b[31m", "a@b.test", "=1+1"],
        ["3", "invalid", "short", "c@d.test"],
        ["4", "invalid", "'=cmd|' /C calc'!A0", "e@f.test", "x", "y"],
    ]
    assert path.stat().st_mode & 0o077 == 0


def test_rejects_sent_again_lose_what_the_last_run_noted(tmp_path):
    path = tmp_path / "r.csv"
    rejects = Rejects(path, (*COLUMNS, "email"), again=False)
    rejects.write(Row(2, ("9", "deferred", "old", "a@b.test")), State.REJECTED, "new")
    rejects.close()
    assert read(path) == [[*COLUMNS, "email"], ["2", "rejected", "new", "a@b.test"]]


def test_a_run_taken_up_again_goes_on_below_also_after_a_torn_line(tmp_path):
    path = tmp_path / "r.csv"
    for again in (False, True):
        rejects = Rejects(path, ("email",), again=again)
        rejects.write(Row(2, ("a@b.test",)), State.DEFERRED, "x")
        rejects.close()
    path.write_bytes(path.read_bytes()[:-7])
    rejects = Rejects(path, ("email",), again=True)
    rejects.write(Row(3, ("c@d.test",)), State.DEFERRED, "y")
    rejects.close()
    assert [row[:2] for row in read(path)[1:]] == [["2", "deferred"], ["2", "deferred"], ["3", "deferred"]]
    Rejects(path, ("email",), again=False).close()
    assert len(read(path)) == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_is_none_of_rejects_is_never_replaced(tmp_path, again):
    path = tmp_path / "people.csv"
    path.write_text("email\na@b.test\n")
    with pytest.raises(ConfigError, match="not replaced"):
        Rejects(path, ("email",), again=again)
    assert path.read_text() == "email\na@b.test\n"


def test_rejects_of_another_csv_or_on_a_full_disk(tmp_path):
    Rejects(tmp_path / "r", ("email",), again=False).close()
    with pytest.raises(ConfigError, match="another CSV"):
        Rejects(tmp_path / "r", ("mail",), again=True)
    with pytest.raises(ConfigError, match="No space left"):
        Rejects(tmp_path.joinpath("/dev/full"), ("email",), again=False)

"""CSV files as people have them: what is a row, what is its address, and what is wrong with it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.cli.bulk.table import Source, Table
from mailer.errors import MailerError, MessageError


def table(text: str, **options: str | None) -> Table:
    return Table(io.StringIO(text, newline=""), **options)


def source(path: Path, content: bytes, **options: str) -> Source:
    path.write_bytes(content)
    return Source(path, **options)


def test_rows_have_their_line_and_their_values():
    rows = table('email,First name,2nd\r\na@b.test,"Ann\r\nB.",x\r\n\r\n,,\r\nc@d.test,Cy,y\r\n')
    assert rows.variables == ("email", "First_name", "_2nd")
    first, second = rows
    assert (first.line, second.line) == (2, 6)  # blank lines and rows without a character are none
    assert rows.values(first) == {"email": "a@b.test", "First_name": "Ann\r\nB.", "_2nd": "x"}
    assert str(rows.address(second)) == "c@d.test"


@pytest.mark.parametrize(
    ("header", "index"),
    [
        ("name,email", 1),
        ("Name,E-Mail", 1),
        ("Name,EMAIL ADDRESS", 1),
        ("address,to", 1),
        ("address,city", 0),
        ("mail_address,address", 0),
        ("email;name", 0),
        ("name\temail", 1),
        ('"last, first";email', 1),
    ],
)
def test_the_address_column_is_found_by_its_name(header, index):
    rows = table(f"{header}\n")
    assert rows._to == index
    assert len(rows.columns) == 2


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("name,town\n", {}, "'name', 'town'"),
        ("email,E-Mail\n", {}, "--to-column"),
        ("email,name\n", {"to_column": "mial"}, "'mial'"),
        ("email,name\n", {"name_column": "nmae"}, "--name-column"),
        ("email,a b,a-b\n", {}, "'a b' and 'a-b'"),
        ("email,email\n", {}, "'email' and 'email'"),
        ("", {}, "name the columns"),
        (",,\nx", {}, "name the columns"),
        ('email,"a"b\n', {}, "header"),
    ],
)
def test_a_header_that_will_not_do_is_wrong_usage(text, options, said):
    with pytest.raises(click.UsageError) as caught:
        table(text, **options)
    assert said in caught.value.message


def test_a_column_without_a_name_is_no_variable():
    rows = table("email,,\na@b.test,x,y\n")
    assert [rows.values(row) for row in rows] == [{"email": "a@b.test"}]


def test_a_name_column_is_shown_beside_the_address():
    rows = table("who;email\nAnn, B.;a@b.test\n;c@d.test\nEve;Eve X <e@f.test>\n", name_column="who")
    first, second, third = rows
    assert str(rows.address(first)) == '"Ann, B." <a@b.test>'
    assert str(rows.address(second)) == "c@d.test"
    with pytest.raises(MailerError, match="email"):
        rows.address(third)


def test_rows_that_cannot_be_read_are_rows_with_a_problem():
    rows = list(table('email,name\na@b.test\na@b.test,x,y\n"a"b,x\nc@d.test,ok\ne@f.test,"never closed\ng@h.test,x\n'))
    assert [(row.line, row.problem and row.problem.split(":")[0]) for row in rows] == [
        (2, "it has 1 fields, the header 2"),
        (3, "it has 3 fields, the header 2"),
        (4, "line 4 cannot be read"),
        (5, None),
        (6, "lines 6 to 7 cannot be read"),
    ]


def test_a_quote_that_is_never_closed_costs_no_more_than_its_field_may_hold():
    text = 'email,name\n"a@b.test,x\n' + "c@d.test,y\n" * 30_000
    rows = table(text)
    first = next(iter(rows))
    assert "field larger than field limit" in (first.problem or "")
    assert sum(row.problem is None for row in rows) > 10_000


def test_a_line_without_an_end_ends(monkeypatch):
    """A row too long is that row's problem; a header is no header. Neither is read into memory as a whole."""
    monkeypatch.setattr("mailer.cli.bulk.table._MAX_LINE_CHARS", 40)
    text = "email,n\na@b.test,x\n" + f"c@d.test,{'y' * 100}\n" + '"e@f.test","' + "z\n" * 30 + "g@h.test,x\n"
    rows = list(table(text))
    assert [(row.line, row.problem) for row in rows[:2]] == [
        (2, None),
        (3, "line 3 cannot be read: it is longer than 40 characters"),
    ]
    assert rows[2].problem == "lines 4 to 18 cannot be read: it is longer than 40 characters"
    assert (rows[-1].line, rows[-1].cells, rows[-1].problem) == (34, ("g@h.test", "x"), None)
    with pytest.raises(click.UsageError, match="the header cannot be read: it is longer than 40 characters"):
        table("email," + "x" * 100)


def test_what_can_be_read_only_once_is_a_stream(tmp_path):
    assert Source(Path("-")).is_stream
    assert Source(Path("/dev/null")).is_stream
    assert not source(tmp_path / "p.csv", b"email\n").is_stream


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("email,name\na@b.test,Zoë\n".encode(), {}),
        ("email,name\na@b.test,Zoë\n".encode("utf-8-sig"), {}),
        ("email,name\na@b.test,Zoë\n".encode("utf-8-sig"), {"encoding": "UTF-8"}),
        ("email,name\na@b.test,Zoë\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("email,name\na@b.test,Zoë\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("email|name\ra@b.test|Zoë\r".encode(), {"delimiter": "|"}),
    ],
)
def test_encodings_and_line_ends(tmp_path, content, options):
    file = source(tmp_path / "p.csv", content, **options)
    with file.open() as rows:
        assert rows.columns == ("email", "name")
        assert [rows.values(row) for row in rows] == [{"email": "a@b.test", "name": "Zoë"}]
    assert file.survey().rows == 1


@pytest.mark.parametrize("where", [0, 5000])
def test_another_encoding_is_found_before_anything_is_sent(tmp_path, where):
    lines = ["email,name\n", *["a@b.test,x\n"] * 10_000]
    lines[where] = lines[where].replace("\n", "ë\n")
    with pytest.raises(MessageError, match=r"p\.csv: at line \d+.*--encoding"):
        source(tmp_path / "p.csv", "".join(lines).encode("latin-1")).survey()


def test_an_encoding_that_is_none(tmp_path):
    with pytest.raises(click.UsageError, match="utf-9"), source(tmp_path / "p", b"email\n", encoding="utf-9").open():
        pass


def test_a_survey_tells_two_files_apart(tmp_path):
    one, other = (source(tmp_path / name, f"email\n{name}@b.test\n".encode()).survey() for name in "ab")
    assert (one.rows, other.rows) == (1, 1)
    assert one.digest != other.digest


_CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.lists(_CELL, min_size=2, max_size=2), max_size=8))
def test_whatever_python_writes_is_read_as_it_was(cells):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["email", "x"], *cells])
    rows = list(table(text.getvalue(), delimiter=","))
    assert [list(row.cells) for row in rows] == [row for row in cells if any(cell.strip() for cell in row)]


@given(st.text(max_size=200))
def test_no_text_whatever_breaks_the_reading(text):
    try:
        rows = table(f"email,x\n{text}")
    except click.UsageError:
        return
    lines = [row.line for row in rows]
    assert lines == sorted(set(lines))

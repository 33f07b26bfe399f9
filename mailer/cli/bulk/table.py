"""The rows of a CSV file, read one at a time: who each is for, and what its columns say."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from ...address import Address
from ...errors import AddressError, ConfigError, MessageError
from ...field import shown
from ..show import plain

__all__ = ["Row", "Source", "Survey", "Table"]

# Column names that are taken for the address, written without case, blanks, hyphens and underscores; the first that
# the file has. "address" is last: it may be the street's.
_ADDRESS_COLUMNS = ("email", "emailaddress", "mail", "mailaddress", "recipient", "to", "address")
_DELIMITERS = ",;\t"
_MAX_LINE_CHARS = 4_000_000
"""Of one line, and of one row over several: far beyond a mail's worth of cells, and an end to what is no CSV."""
_QUOTED = re.compile(r'"[^"]*"?')
_UTF_8 = ("utf-8", "utf8", "utf_8", "u8")


@dataclass(frozen=True, slots=True)
class Source:
    """A CSV file, and how it is to be read.

    Attributes:
        path: The file; ``-`` is standard input. Like a pipe or device, that can be read only once.
        encoding: As Python names it; a byte order mark is no part of the text.
        delimiter, to_column, name_column: As :class:`Table` takes them.
    """

    path: Path
    encoding: str = "utf-8"
    delimiter: str | None = None
    to_column: str | None = None
    name_column: str | None = None

    @property
    def is_stream(self) -> bool:
        """Whether it can be read only once."""
        return self._is_stdin or not self.path.is_file()

    @property
    def _is_stdin(self) -> bool:
        return str(self.path) == "-"

    @property
    def name(self) -> str:
        """What errors call it."""
        return "standard input" if self._is_stdin else plain(self.path.name)

    @contextmanager
    def open(self) -> Iterator[Table]:
        """Open it and read the header; raises as :class:`Table` does."""
        binary: BinaryIO = sys.stdin.buffer if self._is_stdin else self.path.open("rb")
        try:
            encoding = "utf-8-sig" if self.encoding.lower() in _UTF_8 else self.encoding
            try:
                text = io.TextIOWrapper(binary, encoding=encoding, newline="")
            except LookupError:
                raise click.UsageError(f"--encoding {shown(encoding)}: there is no such encoding") from None
            try:
                yield Table(
                    text,
                    name=self.name,
                    delimiter=self.delimiter,
                    to_column=self.to_column,
                    name_column=self.name_column,
                )
            finally:
                text.detach()
        finally:
            if not self._is_stdin:
                binary.close()

    def survey(self) -> Survey:
        """Read it to its end before anything is sent, so that another encoding is found now; raises as ``open``."""
        with self.path.open("rb") as binary:
            digest = hashlib.file_digest(binary, "sha256").hexdigest()
        with self.open() as table:
            return Survey(sum(1 for _ in table), digest)


@dataclass(frozen=True, slots=True)
class Row:
    """One row below the header.

    Attributes:
        line: The line of the file that it begins on, from 1 (the header's).
        cells: As they stand in the file; fewer or more than there are columns if ``problem`` says so.
        problem: Why it cannot be used, or None.
    """

    line: int
    cells: tuple[str, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What one look over a whole file told: how many rows it has, and what tells it from another (SHA-256, hex)."""

    rows: int
    digest: str


class _Lines:
    """The lines of a file as ``csv`` reads them, none of them longer than memory bears.

    Attributes:
        number: Of the line that was read last, from 1.
    """

    def __init__(self, text: TextIO) -> None:
        self.number = 0
        self._text = text
        self._left = _MAX_LINE_CHARS

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._left + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._left -= len(line)
        if self._left >= 0:
            return line
        while self.number > 1 and line and not line.endswith(("\n", "\r")):  # the rows behind it are well
            line = self._text.readline(_MAX_LINE_CHARS)
        raise csv.Error(f"it is longer than {_MAX_LINE_CHARS} characters")

    def begin_row(self) -> int:
        """Say that a row begins, and return its line."""
        self._left = _MAX_LINE_CHARS
        return self.number + 1


class Table:
    """A header and the rows below it. Iterate once; it holds one row at a time.

    Attributes:
        columns: The header's cells, blanks at their ends dropped.
        variables: For each column the name a template knows it by: whatever is no letter, digit or underscore becomes
            an underscore, and one is put before a digit ("First name" is ``First_name``). "" for a column without name.
    """

    def __init__(
        self,
        text: TextIO,
        *,
        name: str = "the CSV",
        delimiter: str | None = None,
        to_column: str | None = None,
        name_column: str | None = None,
    ) -> None:
        """Read the header.

        Args:
            text: Opened with ``newline=""``.
            name: What errors call it.
            delimiter: One character; None takes whichever of comma, semicolon and TAB the header has most of.
            to_column: The column with the address; None takes the one that is named as such.
            name_column: The column with the name to show beside the address, if any.

        Raises:
            click.UsageError: There is no header, two columns have one name, or there is no such column.
            MessageError: It is not of that encoding.
        """
        self._name = name
        self._lines = _Lines(text)
        try:
            with self._reading(1):
                first = next(self._lines, "")
            if delimiter is None:
                bare = _QUOTED.sub("", first)
                delimiter = max(_DELIMITERS, key=bare.count)  # the first, a comma, if there is none at all
            # strict: what is quoted wrongly is an error of that row, and no guess about where its fields end.
            self._reader = csv.reader(chain([first] if first else [], self._lines), delimiter=delimiter, strict=True)
            with self._reading(1):
                header = next(self._reader, [])
        except csv.Error as error:
            raise click.UsageError(f"{name}: the header cannot be read: {error}") from None
        self.columns = tuple(column.strip() for column in header)
        if not any(self.columns):
            raise click.UsageError(f"{name}: the first line must name the columns")
        self.variables = _variables(self.columns, name)
        self._to = self._column("--to-column", to_column) if to_column is not None else self._address_column()
        self._shown_name = None if name_column is None else self._column("--name-column", name_column)

    def _column(self, option: str, wanted: str) -> int:
        found = [index for index, column in enumerate(self.columns) if column.lower() == wanted.strip().lower()]
        if len(found) != 1:
            raise click.UsageError(f"{option} {shown(wanted)}: {self._name} has {self._listed}")
        return found[0]

    def _address_column(self) -> int:
        plain = [re.sub(r"[\s_-]", "", column.lower()) for column in self.columns]
        for wanted in _ADDRESS_COLUMNS:
            if plain.count(wanted) == 1:
                return plain.index(wanted)
        raise click.UsageError(f"which column has the address? Say --to-column; {self._name} has {self._listed}")

    @property
    def _listed(self) -> str:
        return "the columns " + ", ".join(shown(column) for column in self.columns if column)

    @contextmanager
    def _reading(self, line: int) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:
            raise MessageError(
                f"at line {line} or soon after: {error.reason if isinstance(error, UnicodeDecodeError) else error}:"
                " say --encoding, e.g. cp1252, or utf-16 for Excel's Unicode text",
                field=self._name,
            ) from None
        except OSError as error:
            raise ConfigError(f"{self._name}: {error.strerror or error}") from error

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, but those without a single character.

        Raises:
            MessageError: It is not of that encoding.
            ConfigError: It cannot be read any more.
        """
        while True:
            line = self._lines.begin_row()
            try:
                with self._reading(line):
                    cells = tuple(next(self._reader))
            except StopIteration:
                return
            except csv.Error as error:
                last = self._lines.number
                lines = f"line {line}" if last <= line else f"lines {line} to {last}"
                yield Row(line, (), f"{lines} cannot be read: {error}")
                continue
            if not any(cell.strip() for cell in cells):
                continue
            problem = None
            if len(cells) != len(self.columns):
                problem = f"it has {len(cells)} fields, the header {len(self.columns)}"
            yield Row(line, cells, problem)

    def address(self, row: Row) -> Address:
        """Who the row is for.

        Raises:
            AddressError: Its cell is no address, or is empty.
        """
        cell = row.cells[self._to].strip()
        if not cell:
            raise AddressError("is empty", field=self.columns[self._to])
        name = "" if self._shown_name is None else row.cells[self._shown_name].strip()
        return Address.of((name, cell) if name else cell, field=self.columns[self._to])

    def values(self, row: Row) -> dict[str, str]:
        """What the row says, by the template's names."""
        return {name: cell for name, cell in zip(self.variables, row.cells, strict=True) if name}


def _variables(columns: tuple[str, ...], name: str) -> tuple[str, ...]:
    named: dict[str, str] = {}
    variables = []
    for column in columns:
        variable = re.sub(r"\W+", "_", column)
        if variable[:1].isdigit():
            variable = f"_{variable}"
        if variable and variable in named:
            raise click.UsageError(
                f"{name}: the columns {shown(named[variable])} and {shown(column)} have the same name, {variable}"
            )
        named[variable] = column
        variables.append(variable)
    return tuple(variables)

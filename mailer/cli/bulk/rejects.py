"""The file of rows that were not accepted: what they were, and why; a CSV that can be mended and sent."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from ...errors import ConfigError
from ..show import plain
from .journal import State, speaking_of
from .table import Row

__all__ = ["COLUMNS", "Rejects"]

COLUMNS = ("mailer_line", "mailer_outcome", "mailer_reason")
"""Stand before the file's own columns, so that a row with too many fields moves none of them."""

_FORMULA = ("=", "+", "-", "@")


class Rejects:
    """Writes rejects; each line is out of this process's hands before the journal says that the row is done.

    The cells are written as they were read, a "+49 ..." or "=A1" too: they are the user's own, and the file is there to
    be mended and sent. What a server said is a stranger's: a reason never begins as a formula, for spreadsheets
    calculate those.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], *, again: bool) -> None:
        """Open the file.

        Args:
            path: Replaced, unless ``again``. A file that is none of rejects is never replaced.
            columns: Those of the CSV. Rejects that are sent again lose what the last run noted.
            again: This goes on with an earlier run: what is there is kept.

        Raises:
            ConfigError: It cannot be written, or is there and no file of rejects.
        """
        self._path = path
        self._kept = tuple(index for index, column in enumerate(columns) if column not in COLUMNS)
        self._width = len(columns)
        header = _line((*COLUMNS, *(columns[index] for index in self._kept)))
        with speaking_of(path):
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            with speaking_of(path):
                self._begin(header, again=again)
        except BaseException:
            os.close(self._fd)
            raise

    def _begin(self, header: bytes, *, again: bool) -> None:
        size = os.lseek(self._fd, 0, os.SEEK_END)
        os.lseek(self._fd, 0, os.SEEK_SET)
        start = os.read(self._fd, len(header))
        if size and not start.startswith(COLUMNS[0].encode()):
            raise ConfigError(f"{self._path}: is there, and no file of rejects: it is not replaced")
        if size and not again:
            os.ftruncate(self._fd, 0)
        if not size or not again:
            self._append(header)
        elif start != header:
            raise ConfigError(f"{self._path}: has the rejects of another CSV: name another file")
        else:
            os.lseek(self._fd, -1, os.SEEK_END)
            if os.read(self._fd, 1) != b"\n":
                self._append(b"\r\n")  # after a line that a kill has torn

    def write(self, row: Row, state: State, reason: str) -> None:
        """Append a row.

        Raises:
            ConfigError: It could not be written.
        """
        reason = plain(reason)
        if reason.startswith(_FORMULA):
            reason = f"'{reason}"
        cells = [row.cells[index] for index in self._kept if index < len(row.cells)]
        self._append(_line((str(row.line), state.value, reason, *cells, *row.cells[self._width :])))

    def _append(self, data: bytes) -> None:
        with speaking_of(self._path):
            if os.write(self._fd, data) != len(data):
                raise ConfigError(f"{self._path}: the disk is full")

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


def _line(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "backslashreplace")

"""Who is known: from the journal, and from the rows read so far. On disk, so that memory stays flat."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from .journal import State

__all__ = ["Ledger"]

_CACHE_KIB = 2048
_STATES = {state: number for number, state in enumerate(State)}
_BY_NUMBER = dict(enumerate(State))
_NEW = -1  # known from this run only


class Ledger:
    """Keys, each with what an earlier run noted of it and the line that claimed it in this one.

    An SQLite database without a name: a temporary file that nobody else sees, which goes when it is closed. It takes
    some 20 octets a key there, and no more than 2 MB of memory however many there are.

    Attributes:
        has_records: Whether an earlier run noted anything.
    """

    def __init__(self, records: Iterable[tuple[State, int, int]] = ()) -> None:
        """Read a journal's records, oldest first."""
        self._db = sqlite3.connect("", isolation_level=None)
        for pragma in (f"cache_size=-{_CACHE_KIB}", "journal_mode=OFF", "synchronous=OFF"):
            self._db.execute(f"PRAGMA {pragma}")
        # line: where this run met it, or NULL.
        self._db.execute("CREATE TABLE known (key INTEGER PRIMARY KEY, state INTEGER NOT NULL, line INTEGER)")
        self._db.execute("BEGIN")  # and never an end: a transaction for each row would double its cost
        self._db.executemany(
            "INSERT OR REPLACE INTO known (key, state) VALUES (?, ?)",
            ((key, _STATES[state]) for state, key, _ in records),
        )
        self.has_records = self._db.execute("SELECT 1 FROM known LIMIT 1").fetchone() is not None

    def claim(self, key: int, line: int) -> tuple[State | None, int | None]:
        """Claim a key for the row on this line.

        Returns:
            What the journal says of the key, or None; and the line of this file that claimed it before, or None.
        """
        found = self._db.execute("SELECT state, line FROM known WHERE key = ?", (key,)).fetchone()
        if found is None:
            self._db.execute("INSERT INTO known VALUES (?, ?, ?)", (key, _NEW, line))
            return None, None
        state, claimed_by = found
        if claimed_by is None:
            self._db.execute("UPDATE known SET line = ? WHERE key = ?", (line, key))
        return _BY_NUMBER.get(state), claimed_by

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

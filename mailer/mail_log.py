"""The mail log: who sent what to whom, when, and what was answered. One entry for each recipient of each mail.

What is read is read by keyset: a page costs the same wherever it stands in a million entries.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from .errors import ConfigError
from .field import printable
from .redaction import Unpickled
from .store_file import store_file

__all__ = ["COLUMNS", "OUTCOMES", "Logged", "MailLog", "SqliteMailLog"]

#: What a writer waits for another process's. Nobody who sends does: the plug-in ``log`` writes aside.
_WAIT_S = 10.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
OUTCOMES = ("accepted", "deferred", "rejected", "unknown", "failed", "skipped")

# Column -> its kind, and the longest text that it takes; of a longer one the beginning is kept.
COLUMNS: dict[str, tuple[type, int]] = {
    "time": (int, 0),  # microseconds since 1970, UTC
    "mail_id": (str, 80),
    "message_id": (str, 998),
    "sender": (str, 320),
    "recipient": (str, 320),
    "subject": (str, 998),
    "tags": (str, 998),
    "backend": (str, 998),
    "outcome": (str, 16),
    "code": (int, 0),
    "enhanced_code": (str, 16),
    "answer": (str, 1000),
    "provider_id": (str, 255),
    "attempts": (int, 0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """An entry: one recipient of one mail.

    Attributes:
        time: When its outcome was known, in UTC.
        mail_id: Ours.
        message_id: The Message-ID, with angle brackets; "" where it is not known.
        sender: Of the envelope, or From where it was not sealed; "" for the null sender.
        recipient: Whom it was for; "" where that is not known.
        subject: The message's; "" for ready-made mail.
        tags: The message's, parted by ", ".
        backend: Its URL, secrets masked.
        outcome: "accepted", "deferred", "rejected", "unknown"; "failed" if it was not sent for an error, "skipped" if a
            filter kept it from being sent.
        code: The SMTP reply or HTTP status code.
        enhanced_code: "5.1.1".
        answer: The peer's words, or ours.
        provider_id: The next hop's id of it.
        attempts: How often it was tried.
        id: The entry's, once it is kept: a later one's is higher.

    Raises:
        ValueError: The time has no zone, or the outcome is none of these.
    """

    time: datetime
    mail_id: str
    outcome: str
    message_id: str = ""
    sender: str = ""
    recipient: str = ""
    subject: str = ""
    tags: str = ""
    backend: str = ""
    code: int | None = None
    enhanced_code: str = ""
    answer: str = ""
    provider_id: str = ""
    attempts: int = 0
    id: int | None = None

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ValueError("time must have a time zone")
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, not {self.outcome!r}")
        object.__setattr__(self, "time", self.time.astimezone(UTC))
        for name, (kind, longest) in COLUMNS.items():
            if kind is str:
                object.__setattr__(self, name, printable(getattr(self, name))[:longest])

    def to_row(self) -> dict[str, Any]:
        """As a table has it."""
        return {name: getattr(self, name) for name in COLUMNS} | {"time": microseconds(self.time)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Logged:
        """Read back what a table has."""
        known = {field.name: row[field.name] for field in fields(cls)}
        return cls(**{**known, "time": _EPOCH + row["time"] * _MICROSECOND})


def microseconds(time: datetime) -> int:
    """Since 1970, without an error of rounding."""
    return (time - _EPOCH) // _MICROSECOND


#: Of a search: what it is called -> column, and how the two compare.
CRITERIA: dict[str, tuple[str, str]] = {
    "mail_id": ("mail_id", "="),
    "message_id": ("message_id", "="),
    "sender": ("sender", "="),
    "recipient": ("recipient", "="),
    "outcome": ("outcome", "="),
    "backend": ("backend", "="),
    "subject": ("subject", "like"),
    "since": ("time", ">="),
    "until": ("time", "<"),
    "before": ("id", "before"),
}


class MailLog(Unpickled):
    """Where entries are kept. Subclass it for a store of your own: ``_insert``, ``_select``, ``_prune``, ``body``."""

    # --- what a store does ----------------------------------------------------------------------------------------

    def _insert(self, rows: Sequence[Mapping[str, Any]], bodies: Mapping[str, tuple[int, bytes]]) -> None:
        """Keep all of these or none: rows by column; mail id to time and body. A body that is there stays."""
        raise NotImplementedError

    def _select(self, criteria: Sequence[tuple[str, str, Any]], limit: int) -> list[Mapping[str, Any]]:
        """Rows that fit all the criteria, by time and id, the last first.

        Args:
            criteria: (column, comparison, value): "=", "<", "<=", ">="; "like", which is "contains"; "before", of which
                the value is a time and an id: an earlier time, or the same and a lower id.
        """
        raise NotImplementedError

    def _prune(self, before: int, limit: int) -> int:
        """Take away about so many of the oldest rows from before a time, with their bodies; how many went."""
        raise NotImplementedError

    def body(self, mail_id: str) -> bytes | None:
        """The mail as it was sent, if bodies are kept and this one is."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what it opened. It may be used again."""

    # --- for all of them ------------------------------------------------------------------------------------------

    def add(self, entries: Iterable[Logged], bodies: Mapping[str, tuple[datetime, bytes]] | None = None) -> None:
        """Keep entries, all or none, and bodies by mail id with their time."""
        bodies = bodies or {}
        kept = {mail_id: (microseconds(time), body) for mail_id, (time, body) in bodies.items()}
        self._insert([entry.to_row() for entry in entries], kept)

    def search(self, *, limit: int = 100, **criteria: Any) -> list[Logged]:
        """Entries that fit everything given, the latest first.

        Args:
            limit: So many at most, up to 10000. For the next page give the last one as ``before``.
            criteria: ``mail_id``, ``message_id``, ``sender``, ``recipient``, ``outcome``, ``backend``: equal to it,
                addresses in lower case. ``subject``: contains it, whatever its case. ``since`` and ``until``: datetimes
                with a zone, the second not included. ``before``: an entry; what is behind it.

        Raises:
            TypeError: There is no such criterion.
            ValueError: A time has no zone, or the limit is out of range.
            ConfigError: The store cannot be used.
        """
        if not 1 <= limit <= 10_000:
            raise ValueError(f"limit must be from 1 to 10000, not {limit!r}")
        asked: list[tuple[str, str, Any]] = []
        for name, value in criteria.items():
            if name not in CRITERIA:
                raise TypeError(f"search has no {name!r}; there are {', '.join(CRITERIA)}")
            if value is None:
                continue
            column, comparison = CRITERIA[name]
            if column == "time":
                if value.tzinfo is None:
                    raise ValueError(f"{name} must have a time zone")
                value = microseconds(value)
            elif column in ("sender", "recipient"):
                value = value.lower()
            elif comparison == "before":
                value = (microseconds(value.time), value.id)
                asked.append(("time", "<=", value[0]))
            asked.append((column, comparison, value))
        return [Logged.from_row(row) for row in self._select(asked, limit)]

    def prune(self, before: datetime, *, batch: int = 10_000) -> Iterator[int]:
        """Take away what is from before a time, oldest first, so many in a transaction; yields how many went in each.

        Between two of them others get to write. Run to its end: ``sum(log.prune(before))``.
        """
        while went := self._prune(microseconds(before), batch):
            yield went


class SqliteMailLog(MailLog):
    """A log in an SQLite file, shared by all processes of a machine (WAL, so that reading keeps nobody from writing).

    Args:
        path: The file, which is made when it is first used.

    Raises:
        ConfigError: The name is blank; from all others, the file cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = store_file(path, "a mail log needs")

    def _insert(self, rows: Sequence[Mapping[str, Any]], bodies: Mapping[str, tuple[int, bytes]]) -> None:
        with self._opened() as db, db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(_INSERT, rows)
            kept = [(mail_id, time, body) for mail_id, (time, body) in bodies.items()]
            db.executemany("INSERT OR IGNORE INTO mail_log_body (mail_id, time, content) VALUES (?, ?, ?)", kept)

    def _select(self, criteria: Sequence[tuple[str, str, Any]], limit: int) -> list[Mapping[str, Any]]:
        where = "".join([f" AND {_SQL[comparison].format(column)}" for column, comparison, _ in criteria])
        values: list[Any] = []
        for _, comparison, value in criteria:
            values += value if comparison == "before" else [_like(value) if comparison == "like" else value]
        query = f"SELECT id, {_NAMES} FROM mail_log WHERE 1{where} ORDER BY time DESC, id DESC LIMIT ?"  # noqa: S608 - our columns
        with self._opened() as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, [*values, limit])]

    def _prune(self, before: int, limit: int) -> int:
        with self._opened() as db, db:
            db.execute("BEGIN IMMEDIATE")
            oldest = "SELECT id FROM mail_log WHERE time < ? ORDER BY time LIMIT ?"
            went = db.execute(f"DELETE FROM mail_log WHERE id IN ({oldest})", (before, limit)).rowcount  # noqa: S608
            if went < limit:
                db.execute("DELETE FROM mail_log_body WHERE time < ?", (before,))
            return went

    def body(self, mail_id: str) -> bytes | None:
        """See :class:`MailLog`."""
        with self._opened() as db:
            found = db.execute("SELECT content FROM mail_log_body WHERE mail_id = ?", (mail_id,)).fetchone()
            return None if found is None else bytes(found[0])

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own each time: it belongs to no thread, no child of a fork, and no file that is gone."""
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)) as db:
                if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                    db.execute("PRAGMA journal_mode = WAL")
                    for statement in _SCHEMA:
                        db.execute(statement)
                db.execute("PRAGMA synchronous = NORMAL")  # a power cut may take the last entries, and never the file
                yield db
        except (sqlite3.Error, ValueError) as error:
            raise ConfigError(f"the mail log {self.path} cannot be used: {error}") from error

    def __repr__(self) -> str:
        return f"<SqliteMailLog {self.path}>"


_NAMES = ", ".join(COLUMNS)
_INSERT = f"INSERT INTO mail_log ({_NAMES}) VALUES ({', '.join([f':{name}' for name in COLUMNS])})"  # noqa: S608
_SQL = {
    "=": "{} = ?",
    "<": "{} < ?",
    "<=": "{} <= ?",
    ">=": "{} >= ?",
    "like": "lower({}) LIKE ? ESCAPE '!'",
    "before": "(time, {}) < (?, ?)",
}
#: What there is an index by: a page is read off one of them.
INDICES = (("time",), ("recipient", "time"), ("sender", "time"), ("mail_id",))
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS mail_log (id INTEGER PRIMARY KEY AUTOINCREMENT, "
    + ", ".join([f"{name} {'TEXT' if kind is str else 'INTEGER'}" for name, (kind, _) in COLUMNS.items()])
    + ")",
    *[f"CREATE INDEX IF NOT EXISTS mail_log_{names[0]} ON mail_log ({', '.join(names)})" for names in INDICES],
    "CREATE TABLE IF NOT EXISTS mail_log_body (mail_id TEXT PRIMARY KEY, time INTEGER, content BLOB) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS mail_log_body_time ON mail_log_body (time)",
    "PRAGMA user_version = 1",
)


def _like(text: str) -> str:
    """The pattern of what contains the text."""
    escaped = "".join([f"!{letter}" if letter in "!%_" else letter for letter in text.lower()])
    return f"%{escaped}%"

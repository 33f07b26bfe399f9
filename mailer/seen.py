"""What was sent, to know it again: for each mail and recipient what became of it, for a time.

A mail is known by 32 octets, which :class:`mailer.plugins.dedupe.Dedupe` makes, so a store holds no address and no
content but what the recipient's host said.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .errors import Outcome
from .runtime import Lock
from .store_file import store_file

__all__ = ["Ended", "MemorySeen", "Seen", "SeenStore", "SqliteSeen"]

_PRUNED_AT_ONCE = 1000
_ASKED_AT_ONCE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A mail to one recipient that was begun.

    Attributes:
        mail_id: Of the mail that was first.
        at: When that was begun, or had its outcome; seconds since 1970.
        outcome: ACCEPTED or UNKNOWN: it has arrived, or may have. None while it is on its way.
        code, enhanced_code, text, provider_id: As :class:`mailer.RecipientResult` has them.
    """

    mail_id: str
    at: float
    outcome: Outcome | None = None
    code: int | None = None
    enhanced_code: str | None = None
    text: str = ""
    provider_id: str | None = None

    def counts(self, now: float, window_s: float, lease_s: float) -> bool:
        """Whether it still makes another one a duplicate: for the window, or as long as it may be on its way."""
        return now < self.at + (lease_s if self.outcome is None else window_s)


class Ended(NamedTuple):
    """How a mail that was begun ended for one recipient.

    Attributes:
        key: By what it is known.
        mail_id: Whose it is.
        seen: What became of it; None takes it away, so that it may be sent again.
    """

    key: bytes
    mail_id: str
    seen: Seen | None


class SeenStore:
    """Keeps what was sent. Subclass it for a store of your own; methods are plain, and may raise anything.

    May be used by threads at once.

    Attributes:
        is_quick: It asks nothing outside of the process, so that async mailers call it without a thread.
    """

    is_quick: bool = False

    def claim(self, begun: Sequence[tuple[bytes, Seen]], window_s: float, lease_s: float) -> list[Seen | None]:
        """Note each that is begun, unless one that counts is there: that is returned in its place, None otherwise.

        All of it in one step, as somebody else may begin the same. The same twice among these is there the second time.
        """
        raise NotImplementedError(f"{type(self).__name__} has no claim")

    def settle(self, ended: Sequence[Ended]) -> None:
        """Note how those ended. What another mail has claimed meanwhile, and what has arrived, is left as it is."""
        raise NotImplementedError(f"{type(self).__name__} has no settle")

    def close(self) -> None:
        """Let go of what it opened. It may be used again."""


class MemorySeen(SeenStore):
    """What this process sent; of very many the latest.

    Args:
        most: How many are kept.
    """

    is_quick = True

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._seen: OrderedDict[bytes, Seen] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._seen)

    def claim(self, begun: Sequence[tuple[bytes, Seen]], window_s: float, lease_s: float) -> list[Seen | None]:
        """See :class:`SeenStore`."""
        found: list[Seen | None] = []
        with self._lock:
            for key, new in begun:
                old = self._seen.get(key)
                is_there = old is not None and old.counts(new.at, window_s, lease_s)
                found.append(old if is_there else None)
                if not is_there:
                    self._seen[key] = new
                    self._seen.move_to_end(key)
            while len(self._seen) > self._most:
                self._seen.popitem(last=False)
            if begun:  # the oldest stand in front
                now = begun[-1][1].at
                while self._seen and not next(iter(self._seen.values())).counts(now, window_s, lease_s):
                    self._seen.popitem(last=False)
        return found

    def settle(self, ended: Sequence[Ended]) -> None:
        """See :class:`SeenStore`."""
        with self._lock:
            for key, mail_id, seen in ended:
                mine = self._seen.get(key)
                if mine is not None and (mine.mail_id != mail_id or mine.outcome is Outcome.ACCEPTED):
                    continue
                if seen is None:
                    self._seen.pop(key, None)
                else:
                    self._seen[key] = seen


class SqliteSeen(SeenStore):
    """What all processes of a machine sent, in an SQLite file."""

    def __init__(self, path: str | os.PathLike[str], *, wait_s: float = 0.5) -> None:
        """Name the file, which is made when it is first used; ``wait_s``: for how long it may be locked by others.

        Raises:
            ConfigError: The name is none; see :func:`~mailer.store_file.store_file`.
        """
        self.path = store_file(path, "what was sent needs")
        self._wait_s = wait_s
        self._pruned_at = float("-inf")

    def claim(self, begun: Sequence[tuple[bytes, Seen]], window_s: float, lease_s: float) -> list[Seen | None]:
        """See :class:`SeenStore`."""
        if not begun:
            return []
        found: list[Seen | None] = []
        with self._begun() as db:
            there = _rows(db, [key for key, _ in begun])
            for key, new in begun:
                old = there.get(key)
                is_there = old is not None and old.counts(new.at, window_s, lease_s)
                found.append(old if is_there else None)
                if not is_there:
                    there[key] = new
                    _put(db, key, new)
            self._prune(db, begun[-1][1].at - max(window_s, lease_s))
        return found

    def settle(self, ended: Sequence[Ended]) -> None:
        """See :class:`SeenStore`."""
        with self._begun() as db:
            there = _rows(db, [key for key, _, _ in ended])
            for key, mail_id, seen in ended:
                mine = there.get(key)
                if mine is not None and (mine.mail_id != mail_id or mine.outcome is Outcome.ACCEPTED):
                    continue
                if seen is None:
                    db.execute("DELETE FROM seen WHERE key = ?", (key,))
                else:
                    _put(db, key, seen)

    def _prune(self, db: sqlite3.Connection, before: float) -> None:
        """Take away some of what counts no more, each second: a send does not wait for a million rows."""
        if time.monotonic() < self._pruned_at + 1:
            return
        self._pruned_at = time.monotonic()
        query = "DELETE FROM seen WHERE key IN (SELECT key FROM seen WHERE at < ? LIMIT ?)"
        db.execute(query, (before, _PRUNED_AT_ONCE))

    def __len__(self) -> int:
        with self._begun() as db:
            count: int = db.execute("SELECT count(*) FROM seen").fetchone()[0]
            return count

    @contextlib.contextmanager
    def _begun(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own each time, in a transaction: it belongs to no thread, and no child of a fork."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=self._wait_s, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS seen (key BLOB PRIMARY KEY, mail_id TEXT NOT NULL, at REAL NOT NULL,"
                " said TEXT) WITHOUT ROWID"
            )
            db.execute("CREATE INDEX IF NOT EXISTS seen_at ON seen (at)")
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def __repr__(self) -> str:
        return f"<SqliteSeen {self.path}>"


def _rows(db: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Seen]:
    there = {}
    for start in range(0, len(keys), _ASKED_AT_ONCE):
        part = keys[start : start + _ASKED_AT_ONCE]
        query = f"SELECT key, mail_id, at, said FROM seen WHERE key IN ({', '.join('?' * len(part))})"  # noqa: S608 - places
        for key, mail_id, at, said in db.execute(query, part):
            seen = Seen(mail_id=mail_id, at=at)
            if said is not None:
                fields = json.loads(said)
                seen = replace(seen, **{**fields, "outcome": Outcome(fields["outcome"])})
            there[key] = seen
    return there


def _put(db: sqlite3.Connection, key: bytes, seen: Seen) -> None:
    said = None
    if seen.outcome is not None:
        fields = {name: getattr(seen, name) for name in ("code", "enhanced_code", "text", "provider_id")}
        said = json.dumps({"outcome": seen.outcome.value, **fields})
    db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", (key, seen.mail_id, seen.at, said))

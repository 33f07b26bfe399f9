"""The suppression list: addresses to which nothing is sent, and why.

Who bounced for good, complained or unsubscribed is not to be written to again: each further mail costs the sender's
reputation. The plug-in ``suppression`` fills a list with what webhooks tell, and asks it before sending.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .address import Address
from .errors import ConfigError
from .event import EventKind
from .field import printable, reads_json
from .store_file import store_file

__all__ = ["MemorySuppressionList", "SqliteSuppressionList", "Suppressed", "SuppressionList"]

#: As many names as are asked for in one query; SQLite before 3.32 takes 999.
_MOST_AT_ONCE = 400
_WAIT_S = 10.0

#: A mailbox, whoever writes it: hardly any host tells two apart by case, and providers give addresses in lower case.
Key = tuple[str, str]


def key_of(address: Address) -> Key:
    """Equal for addresses that are one on the list: the local part in any case."""
    local, domain = address.key
    return local.casefold(), domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """An address on the list.

    Attributes:
        address: Whose.
        kind: The event for which it stands there: "bounced", "complained", "unsubscribed"; "rejected" for an app's own
            reasons.
        since: When that happened, in UTC; None if nobody knows.
        provider: Who told it; "" for the app.
        text: More about it, as the recipient's host replied; one line.
    """

    address: Address
    kind: EventKind = EventKind.REJECTED
    since: datetime | None = None
    provider: str = ""
    text: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.address, Address):
            raise TypeError(f"address must be an Address, not {type(self.address).__name__}")
        object.__setattr__(self, "kind", EventKind(self.kind))
        if self.since is not None:
            if not isinstance(self.since, datetime) or self.since.tzinfo is None:
                raise ValueError("since must be a datetime with a time zone")
            object.__setattr__(self, "since", self.since.astimezone(UTC))
        for name in ("provider", "text"):
            object.__setattr__(self, name, printable(str(getattr(self, name))))

    @property
    def why(self) -> str:
        """In words: ``bounced on 2026-01-02 (postmark): 550 5.1.1 who?``."""
        said = self.kind.value
        if self.since is not None:
            said += f" on {self.since.date()}"
        if self.provider:
            said += f" ({self.provider})"
        return f"{said}: {self.text}" if self.text else said

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "address": self.address.to_dict(),
            "kind": self.kind.value,
            "since": None if self.since is None else self.since.isoformat(),
            "provider": self.provider,
            "text": self.text,
        }

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> Suppressed:
        """Read back what :meth:`to_dict` gave; wrong values raise :class:`MessageError`."""
        since = data.get("since")
        return cls(
            address=Address.from_dict(data["address"]),
            kind=data["kind"],
            since=None if since is None else datetime.fromisoformat(since),
            provider=data.get("provider", ""),
            text=data.get("text", ""),
        )


class SuppressionList:
    """Addresses to which nothing is sent. Subclass it for a store of your own; each method may be plain or async.

    May be used by threads and tasks at once. Addresses are one whatever the case of their local parts.
    """

    def among(self, addresses: Iterable[Address]) -> list[Suppressed] | Awaitable[list[Suppressed]]:
        """Those of these addresses that are on the list, in any order. If it raises, the mail is not sent."""
        raise NotImplementedError(f"{type(self).__name__} has no among")

    def add(self, entry: Suppressed) -> Awaitable[None] | None:
        """Put one on the list, in the place of what stood there for the address."""
        raise NotImplementedError(f"{type(self).__name__} has no add")

    def remove(self, address: Address) -> Awaitable[None] | None:
        """Take one off; nothing if it is not there."""
        raise NotImplementedError(f"{type(self).__name__} has no remove")

    def close(self) -> Awaitable[None] | None:
        """Let go of what it opened. It may be used again."""
        return None


class MemorySuppressionList(SuppressionList):
    """A list that is gone with the process."""

    def __init__(self, entries: Iterable[Suppressed] = ()) -> None:
        self._entries = {key_of(entry.address): entry for entry in entries}

    def __iter__(self) -> Iterator[Suppressed]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def among(self, addresses: Iterable[Address]) -> list[Suppressed]:
        """See :class:`SuppressionList`."""
        found = {key: self._entries[key] for key in map(key_of, addresses) if key in self._entries}
        return list(found.values())

    def add(self, entry: Suppressed) -> None:
        """See :class:`SuppressionList`."""
        self._entries[key_of(entry.address)] = entry

    def remove(self, address: Address) -> None:
        """See :class:`SuppressionList`."""
        self._entries.pop(key_of(address), None)


class SqliteSuppressionList(SuppressionList):
    """A list in an SQLite file, shared by all processes of a machine. What was added is on the disk."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file, which is made when it is first used.

        Raises:
            ConfigError: The name is none; see :func:`~mailer.store_file.store_file`.
        """
        self.path = store_file(path, "a suppression list needs")

    def among(self, addresses: Iterable[Address]) -> list[Suppressed]:
        """See :class:`SuppressionList`."""
        keys = list(dict.fromkeys(map(key_of, addresses)))
        found: list[Suppressed] = []
        with self._opened() as db:
            for start in range(0, len(keys), _MOST_AT_ONCE):
                part = keys[start : start + _MOST_AT_ONCE]
                places = ", ".join(["(?, ?)"] * len(part))
                query = f"SELECT local, domain, kind, since, provider, text FROM suppressed WHERE (key, domain) IN (VALUES {places})"  # noqa: S608, E501 - places alone
                found += [_entry(row) for row in db.execute(query, [value for key in part for value in key])]
        return found

    def __iter__(self) -> Iterator[Suppressed]:
        with self._opened() as db:
            rows = db.execute("SELECT local, domain, kind, since, provider, text FROM suppressed ORDER BY domain, key")
            return iter([_entry(row) for row in rows])

    def __len__(self) -> int:
        with self._opened() as db:
            count: int = db.execute("SELECT count(*) FROM suppressed").fetchone()[0]
            return count

    def add(self, entry: Suppressed) -> None:
        """See :class:`SuppressionList`."""
        key, domain = key_of(entry.address)
        since = None if entry.since is None else entry.since.isoformat()
        row = (key, domain, entry.address.local, entry.kind.value, since, entry.provider, entry.text)
        with self._opened() as db:
            db.execute("INSERT OR REPLACE INTO suppressed VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def remove(self, address: Address) -> None:
        """See :class:`SuppressionList`."""
        with self._opened() as db:
            db.execute("DELETE FROM suppressed WHERE key = ? AND domain = ?", key_of(address))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own each time: it belongs to no thread, and no child of a fork.

        Raises:
            ConfigError: The file cannot be used.
        """
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)) as db:
                db.execute(
                    "CREATE TABLE IF NOT EXISTS suppressed (key TEXT, domain TEXT, local TEXT NOT NULL,"
                    " kind TEXT NOT NULL, since TEXT, provider TEXT NOT NULL, text TEXT NOT NULL,"
                    " PRIMARY KEY (key, domain)) WITHOUT ROWID"
                )
                yield db
        except (sqlite3.Error, ValueError) as error:
            raise ConfigError(f"the suppression list {self.path} cannot be used: {error}") from error

    def __repr__(self) -> str:
        return f"<SqliteSuppressionList {self.path}>"


def _entry(row: tuple[str, str, str, str | None, str, str]) -> Suppressed:
    local, domain, kind, since, provider, text = row
    return Suppressed(
        address=Address("", local, domain),
        kind=EventKind(kind),
        since=None if since is None else datetime.fromisoformat(since),
        provider=provider,
        text=text,
    )

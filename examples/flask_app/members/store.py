"""The members, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

__all__ = ["Store"]


class Store:
    """A table of members. Each call has a connection of its own."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._do(
            "CREATE TABLE IF NOT EXISTS member (email TEXT PRIMARY KEY COLLATE NOCASE, password TEXT NOT NULL,"
            " is_confirmed INTEGER NOT NULL DEFAULT 0, wants_news INTEGER NOT NULL DEFAULT 1)"
        )

    def _do(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def add(self, email: str, password: str) -> bool:
        """Add a member who is not confirmed yet, in the place of one who never was. Whether the address was free."""
        added = (
            "INSERT INTO member (email, password) VALUES (?, ?) ON CONFLICT DO UPDATE"
            " SET email = excluded.email, password = excluded.password WHERE NOT is_confirmed RETURNING email"
        )
        return bool(self._do(added, email, password))

    def member(self, email: str) -> tuple[str, str] | None:
        """A member's address, as it was given on signing up, and the hash of the password; None if there is none."""
        found = self._do("SELECT email, password FROM member WHERE email = ?", email)
        return found[0] if found else None

    def set_password(self, email: str, password: str) -> None:
        """Set it; whoever does has got our mail, so the address is confirmed."""
        self._do("UPDATE member SET password = ?, is_confirmed = 1 WHERE email = ?", password, email)

    def confirm(self, email: str) -> None:
        """The address is the member's own."""
        self._do("UPDATE member SET is_confirmed = 1 WHERE email = ?", email)

    def stop_news(self, email: str) -> None:
        """No more news for this member."""
        self._do("UPDATE member SET wants_news = 0 WHERE email = ?", email)

    def readers(self) -> Iterator[str]:
        """Who gets the news."""
        found = "SELECT email FROM member WHERE is_confirmed AND wants_news ORDER BY email"
        return (email for (email,) in self._do(found))

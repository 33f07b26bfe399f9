"""``archive:mails.db``: keeps mail in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

from mailer import Backend, BackendURL, ConfigError, Features, Health, Mail, Outcome, Receipt, TransportError

__all__ = ["ArchiveBackend", "archive_from_url"]


class ArchiveBackend(Backend):
    """One row for each mail. Plain methods: under asyncio and trio the library calls them in a thread."""

    features = Features.everything()  # what it keeps is the mail as it would have been sent

    def __init__(self, path: str, table: str = "mails") -> None:
        if not table.isidentifier():  # it becomes SQL
            raise ConfigError(f"archive: table={table!r}: must be a name")
        self.path = path
        self.table = table
        self.url = f"archive:{path}"

    def send(self, mail: Mail) -> Receipt:
        """Keep it; it is on disk when this returns. A TransportError defers the mail, for it may do later."""
        sender = mail.envelope.sender.addr_spec if mail.envelope.sender else ""
        recipients = json.dumps([address.addr_spec for address in mail.envelope.recipients])
        content = bytes(mail.content)  # all that may fail without us, before we begin
        try:
            with closing(self._open()) as database, database:
                database.execute(
                    f"INSERT INTO {self.table} (id, sender, recipients, content) VALUES (?, ?, ?, ?)",
                    (mail.id, sender, recipients, content),
                )
        except sqlite3.Error as error:
            raise TransportError(f"{self}: {error}") from error
        return Receipt.for_all(mail, Outcome.ACCEPTED, text="kept", backend=self.url)

    def check(self) -> Health:
        """Whether the file can be written."""
        try:
            with closing(self._open()) as database:
                [count] = database.execute(f"SELECT count(*) FROM {self.table}").fetchone()
        except sqlite3.Error as error:
            return Health(ok=False, backend=self.url, cause=TransportError(f"{self}: {error}"))
        return Health(ok=True, backend=self.url, facts={"mails": str(count)})

    def _open(self) -> sqlite3.Connection:
        # One for each call: a connection belongs to its thread, and to its process.
        database = sqlite3.connect(self.path)
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {self.table} "
            "(number INTEGER PRIMARY KEY, id TEXT NOT NULL, sender TEXT NOT NULL,"
            " recipients TEXT NOT NULL, content BLOB NOT NULL)"
        )
        return database


def archive_from_url(url: BackendURL, runtime: Any) -> ArchiveBackend:
    """The backend that a URL means: ``archive:mails.db``, ``archive:///var/mail/mails.db?table=letters``."""
    options = dict(url.query)
    table = options.pop("table", "mails")
    if options:
        raise ConfigError(f"archive: there is no option {', '.join(options)}; there is: table")
    if not url.path or url.host:
        raise ConfigError("archive: the URL is without the file: archive:mails.db or archive:///folder/mails.db")
    return ArchiveBackend(url.path, table)

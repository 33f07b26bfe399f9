"""The site's SQLite file: one connection for each request, closed behind it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from flask import Flask, current_app, g
from werkzeug.security import generate_password_hash

__all__ = ["connected", "init_app", "rows", "seed"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS member (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE, password TEXT NOT NULL,
    is_admin INTEGER NOT NULL DEFAULT 0, digest INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS post (
    id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES member, title TEXT NOT NULL, body TEXT NOT NULL,
    written TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS comment (
    id INTEGER PRIMARY KEY, post INTEGER NOT NULL REFERENCES post, name TEXT NOT NULL, email TEXT NOT NULL,
    body TEXT NOT NULL, written TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS plugin (
    name TEXT PRIMARY KEY, is_on INTEGER NOT NULL DEFAULT 0, settings TEXT NOT NULL DEFAULT '{}',
    switched INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value NOT NULL);
INSERT OR IGNORE INTO setting VALUES ('plugins_changed', 0);
"""


def init_app(app: Flask, file: Path) -> None:
    """Make the tables that there are not yet."""
    app.extensions["database"] = file
    db = sqlite3.connect(file)
    try:
        db.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
    finally:
        db.close()

    @app.teardown_appcontext
    def closed(error: BaseException | None) -> None:
        db: sqlite3.Connection | None = g.pop("database", None)
        if db is not None:
            db.close()


def connected() -> sqlite3.Connection:
    """This request's connection. ``with connected() as db:`` is a transaction."""
    if "database" not in g:
        g.database = sqlite3.connect(current_app.extensions["database"])
        g.database.row_factory = sqlite3.Row
        g.database.execute("PRAGMA foreign_keys = ON")
    return g.database  # type: ignore[no-any-return]


def rows(query: str, *values: object) -> list[sqlite3.Row]:
    """What a SELECT gives."""
    return connected().execute(query, values).fetchall()


def seed() -> None:
    """Something to begin with in development: ann, who writes and is the admin, and bob; password "small press"."""
    if rows("SELECT 1 FROM member"):
        return
    password = generate_password_hash("small press")
    with connected() as db:
        db.execute("INSERT INTO member VALUES (1, 'ann', 'ann@example.org', ?, 1, 1)", [password])
        db.execute("INSERT INTO member VALUES (2, 'bob', 'bob@example.org', ?, 0, 1)", [password])
        for title, body in [
            ("Hello, world", "This is the first post. Say something below it: its author gets a mail."),
            ("On plug-ins", "Drop a file into the folder, switch it on, and the next mail is another one."),
        ]:
            db.execute("INSERT INTO post (author, title, body) VALUES (1, ?, ?)", [title, body])

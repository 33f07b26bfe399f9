"""The backend by its URL; and the contract that every backend keeps, on all faces."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from mailwright_archive import ArchiveBackend

from mailer import Backend, ConfigError, DeliveryDeferred, Mailer, Message
from mailer.testing.contract import BackendContract


def hello() -> Message:
    return Message(from_="shop@example.com", to="ann@example.org", subject="Hi", text="Hello")


def rows(path: Path, table: str = "mails") -> list[tuple[str, bytes]]:
    if not path.exists():  # nothing was sent
        return []
    with closing(sqlite3.connect(path)) as database:
        return database.execute(f"SELECT recipients, content FROM {table} ORDER BY number").fetchall()


class TestArchive(BackendContract):
    def make_backend(self) -> Backend:
        self.folder = tempfile.TemporaryDirectory()
        return ArchiveBackend(f"{self.folder.name}/mails.db")

    def received(self) -> list[bytes]:
        return [content for _, content in rows(Path(self.folder.name, "mails.db"))]


def test_a_url_makes_one(tmp_path: Path) -> None:
    with Mailer(f"archive://{tmp_path}/mails.db?table=letters") as mailer:
        assert mailer.send(hello()).ok
        assert mailer.check().facts == {"mails": "1"}
    [(recipients, content)] = rows(tmp_path / "mails.db", "letters")
    assert recipients == '["ann@example.org"]'
    assert content.endswith(b"\r\n\r\nHello\r\n")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("archive:", "without the file"),
        ("archive:a.db?tabel=x", "no option tabel"),
        ("archive:a.db?table=x;", "a name"),
    ],
)
def test_a_wrong_url_is_refused(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Mailer(url)


def test_a_file_that_cannot_be_written_defers(tmp_path: Path) -> None:
    with Mailer(f"archive://{tmp_path}/nowhere/mails.db", retry=None) as mailer:
        with pytest.raises(DeliveryDeferred):
            mailer.send(hello())
        assert not mailer.check().ok

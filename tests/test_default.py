"""``mailer.send``: the default mailer, made from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

import mailer
from mailer import ConfigError, Mailer, Message


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAILER_URL", raising=False)
    monkeypatch.delenv("MAILER_FROM", raising=False)
    mailer.close()


def hello() -> Message:
    return Message(to="ann@example.org", subject="s", text="t")


def test_without_a_url_anywhere_it_says_which_setting_is_missing() -> None:
    with pytest.raises(ConfigError, match="MAILER_URL"):
        mailer.send(hello())


def test_url_and_sender_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAILER_URL", f"file:{tmp_path}")
    monkeypatch.setenv("MAILER_FROM", "Shop <shop@example.com>")
    assert mailer.send(hello()).ok
    [path] = tmp_path.glob("*.eml")
    assert b"From: Shop <shop@example.com>\r\n" in path.read_bytes()


def test_close_makes_the_next_send_read_the_environment_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_URL", "null:")
    monkeypatch.setenv("MAILER_FROM", "shop@example.com")
    assert mailer.send(hello()).backend == "null:"
    monkeypatch.setenv("MAILER_URL", "memory:")
    assert mailer.send(hello()).backend == "null:"
    mailer.close()
    assert mailer.send(hello()).backend == "memory:"


def test_a_wrong_sender_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_URL", "null:")
    monkeypatch.setenv("MAILER_FROM", "nobody")
    with pytest.raises(ConfigError, match="MAILER_FROM"):
        Mailer()


def test_a_mailer_with_a_url_does_not_look_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_URL", "nonsense://")
    monkeypatch.setenv("MAILER_FROM", "nobody")
    assert Mailer("null:", from_="a@example.com").send(hello()).ok

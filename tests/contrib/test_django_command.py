"""``manage.py mailer`` and Django's own commands that mail."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import django_project  # noqa: F401 - configures the settings
import pytest
from django.core import mail
from django.core.management import ManagementUtility, call_command
from django.test import override_settings

from mailer.contrib.django import get_mailer

BACKEND = "mailer.contrib.django.EmailBackend"
HAS_MAILERS = django.VERSION >= (6, 1)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project that mails to a folder, and from another mailer to memory."""
    settings: dict[str, Any] = {
        "MAILER": {
            "url": f"file:{tmp_path}/out",
            "from": "shop@example.com",
            "templates": "django",
            "mailers": {"news": {"url": "memory:"}},
        }
    }
    if HAS_MAILERS:
        settings["MAILERS"] = {alias: {"BACKEND": BACKEND} for alias in ("default", "news")}
    else:
        settings["EMAIL_BACKEND"] = BACKEND
    with override_settings(**settings):
        yield tmp_path / "out"


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output."""
    out = io.StringIO()
    try:
        call_command("mailer", *arguments, stdout=out, stderr=out)
    except SystemExit as done:
        return int(done.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_it_sends_by_djangos_mailers_with_their_hooks(project: Path) -> None:
    get_mailer().hooks.add_filter("message", lambda message, context: message.with_(subject="[x] " + message.subject))
    code, said = run("send", "--to", "ann@example.org", "--subject", "Hi", "--text", "Hello")
    assert (code, said.split()[0]) == (0, "accepted"), said
    [path] = project.glob("*.eml")
    assert b"Subject: [x] Hi\r\n" in path.read_bytes()
    assert run("send", "--mailer", "news", "--to", "ann@example.org", "--subject", "Hi", "--text", "Hello")[0] == 0
    assert [one.message.subject for one in get_mailer("news").backend.mails] == ["Hi"]  # type: ignore[attr-defined]


def test_its_exit_codes_are_kept(project: Path) -> None:
    assert run("check") == (0, run("check")[1])
    assert run("send", "--nothing")[0] == 64
    assert run("send", "--to", "no address", "--text", "x")[0] == 65
    assert run("check", "smtp://127.0.0.1:1?tls=none")[0] == 75
    assert run("send", "--mailer", "other", "--to", "ann@example.org", "--text", "x")[0] == 78
    assert run("send", "--to", "ann@example.org", "--template", "nothing_there")[0] == 65
    with override_settings(MAILER={"ulr": "memory:"}):
        code, said = run("config")
    assert (code, "did you mean 'url'" in said) == (78, True), said


def test_config_shows_what_django_says(project: Path) -> None:
    code, said = run("config", "--json")
    assert code == 0, said
    shown = {name: row["value"] for name, row in json.loads(said).items()}
    assert shown["url"] == f"file://{project}"
    assert shown["mailers.news.url"] == "memory:"
    assert shown["templates"] == "<DjangoTemplates>"
    with override_settings(MAILER={"url": "smtp://user:s3cret@smtp.example.com"}):
        assert "s3cret" not in run("config")[1]


def test_a_template_of_djangos_is_rendered(project: Path) -> None:
    said = run("send", "--to", "ann@example.org", "--subject", "s", "--template", "reset")
    assert said[0] == 0, said
    assert b"<p>Hi" in next(project.glob("*.eml")).read_bytes()


@pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")
def test_config_shows_the_options_of_mailers() -> None:
    mailers = {
        "default": {"BACKEND": BACKEND, "OPTIONS": {"host": "smtp.example.com", "username": "u", "password": "s3cret"}},
        "news": {"BACKEND": BACKEND, "OPTIONS": {"url": "memory:"}},
        "old": {"BACKEND": "django.core.mail.backends.dummy.EmailBackend"},
    }
    with override_settings(MAILERS=mailers):
        code, said = run("config", "--json")
    shown = {name: row["value"] for name, row in json.loads(said).items()}
    assert (code, shown["mailers.news.url"]) == (0, "memory:")
    assert "smtp.example.com" in shown["url"]
    assert "s3cret" not in said


@pytest.mark.skipif(HAS_MAILERS, reason="EMAIL_HOST is deprecated since Django 6.1")
def test_config_shows_djangos_own_server() -> None:
    with override_settings(EMAIL_BACKEND=BACKEND, EMAIL_HOST="mail.example.com"):
        assert "mail.example.com" in run("config")[1]


def test_from_the_command_line_all_arguments_are_its_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["/x/manage.py", "mailer", "send", "--to", "ann@example.org", "--text", "Hello", "--settings=settings", "-v"]
    ManagementUtility(argv).fetch_command("mailer").run_from_argv(argv)
    assert "accepted" in capsys.readouterr().out
    for arguments in (["--help"], ["send", "--help"]):
        command = ManagementUtility(argv).fetch_command("mailer")
        command.run_from_argv(["/x/manage.py", "mailer", *arguments])
        assert capsys.readouterr().out.startswith(f"Usage: manage.py mailer {' '.join(arguments[:-1])}".strip())
    command.print_help("/x/manage.py", "mailer")
    assert "Commands" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        command.run_from_argv(["/x/manage.py", "mailer", "send", "--nothing"])
    assert ended.value.code == 64


# --- what Django itself mails -----------------------------------------------------------------------------------------


def test_sendtestemail_goes_by_the_mailer(project: Path) -> None:
    call_command("sendtestemail", "ann@example.org", "--admins")
    assert len(list(project.glob("*.eml"))) == 2
    if HAS_MAILERS:
        call_command("sendtestemail", "ann@example.org", "--using", "news")
        assert len(get_mailer("news").backend.mails) == 1  # type: ignore[attr-defined]


def test_admins_are_mailed_what_is_logged(project: Path) -> None:
    from django.utils.log import AdminEmailHandler

    handler = AdminEmailHandler(include_html=True)
    record = logging.LogRecord("django.request", logging.ERROR, __file__, 1, "It\nbroke", (), None)
    handler.emit(record)
    mail.mail_managers("nobody", "manages")  # MANAGERS is empty
    [path] = project.glob("*.eml")
    assert b"[shop] ERROR: It" in path.read_bytes()

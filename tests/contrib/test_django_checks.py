"""The system checks: each finding by its id, with what is wrong and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import django
import django_project  # noqa: F401 - configures the settings
import pytest
from django.core import checks
from django.test import override_settings

from mailer.contrib.django.checks import _development

BACKEND = "mailer.contrib.django.EmailBackend"
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
SMTP = "django.core.mail.backends.smtp.EmailBackend"
HAS_MAILERS = django.VERSION >= (6, 1)


def found(*, deploy: bool = False, databases: Any = None, backend: str = BACKEND, **settings: Any) -> list[Any]:
    """Our findings, under settings."""
    if HAS_MAILERS:
        settings.setdefault("MAILERS", {"default": {"BACKEND": backend}})
    else:
        settings["EMAIL_BACKEND"] = backend
    with override_settings(**settings):
        all_of_them = checks.run_checks(include_deployment_checks=deploy, databases=databases)
    return [one for one in all_of_them if one.id.startswith("mailwright.")]


def ids(**options: Any) -> list[str]:
    return [one.id for one in found(**options)]


def test_settings_that_are_right_give_nothing() -> None:
    url = "smtp://user:secret@smtp.example.com"
    assert found(MAILER={"url": url, "plugins": ["text_part"]}, deploy=True) == []
    assert found(MAILER={"url": f"failover({url} postmark://TOKEN@default)"}, deploy=True) == []
    assert found(MAILER_URL="smtp://localhost:25", deploy=True) == []


@pytest.mark.parametrize(
    ("settings", "id_", "said"),
    [
        ({"MAILER": {"url": "memory:", "plugin": []}}, "E001", "did you mean 'plugins'"),
        ({"MAILER": {"url": "smpt://host"}}, "E001", "smtp"),
        ({"MAILER": {"url": "memory:", "plugins": {"footer": {"txt": "x"}}}}, "E001", "did you mean 'text'"),
        ({"MAILER": {"url": "memory:", "plugins": ["foter"]}}, "E001", "did you mean 'footer'"),
        ({"MAILER": {"url": "memory:", "mailers": {"news": {"url": "nothing://"}}}}, "E001", "nothing"),
        ({"MAILER_URL": "memory:", "MAILER": {"url": "memory:"}}, "E001", "leave one of them out"),
        ({"MAILER": "memory:"}, "E001", "a URL alone is MAILER_URL"),
        (
            {"MAILER_WEBHOOKS": {"secrets": {"postmrk": "x"}}, "MAILER_URL": "memory:"},
            "E003",
            "did you mean 'postmark'",
        ),
        ({"MAILER_WEBHOOKS": {"secret": {}}, "MAILER_URL": "memory:"}, "E003", "did you mean 'secrets'"),
        ({"MAILER_WEBHOOKS": ["postmark"], "MAILER_URL": "memory:"}, "E003", "must be a mapping"),
        ({"MAILER_WEBHOOKS": {"base_url": "x"}, "MAILER_URL": "memory:"}, "E003", "must map each provider"),
    ],
    ids=str,
)
def test_what_is_wrong_is_an_error_with_the_nearest_name(settings: dict[str, Any], id_: str, said: str) -> None:
    [one] = found(**settings)
    assert (one.id, one.level) == (f"mailwright.{id_}", checks.ERROR)
    assert said in one.msg
    assert one.hint


def test_secrets_are_not_shown() -> None:
    wrong = {"url": "smtp://user:s3cret@smtp.example.com?tsl=none"}
    for one in found(MAILER=wrong):
        assert "s3cret" not in one.msg + one.hint
    assert ids(MAILER=wrong) == ["mailwright.E001"]


def test_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    if HAS_MAILERS:
        [one] = found(MAILERS={"default": {"BACKEND": BACKEND}})
        assert (one.id, "no backend" in one.msg) == ("mailwright.E002", True)
        [one, other] = found(MAILERS={"default": {"BACKEND": SMTP}})
        assert (one.id, other.id) == ("mailwright.E002", "mailwright.W004")
    else:
        assert found() == []  # EMAIL_HOST has a default


@pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")
@pytest.mark.parametrize("mailers", [{}, {"default": None}, {"default": "smtp://smtp.example.com"}])
def test_what_is_no_table_is_told_and_not_raised(mailers: Any) -> None:
    assert "mailwright.E002" in [one.id for one in found(MAILERS=mailers)]


@pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")
def test_each_alias_is_looked_at() -> None:
    mailers = {
        "default": {"BACKEND": BACKEND, "OPTIONS": {"url": "smtp://smtp.example.com"}},
        "news": {"BACKEND": BACKEND, "OPTIONS": {"url": "console:", "plugins": ["nothing_like_it"]}},
        "other": {"BACKEND": LOCMEM},
    }
    options = {"url": "smtp://smtp.example.com", "plugin": []}
    [unknown] = found(MAILERS={"default": {"BACKEND": BACKEND, "OPTIONS": options}})
    assert (unknown.id, "did you mean 'plugins'" in unknown.msg) == ("mailwright.E001", True)
    [one, dev, two] = found(MAILERS=mailers, deploy=True)
    assert (dev.id, "'other'" in dev.msg) == ("mailwright.W001", True)
    assert (one.id, "MAILERS['news']" in one.msg) == ("mailwright.E001", True)
    assert (two.id, "MAILERS['other']" in two.msg) == ("mailwright.W002", True)


def test_backends_for_development_are_told_in_production_alone() -> None:
    for url in ("memory:", "console:", "null:", "file:/tmp/out", "smtp://localhost:1025", "failover(smtp://h null:)"):
        assert ids(MAILER_URL=url) == [], url
        [one] = found(MAILER_URL=url, deploy=True)
        assert (one.id, one.level) == ("mailwright.W001", checks.WARNING), url
        assert "production" in one.hint
    assert ids(MAILER_URL="memory:", backend=LOCMEM, deploy=True)[-1] == "mailwright.W002"


def test_djangos_test_runner_is_left_alone() -> None:
    from mailer.contrib.django import get_mailer

    assert found(backend=LOCMEM, MAILER={"url": "smtp://smtp.example.com", "plugins": ["text_part"]}) == []
    settings: dict[str, Any] = {"MAILER": {"url": "smtp://smtp.example.com", "plugins": ["text_part"]}}
    settings |= {"MAILERS": {"default": {"BACKEND": LOCMEM}}} if HAS_MAILERS else {"EMAIL_BACKEND": LOCMEM}
    with override_settings(**settings):
        assert str(get_mailer().backend) == "memory:"  # and all else as the project has it
        assert [plugin.name for plugin in get_mailer().plugins] == ["text_part"]


def test_what_is_for_development() -> None:
    for url in ("smtp://127.0.0.1:2525", "smtp://[::1]:1025", "smtp://localhost:1025?tls=none", "null:"):
        assert _development(url), url
    for url in ("smtp://localhost", "smtps://localhost:465", "smtp://mail.example.com:2525", "postmark://***@default"):
        assert not _development(url), url
    assert not _development("smtp://localhost:nope")


def test_plugins_that_are_left_out_and_other_backends_are_told() -> None:
    [one] = found(MAILER={"url": "memory:", "plugins": ["no_such_plugin"], "on_plugin_error": "disable"})
    assert (one.id, "no_such_plugin" in one.msg) == ("mailwright.W003", True)
    if not HAS_MAILERS:
        assert ids(MAILER_URL="memory:", backend=SMTP) == ["mailwright.W004"]
        assert ids(MAILER_URL="memory:", backend=SMTP, DEBUG=True) == []


def test_a_log_that_cannot_be_read_is_told_where_databases_are_checked(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    settings = {"MAILER": {"url": "memory:", "plugins": {"log": {"path": str(tmp_path / "broken.db")}}}}
    assert ids(**settings) == []
    [one] = found(databases=["default"], **settings)
    assert (one.id, "broken.db" in one.msg) == ("mailwright.E004", True)
    settings = {"MAILER": {"url": "memory:", "plugins": {"log": {"path": str(tmp_path / "good.db")}}}}
    assert found(databases=["default"], **settings) == []


def test_every_check_and_signal_is_documented() -> None:
    from mailer.contrib.django import checks as own
    from mailer.contrib.django import signals

    page = (Path(__file__).parents[2] / "docs" / "howto" / "django.md").read_text(encoding="utf-8")
    ids = set(re.findall(r'id="(mailwright\.[EW]\d+)"', Path(own.__file__).read_text(encoding="utf-8")))
    assert (
        ids == set(re.findall(r"`(mailwright\.[EW]\d+)`", page)) == set(re.findall(r"mailwright\.[EW]\d+", own.__doc__))
    )
    names = {name for name in signals.__all__ if name not in ("SIGNALS", "bridge")}
    assert names <= set(re.findall(r"`(\w+)`", page))

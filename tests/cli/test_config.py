"""``mailer config``, and the settings behind the other commands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import command
import pytest

SECRET = "S3cr3tT0ken"


def mailer(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return command.mailer(*arguments, folder=folder, **environment)


def test_config_shows_each_setting_masked_with_where_it_stood(tmp_path: Path) -> None:
    (tmp_path / "mailer.toml").write_text(
        'from = "Grüße <a@b.test>"\ntemplates = ".,mailer:contrib"\n[live.mailers.news]\nurl = "null:"\n', "utf-8"
    )
    (tmp_path / ".env").write_text("MAILER_ENV=live\nMAILER_UNSUPORTED=error\n")
    url = f"failover(smtp://u:{SECRET}@h null:)"
    (tmp_path / "tries").write_text("5\n")
    run = mailer(tmp_path, "config", MAILER_URL=url, MAILER_RETRY__TRIES_FILE="tries")
    assert run.returncode == 0, run.stderr
    assert [line.split(maxsplit=1) for line in run.stdout.splitlines()] == [
        ["url", "failover(smtp://u:***@h null:)  MAILER_URL"],
        ["from", "Grüße <a@b.test>                mailer.toml: from"],
        ["unsupported", "default                         default"],
        ["templates", "., mailer:contrib               mailer.toml: templates"],
        ["retry.tries", "5                               MAILER_RETRY__TRIES_FILE"],
        ["retry.within_s", "10.0                            default"],
        ["retry.wait_s", "0.5                             default"],
        ["retry.max_wait_s", "5.0                             default"],
        ["retry.jitter", "0.5                             default"],
        ["retry.on_unknown", "keep                            default"],
        ["oauth2", "-                               not set"],
        ["plugins", "-                               not set"],
        ["plugin_folder", "-                               not set"],
        ["on_plugin_error", "raise                           default"],
        ["trace_hooks", "False                           default"],
        ["env", "live                            MAILER_ENV in .env"],
        ["mailers.news.url", "null:                           mailer.toml: live.mailers.news.url"],
    ]
    assert run.stderr == (
        "mailer: warning: there is no setting MAILER_UNSUPORTED in .env; did you mean MAILER_UNSUPPORTED?\n"
    )
    as_json = json.loads(mailer(tmp_path, "config", "--json", MAILER_URL=url).stdout)
    assert as_json["url"] == {"value": "failover(smtp://u:***@h null:)", "source": "MAILER_URL"}
    assert as_json["mailers.news.url"]["source"] == "mailer.toml: live.mailers.news.url"


def test_config_without_a_mailer_shows_that_and_fails(tmp_path: Path) -> None:
    run = mailer(tmp_path, "config")
    assert run.returncode == 78
    assert "url               -        not set\n" in run.stdout
    assert "MAILER_URL" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["send", "--to", "c@d.test", "--text", "t"], 0, "by        memory:\n"),
        (["send", "--mailer", "news", "--to", "c@d.test", "--text", "t"], 0, "by        null:\n"),
        (["send", "--url", "console:", "--to", "c@d.test", "--text", "t"], 0, "From: shop@b.test"),
        (["check", "--mailer", "news"], 0, "ok  null:\n"),
        (["demo", "--mailer", "news"], 0, "by        null:\n"),
        (["send", "--mailer", "nws", "--to", "c@d.test", "--text", "t"], 78, "did you mean 'news'"),
        (["check", "--mailer", "news", "memory:"], 64, "--mailer"),
    ],
)
def test_commands_take_their_mailer_from_the_settings(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    (tmp_path / "mailer.toml").write_text('url = "memory:"\nfrom = "shop@b.test"\n[mailers.news]\nurl = "null:"\n')
    run = mailer(tmp_path, *arguments)
    assert run.returncode == code, run.stderr
    assert said in run.stdout + run.stderr

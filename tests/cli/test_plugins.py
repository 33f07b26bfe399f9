"""``mailer plugins`` and ``mailer hooks``."""

from __future__ import annotations

import json
from pathlib import Path

import command
import pytest

from mailer.plugins import BUILT_IN

FOOTER = """
from mailer import Plugin, PluginSettings

class FooterSettings(PluginSettings):
    text: str = "ending"

class Footer(Plugin[FooterSettings]):
    name = "ending"
    version = "1.5"

    def register(self, hooks):
        hooks.add_filter("message", lambda message, context: message.with_(subject=self.settings.text), 20)
        hooks.add_filter("recipients", lambda recipients, context: recipients)
        hooks.add_action("sent", lambda context: 1 / 0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "ending.py").write_text(FOOTER)
    (tmp_path / "mailer.toml").write_text("url = 'null:'\nplugin_folder = 'plugins'\n[plugins.ending]\ntext = 'x'\n")
    return tmp_path


def test_plugins_shows_what_is_on_and_what_there_is(folder):
    run = command.mailer("plugins", folder=folder)
    assert run.returncode == 0, run.stderr
    rows = [line.split(maxsplit=3) for line in run.stdout.splitlines()]
    assert rows[0] == ["ending", "1.5", "on", "given     message, recipients, sent"]
    assert {row[0] for row in rows} >= set(BUILT_IN)
    assert all(row[2] == "off" for row in rows[1:])
    as_json = json.loads(command.mailer("plugins", "--json", folder=folder).stdout)
    assert as_json[0]["hooks"] == "message, recipients, sent"


def test_plugins_tells_what_failed_and_exits_with_78(folder):
    run = command.mailer("plugins", folder=folder, MAILER_PLUGINS="ending,gone")
    assert run.returncode == 78
    assert ["gone", "-", "failed", "-", "there"] in [line.split()[:5] for line in run.stdout.splitlines()]
    assert "there is no plug-in 'gone'" in run.stdout
    assert run.stdout.startswith("ending "), "the others are shown"
    run = command.mailer("plugins", folder=folder, MAILER_PLUGINS__ENDING__TXET="x")
    assert run.returncode == 78
    assert "MAILER_PLUGINS__ENDING__TXET: there is no such setting; did you mean 'text'" in run.stdout


def test_hooks_shows_the_order_and_with_time_what_each_filter_takes(folder):
    run = command.mailer("hooks", folder=folder)
    assert run.returncode == 0, run.stderr
    assert [line.split() for line in run.stdout.splitlines()] == [
        ["message", "filter", "20", "ending"],
        ["recipients", "filter", "10", "ending"],
        ["sent", "action", "10", "ending"],
    ]
    run = command.mailer("hooks", "--time", "--json", folder=folder)
    rows = json.loads(run.stdout)
    assert [row["hook"] for row in rows if row["duration_s"] is not None] == ["message", "recipients"]
    run = command.mailer("hooks", "--time", folder=folder)
    assert [line.split()[-1] for line in run.stdout.splitlines()] == ["ms", "ms", "-"]


def test_hooks_of_a_mailer_without_plugins_are_none(tmp_path):
    for settings in ({"MAILER_URL": "null:"}, {}):  # they need no backend
        run = command.mailer("hooks", "--time", folder=tmp_path, **settings)
        assert (run.returncode, run.stdout) == (0, ""), run.stderr
        assert command.mailer("plugins", folder=tmp_path, **settings).returncode == 0

"""The pytest plugin: its fixtures, its names, and what it costs a run that does not use it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mailer import Mailer, Message
from mailer.testing import FakeRelay, MailOutbox

pytest_plugins = ["pytester"]

HELLO = Message(from_="shop@example.com", to="ann@example.org", subject="Hi", text="Hello")


def test_it_loads_nothing_of_the_library() -> None:
    """It is imported at the start of every pytest run of every app that has mailwright."""
    code = (
        "import sys, mailer.testing.pytest_entry, mailer.testing.pytest_plugin;"
        " print(*sorted(n for n in sys.modules if n.startswith('mailer')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = ["mailer", "mailer.testing", "mailer.testing.pytest_entry", "mailer.testing.pytest_plugin"]
    assert done.stdout.split() == names


def test_the_entry_point_is_mailer() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"mailer": "mailer.testing.pytest_entry"}


def test_it_is_there_once_also_where_a_project_names_it_and_no_mailer_turns_it_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test(mailer_outbox): assert mailer_outbox == []")
    for arguments, outcome in (
        ([], {"passed": 1}),
        (["-p", "mailer.testing.pytest_plugin"], {"passed": 1}),
        (["-p", "no:mailer"], {"failed": 1}),  # there is no such fixture
    ):
        pytester.inline_run("-p", "no:randomly", "--strict-markers", *arguments).assertoutcome(**outcome)


def test_the_outbox(mailer_outbox: MailOutbox) -> None:
    with Mailer("smtp://user:secret@smtp.example.com") as mailer:
        assert mailer.send(HELLO).ok
    assert mailer_outbox.assert_sent(to="ann@example.org").backend == "smtp://user:***@smtp.example.com"


def test_the_relay(mailer_relay: FakeRelay) -> None:
    with Mailer(mailer_relay.url) as mailer:
        mailer.send(HELLO)
    assert mailer_relay.provider == "postmark"
    assert mailer_relay.requests[0].json["Subject"] == "Hi"


@pytest.mark.mailer_relay("sendgrid", token="other")
def test_the_relay_of_choice(mailer_relay: FakeRelay) -> None:
    with Mailer(mailer_relay.url) as mailer:
        assert mailer.send(HELLO).ok
    assert (mailer_relay.provider, mailer_relay.token) == ("sendgrid", "other")

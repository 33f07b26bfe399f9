"""The pytest plugin: fixtures for what an app sends. pytest loads it by itself where mailwright is installed.

Nothing of the library is imported before a test asks for a fixture.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .clock import FakeClock
    from .outbox import MailOutbox
    from .relay import FakeRelay
    from .smtp_server import SmtpServer
    from .snapshot import MailSnapshot

__all__ = ["mailer_clock", "mailer_outbox", "mailer_relay", "mailer_smtp_server", "mailer_snapshot"]

_MARKERS = (
    "mailer_clock(at): where the clock of the fixture mailer_clock begins, '2026-12-24T18:00+01:00'",
    "mailer_relay(provider, **options): which provider the FakeRelay of the fixture mailer_relay speaks for",
    "mailer_smtp_server(**options): how the fixture mailer_smtp_server makes its SmtpServer",
)


_WRITTEN = "mailer_snapshot"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--mailer-update-snapshots``."""
    group = parser.getgroup("mailer")
    group.addoption("--mailer-update-snapshots", action="store_true", help="take the snapshots of mails anew")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the snapshots that were written, also by workers of xdist."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    told = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    for path in dict.fromkeys(value for name, value in told if name == _WRITTEN):
        terminalreporter.write_line(f"mail snapshot written: {path}")


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture
def mailer_outbox() -> Iterator[MailOutbox]:
    """A `mailer.testing.MailOutbox`: every mail that is sent during the test, by any mailer; nothing leaves.

    Django's ``send_mail`` goes by the project's own backend meanwhile, if that is ours.
    """
    from .outbox import MailOutbox

    with ExitStack() as stack:
        if "django.conf" in sys.modules and sys.modules["django.conf"].settings.configured:
            from .django import own_backends

            stack.enter_context(own_backends())
        yield stack.enter_context(MailOutbox())


@pytest.fixture
def mailer_clock(request: pytest.FixtureRequest) -> Iterator[FakeClock]:
    """A `mailer.testing.FakeClock`, by which all of the library goes during the test: it stands still, and pauses end.

    ``@pytest.mark.mailer_clock("2026-12-24T18:00+01:00")`` says where it begins; the mark nearest to the test wins.
    """
    from .clock import FakeClock

    mark = request.node.get_closest_marker("mailer_clock")
    with FakeClock(*(mark.args if mark else ()), **(mark.kwargs if mark else {})) as clock:
        yield clock


@pytest.fixture
def mailer_smtp_server(request: pytest.FixtureRequest) -> Iterator[SmtpServer]:
    """A `mailer.testing.SmtpServer` that runs for the length of the test.

    ``@pytest.mark.mailer_smtp_server(tls=True, users={"ann": "secret"})`` gives it options; the mark nearest to the
    test wins.
    """
    from .smtp_server import SmtpServer

    mark = request.node.get_closest_marker("mailer_smtp_server")
    with SmtpServer(**(mark.kwargs if mark else {})) as server:
        yield server


@pytest.fixture
def mailer_relay(request: pytest.FixtureRequest) -> Iterator[FakeRelay]:
    """A `mailer.testing.FakeRelay` that runs for the length of the test, Postmark's unless another is marked.

    ``@pytest.mark.mailer_relay("sendgrid")``; the mark nearest to the test wins.
    """
    from .relay import FakeRelay

    mark = request.node.get_closest_marker("mailer_relay")
    with FakeRelay(*(mark.args if mark else ()), **(mark.kwargs if mark else {})) as relay:
        yield relay


@pytest.fixture
def mailer_snapshot(request: pytest.FixtureRequest) -> Iterator[MailSnapshot]:
    """``mailer_snapshot(mail)`` compares a mail with its snapshot, ``snapshots/<test file>/<class>.<test>.txt``.

    ``--mailer-update-snapshots`` writes them anew; where CI is set, one that is not there is a failure.
    """
    from .snapshot import MailSnapshot, folder_of

    update = True if request.config.getoption("--mailer-update-snapshots") else None
    name = request.node.nodeid.partition("::")[2].replace("::", ".")  # its class too: others may have a test so named
    snapshot = MailSnapshot(folder_of(Path(request.path)), name, update=update)
    yield snapshot
    request.node.user_properties += [(_WRITTEN, str(path)) for path in snapshot.written]

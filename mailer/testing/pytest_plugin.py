"""The pytest plugin: fixtures for what an app sends. pytest loads it by itself where mailwright is installed.

Nothing of the library is imported before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .clock import FakeClock
    from .outbox import MailOutbox
    from .relay import FakeRelay
    from .smtp_server import SmtpServer

__all__ = ["mailer_clock", "mailer_outbox", "mailer_relay", "mailer_smtp_server"]

_MARKERS = (
    "mailer_clock(at): where the clock of the fixture mailer_clock begins, '2026-12-24T18:00+01:00'",
    "mailer_relay(provider, **options): which provider the FakeRelay of the fixture mailer_relay speaks for",
    "mailer_smtp_server(**options): how the fixture mailer_smtp_server makes its SmtpServer",
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture
def mailer_outbox() -> Iterator[MailOutbox]:
    """A `mailer.testing.MailOutbox`: every mail that is sent during the test, by any mailer; nothing leaves."""
    from .outbox import MailOutbox

    with MailOutbox() as outbox:
        yield outbox


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

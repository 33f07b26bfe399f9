"""The pytest plugin: the fixture ``smtp_server``. pytest loads it by itself where mailwright is installed.

Nothing of the library is imported before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .smtp_server import SmtpServer

__all__ = ["smtp_server"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "smtp_server(**options): how the fixture smtp_server makes its SmtpServer")


@pytest.fixture
def smtp_server(request: pytest.FixtureRequest) -> Iterator[SmtpServer]:
    """An `mailer.testing.SmtpServer` that runs for the length of the test.

    ``@pytest.mark.smtp_server(tls=True, users={"ann": "secret"})`` gives it options; the mark nearest to the test wins.
    """
    from .smtp_server import SmtpServer

    mark = request.node.get_closest_marker("smtp_server")
    with SmtpServer(**(mark.kwargs if mark else {})) as server:
        yield server

"""uvicorn and hypercorn, on asyncio and trio, that are told to end while mails are on their way in the background."""

from __future__ import annotations

import re
import threading
from collections import Counter
from pathlib import Path

import pytest

from mailer.testing import SmtpServer

from .test_app_servers import asked_for, get, running

__all__ = ["asked_for"]

pytestmark = pytest.mark.real

SERVERS = {
    "uvicorn": ["uvicorn", "--uds", "{path}", "asgi_app:app"],
    "hypercorn": ["hypercorn", "--bind", "unix:{path}", "asgi_app:app"],
    "hypercorn, trio": ["hypercorn", "--worker-class", "trio", "--bind", "unix:{path}", "asgi_app:app"],
}
LATER_S = 0.5


def told(folder: Path) -> Counter[str]:
    return Counter(re.findall(r"^told (\w+) ", (folder / "log").read_text(), re.M))


@pytest.mark.parametrize("name", SERVERS)
def test_the_end_waits_for_what_is_on_its_way(name: str, tmp_path: Path) -> None:
    """The SMTP server answers the first mail only after the app was told to end."""
    go_on = threading.Event()

    def answer(command: object) -> str:
        go_on.wait(60)
        return "250 ok"

    with SmtpServer() as smtp:
        smtp.on(".").reply(answer)
        with running(SERVERS[name], tmp_path, smtp.url, APP_GRACE_S="30") as path:
            assert get(path, "/send") == {"pending": 10}
            threading.Timer(LATER_S, go_on.set).start()
        assert len(smtp.mails) == 10
    assert told(tmp_path) == {"sent": 10}


@pytest.mark.parametrize("name", SERVERS)
def test_what_the_end_cannot_wait_for_is_told(name: str, tmp_path: Path) -> None:
    """Three are handed over and never answered, seven wait: none of them vanishes."""
    with SmtpServer() as smtp:
        smtp.on(".").hold()
        with running(SERVERS[name], tmp_path, smtp.url, APP_GRACE_S="1") as path:
            assert get(path, "/send") == {"pending": 10}
    assert told(tmp_path) == {"unknown": 3, "deferred": 7}
    assert "background.left: 10 mails were not sent within 1 s" in (tmp_path / "log").read_text()

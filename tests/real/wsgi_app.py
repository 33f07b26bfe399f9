"""The app that the servers of ``test_app_servers.py`` run.

Its mailer is made, and used if ``APP_USES_IT``, as this is loaded: before the fork, where the server loads it first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from mailer import Mailer, Message

MAILER = Mailer(os.environ["APP_URL"], retry=None)


def hello(**more: Any) -> Message:
    """A mail that says which process sent it."""
    headers = {"X-Process": str(os.getpid())}
    return Message(from_="shop@example.com", to="ann@example.org", subject="s", text="t", headers=headers, **more)


if os.environ.get("APP_USES_IT"):
    MAILER.send(hello())
MASTER = os.getpid()


def many() -> list[bool]:
    """Several at once: threads, or greenlets, of the library's own."""
    return [receipt.ok for receipt in MAILER.send_many([hello() for _ in range(4)], concurrency=4)]


DOES: dict[str, Callable[[], Any]] = {"/send": lambda: MAILER.send(hello()).ok, "/many": many}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """GET /send and /many; who answers, and what the sends came to."""
    said = {"process": os.getpid(), "master": MASTER, "ok": DOES[environ["PATH_INFO"]]()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]

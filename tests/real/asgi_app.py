"""The ASGI app of ``test_asgi_servers.py``: each request gives the background some mails and does not wait."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mailer import Message
from mailer.contrib.starlette import StarletteMailer, get_background

logging.basicConfig(level=logging.WARNING)


async def send(request: Request) -> JSONResponse:
    """Ten mails."""
    background = await get_background(request)
    for number in range(10):
        to = f"{number}@example.org"
        await background.send(Message(from_="shop@example.com", to=to, subject="s", text="t"))
    return JSONResponse({"pending": background.pending})


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Say of each mail what became of it."""
    for name in ("sent", "deferred", "unknown"):
        app.state.mailer.hooks.add_action(
            name, lambda context, name=name: print(f"told {name} {context.recipients[0]}", flush=True)
        )
    yield


mail = StarletteMailer(os.environ["APP_URL"], concurrency=3, grace_s=float(os.environ["APP_GRACE_S"]))
app = Starlette(routes=[Route("/send", send)], lifespan=mail.around(lifespan))

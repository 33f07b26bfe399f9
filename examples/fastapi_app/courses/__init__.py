"""A FastAPI app whose mails go another way in each environment."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from mailer.contrib.starlette import StarletteMailer, webhooks

from .mails import settings_of
from .people import People, router

__all__ = ["create_app"]


def create_app(environment: str | None = None) -> FastAPI:
    """Make the app.

    Args:
        environment: "development", "test" or "production"; None: what ``MAILER_ENV`` says, else "development".
    """
    environment = environment or os.environ.get("MAILER_ENV") or "development"
    people = People()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        hooks = app.state.mailer.hooks
        hooks.add_action("event", people.told)
        hooks.add_action("rejected", people.refused)
        yield

    # Settings are read when the app starts: what is missing or wrong keeps it from that.
    mail = StarletteMailer(lambda: settings_of(environment), grace_s=20)
    app = FastAPI(title="Courses", lifespan=mail.around(lifespan))
    app.state.people = people
    app.include_router(router)
    if secret := os.environ.get("COURSES_WEBHOOK_SECRET"):
        app.mount("/webhooks", webhooks({"postmark": secret}))
    return app

"""The app's mails, and what sends them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

from fastapi import Depends

from mailer import Address, AsyncMailer, Message, Settings
from mailer.background import Background
from mailer.contrib.starlette import get_background, get_mailer

__all__ = ["BackgroundMail", "Mail", "bill", "settings_of", "welcome"]

HERE = Path(__file__).parent

#: What handlers ask for: one that waits for the outcome, and one that does not.
Mail: TypeAlias = Annotated[AsyncMailer, Depends(get_mailer)]
BackgroundMail: TypeAlias = Annotated[Background, Depends(get_background)]


def settings_of(environment: str) -> Settings:
    """This environment's section of ``mailer.toml``, with what ``MAILER_`` variables say over it."""
    return Settings({"env": environment, "templates": HERE / "templates"}, _toml_file=HERE / "mailer.toml")


def welcome(mailbox: Address, token: str) -> Message:
    """Asks who signed up to confirm the address. The link leads to ``COURSES_URL``, never to a request's Host."""
    base = os.environ.get("COURSES_URL", "http://127.0.0.1:8000").rstrip("/")
    context = {"name": mailbox.name, "link": f"{base}/confirm/{token}"}
    return Message(to=mailbox, template="welcome", context=context, tags=["welcome"])


def bill(address: str, course: str, number: int) -> Message:
    """The bill for a course: of two with the same key a provider that knows keys sends one."""
    return Message(
        to=address,
        subject=f"Bill {number}",
        text=f"You are enrolled in {course}.\n",
        tags=["bill"],
        idempotency_key=f"bill-{number}",
    )

"""A mail server that delivers nothing: it keeps what it gets, for development, demonstrations and tests."""

from __future__ import annotations

from .server import Mailbox, ReceivedMail

__all__ = ["Mailbox", "ReceivedMail"]

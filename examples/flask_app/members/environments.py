"""What is the same everywhere, and what differs: above all, by which backend mails go."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["ENVIRONMENTS"]


class Base:
    """What all environments have."""

    DATABASE: str | None = None
    SECRET_KEY: str | None = None
    MAILER_FROM = "Members <members@example.com>"
    MAILER_MAILERS__NEWS__FROM = "Members' News <news@example.com>"


class Development(Base):
    """Mails are shown on the terminal."""

    SECRET_KEY = "not a secret: on this machine alone"
    MAILER_URL = "console:"
    MAILER_MAILERS__NEWS__PLUGINS: ClassVar[dict[str, Any]] = {
        "list_unsubscribe": {"url": "http://127.0.0.1:5000/unsubscribe", "secret": "development" * 3}
    }


class Testing(Base):
    """Mails are kept in memory: so it is under ``TESTING``, whatever the URL."""

    TESTING = True
    SECRET_KEY = "not a secret: of tests"
    SERVER_NAME = "members.test"
    MAILER_MAILERS__NEWS__PLUGINS: ClassVar[dict[str, Any]] = {
        "list_unsubscribe": {"url": "https://members.test/unsubscribe", "secret": "testing" * 5}
    }


class Production(Base):
    """The rest comes from variables: ``FLASK_MAILER_URL``, ``FLASK_SECRET_KEY``, ``FLASK_SERVER_NAME`` ... (README)."""

    PREFERRED_URL_SCHEME = "https"
    MAILER_RETRY__TRIES = 3
    MAILER_UNSUPPORTED = "error"


ENVIRONMENTS: dict[str, type[Base]] = {"development": Development, "testing": Testing, "production": Production}

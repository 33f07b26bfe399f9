"""The setting ``MAILER``, as a mapping for :class:`mailer.Settings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from ...errors import ConfigError

__all__ = ["project_table", "with_engine"]


def project_table() -> dict[str, Any]:
    """``MAILER`` with ``MAILER_URL``: a mapping for :class:`~mailer.Settings`.

    Raises:
        ConfigError: Both say the URL.
    """
    table, short = dict(getattr(settings, "MAILER", None) or {}), getattr(settings, "MAILER_URL", None)
    if short:
        if "url" in table:
            raise ConfigError("MAILER_URL and MAILER['url'] say the same: leave one of them out")
        table["url"] = short
    return with_engine(table)


def with_engine(table: dict[str, Any]) -> dict[str, Any]:
    """The table with Django's own engine for ``templates``, where it says "django"; in sections and mailers too."""
    made = dict(table)
    for name, value in table.items():
        if name == "templates" and value == "django":
            from .engine import DjangoTemplates

            made[name] = DjangoTemplates()
        elif isinstance(value, Mapping) and name not in ("plugins", "retry", "oauth2"):
            made[name] = with_engine(dict(value))
    return made

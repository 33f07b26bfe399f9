"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Listens to what providers tell."""

    name = "accounts"

    def ready(self) -> None:
        """Connect the receivers."""
        from . import receivers  # noqa: F401 - importing connects them

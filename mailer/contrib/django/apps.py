"""The app, for ``INSTALLED_APPS``: ``"mailer.contrib.django"``."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["MailerConfig"]


class MailerConfig(AppConfig):
    """Registers the checks. The label is ``mailwright``, as apps of the name ``mailer`` have been there before."""

    name = "mailer.contrib.django"
    label = "mailwright"
    verbose_name = "Mail"
    default = True

    def ready(self) -> None:
        """Register the checks; signals are sent from now on."""
        from . import checks, signals  # noqa: F401 - signals are sent once they are imported

        checks.register()

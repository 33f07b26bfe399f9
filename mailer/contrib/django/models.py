"""What the admin's pages of the mail log are named and guarded by. There is no table of it."""

from __future__ import annotations

from typing import Any

from django.db import models

__all__ = ["LoggedMail"]


class _NoRows(models.Manager):
    """There is no table: who walks all models (``dumpdata``) finds nothing in this one."""

    def get_queryset(self) -> Any:
        return super().get_queryset().none()


class LoggedMail(models.Model):
    """A mail in the log of the plug-in ``log``, wherever that is. Never queried: :mod:`.admin` reads the log itself.

    Permissions: ``view`` is for who got what, when, and what was answered; ``read`` for mails as they were sent, which
    may hold what nobody else is to know (a link to reset a password); ``resend`` to send them to the same people again.
    """

    mail_id = models.CharField(primary_key=True, max_length=80)

    objects = _NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        app_label = "mailwright"
        verbose_name = "logged mail"
        verbose_name_plural = "logged mails"
        default_permissions = ("view",)
        permissions = (
            ("read_loggedmail", "Can read logged mails as they were sent"),
            ("resend_loggedmail", "Can send logged mails again"),
        )

    def __str__(self) -> str:
        return str(self.mail_id)

"""A backend for tests: ``django.core.mail.outbox`` as ever, with hooks, plug-ins and sealing run."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from django import VERSION
from django.core import mail

from ...smtp_options import SMTP_OPTIONS
from .backend import EmailBackend
from .project import OPTIONS

__all__ = ["LocMemBackend"]

_TAKEN = frozenset({*OPTIONS, "alias", "fail_silently"})


class LocMemBackend(EmailBackend):
    """Django's ``locmem``, through a mailer: nothing leaves the process.

    What Django's own does, this does: the message is validated by its ``message()``, and a copy put into
    ``django.core.mail.outbox``. Before that it is sent to ``memory:``, so that filters and plug-ins run and the mail is
    sealed; ``message.mailer_receipt`` is there, and what could not be sent raises. A mail that a plug-in keeps back is
    not in the outbox. :func:`get_mailer` sends to that memory too.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """As :class:`EmailBackend`; wherever that would send to, this does not."""
        if VERSION < (6, 1):  # until then Django's own takes anything
            options = {name: value for name, value in options.items() if name in _TAKEN}
        super().__init__(*args, **options)
        if not hasattr(mail, "outbox"):
            mail.outbox = []

    @classmethod
    def options_of(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Without the server; all else is as it is."""
        return {name: value for name, value in given.items() if name not in SMTP_OPTIONS} | {"url": "memory:"}

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Send, and keep a copy of what was accepted.

        Returns:
            How many; those without recipients are kept too, as Django does.
        """
        count = 0
        for message in email_messages:
            message.message()
            if message.recipients() and not super().send_messages([message]):
                continue
            kept = copy.deepcopy(message)
            kept.sent_using = getattr(self, "alias", None)
            mail.outbox.append(kept)
            count += 1
        return count

    def __deepcopy__(self, memo: Any) -> LocMemBackend:
        """Itself: a message that is copied may name it as its connection."""
        return self

"""A backend for tests: ``django.core.mail.outbox`` as ever, with hooks, plug-ins and sealing run."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from django.core import mail

from .local import LocalBackend

__all__ = ["LocMemBackend"]


class LocMemBackend(LocalBackend):
    """Django's ``locmem``, through a mailer: nothing leaves the process.

    What Django's own does, this does: the message is validated by its ``message()``, and a copy put into
    ``django.core.mail.outbox``. Before that it is sent to ``memory:``, so that filters and plug-ins run and the mail is
    sealed; ``message.mailer_receipt`` is there, and what could not be sent raises. A mail that a plug-in keeps back is
    not in the outbox. :func:`get_mailer` sends to that memory too.
    """

    def __init__(self, fail_silently: bool = False, **options: Any) -> None:
        """As :class:`EmailBackend`; wherever that would send to, this does not."""
        super().__init__(fail_silently, **options)
        if not hasattr(mail, "outbox"):
            mail.outbox = []

    @classmethod
    def url_of(cls, **own: Any) -> str:
        return "memory:"

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

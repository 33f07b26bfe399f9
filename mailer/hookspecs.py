"""All hook points: their order, what each is given, and what a filter must return.

Filters are called ``(value, context)`` and return the value, or a changed copy. Actions are called ``(context)`` and
return nothing; what they raise is logged and changes nothing. Names with a dot are free for apps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .address import Address
    from .backends.base import Backend
    from .errors import MailerError
    from .event import Event
    from .mail import Mail
    from .message import Message
    from .receipt import Receipt
    from .runtime import Runtime

__all__ = ["ACTIONS", "FILTERS", "KNOWN", "ONE_EACH", "Context"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a hook may know; None is what is not known yet at that point.

    Attributes:
        mailer: The Mailer or AsyncMailer that sends.
        mail_id: The mail's id, the same from the first filter to the last action.
        runtime: The only way for a hook to wait.
        message: The message as it stands; None for ready-made mail.
        mail: The sealed mail; for ``sending`` it is to those who are tried now.
        backend: What carries it.
        attempt: How often it was tried so far; None before it was.
        receipt: What became of it (result actions).
        recipients: Those that a result action is about.
        error: What went wrong (``failed``).
        event: What a provider told (``event``); ``mail_id`` is "" where it does not repeat ours.
    """

    mailer: Any
    mail_id: str
    runtime: Runtime
    message: Message | None = None
    mail: Mail | None = None
    backend: Backend | None = None
    attempt: int | None = None
    receipt: Receipt | None = None
    recipients: tuple[Address, ...] = ()
    error: MailerError | None = None
    event: Event | None = None


#: Filters in the order they run: name -> what the value is.
FILTERS: dict[str, str] = {
    "template_context": "mapping: the variables of the message's template; not run without one",
    "message": "Message, before anything is derived from it",
    "recipients": "tuple of Address: the envelope's recipients; none left means the mail is skipped",
    "headers": "tuple of (name, value): the custom header fields",
    "short_circuit": "None; a Receipt returned here is the result and nothing is sent",
    "mail": "Mail, sealed",
    "sign": "Mail, last of all: what it returns are the bytes that are sent",
    "backend": "Backend that will carry it: another, or a wrapping one",
}

#: Actions: name -> when.
ACTIONS: dict[str, str] = {
    "sending": "before each try of the backend",
    "sent": "some recipients ACCEPTED",
    "deferred": "some recipients DEFERRED",
    "rejected": "some recipients REJECTED",
    "unknown": "some recipients UNKNOWN",
    "skipped": "a filter, or a plug-in before the backend, kept it from being sent",
    "failed": "it could not be composed or carried: an exception before any receipt",
    "event": "a provider's webhook told what became of a mail later",
    "queued": "the outbox has taken it, and it is on disk",
    "worker_started": "a worker of the outbox begins to look for mails that are due",
    "worker_stopped": "it has ended; what it was carrying is settled",
}

#: What a context has at each hook, beside ``mailer``, ``mail_id``, ``runtime`` and ``backend``.
KNOWN: dict[str, tuple[str, ...]] = {
    "template_context": ("message",),
    "message": ("message",),
    "recipients": ("message",),
    "headers": ("message",),
    "short_circuit": ("message",),
    "mail": ("message", "mail"),
    "sign": ("message", "mail"),
    "backend": ("message", "mail"),
    "sending": ("message", "mail", "attempt"),
    "sent": ("message", "mail", "attempt", "receipt", "recipients"),
    "deferred": ("message", "mail", "attempt", "receipt", "recipients"),
    "rejected": ("message", "mail", "attempt", "receipt", "recipients"),
    "unknown": ("message", "mail", "attempt", "receipt", "recipients"),
    "skipped": ("message", "receipt"),
    "failed": ("message", "error"),
    "event": ("event",),
    "queued": ("message", "mail"),
    "worker_started": (),
    "worker_stopped": (),
}

#: Whatever is registered here is never called: that it is there makes a message with merge fields a mail for each
#: recipient, also where the backend would merge. For filters that must see each recipient's own.
ONE_EACH = "mailer.one_each"

"""Django's signals for what becomes of mails.

::

    @receiver(message_rejected)
    def forget(sender, recipients, receipt, **kwargs):
        Customer.objects.filter(email__in=[one.addr_spec for one in recipients]).update(bounced=True)

Every mailer of Django's settings sends them, once this is imported, from the actions of the same moment
(:mod:`mailer.hookspecs`). The sender is the class, :class:`~mailer.Mailer` or :class:`~mailer.AsyncMailer`. Receivers
are given ``context`` and ``mail_id``, and of the context, by its own names:

====================  ============  ===================================================================================
signal                action        arguments
====================  ============  ===================================================================================
``message_sending``   sending       ``message``, ``mail``, ``attempt``
``message_sent``      sent          ``message``, ``mail``, ``attempt``, ``receipt``, ``recipients``: those accepted
``message_deferred``  deferred      the same, of those deferred
``message_rejected``  rejected      the same, of those refused
``message_unknown``   unknown       the same, of those of whom it is not known
``message_skipped``   skipped       ``message``, ``receipt``
``message_failed``    failed        ``message``, ``error``
``message_queued``    queued        ``message``, ``mail``
``event_received``    event         ``event``
====================  ============  ===================================================================================

``message`` is the :class:`~mailer.Message`, None for ready-made mail. What a receiver raises is logged by Django
(``django.dispatch``), and changes no send. Async receivers are awaited by an :class:`~mailer.AsyncMailer`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.dispatch import Signal

from ...hookspecs import KNOWN
from .mailers import on_made

if TYPE_CHECKING:
    from ...hooks import Hooks
    from ...hookspecs import Context
    from ...mailer import Mailer

__all__ = [
    "SIGNALS",
    "bridge",
    "event_received",
    "message_deferred",
    "message_failed",
    "message_queued",
    "message_rejected",
    "message_sending",
    "message_sent",
    "message_skipped",
    "message_unknown",
]

message_sending = Signal()
message_sent = Signal()
message_deferred = Signal()
message_rejected = Signal()
message_unknown = Signal()
message_skipped = Signal()
message_failed = Signal()
message_queued = Signal()
event_received = Signal()

#: Action -> the signal that is sent from it.
SIGNALS: dict[str, Any] = {
    "sending": message_sending,
    "sent": message_sent,
    "deferred": message_deferred,
    "rejected": message_rejected,
    "unknown": message_unknown,
    "skipped": message_skipped,
    "failed": message_failed,
    "queued": message_queued,
    "event": event_received,
}
_OWNER = "mailer.contrib.django.signals"


def bridge(hooks: Hooks, *, is_async: bool = False) -> None:
    """Send the signals from a registry's actions. A second time changes nothing.

    Args:
        is_async: It is an AsyncMailer's: async receivers are awaited.
    """
    send = _asend if is_async else _send
    hooks.remove(owner=_OWNER)
    for action, signal in SIGNALS.items():
        hooks.add_action(action, partial(send, signal, action), owner=_OWNER)


def _send(signal: Any, action: str, context: Context) -> None:
    if signal.receivers:
        signal.send_robust(type(context.mailer), **_told(action, context))


async def _asend(signal: Any, action: str, context: Context) -> None:
    if signal.receivers:
        await signal.asend_robust(type(context.mailer), **_told(action, context))


def _told(action: str, context: Context) -> dict[str, Any]:
    known = {name: getattr(context, name) for name in KNOWN[action]}
    return {"context": context, "mail_id": context.mail_id, **known}


def _bridge_made(name: str, mailer: Mailer) -> None:
    bridge(mailer.hooks)


on_made(_bridge_made)

"""``pre_send`` and ``post_send`` of django-anymail, for apps that still have it: their receivers are called as ever.

Only what the app has imported itself is called. Its ``tracking`` and ``inbound`` are those of its own webhooks.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...relay.provider import Provider

__all__ = ["may_go", "tell"]

_NAMES = {
    "mailersend": "MailerSend",
    "sendgrid": "SendGrid",
    "ses": "Amazon SES",
    "sparkpost": "SparkPost",
    "unisendergo": "Unisender Go",
}


def may_go(message: Any, provider: Provider | None) -> bool:
    """Show a message to the receivers of ``pre_send``, who may change it; False if one of them cancels it.

    Raises:
        Exception: What a receiver raises.
    """
    signals = sys.modules.get("anymail.signals")
    if signals is None or not signals.pre_send.receivers:
        return True
    cancel: Any = getattr(sys.modules.get("anymail.exceptions"), "AnymailCancelSend", ())
    try:
        signals.pre_send.send(_sender(), message=message, esp_name=_name_of(provider))
    except cancel:
        return False
    return True


def tell(message: Any, provider: Provider | None) -> None:
    """Show what became of a message to the receivers of ``post_send``; what they raise is logged by Django."""
    signals = sys.modules.get("anymail.signals")
    if signals is not None and signals.post_send.receivers:
        told = {"message": message, "status": message.anymail_status, "esp_name": _name_of(provider)}
        signals.post_send.send_robust(_sender(), **told)


def _sender() -> Any:
    from .backend import EmailBackend

    return EmailBackend


def _name_of(provider: Provider | None) -> str:
    return "" if provider is None else _NAMES.get(provider.name, provider.name.title())

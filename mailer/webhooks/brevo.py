"""Brevo's webhooks: https://developers.brevo.com/docs/transactional-webhooks

It does not sign: the secret is a bearer token or header that is set on the webhook, or stands in its URL. The order in
which it tells things is not that in which they happened.
"""

from __future__ import annotations

from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload, moment
from .webhook import Webhook

__all__ = ["BrevoWebhook"]

_PROXIES = ("proxy_open", "unique_proxy_open")


class BrevoWebhook(Webhook):
    """Brevo's events, one in each call or in batches."""

    name = "brevo"
    kinds = {
        "request": EventKind.QUEUED,
        "sent": EventKind.SENT,
        "delivered": EventKind.DELIVERED,
        "deferred": EventKind.DEFERRED,
        "hard_bounce": EventKind.BOUNCED,
        "soft_bounce": EventKind.BOUNCED,
        "invalid_email": EventKind.BOUNCED,
        "blocked": EventKind.REJECTED,
        "error": EventKind.FAILED,
        "spam": EventKind.COMPLAINED,
        "complaint": EventKind.COMPLAINED,
        "unsubscribed": EventKind.UNSUBSCRIBED,
        "unsubscribe": EventKind.UNSUBSCRIBED,
        "opened": EventKind.OPENED,
        "unique_opened": EventKind.OPENED,
        "proxy_open": EventKind.OPENED,
        "unique_proxy_open": EventKind.OPENED,
        "click": EventKind.CLICKED,
    }
    reasons = {
        "invalid_email": RejectReason.INVALID,
        "blocked": RejectReason.BLOCKED,
    }

    def event(self, item: Payload, call: Call) -> Event:
        """One of the batch."""
        word, milliseconds = item.text("event"), item.number("ts_epoch")
        return self.made(
            word,
            item,
            provider_id=item.message_id("message-id"),
            recipient=item.address("email"),
            # Its other times are in the account's zone.
            time=None if milliseconds is None else moment(milliseconds / 1000),
            reject_reason=self.reasons.get(word),
            is_hard={"hard_bounce": True, "invalid_email": True, "soft_bounce": False}.get(word),
            is_machine=word in _PROXIES,
            text=item.text("reason"),
            url=item.text("link"),
            user_agent=item.text("user_agent"),
            tags=item.texts("tags") or item.listed("tag"),
            metadata=item.mapping("X-Mailin-custom"),
        )

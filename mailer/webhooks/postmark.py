"""Postmark's webhooks: https://postmarkapp.com/developer/webhooks/webhooks-overview

It does not sign: the secret is "user:password" of the basic auth in the webhook's URL, or stands in a custom header.
"""

from __future__ import annotations

from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload
from .webhook import Webhook

__all__ = ["PostmarkWebhook"]

#: A bounce's type -> kind, reason, and whether the address is at fault.
_BOUNCES: dict[str, tuple[EventKind, RejectReason | None, bool | None]] = {
    "HardBounce": (EventKind.BOUNCED, RejectReason.BOUNCED, True),
    "SoftBounce": (EventKind.BOUNCED, RejectReason.BOUNCED, False),
    "Unknown": (EventKind.BOUNCED, RejectReason.OTHER, None),
    "VirusNotification": (EventKind.BOUNCED, RejectReason.BLOCKED, False),
    "Transient": (EventKind.DEFERRED, None, None),
    "DnsError": (EventKind.DEFERRED, None, None),
    "SpamNotification": (EventKind.COMPLAINED, RejectReason.SPAM, None),
    "SpamComplaint": (EventKind.COMPLAINED, RejectReason.SPAM, None),
    "Unsubscribe": (EventKind.UNSUBSCRIBED, RejectReason.UNSUBSCRIBED, None),
    "ManualSuppression": (EventKind.UNSUBSCRIBED, RejectReason.UNSUBSCRIBED, None),
    "Subscribe": (EventKind.SUBSCRIBED, None, None),
    "BadEmailAddress": (EventKind.REJECTED, RejectReason.INVALID, None),
    "ManuallyDeactivated": (EventKind.REJECTED, RejectReason.BLOCKED, None),
    "Blocked": (EventKind.REJECTED, RejectReason.BLOCKED, None),
    "DMARCPolicy": (EventKind.REJECTED, RejectReason.BLOCKED, None),
    "Unconfirmed": (EventKind.REJECTED, RejectReason.OTHER, None),
    "SMTPApiError": (EventKind.FAILED, RejectReason.OTHER, None),
    "TemplateRenderingFailed": (EventKind.FAILED, RejectReason.OTHER, None),
    "InboundError": (EventKind.FAILED, RejectReason.OTHER, None),
}


class PostmarkWebhook(Webhook):
    """Postmark's events, one in each call."""

    name = "postmark"
    stop_status = 403
    kinds = {
        "Delivery": EventKind.DELIVERED,
        "Open": EventKind.OPENED,
        "Click": EventKind.CLICKED,
        "SpamComplaint": EventKind.COMPLAINED,
        "SubscriptionChange": EventKind.SUBSCRIBED,
    }
    reasons = {
        "HardBounce": RejectReason.BOUNCED,
        "SpamComplaint": RejectReason.SPAM,
        "ManualSuppression": RejectReason.UNSUBSCRIBED,
    }

    def event(self, item: Payload, call: Call) -> Event:
        """The one of the body."""
        word = item.text("RecordType")
        kind, reason, is_hard = self.kinds.get(word, EventKind.UNKNOWN), None, None
        if word in ("Bounce", "SpamComplaint"):
            fallback = (kind, RejectReason.SPAM, None) if word == "SpamComplaint" else (EventKind.UNKNOWN, None, None)
            kind, reason, is_hard = _BOUNCES.get(item.text("Type"), fallback)
        elif word == "SubscriptionChange" and item.is_true("SuppressSending"):
            kind = EventKind.UNSUBSCRIBED
            reason = self.reasons.get(item.text("SuppressionReason"), RejectReason.OTHER)
        return self.made(
            kind,
            item,
            provider_id=item.id("MessageID"),
            event_id=item.id("ID"),
            recipient=item.address("Recipient", "Email"),
            time=item.time("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt"),
            reject_reason=reason,
            is_hard=is_hard,
            text=item.text("Details", "Description"),
            url=item.text("OriginalLink"),
            user_agent=item.text("UserAgent"),
            tags=item.texts("Tag"),
            metadata=item.mapping("Metadata"),
        )

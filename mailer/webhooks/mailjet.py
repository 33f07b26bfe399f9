"""Mailjet's webhooks: https://dev.mailjet.com/email/guides/webhooks/

It does not sign: the secret is "user:password" of the basic auth in the webhook's URL. Its "sent" is what others call
delivered.
"""

from __future__ import annotations

from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload
from .webhook import Webhook

__all__ = ["MailjetWebhook"]


class MailjetWebhook(Webhook):
    """Mailjet's events, grouped or one in each call."""

    name = "mailjet"
    kinds = {
        "sent": EventKind.DELIVERED,
        "open": EventKind.OPENED,
        "click": EventKind.CLICKED,
        "bounce": EventKind.BOUNCED,
        "blocked": EventKind.REJECTED,
        "spam": EventKind.COMPLAINED,
        "unsub": EventKind.UNSUBSCRIBED,
    }
    reasons = {
        "user unknown": RejectReason.INVALID,
        "mailbox inactive": RejectReason.BOUNCED,
        "quota exceeded": RejectReason.BOUNCED,
        "blacklisted": RejectReason.BLOCKED,
        "spam reporter": RejectReason.SPAM,
        "invalid domain": RejectReason.INVALID,
        "no mail host": RejectReason.INVALID,
        "relay/access denied": RejectReason.BLOCKED,
        "typofix": RejectReason.INVALID,
        "sender blocked": RejectReason.BLOCKED,
        "content blocked": RejectReason.SPAM,
        "policy issue": RejectReason.BLOCKED,
        "preblocked": RejectReason.BLOCKED,
    }

    def event(self, item: Payload, call: Call) -> Event:
        """One of the group."""
        word, error = item.text("event"), item.text("error")
        kind = self.kinds.get(word, EventKind.UNKNOWN)
        is_hard = item.is_true("hard_bounce") if kind is EventKind.BOUNCED else None
        if is_hard is False and error == "greylisted":  # it tries again
            kind, is_hard = EventKind.DEFERRED, None
        did_not_arrive = kind in (EventKind.BOUNCED, EventKind.REJECTED)
        return self.made(
            kind,
            item,
            provider_id=item.id("MessageID"),
            recipient=item.address("email"),
            time=item.time("time"),
            reject_reason=self.reasons.get(error, RejectReason.OTHER) if did_not_arrive else None,
            is_hard=is_hard,
            text=item.text("smtp_reply", "comment") or error,
            url=item.text("url"),
            user_agent=item.text("agent"),
            tags=item.texts("customcampaign"),
            metadata=item.mapping("Payload"),
        )

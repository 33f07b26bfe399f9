"""Netcore's (Pepipost's) webhooks: https://emaildocs.netcorecloud.com/docs/repository-outline

It does not sign: the secret stands in the webhook's URL. Its "sent" is what others call
delivered, and so do newer pages of it.
"""

from __future__ import annotations

from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload, is_address_at_fault
from .webhook import Webhook

__all__ = ["NetcoreWebhook", "PepipostWebhook"]


class NetcoreWebhook(Webhook):
    """Netcore's events, up to a hundred in each call."""

    name = "netcore"
    kinds = {
        "sent": EventKind.DELIVERED,
        "delivered": EventKind.DELIVERED,
        "bounced": EventKind.BOUNCED,
        "invalid": EventKind.BOUNCED,
        "dropped": EventKind.REJECTED,
        "spam": EventKind.COMPLAINED,
        "abuse": EventKind.COMPLAINED,
        "unsubscribed": EventKind.UNSUBSCRIBED,
        "opened": EventKind.OPENED,
        "clicked": EventKind.CLICKED,
    }
    reasons = {"invalid": RejectReason.INVALID}

    def event(self, item: Payload, call: Call) -> Event:
        """One of the list."""
        word = item.text("EVENT").lower()
        reply, is_hard = item.text("RESPONSE", "BOUNCE_REASON"), None
        if word == "bounced":
            kind = item.text("BOUNCE_TYPE").upper()
            is_hard = {"HARDBOUNCE": True, "SOFTBOUNCE": False}.get(kind, is_address_at_fault(reply))
        elif word == "invalid":
            is_hard = True
        return self.made(
            word,
            item,
            provider_id=item.id("TRANSID"),
            recipient=item.address("EMAIL"),
            time=item.time("TIMESTAMP"),
            reject_reason=self.reasons.get(word),
            is_hard=is_hard,
            text=reply,
            url=item.text("URL"),
            user_agent=item.text("USERAGENT"),
            tags=item.listed("TAGS"),
            metadata=item.mapping("X-APIHEADER"),
        )


class PepipostWebhook(NetcoreWebhook):
    """The same by the name that it had until 2021."""

    name = "pepipost"

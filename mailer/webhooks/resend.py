"""Resend's webhooks: https://resend.com/docs/dashboard/webhooks/introduction

Signed as Svix and Standard Webhooks do; the secret is the ``whsec_...`` of the webhook's settings. It tells an event
for each recipient and does not say which: ``recipient`` is None where there are several.
"""

from __future__ import annotations

from ..event import Event, EventKind, RejectReason
from . import standard
from .call import Call
from .payload import Payload, address_in, codes_in
from .proof import Proof
from .webhook import Webhook

__all__ = ["ResendWebhook"]


class ResendWebhook(Webhook):
    """Resend's events, one in each call, signed with HMAC-SHA256."""

    name = "resend"
    kinds = {
        "email.scheduled": EventKind.QUEUED,
        "email.sent": EventKind.SENT,
        "email.delivered": EventKind.DELIVERED,
        "email.delivery_delayed": EventKind.DEFERRED,
        "email.bounced": EventKind.BOUNCED,
        "email.suppressed": EventKind.REJECTED,
        "email.failed": EventKind.FAILED,
        "email.opened": EventKind.OPENED,
        "email.clicked": EventKind.CLICKED,
        "email.complained": EventKind.COMPLAINED,
    }
    reasons = {"email.suppressed": RejectReason.BOUNCED}

    def verify(self, call: Call, proof: Proof) -> None:
        """As Svix has it."""
        standard.verify(call, proof)

    def call_id(self, call: Call) -> str:
        """As Svix has it."""
        return standard.call_id(call)

    def event(self, item: Payload, call: Call) -> Event:
        """The one of the body."""
        word, data = item.text("type"), item.at("data")
        bounce, click = data.at("bounce"), data.at("click")
        to = data.texts("to")
        is_hard = {"Permanent": True, "Transient": False}.get(bounce.text("type")) if word == "email.bounced" else None
        replies = bounce.texts("diagnosticCode")
        code, enhanced_code = codes_in(replies[0] if replies else "")
        tags, metadata = data.pairs("tags")
        return self.made(
            word,
            item,
            provider_id=data.id("email_id"),
            event_id=standard.call_id(call),
            recipient=address_in(to[0]) if len(to) == 1 else None,
            time=item.time("created_at"),
            reject_reason=self.reasons.get(word),
            is_hard=is_hard,
            text=bounce.text("message")
            or data.at("failed").text("reason")
            or data.at("suppressed").text("message", "reason"),
            code=code,
            enhanced_code=enhanced_code or "",
            url=click.text("link"),
            user_agent=click.text("userAgent"),
            tags=tags,
            metadata=metadata,
        )

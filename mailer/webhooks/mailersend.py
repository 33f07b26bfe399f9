"""MailerSend's webhooks: https://developers.mailersend.com/api/v1/webhooks.html

The secret is the signing secret of the webhook's settings. It repeats no metadata.
"""

from __future__ import annotations

from ..event import Event, EventKind
from .call import Call
from .payload import Payload
from .proof import Proof
from .webhook import Webhook

__all__ = ["MailerSendWebhook"]

_SIGNATURE = "signature"


class MailerSendWebhook(Webhook):
    """MailerSend's events, one in each call, signed with HMAC-SHA256."""

    name = "mailersend"
    kinds = {
        "activity.sent": EventKind.SENT,
        "activity.delivered": EventKind.DELIVERED,
        "activity.deferred": EventKind.DEFERRED,
        "activity.soft_bounced": EventKind.BOUNCED,
        "activity.hard_bounced": EventKind.BOUNCED,
        "activity.opened": EventKind.OPENED,
        "activity.opened_unique": EventKind.OPENED,
        "activity.clicked": EventKind.CLICKED,
        "activity.clicked_unique": EventKind.CLICKED,
        "activity.spam_complaint": EventKind.COMPLAINED,
        "activity.unsubscribed": EventKind.UNSUBSCRIBED,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """HMAC over the body."""
        proof.check_body(call, _SIGNATURE)

    def call_id(self, call: Call) -> str:
        """The signature: it has no time, so that an old call is as good as a new one."""
        return call.header(_SIGNATURE)

    def event(self, item: Payload, call: Call) -> Event:
        """The one of the body: about a mail, or about the account, which is "unknown"."""
        word, data = item.text("type"), item.at("data")
        mail, more = data.at("email"), data.at("morph")
        return self.made(
            word,
            item,
            provider_id=mail.at("message").id("id"),
            event_id=data.id("id"),
            recipient=mail.at("recipient").address("email"),
            time=data.time("created_at") or item.time("created_at"),
            is_hard={"activity.hard_bounced": True, "activity.soft_bounced": False}.get(word),
            text=more.text("readable_reason", "reason"),
            url=more.text("url"),
            tags=mail.texts("tags"),
        )

"""Mailgun's webhooks: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhooks

The secret is the HTTP webhook signing key. Its signature is over a time and a token and not over what is told: only
https keeps that from being changed on the way, and only the time from being told again.
"""

from __future__ import annotations

from ..errors import ProtocolError
from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload, is_address_at_fault
from .proof import Proof, hmac_of
from .webhook import Webhook

__all__ = ["MailgunWebhook"]


class MailgunWebhook(Webhook):
    """Mailgun's events, signed with HMAC-SHA256 inside the body."""

    name = "mailgun"
    stop_status = 406
    kinds = {
        "accepted": EventKind.QUEUED,
        "rejected": EventKind.REJECTED,
        "delivered": EventKind.DELIVERED,
        "failed": EventKind.BOUNCED,
        "opened": EventKind.OPENED,
        "clicked": EventKind.CLICKED,
        "unsubscribed": EventKind.UNSUBSCRIBED,
        "complained": EventKind.COMPLAINED,
    }
    reasons = {
        "bounce": RejectReason.BOUNCED,
        "generic": RejectReason.BOUNCED,
        "greylisted": RejectReason.OTHER,
        "blacklisted": RejectReason.BLOCKED,
        "espblock": RejectReason.BLOCKED,
        "old": RejectReason.TIMED_OUT,
        "suppress-bounce": RejectReason.BOUNCED,
        "suppress-complaint": RejectReason.SPAM,
        "suppress-unsubscribe": RejectReason.UNSUBSCRIBED,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """HMAC over the time and the token, which stand in the body: nothing else of it is looked at before."""
        try:
            signed = Payload(call.json()).at("signature")
        except ProtocolError as error:
            raise proof.refused("it has no signature, as its body is no JSON") from error
        stamp, token = signed.id("timestamp"), signed.text("token")
        if not token:
            raise proof.refused("it has no signature")
        message = (stamp + token).encode("utf-8")
        expected = [hmac_of(secret, message).hex().encode() for secret in proof.secrets]
        proof.check_any(expected, [signed.text("signature").encode("utf-8")])
        proof.check_moment(stamp)

    def call_id(self, call: Call) -> str:
        """The token: whoever has seen one could tell anything with it, as long as its time is good."""
        return Payload(call.json()).at("signature").text("token")

    def event(self, item: Payload, call: Call) -> Event:
        """The one of the body."""
        data = item.at("event-data")
        status, client = data.at("delivery-status"), data.at("client-info")
        word, reason = data.text("event"), data.text("reason")
        kind = self.kinds.get(word, EventKind.UNKNOWN)
        rejected = data.at("reject").text("reason")
        is_hard = None
        if word == "failed":
            is_permanent = data.text("severity") == "permanent"
            kind = EventKind.BOUNCED if is_permanent else EventKind.DEFERRED
            if is_permanent and reason.startswith("suppress-"):
                kind = EventKind.REJECTED
            elif is_permanent:
                is_hard = True if reason == "bounce" else is_address_at_fault(status.text("message", "description"))
        did_not_arrive = kind in (EventKind.BOUNCED, EventKind.REJECTED)
        known = self.reasons.get(reason, RejectReason.OTHER)
        return self.made(
            kind,
            item,
            provider_id=data.at("message", "headers").message_id("message-id"),
            event_id=data.id("id"),  # which another may have on another day
            recipient=data.address("recipient"),
            time=data.time("timestamp"),
            reject_reason=known if did_not_arrive else None,
            is_hard=is_hard,
            text=status.text("message", "description") or rejected,
            code=status.number("code"),
            enhanced_code=status.text("enhanced-code"),
            is_machine=bool(client.text("bot")),
            url=data.text("url"),
            user_agent=client.text("user-agent"),
            tags=data.texts("tags"),
            metadata=data.mapping("user-variables"),
        )

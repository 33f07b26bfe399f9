"""Scaleway TEM's events, by its Topics and Events: https://www.scaleway.com/en/docs/transactional-email/api-cli/webhook-events-payloads/

These are as Amazon's SNS is, envelopes and signatures too. The secret is the topic's ARN; the certificate has to be
fetched before: see :func:`~mailer.webhooks.certificate_url`. That it is Scaleway's is believed as it lies at their host
over https; that it is issued by their own authority as well is not looked at, for what lies between is replaced every
three years. The first call asks to confirm the subscription: an "unknown" event whose ``raw`` has ``SubscribeURL``;
nobody fetches that unless asked to. It repeats no metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..errors import ProtocolError
from ..event import Event, EventKind, RejectReason
from .call import Call, json_of
from .payload import Payload, is_address_at_fault
from .proof import Proof
from .sns import Topics
from .webhook import Webhook

__all__ = ["ScalewayWebhook"]

_TOPICS = Topics(
    "arn:scw:sns:",
    re.compile(r"messaging\.s3\.fr-par\.scw\.cloud", re.ASCII),  # for all regions; other buckets are other people's
    re.compile(r"sns\.mnq\.[a-z]{2}-[a-z]{3}\.scaleway\.com", re.ASCII),
)


class ScalewayWebhook(Webhook):
    """Scaleway's events, one in each call, signed with RSA."""

    name = "scaleway"
    content_types = ("text/plain", "json")
    kinds = {
        "email_queued": EventKind.QUEUED,
        "email_delivered": EventKind.DELIVERED,
        "email_deferred": EventKind.DEFERRED,
        "email_dropped": EventKind.BOUNCED,
        "email_mailbox_not_found": EventKind.BOUNCED,
        "email_spam": EventKind.REJECTED,
        "email_blocklisted": EventKind.REJECTED,
    }
    reasons = {
        "email_mailbox_not_found": RejectReason.INVALID,
        "email_spam": RejectReason.SPAM,
        "email_blocklisted": RejectReason.BLOCKED,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """As SNS has it."""
        _TOPICS.verify(call, proof)

    def certificate_url(self, call: Call) -> str | None:
        """As SNS has it."""
        return _TOPICS.certificate_url(call)

    def call_id(self, call: Call) -> str:
        """The same when it tries again."""
        return Payload(call.json()).id("MessageId")

    def confirmation_url(self, call: Call) -> str | None:
        """As SNS has it."""
        return _TOPICS.subscribe_url(Payload(call.json()))

    def items(self, call: Call) -> Iterable[Any]:
        """The envelope, which holds one event, or asks for something."""
        return [call.json()]

    def event(self, item: Payload, call: Call) -> Event:
        """What the envelope holds; what holds none is "unknown"."""
        try:
            data = Payload(json_of(item.data["Message"]) if item.text("Type") == "Notification" else None)
        except ProtocolError:
            data = Payload(None)
        word, text = data.text("type"), data.text("email_response_message", "email_error")
        code, is_hard = data.number("email_response_code"), None
        if word == "email_mailbox_not_found":
            is_hard = True
        elif word == "email_dropped":  # refused for good, or tried for too long
            is_hard = is_address_at_fault(text)
            if is_hard is None and code is not None:
                is_hard = code >= 500
        return self.made(
            word,
            data if data.data else item,
            provider_id=data.id("email_id"),
            event_id=data.id("id") or item.id("MessageId"),
            recipient=data.address("email_to"),
            time=data.time("created_at") or item.time("Timestamp"),
            reject_reason=self.reasons.get(word),
            is_hard=is_hard,
            text=text,
            code=code,
        )

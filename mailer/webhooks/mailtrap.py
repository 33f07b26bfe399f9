"""Mailtrap's webhooks: https://docs.mailtrap.io/email-api-smtp/advanced/webhooks

The secret is the signature key of the webhook's settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import ProtocolError
from ..event import Event, EventKind, RejectReason
from .call import Call, json_of
from .payload import Payload, is_address_at_fault
from .proof import Proof
from .webhook import Webhook

__all__ = ["MailtrapWebhook"]

_SIGNATURE = "mailtrap-signature"


class MailtrapWebhook(Webhook):
    """Mailtrap's events, in a list or one in each line, signed with HMAC-SHA256."""

    name = "mailtrap"
    kinds = {  # where there are two words, the second is that of its management API
        "delivery": EventKind.DELIVERED,
        "soft bounce": EventKind.DEFERRED,
        "soft_bounce": EventKind.DEFERRED,
        "suspension": EventKind.DEFERRED,
        "bounce": EventKind.BOUNCED,
        "reject": EventKind.REJECTED,
        "spam": EventKind.COMPLAINED,
        "spam_complaint": EventKind.COMPLAINED,
        "unsubscribe": EventKind.UNSUBSCRIBED,
        "open": EventKind.OPENED,
        "click": EventKind.CLICKED,
    }
    reasons = {"reject": RejectReason.BLOCKED}

    def verify(self, call: Call, proof: Proof) -> None:
        """HMAC over the body."""
        proof.check_body(call, _SIGNATURE)

    def call_id(self, call: Call) -> str:
        """The signature: it has no time, so that an old call is as good as a new one."""
        return call.header(_SIGNATURE)

    def items(self, call: Call) -> Iterable[Any]:
        """``{"events": [...]}``, or a line for each event, as the webhook is set."""
        try:
            data = call.json()
        except ProtocolError:
            return [json_of(line) for line in call.body.splitlines() if line.strip()]
        if isinstance(data, dict) and "events" not in data:
            return [data]
        events = data.get("events") if isinstance(data, dict) else None
        if not isinstance(events, list):
            raise ProtocolError(f"the webhook's body of {self.name} has no list of events")
        return events

    def event(self, item: Payload, call: Call) -> Event:
        """One of the list."""
        word, reply = item.text("event"), item.text("response")
        is_hard = None
        if word == "bounce":  # for good, by its own account
            is_hard = is_address_at_fault(reply) is not False
        return self.made(
            word,
            item,
            provider_id=item.id("message_id"),
            event_id=item.id("event_id"),
            recipient=item.address("email"),
            time=item.time("timestamp"),
            reject_reason=self.reasons.get(word),
            is_hard=is_hard,
            text=reply or item.text("reason", "bounce_category"),
            code=item.number("response_code"),
            url=item.text("url"),
            user_agent=item.text("user_agent"),
            tags=item.texts("category"),
            metadata=item.mapping("custom_variables"),
        )

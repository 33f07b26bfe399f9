"""SparkPost's webhooks: https://developers.sparkpost.com/api/webhooks/

It does not sign: the secret is that of basic auth, or stands in a custom header or in the URL.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload
from .webhook import Webhook

__all__ = ["SparkPostWebhook"]

#: Bounce class -> why, and whether the address is at fault.
_CLASSES: dict[str, tuple[RejectReason, bool]] = {
    "1": (RejectReason.OTHER, False),  # it could not be told
    "10": (RejectReason.INVALID, True),
    "20": (RejectReason.BOUNCED, False),
    "21": (RejectReason.BOUNCED, False),  # DNS
    "22": (RejectReason.BOUNCED, False),  # mailbox full
    "23": (RejectReason.BOUNCED, False),  # too large
    "24": (RejectReason.TIMED_OUT, False),
    "25": (RejectReason.BLOCKED, False),  # the account's own policy
    "30": (RejectReason.INVALID, True),  # no such recipient
    "40": (RejectReason.BOUNCED, False),
    "50": (RejectReason.BLOCKED, False),
    "51": (RejectReason.SPAM, False),
    "52": (RejectReason.SPAM, False),
    "53": (RejectReason.BLOCKED, False),  # an attachment
    "54": (RejectReason.BLOCKED, False),  # relaying denied
    "70": (RejectReason.BOUNCED, False),
}
#: Bounce classes that are no bounce.
_ANSWERS = {
    "60": EventKind.UNKNOWN,  # an automatic answer
    "80": EventKind.SUBSCRIBED,
    "90": EventKind.UNSUBSCRIBED,
    "100": EventKind.UNKNOWN,  # a challenge
}


class SparkPostWebhook(Webhook):
    """SparkPost's events, in batches."""

    name = "sparkpost"
    kinds = {
        "injection": EventKind.QUEUED,
        "delivery": EventKind.DELIVERED,
        "delay": EventKind.DEFERRED,
        "bounce": EventKind.BOUNCED,
        "out_of_band": EventKind.BOUNCED,
        "policy_rejection": EventKind.REJECTED,
        "generation_rejection": EventKind.REJECTED,
        "generation_failure": EventKind.FAILED,
        "spam_complaint": EventKind.COMPLAINED,
        "open": EventKind.OPENED,
        "initial_open": EventKind.OPENED,
        "amp_open": EventKind.OPENED,
        "amp_initial_open": EventKind.OPENED,
        "click": EventKind.CLICKED,
        "amp_click": EventKind.CLICKED,
        "list_unsubscribe": EventKind.UNSUBSCRIBED,
        "link_unsubscribe": EventKind.UNSUBSCRIBED,
    }
    reasons = {"policy_rejection": RejectReason.BLOCKED}

    def read(self, item: Payload, call: Call) -> Iterator[Event]:
        """Nothing of the ping with which it tries the webhook: its ``msys`` is empty."""
        if item.data.get("msys") != {}:
            yield self.event(item, call)

    def event(self, item: Payload, call: Call) -> Event:
        """One of the batch: ``{"msys": {"message_event": {...}}}``."""
        wrapped = item.at("msys")
        data = next((wrapped.at(key) for key in wrapped.data), wrapped)
        word, bounce_class = data.text("type"), data.id("bounce_class")
        kind, reason, is_hard = self.kinds.get(word, EventKind.UNKNOWN), self.reasons.get(word), None
        if kind is EventKind.BOUNCED:
            kind = _ANSWERS.get(bounce_class, kind)
            reason, is_hard = _CLASSES.get(bounce_class, (reason, None))
        code = data.number("error_code")
        return self.made(
            kind,
            item,
            provider_id=data.id("transmission_id"),  # as the answer to the request has it
            event_id=data.id("event_id"),
            recipient=data.address("raw_rcpt_to", "rcpt_to"),
            time=data.time("timestamp"),
            reject_reason=reason,
            is_hard=is_hard,
            text=data.text("raw_reason", "reason"),
            code=code,
            url=data.text("target_link_url"),
            user_agent=data.text("user_agent"),
            tags=(*data.texts("campaign_id"), *data.texts("rcpt_tags")),
            metadata=data.mapping("rcpt_meta"),
        )

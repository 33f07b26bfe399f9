"""Amazon SES's events, by a topic of SNS: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns.html

The secret is the topic's ARN. The certificate has to be fetched before: see :func:`~mailer.webhooks.certificate_url`.
The first call asks to confirm the subscription: an "unknown" event whose ``raw`` has ``SubscribeURL``; nobody fetches
that unless asked to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..address import Address
from ..errors import ProtocolError
from ..event import Event, EventKind, RejectReason
from .call import Call, json_of
from .payload import Payload, address_in
from .proof import Proof
from .sns import AMAZON
from .webhook import Webhook

__all__ = ["SesWebhook"]

#: Event -> the key of its block, and within that of the list of its recipients; "" where it names none.
_BLOCKS = {
    "Bounce": ("bounce", "bouncedRecipients"),
    "Complaint": ("complaint", "complainedRecipients"),
    "Delivery": ("delivery", "recipients"),
    "DeliveryDelay": ("deliveryDelay", "delayedRecipients"),
    "Send": ("send", ""),
    "Reject": ("reject", ""),
    "Rendering Failure": ("failure", ""),
    "Subscription": ("subscription", ""),
    "Open": ("open", ""),
    "Click": ("click", ""),
}
_TEXTS = ("smtpResponse", "reason", "errorMessage", "bounceSubType")
#: It does not say whose these are, and only one of them did it.
_OF_ONE = ("Open", "Click", "Subscription")


class SesWebhook(Webhook):
    """SES's events, one for each recipient, signed with RSA by way of SNS."""

    name = "ses"
    content_types = ("text/plain", "json")
    kinds = {
        "Send": EventKind.SENT,
        "Delivery": EventKind.DELIVERED,
        "DeliveryDelay": EventKind.DEFERRED,
        "Bounce": EventKind.BOUNCED,
        "Reject": EventKind.REJECTED,
        "Rendering Failure": EventKind.FAILED,
        "Complaint": EventKind.COMPLAINED,
        "Subscription": EventKind.UNSUBSCRIBED,
        "Open": EventKind.OPENED,
        "Click": EventKind.CLICKED,
    }
    reasons = {  # by event, and of a bounce by its subtype
        "Reject": RejectReason.BLOCKED,  # it found a virus
        "NoEmail": RejectReason.INVALID,
        "ContentRejected": RejectReason.SPAM,
        "AttachmentRejected": RejectReason.BLOCKED,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """As SNS has it."""
        AMAZON.verify(call, proof)

    def certificate_url(self, call: Call) -> str | None:
        """As SNS has it."""
        return AMAZON.certificate_url(call)

    def call_id(self, call: Call) -> str:
        """The same when SNS tries again."""
        return Payload(call.json()).id("MessageId")

    def confirmation_url(self, call: Call) -> str | None:
        """As SNS has it."""
        return AMAZON.subscribe_url(Payload(call.json()))

    def items(self, call: Call) -> Iterable[Any]:
        """What the envelope holds: one event, or one sentence."""
        return [call.json()]

    def read(self, item: Payload, call: Call) -> Iterator[Event]:
        """One for each recipient."""
        try:
            inner = Payload(json_of(item.data["Message"]) if item.text("Type") == "Notification" else None)
        except ProtocolError:  # the sentence that says that the topic works
            inner = Payload(None)
        word, mail = inner.text("eventType", "notificationType"), inner.at("mail")
        key, recipients = _BLOCKS.get(word, ("", ""))
        block = inner.at(key)
        who = list(_recipients(block, recipients)) if recipients else []
        if not who:
            to = mail.texts("destination")
            alone = word not in _BLOCKS or (word in _OF_ONE and len(to) != 1)
            who = [(None, Payload(None))] if alone or not to else [(address_in(one), Payload(None)) for one in to]
        kind = self.kinds.get(word, EventKind.UNKNOWN)
        if block.text("complaintFeedbackType") == "not-spam":  # RFC 5965: the recipient takes it back
            kind = EventKind.UNKNOWN
        reason = self.reasons.get(block.text("bounceSubType")) or self.reasons.get(word)
        tags, metadata = _tags(mail)
        for recipient, more in who:
            yield self.made(
                kind,
                inner if inner.data else item,
                provider_id=mail.id("messageId"),
                event_id=item.id("MessageId"),  # the same for all of its recipients
                recipient=recipient,
                time=block.time("timestamp") or mail.time("timestamp") or item.time("Timestamp"),
                reject_reason=reason,
                is_hard={"Permanent": True, "Transient": False}.get(block.text("bounceType")),
                text=more.text("diagnosticCode")
                or block.text("smtpResponse", "reason", "errorMessage", "bounceSubType"),
                enhanced_code=more.text("status"),
                url=block.text("link"),
                user_agent=block.text("userAgent") if word in ("Open", "Click") else "",
                tags=tags,
                metadata=metadata,
            )


def _recipients(block: Payload, key: str) -> Iterator[tuple[Address | None, Payload]]:
    """Addresses alone, or objects with more about them."""
    for address in block.texts(key):
        yield address_in(address), Payload(None)
    for each in block.each(key):
        yield each.address("emailAddress"), each


def _tags(mail: Payload) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Ours, of what is a name and a list of values; its own are named "ses:..."."""
    tags = mail.at("tags")
    firsts = {name: values[0] for name in tags.data if not name.startswith("ses:") and (values := tags.texts(name))}
    return Payload({"tags": firsts}).pairs("tags")

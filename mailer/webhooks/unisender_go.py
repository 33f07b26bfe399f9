"""Unisender Go's and UniOne's webhooks: https://godocs.unisender.ru/web-api-ref#callback-format

The secret is the API key of the account, or of the project if the webhook is a project's. Its signature is an MD5 over
body and key, which is weak, and has no time: use https, and a URL that nobody guesses. Bodies must not be compressed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import ProtocolError
from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload
from .proof import Proof
from .webhook import Webhook

__all__ = ["UniOneWebhook", "UnisenderGoWebhook"]

_AUTH = re.compile(r"[0-9a-f]{32}", re.ASCII)
#: Their word for why a mail did not arrive -> ours, and whether the address is at fault.
_STATUSES: dict[str, tuple[RejectReason, bool]] = {
    "err_user_unknown": (RejectReason.INVALID, True),
    "err_user_inactive": (RejectReason.BOUNCED, True),
    "err_domain_inactive": (RejectReason.INVALID, True),
    "err_unsubscribed": (RejectReason.UNSUBSCRIBED, False),
    "err_spam_rejected": (RejectReason.SPAM, False),
    "err_spam_skipped": (RejectReason.SPAM, False),
    "err_blacklisted": (RejectReason.BLOCKED, False),
    "err_unreachable": (RejectReason.TIMED_OUT, False),
    "err_mailbox_discarded": (RejectReason.BOUNCED, True),
    "err_mailbox_full": (RejectReason.BOUNCED, False),
    "err_too_large": (RejectReason.BOUNCED, False),
    "err_destination_misconfigured": (RejectReason.BOUNCED, False),
    "err_skip_letter": (RejectReason.OTHER, False),
    "err_delivery_failed": (RejectReason.OTHER, False),
    "err_lost": (RejectReason.OTHER, False),
}


class UnisenderGoWebhook(Webhook):
    """Unisender Go's events, in groups or one in each call, signed with MD5 inside the body."""

    name = "unisendergo"
    kinds = {
        "sent": EventKind.SENT,
        "delivered": EventKind.DELIVERED,
        "soft_bounced": EventKind.DEFERRED,
        "hard_bounced": EventKind.BOUNCED,
        "spam": EventKind.COMPLAINED,
        "unsubscribed": EventKind.UNSUBSCRIBED,
        "subscribed": EventKind.SUBSCRIBED,
        "opened": EventKind.OPENED,
        "clicked": EventKind.CLICKED,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """MD5 over the body as it came, with the key in the place of the MD5."""
        try:
            shown = Payload(call.json()).text("auth")
        except ProtocolError as error:
            raise proof.refused("it has no signature, as its body is no JSON") from error
        auth = shown.encode("utf-8")
        # Twice, and it would be another body that is signed than the one that is read.
        if not _AUTH.fullmatch(shown) or call.body.count(auth) != 1:
            raise proof.refused("it has no signature")
        bodies = [call.body.replace(auth, secret.encode("utf-8", "surrogatepass")) for secret in proof.secrets]
        proof.check_any([hashlib.md5(body, usedforsecurity=False).hexdigest().encode() for body in bodies], [auth])

    def call_id(self, call: Call) -> str:
        """The signature: it has no time, so that an old call is as good as a new one."""
        return Payload(call.json()).text("auth")

    def items(self, call: Call) -> Iterable[Any]:
        """``{"events_by_user": [{"events": [...]}]}``, or one flat event, as the webhook is set."""
        data = call.json()
        if not isinstance(data, dict):
            raise ProtocolError(f"the webhook's body of {self.name} is no JSON object")
        if "events_by_user" not in data:
            return [{key: value for key, value in data.items() if key != "auth"}]
        groups: list[Any] = [user.data.get("events") for user in Payload(data).each("events_by_user")]
        if not isinstance(data["events_by_user"], list) or not all([isinstance(group, list) for group in groups]):
            raise ProtocolError(f"the webhook's body of {self.name} has no list of events")
        return [event for group in groups for event in group]

    def read(self, item: Payload, call: Call) -> Iterator[Event]:
        """Nothing of what is about a pause of theirs, and no mail."""
        if item.text("event_name") != "transactional_spam_block":
            yield self.event(item, call)

    def event(self, item: Payload, call: Call) -> Event:
        """One of a group."""
        data = item.at("event_data") if "event_data" in item else item
        is_mail = item.text("event_name") == "transactional_email_status"
        kind = self.kinds.get(data.text("status"), EventKind.UNKNOWN) if is_mail else EventKind.UNKNOWN
        delivery = data.at("delivery_info")
        status = delivery.text("delivery_status")
        reason, is_hard = _STATUSES.get(status, (None, None)) if kind is EventKind.BOUNCED else (None, None)
        return self.made(
            kind,
            item,
            provider_id=data.id("job_id"),
            recipient=data.address("email"),
            time=data.time("event_time"),
            reject_reason=reason,
            is_hard=is_hard,
            text=delivery.text("destination_response") or data.text("comment") or status,
            url=data.text("url"),
            user_agent=delivery.text("user_agent"),
            metadata=data.mapping("metadata"),
        )


class UniOneWebhook(UnisenderGoWebhook):
    """The same at its international twin."""

    name = "unione"

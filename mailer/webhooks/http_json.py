"""Webhooks of a relay of your own: ../../howto/http-json.md

In the form that is ours: what :meth:`Event.to_dict <mailer.Event.to_dict>` gives, one or a list, signed by Standard
Webhooks. The secret is ``whsec_`` and a key in base64 that both know.
"""

from __future__ import annotations

import contextlib

from ..address import Address
from ..errors import MessageError
from ..event import MAIL_ID_KEY, Event, EventKind, RejectReason, mail_id_in
from . import standard
from .call import Call
from .payload import Payload
from .proof import Proof
from .webhook import Webhook

__all__ = ["HttpJsonWebhook", "HttpsJsonWebhook"]


class HttpJsonWebhook(Webhook):
    """Events in our own form."""

    name = "http+json"
    kinds = {kind.value: kind for kind in EventKind}
    reasons = {reason.value: reason for reason in RejectReason}

    def verify(self, call: Call, proof: Proof) -> None:
        """By Standard Webhooks."""
        standard.verify(call, proof)

    def call_id(self, call: Call) -> str:
        """As Standard Webhooks have it."""
        return standard.call_id(call)

    def event(self, item: Payload, call: Call) -> Event:
        """One of the list."""
        metadata = item.mapping("metadata")
        if mail_id := mail_id_in({MAIL_ID_KEY: item.data.get("mail_id")}):
            metadata[MAIL_ID_KEY] = mail_id
        is_hard = item.data.get("is_hard")
        return self.made(
            item.text("kind"),
            item,
            provider_id=item.id("provider_id"),
            event_id=item.id("event_id"),
            recipient=_address(item),
            time=item.time("time"),
            reject_reason=self.reasons.get(item.text("reject_reason")),
            is_hard=is_hard if isinstance(is_hard, bool) else None,
            is_machine=item.is_true("is_machine"),
            text=item.text("text"),
            code=item.number("code"),
            enhanced_code=item.text("enhanced_code"),
            url=item.text("url"),
            user_agent=item.text("user_agent"),
            tags=item.texts("tags"),
            metadata=metadata,
        )


class HttpsJsonWebhook(HttpJsonWebhook):
    """The same by the name that its URL has with TLS."""

    name = "https+json"


def _address(item: Payload) -> Address | None:
    """As it stands in JSON, or as text."""
    if recipient := item.at("recipient").data:
        with contextlib.suppress(MessageError):
            return Address.from_dict(recipient)
        return None
    return item.address("recipient")

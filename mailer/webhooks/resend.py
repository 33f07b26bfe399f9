"""Resend's webhooks: https://resend.com/docs/dashboard/webhooks/introduction

Signed as Svix and Standard Webhooks do; the secret is the ``whsec_...`` of the webhook's settings. It tells an event
for each recipient and does not say which: ``recipient`` is None where there are several.
"""

from __future__ import annotations

from ..errors import ConfigError
from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload, address_in, codes_in
from .proof import Proof, base64_bytes, hmac_of
from .webhook import Webhook

__all__ = ["ResendWebhook"]

_ID, _TIMESTAMP, _SIGNATURE = (("svix-" + name, "webhook-" + name) for name in ("id", "timestamp", "signature"))
_PREFIX = "whsec_"


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
    reasons = {
        "email.bounced": RejectReason.BOUNCED,
        "email.suppressed": RejectReason.BOUNCED,
        "email.failed": RejectReason.OTHER,
        "email.complained": RejectReason.SPAM,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """HMAC over id, time and body; of several signatures ("v1,... v1,...") one has to fit."""
        keys = [base64_bytes(secret.removeprefix(_PREFIX)) for secret in proof.secrets]
        if not all(keys):
            raise ConfigError(f"webhooks of {self.name}: the secret must be that of the webhook's settings: whsec_...")
        given_id, stamp = proof.header(call, *_ID), proof.header(call, *_TIMESTAMP)
        shown = [part.partition(",") for part in proof.header(call, *_SIGNATURE).split()]
        signed = b".".join((given_id.encode("latin-1", "replace"), stamp.encode("latin-1", "replace"), call.body))
        proof.check_any(
            [hmac_of(key, signed) for key in keys if key],
            [base64_bytes(value) or b"" for version, _, value in shown if version == "v1"],
        )
        proof.check_moment(stamp)

    def call_id(self, call: Call) -> str:
        """The same when it tells it again, signed anew."""
        return call.header(*_ID)

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
            event_id=call.header(*_ID),
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

"""SendGrid's event webhook: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event

The secret is the verification key of its settings, a public key in base64: signing has to be turned on there. What we
send as ``custom_args`` comes back flat, among its own keys.
"""

from __future__ import annotations

import re

from ..errors import ConfigError
from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload
from .proof import Proof, base64_bytes, needing_crypto
from .webhook import Webhook

__all__ = ["SendGridWebhook"]

_SIGNATURE = "x-twilio-email-event-webhook-signature"
_TIMESTAMP = "x-twilio-email-event-webhook-timestamp"

# The answer to the request, and so the receipt, has the part before this alone.
_SUFFIX = re.compile(r"\.(?:filter|recv).*")
#: Its own keys: what else an event has is metadata.
_OWN = frozenset(
    "email timestamp event sg_event_id sg_message_id smtp-id category reason status type bounce_classification response"
    " attempt url url_offset useragent ip asm_group_id tls cert_err sg_machine_open sg_content_type sg_template_id"
    " sg_template_name newsletter marketing_campaign_id marketing_campaign_name pool send_at sendgrid_session".split()
)


class SendGridWebhook(Webhook):
    """SendGrid's events, signed with ECDSA over P-256 and SHA-256."""

    name = "sendgrid"
    kinds = {
        "processed": EventKind.QUEUED,
        "dropped": EventKind.REJECTED,
        "delivered": EventKind.DELIVERED,
        "deferred": EventKind.DEFERRED,
        "bounce": EventKind.BOUNCED,
        "open": EventKind.OPENED,
        "click": EventKind.CLICKED,
        "spamreport": EventKind.COMPLAINED,
        "unsubscribe": EventKind.UNSUBSCRIBED,
        "group_unsubscribe": EventKind.UNSUBSCRIBED,
        "group_resubscribe": EventKind.SUBSCRIBED,
    }
    reasons = {  # of "dropped", and the type of "bounce"
        "Invalid": RejectReason.INVALID,
        "Invalid SMTPAPI header": RejectReason.OTHER,
        "Spam Content": RejectReason.SPAM,
        "Unsubscribed Address": RejectReason.UNSUBSCRIBED,
        "Bounced Address": RejectReason.BOUNCED,
        "Spam Reporting Address": RejectReason.SPAM,
        "Recipient List over Package Quota": RejectReason.OTHER,
        "bounce": RejectReason.BOUNCED,
        "blocked": RejectReason.BLOCKED,
        "expired": RejectReason.TIMED_OUT,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """ECDSA over the timestamp and the body, by one of the public keys."""
        with needing_crypto(self.name):
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import ec

        keys = []
        for secret in proof.secrets:
            try:
                key = serialization.load_der_public_key(base64_bytes(secret) or b"")
            except ValueError:
                key = None
            if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
                raise ConfigError(
                    "webhooks of sendgrid: the secret must be the verification key of its settings: base64, MFkw..."
                )
            keys.append(key)
        stamp = proof.header(call, _TIMESTAMP)
        signature = base64_bytes(proof.header(call, _SIGNATURE)) or b""
        proof.check_moment(stamp)
        for key in keys:
            try:
                key.verify(signature, stamp.encode("latin-1") + call.body, ec.ECDSA(hashes.SHA256()))
            except InvalidSignature:
                continue
            return
        raise proof.wrong()

    def call_id(self, call: Call) -> str:
        """The signature."""
        return call.header(_SIGNATURE)

    def event(self, item: Payload, call: Call) -> Event:
        """One of the list."""
        word = item.text("event")
        kind = self.kinds.get(word, EventKind.UNKNOWN)
        kept = {"dropped": item.text("reason"), "bounce": item.text("type") or "bounce"}.get(word)
        is_blocked = word == "bounce" and kept in ("blocked", "expired")  # the moment was at fault, not the address
        return self.made(
            kind,
            item,
            provider_id=_SUFFIX.sub("", item.id("sg_message_id")),
            event_id=item.id("sg_event_id"),
            recipient=item.address("email"),
            time=item.time("timestamp"),
            reject_reason=None if kept is None else self.reasons.get(kept, RejectReason.OTHER),
            is_hard=not is_blocked if word == "bounce" else None,
            is_machine=item.is_true("sg_machine_open"),
            text=item.text("response", "reason"),
            enhanced_code=item.text("status"),
            url=item.text("url"),
            user_agent=item.text("useragent"),
            tags=item.texts("category"),
            metadata={key: value for key, value in item.data.items() if key not in _OWN},
        )

"""Postal's webhooks: https://docs.postalserver.io/developer/webhooks

The secret is the server's public key: what stands behind ``p=`` in the DKIM record of its installation, or the record.
It repeats no metadata.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from ..errors import ConfigError
from ..event import Event, EventKind
from .call import Call
from .payload import Payload, is_address_at_fault
from .proof import Proof, base64_bytes, needing_crypto
from .webhook import Webhook

__all__ = ["PostalWebhook"]

_SHA1, _SHA256 = "x-postal-signature", "x-postal-signature-256"
_KEY = re.compile(r"(?:.*;)?\s*p=([^;]+)(?:;.*)?", re.DOTALL)


class PostalWebhook(Webhook):
    """Postal's events, one in each call, signed with RSA."""

    name = "postal"
    kinds = {
        "MessageSent": EventKind.DELIVERED,
        "MessageDelayed": EventKind.DEFERRED,
        "MessageDeliveryFailed": EventKind.BOUNCED,
        "MessageBounced": EventKind.BOUNCED,
        "MessageHeld": EventKind.QUEUED,
        "MessageLoaded": EventKind.OPENED,
        "MessageLinkClicked": EventKind.CLICKED,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """RSA over the body: by SHA-256, or by SHA-1 as Postal before 3.3 alone has it."""
        with needing_crypto(self.name):
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives import hashes
            from cryptography.hazmat.primitives.asymmetric import padding

        keys = [_public_key(secret) for secret in proof.secrets]
        signature = base64_bytes(proof.header(call, _SHA256, _SHA1)) or b""
        # Who strikes the better one must not get away with the other: that is why the better is looked at first.
        algorithm = hashes.SHA256() if _SHA256 in call.headers else hashes.SHA1()  # noqa: S303 - see above
        for key in keys:
            try:
                key.verify(signature, call.body, padding.PKCS1v15(), algorithm)
            except InvalidSignature:
                continue
            return
        raise proof.wrong()

    def call_id(self, call: Call) -> str:
        """The same when it tells it again."""
        return Payload(call.json()).id("uuid")

    def read(self, item: Payload, call: Call) -> Iterator[Event]:
        """Nothing of a mail that came in, and could not be handed on."""
        if _mail(item.at("payload")).text("direction") != "incoming":
            yield self.event(item, call)

    def event(self, item: Payload, call: Call) -> Event:
        """The one of the body: about a mail, or about the server, which is "unknown"."""
        word, data = item.text("event"), item.at("payload")
        mail, reply = _mail(data), data.text("output")
        return self.made(
            word,
            item,
            provider_id=mail.id("id"),  # as the answer to the request has it, for each recipient
            event_id=item.id("uuid"),
            recipient=mail.address("to"),
            time=data.time("timestamp") or item.time("timestamp"),
            is_hard=is_address_at_fault(reply) if self.kinds.get(word) is EventKind.BOUNCED else None,
            text=reply or data.text("details"),
            url=data.text("url"),
            user_agent=data.text("user_agent"),
            tags=mail.texts("tag"),
        )


def _mail(data: Payload) -> Payload:
    """The mail that the event is about, and not the one that told that it bounced."""
    return data.at("original_message") if "original_message" in data else data.at("message")


def _public_key(secret: str) -> Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    found = _KEY.fullmatch(secret)
    text = "".join((found[1] if found else secret).split())
    key = None
    with contextlib.suppress(ValueError):
        key = serialization.load_der_public_key(base64_bytes(text) or b"")
    if not isinstance(key, rsa.RSAPublicKey):
        raise ConfigError(
            "webhooks of postal: the secret must be the server's public key: what stands behind p= in its DKIM record"
        )
    return key

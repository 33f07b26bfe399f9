"""Postal's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from webhook_checks import NOW, Signed, WebhookChecks, at

from mailer import AuthError, ConfigError
from mailer.webhooks import parse


def public(key: Any) -> str:
    """As it stands behind ``p=`` of the DKIM record."""
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


# 1024 bits, as Postal's are.
KEYS = {public(key): key for key in (rsa.generate_private_key(65537, 1024) for _ in range(2))}
SECRET, OTHER = KEYS

MAIL = {
    "id": 12345, "token": "abcdef", "direction": "outgoing", "message_id": "1@example.com", "to": "ada@example.org", "from": "shop@example.com",
    "subject": "Invoice 17", "timestamp": 1767323040.1, "spam_status": "NotChecked", "tag": "invoice",
}  # fmt: skip


def sample(event: str, **more: Any) -> dict[str, Any]:
    return {"event": event, "timestamp": 1767323046.5, "uuid": "uuid-1", "payload": {"message": MAIL, **more}}


def status(event: str, word: str, output: str = "", details: str = "") -> dict[str, Any]:
    return sample(
        event, status=word, details=details, output=output, sent_with_ssl=True, time=0.2, timestamp=1767323045.25
    )


SEEN = {
    "provider_id": "12345",
    "event_id": "uuid-1",
    "recipient": "ada@example.org",
    "time": at(1767323045.25),
    "tags": ("invoice",),
    "metadata": {},
    "mail_id": None,
    "is_hard": None,
    "reject_reason": None,
}
LATER = {**SEEN, "time": at(1767323046.5)}
BOUNCED = {**SEEN, "kind": "bounced", "reject_reason": "bounced"}


class TestPostal(WebhookChecks):
    provider = "postal"
    secret, other_secret = SECRET, OTHER
    has_window = False
    mail_id_in = None
    samples = {
        "hard fail": (
            status("MessageDeliveryFailed", "HardFail", "550 5.1.1 who?", "Permanent SMTP delivery error"),
            {**BOUNCED, "is_hard": True, "text": "550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "given up": (status("MessageDeliveryFailed", "HardFail", "", "Maximum number of delivery attempts reached"), {**BOUNCED, "text": "Maximum number of delivery attempts reached"}),
        "by a policy": (status("MessageDeliveryFailed", "HardFail", "550 5.7.1 no"), {**BOUNCED, "is_hard": False}),
        "bounced": (
            {**sample("MessageBounced"), "payload": {"original_message": MAIL, "bounce": {**MAIL, "id": 2, "to": "x@psrp.example.com", "direction": "incoming"}}},
            {**LATER, "kind": "bounced", "reject_reason": "bounced"},
        ),
        "sent": (status("MessageSent", "Sent", "250 2.0.0 OK"), {**SEEN, "kind": "delivered", "code": 250}),
        "delayed": (status("MessageDelayed", "SoftFail", "451 4.7.1 later"), {**SEEN, "kind": "deferred", "code": 451, "enhanced_code": "4.7.1"}),
        "held": (status("MessageHeld", "Held", details="Credential is configured to hold"), {**SEEN, "kind": "queued", "text": "Credential is configured to hold"}),
        "loaded": (sample("MessageLoaded", ip_address="192.0.2.1", user_agent="M"), {**LATER, "kind": "opened", "user_agent": "M"}),
        "clicked": (sample("MessageLinkClicked", url="https://example.com/", user_agent="M"), {**LATER, "kind": "clicked", "url": "https://example.com/"}),
        "no tag": ({**sample("MessageLoaded"), "payload": {"message": {**MAIL, "tag": None}}}, {**LATER, "kind": "opened", "tags": ()}),
        "of the server": ({"event": "SendLimitExceeded", "timestamp": 1767323046.5, "uuid": "uuid-1", "payload": {"volume": 9}}, {"kind": "unknown", "provider_id": "", "recipient": None}),
        "a mail that came in": ({**sample("MessageDelayed"), "payload": {"message": {**MAIL, "direction": "incoming"}}}, []),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(event="MessageSniffed"))

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        return Signed(body, signatures(body, secret))

    def test_old_versions_sign_by_sha_1_alone(self) -> None:
        call = self.sign(self.body_of([self.first]), self.secret, NOW)
        old = {name: value for name, value in call.headers.items() if not name.endswith("-256")}
        assert parse("postal", old, call.body, self.secret)
        forged = {**call.headers, "X-Postal-Signature-256": old["X-Postal-Signature"]}
        twice = {
            **call.headers,
            "X-Postal-Signature-256": call.headers["X-Postal-Signature-256"] + ", " + old["X-Postal-Signature"],
        }
        for headers in (
            forged,
            twice,
            {"X-Postal-Signature-KID": "postal"},
            {**old, "X-Postal-Signature": "=="},
            {**old, "X-Postal-Signature-256": ""},
        ):
            with pytest.raises(AuthError):
                parse("postal", headers, call.body, self.secret)

    def test_the_whole_record_may_be_given(self) -> None:
        call = self.sign(self.body_of([self.first]), self.secret, NOW)
        half = len(SECRET) // 2
        for secret in (
            f"v=DKIM1; t=s; h=sha256; p={SECRET};",
            f"p={SECRET}",
            f"v=DKIM1;p= {SECRET[:half]}\n {SECRET[half:]}",
            f" {SECRET} ",
        ):
            assert parse("postal", call.headers, call.body, secret)

    def test_a_key_that_is_none_is_a_configuration_error(self) -> None:
        call = self.sign(self.body_of([self.first]), self.secret, NOW)
        for secret in (
            "secret",
            "p=",
            "p=;",
            "MFkw",
            "v=DKIM1; p=MFkw",
            public(ec.generate_private_key(ec.SECP256R1())),
            "é",
        ):
            with pytest.raises(ConfigError, match="behind p="):
                parse("postal", call.headers, call.body, secret)


def signatures(body: bytes, secret: str) -> dict[str, str]:
    named = {"X-Postal-Signature": hashes.SHA1(), "X-Postal-Signature-256": hashes.SHA256()}
    key = KEYS[secret]
    return {name: base64.b64encode(key.sign(body, padding.PKCS1v15(), by)).decode() for name, by in named.items()} | {
        "X-Postal-Signature-KID": "postal"
    }

"""SendGrid's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import base64
from datetime import datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from webhook_checks import MAIL_ID, NOW, Signed, WebhookChecks, at

from mailer import AuthError, ConfigError
from mailer.webhooks import parse


def public(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, form)).decode()


KEYS = {public(key): key for key in (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))}
HEAD = {"email": "ada@example.org", "timestamp": 1767323100, "sg_event_id": "evt1", "sg_message_id": "abc_-1.filter001"}
SEEN = {"provider_id": "abc_-1", "event_id": "evt1", "recipient": "ada@example.org", "time": at(1767323100)}


class TestSendGrid(WebhookChecks):
    provider = "sendgrid"
    secret, other_secret = KEYS
    is_list = True
    mail_id_in = "bounce"
    samples = {
        "bounce": (
            {**HEAD, "event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 no such user", "category": ["a", "b"],
             "order": "17", "mailer_id": MAIL_ID, "smtp-id": "<1@example.com>", "ip": "192.0.2.1"},
            {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": True, "text": "550 no such user", "code": 550,
             "enhanced_code": "5.1.1", "tags": ("a", "b"), "metadata": {"order": "17"}, "mail_id": MAIL_ID},
        ),
        "blocked": (
            {**HEAD, "event": "bounce", "type": "blocked", "status": "5.7.1", "reason": "554 5.7.1 spam"},
            {**SEEN, "kind": "bounced", "reject_reason": "blocked", "is_hard": False, "code": 554, "enhanced_code": "5.7.1"},
        ),
        "expired": (
            {**HEAD, "event": "bounce", "type": "expired", "reason": "gave up"},
            {**SEEN, "kind": "bounced", "reject_reason": "timed_out", "is_hard": False, "code": None, "enhanced_code": None},
        ),
        "processed": ({**HEAD, "event": "processed", "category": "a"}, {**SEEN, "kind": "queued", "tags": ("a",), "metadata": {}}),
        "dropped": (
            {**HEAD, "event": "dropped", "reason": "Unsubscribed Address"},
            {**SEEN, "kind": "rejected", "reject_reason": "unsubscribed", "is_hard": None, "text": "Unsubscribed Address"},
        ),
        "dropped for a new reason": (
            {**HEAD, "event": "dropped", "reason": "The moon"}, {**SEEN, "kind": "rejected", "reject_reason": "other"},
        ),
        "delivered": (
            {**HEAD, "event": "delivered", "response": "250 2.0.0 OK", "tls": 1},
            {**SEEN, "kind": "delivered", "text": "250 2.0.0 OK", "code": 250, "enhanced_code": "2.0.0", "reject_reason": None},
        ),
        "deferred": (
            {**HEAD, "event": "deferred", "response": "400 try again later", "attempt": "5"},
            {**SEEN, "kind": "deferred", "text": "400 try again later", "code": 400, "reject_reason": None},
        ),
        "open": (
            {**HEAD, "event": "open", "useragent": "Mozilla/4.0", "ip": "192.0.2.1", "sg_machine_open": True},
            {**SEEN, "kind": "opened", "user_agent": "Mozilla/4.0", "is_machine": True},
        ),
        "click": (
            {**HEAD, "event": "click", "url": "https://example.com/a?b=c", "url_offset": {"index": 0, "type": "html"}, "useragent": "M"},
            {**SEEN, "kind": "clicked", "url": "https://example.com/a?b=c", "is_machine": False},
        ),
        "spamreport": ({**HEAD, "event": "spamreport"}, {**SEEN, "kind": "complained"}),
        "unsubscribe": ({**HEAD, "event": "unsubscribe"}, {**SEEN, "kind": "unsubscribed"}),
        "group_unsubscribe": ({**HEAD, "event": "group_unsubscribe", "asm_group_id": 10}, {**SEEN, "kind": "unsubscribed"}),
        "group_resubscribe": ({**HEAD, "event": "group_resubscribe", "asm_group_id": 10}, {**SEEN, "kind": "subscribed"}),
        "an older id": (
            {**HEAD, "event": "processed", "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0"},
            {**SEEN, "kind": "queued", "provider_id": "14c5d75ce93.dfd.64b469"},
        ),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(event="account_status_change"))

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        stamp = str(int(now.timestamp()))
        signature = KEYS[secret].sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return Signed(
            body,
            {
                "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
                "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
            },
        )

    def test_the_vector(self) -> None:
        secret = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAERxw+dYxJBChbun5TEY7Q9SSt6wdX0lvS+Oew1236cUzdUg96yoqLkXrMN/Ud6PDJu+OthYOC5wLcJaEtCfeoWA=="
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": "MEYCIQCvXr9yxVnhh52rvkeIg1eFyJ8Lv/3URrijv7VbErk6PgIhAPsY7cIMT8uTJEaYAQcYKlybcryOQqOFulW3fiHq2NwO",
            "X-Twilio-Email-Event-Webhook-Timestamp": "1767323045",
        }
        body = b'[{"email":"b@example.org","event":"processed","timestamp":1767323045}]\r\n'
        [event] = parse("sendgrid", headers, body, secret, now=at(1767323045))
        assert (event.kind, str(event.recipient)) == ("queued", "b@example.org")
        for other in (body[:-2], body[:-1], body + b"\n"):
            with pytest.raises(AuthError, match="signature is wrong"):
                parse("sendgrid", headers, other, secret, now=at(1767323045))

    def test_a_key_that_is_none_is_a_configuration_error(self) -> None:
        call = self.sign(b"[]", self.secret, NOW)
        others = (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 1024))
        for secret in ("key", "MFkw", base64.b64encode(b"x" * 91).decode(), *map(public, others)):
            with pytest.raises(ConfigError, match="verification key"):
                parse("sendgrid", call.headers, call.body, secret, now=NOW)

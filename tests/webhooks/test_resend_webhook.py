"""Resend's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from webhook_checks import MAIL_ID, NOW, Signed, WebhookChecks, at

from mailer import AuthError, ConfigError
from mailer.webhooks import parse


def sample(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "created_at": "2026-01-02T03:04:05.000Z",
        "data": {
            "email_id": "11111111-2222-3333-4444-555555555555",
            "created_at": "2026-01-02T03:04:00.000Z",
            "from": "Shop <shop@example.com>",
            "to": ["Ada <ada@example.org>"],
            "subject": "Invoice 17",
            "tags": {"tag": "invoice", "tag_2": "eu", "order": "17", "mailer_id": MAIL_ID},
            **more,
        },
    }


SEEN = {
    "provider_id": "11111111-2222-3333-4444-555555555555",
    "event_id": "msg_0001",
    "recipient": "ada@example.org",
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "tags": ("invoice", "eu"),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
}


class TestResend(WebhookChecks):
    provider = "resend"
    secret = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, yes!!").decode()
    other_secret = "whsec_" + base64.b64encode(b"another of thirty-two bytes, no!").decode()
    mail_id_in = "bounced"
    samples = {
        "bounced": (
            sample("email.bounced", bounce={"type": "Permanent", "subType": "General", "message": "a hard bounce message", "diagnosticCode": ["smtp; 550 5.1.1 who?"]}),
            {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": True, "text": "a hard bounce message", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "bounced, and the address is good": (
            sample("email.bounced", bounce={"type": "Transient", "message": "the inbox was full"}),
            {**SEEN, "kind": "bounced", "is_hard": False, "code": None},
        ),
        "bounced, nobody knows why": (sample("email.bounced", bounce={"type": "Undetermined"}), {**SEEN, "kind": "bounced", "is_hard": None}),
        "scheduled": (sample("email.scheduled"), {**SEEN, "kind": "queued"}),
        "sent": (sample("email.sent"), {**SEEN, "kind": "sent", "reject_reason": None}),
        "sent to two": (sample("email.sent", to=["ada@example.org", "bob@example.org"]), {**SEEN, "kind": "sent", "recipient": None}),
        "delivered": (sample("email.delivered"), {**SEEN, "kind": "delivered"}),
        "delayed": (sample("email.delivery_delayed"), {**SEEN, "kind": "deferred"}),
        "suppressed": (
            sample("email.suppressed", suppressed={"reason": "bounce", "type": "OnAccountSuppressionList", "message": "it bounced before"}),
            {**SEEN, "kind": "rejected", "reject_reason": "bounced", "text": "it bounced before"},
        ),
        "failed": (sample("email.failed", failed={"reason": "reached_daily_quota"}), {**SEEN, "kind": "failed", "reject_reason": "other", "text": "reached_daily_quota"}),
        "opened": (sample("email.opened"), {**SEEN, "kind": "opened"}),
        "clicked": (
            sample("email.clicked", click={"ipAddress": "192.0.2.1", "link": "https://example.com/", "timestamp": "2026-01-02T03:04:05Z", "userAgent": "M"}),
            {**SEEN, "kind": "clicked", "url": "https://example.com/", "user_agent": "M"},
        ),
        "complained": (sample("email.complained"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "without tags": ({"type": "email.sent", "data": {"email_id": "1"}}, {"kind": "sent", "provider_id": "1", "recipient": None, "time": None, "tags": (), "metadata": {}}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(type="email.received"))

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        stamp = str(int(now.timestamp()))
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.new(key, b"msg_0001." + stamp.encode() + b"." + body, hashlib.sha256).digest()
        signature = "v1," + base64.b64encode(digest).decode()
        return Signed(body, {"svix-id": "msg_0001", "svix-timestamp": stamp, "svix-signature": signature})

    def test_the_vector(self) -> None:
        secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
        body = b'{"type":"email.sent","created_at":"2026-01-02T03:04:05.000Z","data":{"email_id":"11111111-2222-3333-4444-555555555555"}}'
        good = "v1,P7970qtHDCxExChGQ0/70nVL6SwKq9lFBHQR5EoKFbw="
        for prefix in ("svix", "webhook"):
            for signature in (good, f"v1,AAAA {good}", f"{good} v1a,BBBB", f"v2,x {good} junk"):
                headers = {
                    f"{prefix}-id": "msg_0001",
                    f"{prefix}-timestamp": "1767323045",
                    f"{prefix}-signature": signature,
                }
                assert parse("resend", headers, body, secret, now=at(1767323045))[0].kind == "sent"
        for signature in (good.replace("v1", "v2"), good[3:], good[:-1], "v1,", "v1,é", good.replace("P", "Q")):
            headers = {"svix-id": "msg_0001", "svix-timestamp": "1767323045", "svix-signature": signature}
            with pytest.raises(AuthError):
                parse("resend", headers, body, secret, now=at(1767323045))

    def test_a_secret_that_is_none_is_a_configuration_error(self) -> None:
        call = self.sign(b"{}", self.secret, NOW)
        for secret in ("whsec_", "whsec_é", "whsec_a", "not base64!"):
            with pytest.raises(ConfigError, match="whsec_"):
                parse("resend", call.headers, call.body, secret, now=NOW)

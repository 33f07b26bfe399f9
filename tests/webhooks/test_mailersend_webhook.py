"""MailerSend's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from webhook_checks import Signed, WebhookChecks

from mailer import AuthError
from mailer.webhooks import parse


def sample(kind: str, morph: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": f"activity.{kind}", "domain_id": "d-1", "created_at": "2026-01-02T03:04:06.000000Z", "webhook_id": "w-1", "url": "https://hooks.example.com/",
        "data": {
            "object": "activity", "id": "act-1", "type": kind, "created_at": "2026-01-02T03:04:05.000000Z", "morph": morph, "template_id": "",
            "email": {
                "object": "email", "id": "e-1", "from": "shop@example.com", "subject": "Invoice 17", "status": kind, "tags": ["invoice"], "headers": None,
                "message": {"object": "message", "id": "62fb66bef54a112e920b5493", "created_at": "2026-01-02T03:04:00.000000Z"},
                "recipient": {"object": "recipient", "id": "r-1", "email": "ada@example.org", "created_at": "2026-01-02T03:04:00.000000Z"},
            },
            **more,
        },
    }  # fmt: skip


SEEN = {
    "provider_id": "62fb66bef54a112e920b5493",
    "event_id": "act-1",
    "recipient": "ada@example.org",
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "tags": ("invoice",),
    "metadata": {},
    "mail_id": None,
    "is_hard": None,
    "reject_reason": None,
}
BOUNCED = {**SEEN, "kind": "bounced", "reject_reason": "bounced"}


class TestMailerSend(WebhookChecks):
    provider = "mailersend"
    secret, other_secret = "mlsn-secret", "mlsn-other"
    has_window = False
    mail_id_in = None
    samples = {
        "hard bounce": (
            sample("hard_bounced", {"object": "recipient_bounce", "reason": "550 5.1.1 who?"}),
            {**BOUNCED, "is_hard": True, "text": "550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "soft bounce": (sample("soft_bounced", {"object": "recipient_bounce", "reason": "full"}), {**BOUNCED, "is_hard": False, "text": "full"}),
        "sent": (sample("sent"), {**SEEN, "kind": "sent"}),
        "delivered": (sample("delivered"), {**SEEN, "kind": "delivered"}),
        "deferred": (sample("deferred"), {**SEEN, "kind": "deferred"}),
        "opened": (sample("opened", {"object": "open", "ip": "192.0.2.1"}), {**SEEN, "kind": "opened"}),
        "opened for the first time": (sample("opened_unique"), {**SEEN, "kind": "opened"}),
        "clicked": (sample("clicked", {"object": "click", "ip": "192.0.2.1", "url": "https://example.com/"}), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "clicked for the first time": (sample("clicked_unique"), {**SEEN, "kind": "clicked"}),
        "spam": (sample("spam_complaint", {"object": "spam_complaint", "reason": None}), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "unsubscribed": (
            sample("unsubscribed", {"object": "recipient_unsubscribe", "reason": "option_3", "readable_reason": "I get too many"}),
            {**SEEN, "kind": "unsubscribed", "reject_reason": "unsubscribed", "text": "I get too many"},
        ),
        "of the account": (
            {"type": "maintenance.start", "created_at": "2026-01-02T03:04:05Z", "data": {"id": "7"}},
            {"kind": "unknown", "provider_id": "", "recipient": None, "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)},
        ),
        "its time alone": ({"type": "activity.sent", "created_at": "2026-01-02T03:04:05Z"}, {"kind": "sent", "provider_id": "", "recipient": None, "time": SEEN["time"]}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(type="activity.survey_opened"))

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        return Signed(body, {"Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()})

    def test_the_vector(self) -> None:
        body, good = b'{"type":"activity.sent"}', "f9e1619698e72b3325aefc153debbbe65a4919fdb4a8d253ae36973c748d2f58"
        assert parse("mailersend", {"signature": good}, body, "mlsn-secret")[0].kind == "sent"
        for bad in (good.upper(), good[:-1], good + "0", "é" * 64, f"sha256={good}", f"{good},{good}"):
            with pytest.raises(AuthError, match="signature is wrong"):
                parse("mailersend", {"signature": bad}, body, "mlsn-secret")

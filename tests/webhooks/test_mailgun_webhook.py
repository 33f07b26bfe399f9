"""Mailgun's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

import pytest
from webhook_checks import MAIL_ID, NOW, Signed, WebhookChecks, at

from mailer import AuthError
from mailer.webhooks import parse


def sample(event: str, **more: Any) -> dict[str, Any]:
    return {
        "event-data": {
            "event": event,
            "id": "evt-1",
            "timestamp": 1767323100.5,
            "recipient": "ada@example.org",
            "tags": ["invoice"],
            "user-variables": {"order": "17", "mailer_id": MAIL_ID},
            "message": {"headers": {"message-id": "20260102.1.ABC@mg.example.com", "to": "ada@example.org"}},
            **more,
        }
    }


def status(code: int, message: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "message": message, "description": "", "attempt-no": 1, "retry-seconds": 0, **more}


SEEN = {
    "provider_id": "<20260102.1.ABC@mg.example.com>",
    "event_id": "evt-1",
    "recipient": "ada@example.org",
    "time": at(1767323100.5),
    "tags": ("invoice",),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
}


class TestMailgun(WebhookChecks):
    provider = "mailgun"
    secret, other_secret = "key-webhook-signing-0123456789abcdef", "key-other"
    covers_body = False
    mail_id_in = "bounced"
    samples = {
        "bounced": (
            sample("failed", severity="permanent", reason="bounce", **{"delivery-status": status(550, "No such user")}),
            {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": True, "text": "No such user", "code": 550},
        ),
        "a policy": (
            sample("failed", severity="permanent", reason="generic", **{"delivery-status": status(554, "5.7.1 blocked")}),
            {**SEEN, "kind": "bounced", "is_hard": False, "code": 554, "enhanced_code": "5.7.1"},
        ),
        "an address": (
            sample("failed", severity="permanent", reason="generic", **{"delivery-status": status(550, "5.1.1 who?")}),
            {**SEEN, "kind": "bounced", "is_hard": True, "enhanced_code": "5.1.1"},
        ),
        "too old": (
            sample("failed", severity="permanent", reason="old", **{"delivery-status": status(602, "Too old")}),
            {**SEEN, "kind": "bounced", "reject_reason": "timed_out", "is_hard": None, "text": "Too old", "code": None},
        ),
        "suppressed": (
            sample("failed", severity="permanent", reason="suppress-bounce", **{"delivery-status": status(605, "Not delivering")}),
            {**SEEN, "kind": "rejected", "reject_reason": "bounced", "is_hard": None, "code": None},
        ),
        "deferred": (
            sample("failed", severity="temporary", reason="generic", **{"delivery-status": status(451, "4.7.1 Greylisted")}),
            {**SEEN, "kind": "deferred", "reject_reason": None, "is_hard": None, "code": 451, "enhanced_code": "4.7.1"},
        ),
        "rejected": (
            sample("rejected", reject={"reason": "Sandbox subdomains are for test purposes only", "description": ""}),
            {**SEEN, "kind": "rejected", "reject_reason": "other", "text": "Sandbox subdomains are for test purposes only"},
        ),
        "accepted": (sample("accepted"), {**SEEN, "kind": "queued"}),
        "delivered": (sample("delivered", **{"delivery-status": status(250, "OK")}), {**SEEN, "kind": "delivered", "code": 250}),
        "opened": (sample("opened", **{"client-info": {"user-agent": "M"}}), {**SEEN, "kind": "opened", "user_agent": "M"}),
        "clicked": (sample("clicked", url="https://example.com/"), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "unsubscribed": (sample("unsubscribed"), {**SEEN, "kind": "unsubscribed"}),
        "complained": (sample("complained"), {**SEEN, "kind": "complained"}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item["event-data"].update(event="stored"))

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        """Its signature is in the body; a body that is no object goes as it is."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return Signed(body)
        if not isinstance(data, dict):
            return Signed(body)
        stamp, token = str(int(now.timestamp())), "a" * 50
        digest = hmac.new(secret.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
        signed = {"timestamp": stamp, "token": token, "signature": digest}
        return Signed(json.dumps({"signature": signed, **data}).encode())

    def test_the_vector(self) -> None:
        digest = "2c9805ec6a4ae2a9bb6842d172eaac188c714a6534003bbaf53a773c0822b412"
        signed = {"timestamp": "1767323045", "token": "a" * 50, "signature": digest}
        body = json.dumps({"signature": signed, **sample("delivered")})
        assert parse("mailgun", {}, body, self.secret, now=at(1767323045))[0].kind == "delivered"
        assert parse("mailgun", {}, body.replace('"1767323045"', "1767323045"), self.secret, now=at(1767323045))
        for key, value in (
            ("timestamp", "1767323046"),
            ("token", "a" * 49),
            ("signature", digest.upper()),
            ("signature", "é"),
        ):
            body = json.dumps({"signature": {**signed, key: value}, **sample("delivered")})
            with pytest.raises(AuthError, match="signature is wrong"):
                parse("mailgun", {}, body, self.secret, now=at(1767323045))

    def test_a_body_without_signature_is_not_believed_whatever_it_is(self) -> None:
        for body in (
            b"",
            b"[]",
            b"7",
            b"{}",
            b'{"signature": 7}',
            b'{"signature": {"token": [], "timestamp": 1}}',
            b"\xff",
        ):
            with pytest.raises(AuthError):
                parse("mailgun", {}, body, self.secret, now=NOW)

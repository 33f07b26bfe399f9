"""The webhook of a relay of one's own: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from webhook_checks import MAIL_ID, NOW, Signed, WebhookChecks, at

from mailer import Address, AuthError, Event, EventKind, RejectReason
from mailer.webhooks import parse


def sample(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind, "provider_id": "q-7", "mail_id": MAIL_ID, "event_id": "evt-1", "recipient": "ada@example.org", "time": "2026-01-02T03:04:05Z",
        "tags": ["invoice"], "metadata": {"order": "17"}, **more,
    }  # fmt: skip


SEEN = {
    "provider_id": "q-7",
    "event_id": "evt-1",
    "recipient": "ada@example.org",
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "tags": ("invoice",),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
    "is_hard": None,
    "reject_reason": None,
}
#: What has no reason, and what has one if none is given.
PLAIN = ("queued", "sent", "delivered", "deferred", "opened", "clicked", "subscribed", "unknown")
REASONS = {
    "bounced": "bounced",
    "rejected": "other",
    "failed": "other",
    "complained": "spam",
    "unsubscribed": "unsubscribed",
}


class TestHttpJson(WebhookChecks):
    provider = "http+json"
    secret = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, yes!!").decode()
    other_secret = "whsec_" + base64.b64encode(b"another of thirty-two bytes, no!").decode()
    is_list = True
    mail_id_in = "bounced"
    samples = {
        "bounced": (
            sample("bounced", reject_reason="invalid", is_hard=True, text="550 5.1.1 who?"),
            {**SEEN, "kind": "bounced", "reject_reason": "invalid", "is_hard": True, "text": "550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "a recipient in full": (sample("sent", recipient={"name": "Ada", "local": "ada", "domain": "example.org"}), {**SEEN, "kind": "sent", "recipient": "Ada <ada@example.org>"}),
        "no recipient": (sample("sent", recipient={"local": 7}), {**SEEN, "kind": "sent", "recipient": None}),
        "its id in the metadata": (sample("sent", mail_id=None, metadata={"mailer_id": MAIL_ID}), {**SEEN, "kind": "sent", "metadata": {}}),
        "a code of its own": (sample("deferred", code=451, enhanced_code="4.7.1", text="later"), {**SEEN, "kind": "deferred", "code": 451, "enhanced_code": "4.7.1"}),
        "seen by a machine": (sample("clicked", url="https://example.com/", user_agent="M", is_machine=True), {**SEEN, "kind": "clicked", "url": "https://example.com/", "user_agent": "M", "is_machine": True}),
        "the least": ({"kind": "delivered"}, {"kind": "delivered", "provider_id": "", "recipient": None, "time": None, "mail_id": None}),
        **{kind: (sample(kind, reject_reason="spam"), {**SEEN, "kind": kind}) for kind in PLAIN},
        **{f"{kind} for no reason": (sample(kind), {**SEEN, "kind": kind, "reject_reason": reason}) for kind, reason in REASONS.items()},
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(kind="moon"))

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        stamp = str(int(now.timestamp()))
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.new(key, b"msg_0001." + stamp.encode() + b"." + body, hashlib.sha256).digest()
        headers = {"webhook-id": "msg_0001", "webhook-timestamp": stamp}
        return Signed(body, {**headers, "webhook-signature": "v1," + base64.b64encode(digest).decode()})

    def test_the_vector_of_standard_webhooks(self) -> None:
        """That of FACTS for Svix, which is the same."""
        body = b'{"type":"email.sent","created_at":"2026-01-02T03:04:05.000Z","data":{"email_id":"11111111-2222-3333-4444-555555555555"}}'
        headers = {
            "webhook-id": "msg_0001",
            "webhook-timestamp": "1767323045",
            "webhook-signature": "v1,P7970qtHDCxExChGQ0/70nVL6SwKq9lFBHQR5EoKFbw=",
        }
        [event] = parse("http+json", headers, body, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", now=at(1767323045))
        assert event.kind == "unknown"
        with pytest.raises(AuthError):
            parse("http+json", headers, body + b" ", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", now=at(1767323045))

    def test_what_an_event_gives_is_the_event(self) -> None:
        event = Event(
            kind=EventKind.BOUNCED, provider="http+json", provider_id="q-7", mail_id=MAIL_ID, event_id="e", recipient=Address.parse("Ada <ada@bücher.example>"), time=NOW,
            reject_reason=RejectReason.INVALID, is_hard=True, text="550 5.1.1 who?", code=550, enhanced_code="5.1.1", url="u", user_agent="M", tags=("a", "b"), metadata={"order": 17},
        )  # fmt: skip
        import json

        [read] = self.read(json.dumps(event.to_dict()).encode())
        assert read.to_dict() | {"raw": {}} == event.to_dict()
        call = self.sign(json.dumps(event.to_dict()).encode(), self.secret, NOW)
        [named] = parse("https+json", call.headers, call.body, self.secret, now=NOW)
        assert named.to_dict() == read.to_dict() | {"provider": "https+json"}

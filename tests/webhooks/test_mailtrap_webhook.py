"""Mailtrap's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

import pytest
from webhook_checks import MAIL_ID, Signed, WebhookChecks, at

from mailer import AuthError, ProtocolError
from mailer.webhooks import parse


def sample(event: str, **more: Any) -> dict[str, Any]:
    return {
        "event": event, "message_id": "1df37d17-0286-4d8b-8edf-bc4ec5be86e6", "event_id": "bede7236-2284-43d6-a953-1fdcafd0fdbc", "email": "ada@example.org",
        "timestamp": 1767323045, "sending_stream": "transactional", "sending_domain_name": "example.com", "category": "invoice",
        "custom_variables": {"order": "17", "mailer_id": MAIL_ID}, **more,
    }  # fmt: skip


SEEN = {
    "provider_id": "1df37d17-0286-4d8b-8edf-bc4ec5be86e6",
    "event_id": "bede7236-2284-43d6-a953-1fdcafd0fdbc",
    "recipient": "ada@example.org",
    "time": at(1767323045),
    "tags": ("invoice",),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
    "is_hard": None,
    "reject_reason": None,
}
BOUNCED = {**SEEN, "kind": "bounced", "reject_reason": "bounced"}


class TestMailtrap(WebhookChecks):
    provider = "mailtrap"
    secret, other_secret = "mailtrap-secret", "mailtrap-other"
    has_window = False
    is_list = True
    mail_id_in = "bounce"
    samples = {
        "bounce": (
            sample("bounce", response="5.1.1 who?", response_code=550, bounce_category="badmailbox"),
            {**BOUNCED, "is_hard": True, "text": "5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "bounce without a reply": (sample("bounce", bounce_category="badmailbox"), {**BOUNCED, "is_hard": True, "text": "badmailbox"}),
        "bounce by a policy": (sample("bounce", response="550 5.7.1 no", response_code=550), {**BOUNCED, "is_hard": False}),
        "soft bounce": (sample("soft bounce", response="451 4.7.1 later", response_code=451), {**SEEN, "kind": "deferred", "code": 451, "enhanced_code": "4.7.1"}),
        "by its name there": (sample("soft_bounce"), {**SEEN, "kind": "deferred"}),
        "suspension": (sample("suspension", reason="quota"), {**SEEN, "kind": "deferred", "text": "quota"}),
        "delivery": (sample("delivery"), {**SEEN, "kind": "delivered"}),
        "reject": (sample("reject", reason="Recipient in suppression list"), {**SEEN, "kind": "rejected", "reject_reason": "blocked", "text": "Recipient in suppression list"}),
        "spam": (sample("spam"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "by its other name": (sample("spam_complaint"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "unsubscribe": (sample("unsubscribe", ip="192.0.2.1", user_agent="M"), {**SEEN, "kind": "unsubscribed", "reject_reason": "unsubscribed"}),
        "open": (sample("open", ip="192.0.2.1", user_agent="M"), {**SEEN, "kind": "opened", "user_agent": "M"}),
        "click": (sample("click", url="https://example.com/", user_agent="M"), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "bare": ({"event": "delivery", "message_id": "m-1"}, {"kind": "delivered", "provider_id": "m-1", "recipient": None, "tags": (), "metadata": {}}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(event="inbound.message_received"))

    def body_of(self, items: list[Any]) -> bytes:
        return json.dumps({"events": items}).encode()

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        return Signed(body, {"Mailtrap-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()})

    def test_the_vector(self) -> None:
        body = b'{"events":[{"event":"delivery","message_id":"m-1"}]}'
        good = "70ccd36d0287c3b1b0900b26cfd0c34832686f7ab7e9665bd7e56d97bad1b4e6"
        assert parse("mailtrap", {"mailtrap-signature": good}, body, "mailtrap-secret")[0].provider_id == "m-1"
        for bad in (good.upper(), good[:-1], "é" * 64, f"{good}, {good}"):
            with pytest.raises(AuthError, match="signature is wrong"):
                parse("mailtrap", {"mailtrap-signature": bad}, body, "mailtrap-secret")

    def test_a_line_for_each_event(self) -> None:
        wanted = self.read(self.body_of([item for item, _ in self.samples.values()]))
        lines = b"\n".join(json.dumps(item).encode() for item, _ in self.samples.values())
        assert self.read(lines) == self.read(lines + b"\r\n\n") == wanted
        assert self.read(json.dumps(self.first).encode()) == wanted[:1]  # one alone
        for body in (b'{"event":"open"}\n{', b'{"events":7}', b'{"events":null}', b"7", b"[]"):
            with pytest.raises(ProtocolError):
                self.read(body)

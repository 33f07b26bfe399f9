"""SMTP2GO's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from webhook_checks import BasicAuth

API_KEY = "api-0123456789ABCDEF"


def sample(event: str, **more: Any) -> dict[str, Any]:
    return {
        "event": event, "time": "2026-01-02T03:04:05Z", "sendtime": "2026-01-02T03:04:00Z", "sender": "bounce@example.com", "from": "Shop <shop@example.com>",
        "from_address": "shop@example.com", "rcpt": "ada@example.org", "email_id": "1wvj0v-FXNc27tz4Qg-hQKf", "id": "evt-1", "subject": "Invoice 17",
        "message-id": "<1@example.com>", "auth": API_KEY, "srchost": "192.0.2.1", **more,
    }  # fmt: skip


SEEN = {
    "provider_id": "1wvj0v-FXNc27tz4Qg-hQKf",
    "event_id": "evt-1",
    "recipient": "ada@example.org",
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "tags": (),
    "metadata": {},
    "mail_id": None,
    "is_hard": None,
    "reject_reason": None,
}
BOUNCED = {**SEEN, "kind": "bounced", "reject_reason": "bounced"}
PROCESSED = sample("processed", rcpt="", recipients=["ada@example.org", "Bob <bob@example.org>"])


class TestSmtp2Go(BasicAuth):
    provider = "smtp2go"
    mail_id_in = None
    samples = {
        "hard bounce": (
            sample("bounce", bounce="hard", message="550 5.1.1 who?", context="RCPT TO:<ada@example.org>", host="mx.example.org [192.0.2.2]"),
            {**BOUNCED, "is_hard": True, "text": "550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "soft bounce": (sample("bounce", bounce="soft", context="DATA"), {**BOUNCED, "is_hard": False, "text": "DATA"}),
        "processed": (PROCESSED, [{**SEEN, "kind": "queued"}, {**SEEN, "kind": "queued", "recipient": "bob@example.org"}]),
        "delivered": (sample("delivered", message="250 OK", host="mx.example.org"), {**SEEN, "kind": "delivered", "code": 250}),
        "open": (sample("open", **{"user-agent": "M", "read-secs": 5}), {**SEEN, "kind": "opened", "user_agent": "M"}),
        "opened": (sample("opened"), {**SEEN, "kind": "opened"}),
        "click": (sample("click", url="https://example.com/"), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "spam": (sample("spam"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "unsubscribe": (sample("unsubscribe"), {**SEEN, "kind": "unsubscribed", "reject_reason": "unsubscribed"}),
        "resubscribe": (sample("resubscribe"), {**SEEN, "kind": "subscribed"}),
        "reject": (sample("reject", bounce="hard"), {**SEEN, "kind": "rejected", "reject_reason": "other"}),
        **{  # as it has been seen to write them
            word: (sample(word), {**SEEN, "kind": kind, "reject_reason": reason})
            for word, kind, reason in (
                ("clicked", "clicked", None), ("spam_complaint", "complained", "spam"), ("unsubscribed", "unsubscribed", "unsubscribed"), ("resubscribed", "subscribed", None),
            )
        },
        "to nobody": (sample("processed", rcpt=""), {**SEEN, "kind": "queued", "recipient": None}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(event="sms_delivered"))

    def test_a_form_says_the_same(self) -> None:
        for item, _ in self.samples.values():
            form = {key: value for key, value in item.items() if key != "read-secs"}
            for name in ("recipients", "recipients[]"):
                sent = {name if key == "recipients" else key: value for key, value in form.items()}
                events = self.read(urlencode(sent, doseq=True).encode())
                assert [event.to_dict() | {"raw": 0} for event in events] == [
                    event.to_dict() | {"raw": 0} for event in self.read(json.dumps(form).encode())
                ]

    def test_the_key_that_the_mail_was_sent_with_is_not_shown(self) -> None:
        for body in (json.dumps(sample("open")).encode(), urlencode(sample("open")).encode()):
            [event] = self.read(body)
            assert API_KEY not in json.dumps(event.to_dict())
            assert event.raw["srchost"] == "192.0.2.1"

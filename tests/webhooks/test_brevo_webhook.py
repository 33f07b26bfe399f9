"""Brevo's webhook. What holds for every provider stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from typing import Any

from webhook_checks import MAIL_ID, BasicAuth, at


def sample(event: str, **more: Any) -> dict[str, Any]:
    return {
        "event": event, "email": "ada@example.org", "id": 1, "date": "2026-01-02 04:04:05", "ts": 1767326645, "ts_event": 1767326645,
        "ts_epoch": 1767323045123, "message-id": "<20260102.1@smtp-relay.mailin.fr>", "subject": "Invoice 17", "tag": '["invoice"]',
        "tags": ["invoice"], "X-Mailin-custom": json.dumps({"order": "17", "mailer_id": MAIL_ID}), "sending_ip": "192.0.2.1", **more,
    }  # fmt: skip


SEEN = {
    "provider_id": "<20260102.1@smtp-relay.mailin.fr>",
    "recipient": "ada@example.org",
    "time": at(1767323045.123),
    "tags": ("invoice",),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
}


class TestBrevo(BasicAuth):
    provider = "brevo"
    is_list = True
    mail_id_in = "in metadata that is an object"
    samples = {
        "hard bounce": (
            sample("hard_bounce", reason="550 5.1.1 no such user"),
            {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": True, "text": "550 5.1.1 no such user", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "soft bounce": (sample("soft_bounce", reason="full"), {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": False}),
        "invalid": (sample("invalid_email"), {**SEEN, "kind": "bounced", "reject_reason": "invalid", "is_hard": True}),
        "request": (sample("request"), {**SEEN, "kind": "queued"}),
        "sent": (sample("sent"), {**SEEN, "kind": "sent"}),
        "delivered": (sample("delivered"), {**SEEN, "kind": "delivered", "reject_reason": None}),
        "deferred": (sample("deferred", reason="451 4.7.1 later"), {**SEEN, "kind": "deferred", "code": 451, "is_hard": None}),
        "blocked": (sample("blocked", reason="blocked : due to blacklist user"), {**SEEN, "kind": "rejected", "reject_reason": "blocked"}),
        "error": (sample("error", reason="template"), {**SEEN, "kind": "failed", "text": "template"}),
        "spam": (sample("spam"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "unsubscribed": (sample("unsubscribed"), {**SEEN, "kind": "unsubscribed"}),
        "opened": (sample("unique_opened", user_agent="M"), {**SEEN, "kind": "opened", "is_machine": False, "user_agent": "M"}),
        "opened by a proxy": (sample("proxy_open"), {**SEEN, "kind": "opened", "is_machine": True}),
        "click": (sample("click", link="https://example.com/"), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "an id without brackets": (sample("request", **{"message-id": "1@x"}), {**SEEN, "kind": "queued", "provider_id": "<1@x>"}),
        "tags as JSON text": ({k: v for k, v in sample("sent").items() if k != "tags"}, {**SEEN, "kind": "sent"}),
        "a tag as text": ({k: v for k, v in sample("sent", tag="[eu").items() if k != "tags"}, {**SEEN, "kind": "sent", "tags": ("[eu",)}),
        "metadata that is no JSON": (sample("sent", **{"X-Mailin-custom": "a:1|b:2"}), {**SEEN, "kind": "sent", "metadata": {}, "mail_id": None}),
        "in metadata that is an object": (sample("sent", **{"X-Mailin-custom": {"mailer_id": MAIL_ID}}), {**SEEN, "kind": "sent", "metadata": {}}),
        "without a time that is UTC": ({k: v for k, v in sample("sent").items() if k != "ts_epoch"}, {**SEEN, "kind": "sent", "time": None}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(event="list_addition"))

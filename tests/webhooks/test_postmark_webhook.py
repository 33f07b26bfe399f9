"""Postmark's webhook. What holds for every provider stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from webhook_checks import MAIL_ID, BasicAuth

WHEN = "2026-01-02T03:04:05.1234567Z"
HEAD = {
    "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
    "Recipient": "ada@example.org",
    "Tag": "invoice",
    "Metadata": {"order": "17", "mailer_id": MAIL_ID},
    "MessageStream": "outbound",
    "ServerID": 23,
}
SEEN = {
    "provider_id": "883953f4-6105-42a2-a16a-77a8eac79483",
    "recipient": "ada@example.org",
    "time": datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC),
    "tags": ("invoice",),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
}


def bounce(kind: str, details: str = "smtp;550 5.1.1 The account does not exist") -> dict[str, Any]:
    return {
        **{key: value for key, value in HEAD.items() if key != "Recipient"},
        "RecordType": "Bounce", "ID": 4323372036854775807, "Type": kind, "TypeCode": 1, "Email": "ada@example.org",
        "BouncedAt": WHEN, "Description": "The server was unable to deliver", "Details": details, "Inactive": True,
    }  # fmt: skip


class TestPostmark(BasicAuth):
    provider = "postmark"
    mail_id_in = "delivery"
    samples = {
        "delivery": (
            {**HEAD, "RecordType": "Delivery", "DeliveredAt": WHEN, "Details": "250 2.0.0 OK"},
            {**SEEN, "kind": "delivered", "text": "250 2.0.0 OK", "code": 250, "enhanced_code": "2.0.0"},
        ),
        "hard bounce": (
            bounce("HardBounce"),
            {**SEEN, "kind": "bounced", "event_id": "4323372036854775807", "reject_reason": "bounced", "is_hard": True,
             "code": 550, "enhanced_code": "5.1.1"},
        ),
        "soft bounce": (bounce("SoftBounce", ""), {**SEEN, "kind": "bounced", "is_hard": False, "text": "The server was unable to deliver"}),
        "transient": (bounce("Transient"), {**SEEN, "kind": "deferred", "reject_reason": None, "is_hard": None}),
        "dns": (bounce("DnsError"), {**SEEN, "kind": "deferred"}),
        "spam": (bounce("SpamNotification"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "blocked": (bounce("Blocked"), {**SEEN, "kind": "rejected", "reject_reason": "blocked", "is_hard": None}),
        "no address": (bounce("BadEmailAddress"), {**SEEN, "kind": "rejected", "reject_reason": "invalid"}),
        "deactivated": (bounce("ManuallyDeactivated"), {**SEEN, "kind": "rejected"}),
        "a template": (bounce("TemplateRenderingFailed"), {**SEEN, "kind": "failed"}),
        "an answer": (bounce("AutoResponder"), {**SEEN, "kind": "unknown", "reject_reason": None}),
        "unsubscribed by mail": (bounce("Unsubscribe"), {**SEEN, "kind": "unsubscribed"}),
        "complaint": ({**bounce("SpamComplaint"), "RecordType": "SpamComplaint"}, {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "complaint of a new type": ({**bounce("Other"), "RecordType": "SpamComplaint"}, {**SEEN, "kind": "complained"}),
        "open": (
            {**HEAD, "RecordType": "Open", "ReceivedAt": WHEN, "FirstOpen": True, "UserAgent": "M", "Client": {}, "OS": {}},
            {**SEEN, "kind": "opened", "user_agent": "M"},
        ),
        "click": (
            {**HEAD, "RecordType": "Click", "ReceivedAt": WHEN, "OriginalLink": "https://example.com/", "ClickLocation": "HTML"},
            {**SEEN, "kind": "clicked", "url": "https://example.com/"},
        ),
        "unsubscribed": (
            {**HEAD, "RecordType": "SubscriptionChange", "ChangedAt": WHEN, "SuppressSending": True, "SuppressionReason": "ManualSuppression"},
            {**SEEN, "kind": "unsubscribed", "reject_reason": "unsubscribed"},
        ),
        "subscribed": (
            {**HEAD, "RecordType": "SubscriptionChange", "ChangedAt": WHEN, "SuppressSending": False, "SuppressionReason": None},
            {**SEEN, "kind": "subscribed", "reject_reason": None},
        ),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(RecordType="Inbound"))

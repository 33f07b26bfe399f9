"""Mailjet's webhook. What holds for every provider stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from typing import Any

from webhook_checks import MAIL_ID, BasicAuth, at


def sample(event: str, **more: Any) -> dict[str, Any]:
    return {
        "event": event, "time": 1767323100, "MessageID": 1152921500000000001, "Message_GUID": "1ab23cd4-e567-8901-2345-6789f0gh1i2j",
        "email": "ada@example.org", "mj_campaign_id": 7, "mj_contact_id": 4, "customcampaign": "invoice", "CustomID": "job-17",
        "Payload": json.dumps({"order": "17", "mailer_id": MAIL_ID}), **more,
    }  # fmt: skip


SEEN = {
    "provider_id": "1152921500000000001",
    "recipient": "ada@example.org",
    "time": at(1767323100),
    "tags": ("invoice",),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
}


class TestMailjet(BasicAuth):
    provider = "mailjet"
    is_list = True
    mail_id_in = "without a campaign"
    samples = {
        "bounce": (
            sample("bounce", blocked=False, hard_bounce=True, error_related_to="recipient", error="user unknown", comment="Host or domain: 550 5.1.1"),
            {**SEEN, "kind": "bounced", "reject_reason": "invalid", "is_hard": True, "text": "Host or domain: 550 5.1.1", "enhanced_code": "5.1.1"},
        ),
        "soft bounce": (
            sample("bounce", blocked=False, hard_bounce=False, error_related_to="recipient", error="quota exceeded"),
            {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": False, "text": "quota exceeded"},
        ),
        "greylisted": (
            sample("bounce", blocked=False, hard_bounce=False, error_related_to="domain", error="greylisted"),
            {**SEEN, "kind": "deferred", "reject_reason": None, "is_hard": None, "text": "greylisted"},
        ),
        "greylisted for good": (sample("bounce", hard_bounce=True, error="greylisted"), {**SEEN, "kind": "bounced", "reject_reason": "other", "is_hard": True}),
        "blocked": (sample("blocked", error_related_to="mailjet", error="preblocked"), {**SEEN, "kind": "rejected", "reject_reason": "blocked", "is_hard": None}),
        "duplicate": (sample("blocked", error="duplicate in campaign"), {**SEEN, "kind": "rejected", "reject_reason": "other"}),
        "sent": (
            sample("sent", mj_message_id="1152921500000000001", smtp_reply="sent (250 2.0.0 OK 4242 fa5si855896wjc.199 - gsmtp)"),
            {**SEEN, "kind": "delivered", "text": "sent (250 2.0.0 OK 4242 fa5si855896wjc.199 - gsmtp)", "enhanced_code": "2.0.0"},
        ),
        "open": (sample("open", ip="192.0.2.1", geo="US", agent="M"), {**SEEN, "kind": "opened", "user_agent": "M"}),
        "click": (sample("click", url="https://example.com/", ip="192.0.2.1", agent="M"), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "spam": (sample("spam", source="JMRPP"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "unsub": (sample("unsub", mj_list_id=1), {**SEEN, "kind": "unsubscribed"}),
        "without a campaign": (sample("sent", customcampaign="", Payload={"mailer_id": MAIL_ID}), {**SEEN, "kind": "delivered", "tags": (), "metadata": {}}),
        "a payload of others": (sample("sent", Payload="order 17"), {**SEEN, "kind": "delivered", "metadata": {}, "mail_id": None}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(event="typo"))

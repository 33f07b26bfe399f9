"""SparkPost's webhook. What holds for every provider stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from typing import Any

import pytest
from webhook_checks import MAIL_ID, BasicAuth, at

from mailer.webhooks.sparkpost import _CLASSES


def sample(group: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "msys": {
            group: {
                "type": kind, "event_id": "92356927693813856", "transmission_id": "65832150921904138", "message_id": "000443ee14578172be22",
                "rcpt_to": "ada@example.org", "raw_rcpt_to": "Ada@example.org", "timestamp": "1767323100", "campaign_id": "invoice",
                "rcpt_meta": {"order": "17", "mailer_id": MAIL_ID}, "rcpt_tags": ["eu"], "subject": "Invoice 17", **more,
            }
        }
    }  # fmt: skip


SEEN = {
    "provider_id": "65832150921904138",
    "event_id": "92356927693813856",
    "recipient": "Ada@example.org",
    "time": at(1767323100),
    "tags": ("invoice", "eu"),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
}


class TestSparkPost(BasicAuth):
    provider = "sparkpost"
    is_list = True
    mail_id_in = "bounce"
    samples = {
        "bounce": (
            sample("message_event", "bounce", bounce_class="30", error_code="550", raw_reason="550 5.1.1 who?", reason="550 5.1.1 [internal]"),
            {**SEEN, "kind": "bounced", "reject_reason": "invalid", "is_hard": True, "text": "550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "invalid": (sample("message_event", "bounce", bounce_class="10"), {**SEEN, "kind": "bounced", "reject_reason": "invalid", "is_hard": True}),
        "mailbox full": (sample("message_event", "bounce", bounce_class=22), {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": False}),
        "spam block": (sample("message_event", "bounce", bounce_class="51"), {**SEEN, "kind": "bounced", "reject_reason": "spam", "is_hard": False}),
        "a class that is new": (sample("message_event", "bounce", bounce_class="99"), {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": None}),
        "no class": (sample("message_event", "out_of_band"), {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": None}),
        "an answer": (sample("message_event", "out_of_band", bounce_class="60"), {**SEEN, "kind": "unknown", "reject_reason": None, "is_hard": None}),
        "unsubscribed by answer": (sample("message_event", "bounce", bounce_class="90"), {**SEEN, "kind": "unsubscribed", "is_hard": None}),
        "subscribed by answer": (sample("message_event", "bounce", bounce_class="80"), {**SEEN, "kind": "subscribed"}),
        "injection": (sample("message_event", "injection"), {**SEEN, "kind": "queued"}),
        "delivery": (sample("message_event", "delivery"), {**SEEN, "kind": "delivered", "reject_reason": None}),
        "delay": (
            sample("message_event", "delay", bounce_class="21", error_code="454", raw_reason="454 4.4.4 no MX"),
            {**SEEN, "kind": "deferred", "reject_reason": None, "is_hard": None, "code": 454, "enhanced_code": "4.4.4"},
        ),
        "policy": (sample("message_event", "policy_rejection", raw_reason="554 5.7.1"), {**SEEN, "kind": "rejected", "reject_reason": "blocked", "enhanced_code": "5.7.1"}),
        "generation rejection": (sample("gen_event", "generation_rejection"), {**SEEN, "kind": "rejected"}),
        "generation failure": (sample("gen_event", "generation_failure", reason="a template"), {**SEEN, "kind": "failed", "text": "a template"}),
        "complaint": (sample("message_event", "spam_complaint"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "open": (sample("track_event", "initial_open", user_agent="M"), {**SEEN, "kind": "opened", "user_agent": "M"}),
        "click": (sample("track_event", "click", target_link_url="https://example.com/"), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "unsubscribe": (sample("unsubscribe_event", "link_unsubscribe"), {**SEEN, "kind": "unsubscribed"}),
        "an address in lower case": (sample("message_event", "delivery", raw_rcpt_to=None), {**SEEN, "kind": "delivered", "recipient": "ada@example.org"}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item["msys"].update(message_event={"type": "sms_status"}))

    def test_the_ping_tells_nothing(self) -> None:
        assert self.read(b'[{"msys": {}}]') == []

    @pytest.mark.parametrize(
        "raw", [b'[{"msys": 7}]', b"[{}]", b'[{"msys": {"relay_message": {"rcpt_to": "a@b.test"}}}]']
    )
    def test_what_is_not_documented_is_unknown(self, raw: bytes) -> None:
        assert [event.kind for event in self.read(raw)] == ["unknown"]

    def test_only_addresses_that_are_not_there_are_hard(self) -> None:
        assert {number for number, (_, is_hard) in _CLASSES.items() if is_hard} == {"10", "30"}

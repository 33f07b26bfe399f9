"""Unisender Go's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from webhook_checks import MAIL_ID, Signed, WebhookChecks

from mailer import AuthError, ProtocolError
from mailer.webhooks import parse


def sample(status: str, delivery: str = "", reply: str = "", **more: Any) -> dict[str, Any]:
    return {
        "event_name": "transactional_email_status",
        "event_data": {
            "job_id": "1ZymBc-00041N-9X", "email": "ada@example.org", "status": status, "event_time": "2026-01-02 03:04:05", "url": "",
            "metadata": {"order": "17", "mailer_id": MAIL_ID},
            "delivery_info": {"delivery_status": delivery, "destination_response": reply, "user_agent": "M", "ip": "192.0.2.1"}, **more,
        },
    }  # fmt: skip


SEEN = {
    "provider_id": "1ZymBc-00041N-9X",
    "recipient": "ada@example.org",
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "tags": (),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
    "is_hard": None,
    "reject_reason": None,
    "user_agent": "M",
}
BOUNCED = {**SEEN, "kind": "bounced", "reject_reason": "bounced"}


class TestUnisenderGo(WebhookChecks):
    provider = "unisendergo"
    secret, other_secret = "uni-key-0123456789", "uni-key-other"
    has_window = False
    is_list = True
    mail_id_in = "delivered"
    samples = {
        "nobody there": (
            sample("hard_bounced", "err_user_unknown", "550 5.1.1 who?"),
            {**BOUNCED, "reject_reason": "invalid", "is_hard": True, "text": "550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "full": (sample("hard_bounced", "err_mailbox_full"), {**BOUNCED, "is_hard": False, "text": "err_mailbox_full"}),
        "taken for spam": (sample("hard_bounced", "err_spam_rejected"), {**BOUNCED, "reject_reason": "spam", "is_hard": False}),
        "not to be reached": (sample("hard_bounced", "err_unreachable", comment="timeout"), {**BOUNCED, "reject_reason": "timed_out", "is_hard": False, "text": "timeout"}),
        "unsubscribed before": (sample("hard_bounced", "err_unsubscribed"), {**BOUNCED, "reject_reason": "unsubscribed", "is_hard": False}),
        "a new reason": (sample("hard_bounced", "err_moon"), {**BOUNCED, "is_hard": None}),
        "soft bounced": (sample("soft_bounced", "err_will_retry", "451 later"), {**SEEN, "kind": "deferred", "code": 451}),
        "sent": (sample("sent", "ok_sent"), {**SEEN, "kind": "sent"}),
        "delivered": (sample("delivered", "ok_delivered"), {**SEEN, "kind": "delivered"}),
        "opened": (sample("opened", "ok_read"), {**SEEN, "kind": "opened"}),
        "clicked": (sample("clicked", "ok_link_visited", url="https://example.com/"), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "unsubscribed": (sample("unsubscribed", "ok_unsubscribed"), {**SEEN, "kind": "unsubscribed", "reject_reason": "unsubscribed"}),
        "subscribed": (sample("subscribed"), {**SEEN, "kind": "subscribed"}),
        "spam": (sample("spam", "ok_spam_folder"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "a pause of theirs": ({"event_name": "transactional_spam_block", "event_data": {"block_time": "2026-01-02 03:04:05"}}, []),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(event_name="transactional_moon"))

    def body_of(self, items: list[Any]) -> bytes:
        half = len(items) // 2
        users = [{"user_id": 1, "project_id": "p-1", "events": part} for part in (items[:half], items[half:])]
        return json.dumps({"events_by_user": users}).encode()

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        """Its signature is in the body; a body that is no object goes as it is."""
        if body[:1] != b"{" or len(body) < 3:
            return Signed(body)
        return Signed(signed(body[1:], secret))

    def test_the_vector(self) -> None:
        good = b'{"auth":"54f516ebd667b298abfb6a101f974ba3","events_by_user":[]}'
        assert parse("unisendergo", {}, good, "uni-key") == []
        assert parse("unione", {}, good, ["other", "uni-key"]) == []
        for bad in (
            good.replace(b"54f5", b"54F5"), good.replace(b"54f5", b"64f5"), good + b" ", good.replace(b"[]", b"[ ]"),
            good.replace(b'"54f516ebd667b298abfb6a101f974ba3"', b"7"), good.replace(b'"auth"', b'"Auth"'),
            good.replace(b"[]", b'["54f516ebd667b298abfb6a101f974ba3"]'), b'{"auth":"uni-key","events_by_user":[]}', b"[]", b"{", b'{"auth":""}',
        ):  # fmt: skip
            with pytest.raises(AuthError):
                parse("unisendergo", {}, bad, "uni-key")

    def test_why_it_bounced(self) -> None:
        for word, reason, is_hard in (
            ("err_user_unknown", "invalid", True), ("err_user_inactive", "bounced", True), ("err_domain_inactive", "invalid", True), ("err_mailbox_discarded", "bounced", True),
            ("err_unsubscribed", "unsubscribed", False), ("err_spam_rejected", "spam", False), ("err_spam_skipped", "spam", False), ("err_blacklisted", "blocked", False),
            ("err_unreachable", "timed_out", False), ("err_mailbox_full", "bounced", False), ("err_too_large", "bounced", False), ("err_destination_misconfigured", "bounced", False),
            ("err_skip_letter", "other", False), ("err_delivery_failed", "other", False), ("err_lost", "other", False), ("err_moon", "bounced", None), ("", "bounced", None),
        ):  # fmt: skip
            [event] = self.read(self.body_of([sample("hard_bounced", word)]))
            assert (event.reject_reason, event.is_hard) == (reason, is_hard), word
            [event] = self.read(self.body_of([sample("soft_bounced", word)]))
            assert (event.reject_reason, event.is_hard) == (None, None), word

    def test_a_flat_event_says_the_same(self) -> None:
        for item, _ in self.samples.values():
            flat = {**item["event_data"], "event_name": item["event_name"], "user_id": 1}
            [*events] = parse("unione", {}, signed(json.dumps(flat).encode()[1:], "uni-key"), "uni-key")
            wanted = self.read(self.body_of([item]))
            assert [e.to_dict() | {"raw": 0, "provider": 0} for e in events] == [
                e.to_dict() | {"raw": 0, "provider": 0} for e in wanted
            ]
            assert all("auth" not in event.raw for event in events)

    def test_what_is_no_list_is_refused(self) -> None:
        for users in ("7", "{}", '[{"events": 7}]', "[{}]"):
            with pytest.raises(ProtocolError):
                parse("unisendergo", {}, signed(f'"events_by_user": {users}}}'.encode(), "uni-key"), "uni-key")


def signed(rest: bytes, secret: str) -> bytes:
    """An object whose first member is the signature, as the vendor's page says."""
    template = b'{"auth": "%s", ' + rest
    return template.replace(b"%s", hashlib.md5(template.replace(b"%s", secret.encode())).hexdigest().encode())

"""ZeptoMail's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from webhook_checks import MAIL_ID, NOW, Signed, WebhookChecks

from mailer import AuthError
from mailer.webhooks import parse


def address(text: str) -> dict[str, Any]:
    return {"email_address": {"address": text, "name": "A"}}


def sample(event: str, *details: dict[str, Any], to: Any = None, reference: str | None = None) -> dict[str, Any]:
    reference = json.dumps({"order": "17", "mailer_id": MAIL_ID}) if reference is None else reference
    return {
        "event_name": [event],
        "event_message": [
            {
                "email_info": {
                    "to": [address("ada@example.org")] if to is None else to, "from": {"address": "shop@example.com", "name": "Shop"}, "subject": "Invoice 17",
                    "email_reference": "2d6f.1", "client_reference": reference, "is_smtp_trigger": False, "processed_time": "2026-01-02T03:04:00Z",
                },
                "event_data": [{"details": list(details), "object": "email"}], "request_id": "2d6f.4fbe",
            }
        ],
        "mailagent_key": "key", "webhook_request_id": "hook-1",
    }  # fmt: skip


def happened(**more: Any) -> dict[str, Any]:
    return {"time": "2026-01-02T08:34:05+05:30", **more}


SEEN = {
    "provider_id": "2d6f.4fbe",
    "event_id": "hook-1",
    "recipient": "ada@example.org",
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "tags": (),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
    "is_hard": None,
    "reject_reason": None,
}
BOUNCED = {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": True}
BOUNCE = happened(reason="invalid-recipient", diagnostic_message="550 5.1.1 who?", bounced_recipient="ada@example.org")
SINGLE = sample("softbounce")
SINGLE["event_name"], [SINGLE["event_message"]] = "softbounce", SINGLE["event_message"]
SINGLE["event_message"]["event_data"] = {"details": BOUNCE}


class TestZeptoMail(WebhookChecks):
    provider = "zeptomail"
    secret, other_secret = "zepto-authentication-key", "zepto-other-key"
    mail_id_in = "hard bounce"
    samples = {
        "hard bounce": (sample("hardbounce", BOUNCE), {**BOUNCED, "text": "550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"}),
        "hard bounce by a policy": (sample("hardbounce", {**BOUNCE, "diagnostic_message": "550 5.7.1 no"}), {**BOUNCED, "is_hard": False}),
        "hard bounce without a reply": (sample("hardbounce", {"bounced_recipient": "ada@example.org"}), {**BOUNCED, "text": "", "time": None}),
        "spam": (sample("spam"), {**SEEN, "kind": "complained", "reject_reason": "spam", "time": None}),
        "a complaint in another form": (
            {"event_name": "spam", "event_message": {"to": [address("ada@example.org")], "request_id": "2d6f.4fbe"}},
            {**SEEN, "kind": "complained", "reject_reason": "spam", "time": None, "event_id": "", "metadata": {}, "mail_id": None},
        ),
        "soft bounce": (sample("softbounce", {**BOUNCE, "diagnostic_message": ""}), {**BOUNCED, "is_hard": False, "text": "invalid-recipient"}),
        "two bounces": (
            sample("hardbounce", BOUNCE, {**BOUNCE, "bounced_recipient": "bob@example.org"}, to=[address("ada@example.org"), address("bob@example.org")]),
            [BOUNCED, {**BOUNCED, "recipient": "bob@example.org"}],
        ),
        "objects in the place of lists": (SINGLE, {**BOUNCED, "is_hard": False}),
        "delivered": (sample("delivered"), {**SEEN, "kind": "delivered", "time": None}),
        "complaint": (sample("feedback_loop"), {**SEEN, "kind": "complained", "reject_reason": "spam", "time": None}),
        "open": (sample("email_open", happened(user_agent="M")), {**SEEN, "kind": "opened", "user_agent": "M"}),
        "click": (sample("email_link_click", happened(clicked_link="https://example.com/")), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "open by one of two": (sample("email_open", happened(), to=[address("a@example.org"), address("b@example.org")]), {**SEEN, "kind": "opened", "recipient": None}),
        "a reference that is not ours": (sample("email_open", happened(), reference="order-17"), {**SEEN, "kind": "opened", "metadata": {"client_reference": "order-17"}, "mail_id": None}),
        "a reference that is a number": (sample("email_open", happened(), reference="17"), {**SEEN, "kind": "opened", "metadata": {"client_reference": "17"}, "mail_id": None}),
        "no reference": (sample("email_open", happened(), reference=""), {**SEEN, "kind": "opened", "metadata": {}, "mail_id": None}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(event_name=["moon"]))

    def test_our_mail_id_is_found_and_is_no_metadata(self) -> None:
        """It stands in JSON within JSON."""
        [event] = self.read(self.body_of([self.first]))
        assert (event.mail_id, event.metadata) == (MAIL_ID, {"order": "17"})
        for bad in ("", "a b", "x" * 81, 7, None):
            [event] = self.read(self.body_of([sample("email_open", reference=json.dumps({"mailer_id": bad}))]))
            assert event.mail_id is None

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        return Signed(body, {"Producer-Signature": signature(body, secret, now)})

    def test_a_form_of_one_field_is_signed_over_its_value(self) -> None:
        body = self.body_of([self.first])
        wanted = self.read(body)
        headers = {"producer-signature": signature(body, self.secret, NOW)}
        for name in ("data", "eventData"):
            assert parse("zeptomail", headers, urlencode({name: body}), self.secret, now=NOW) == wanted
        for wrong in (
            urlencode({"data": body + b" "}),
            urlencode({"data": body, "x": "y"}),
            b"data",
            b"%ff=1",
            b"=" + body,
        ):
            with pytest.raises(AuthError):
                parse("zeptomail", headers, wrong, self.secret, now=NOW)

    def test_forms_of_the_signature(self) -> None:
        body = self.body_of([self.first])
        good = signature(body, self.secret, NOW)
        digest = mac(body, self.secret)
        stamp = f"ts={NOW.timestamp() * 1000:.0f}"
        for header in (
            good,
            quote(good),
            f"{stamp};s={digest};s-algorithm=HmacSHA256",
            f" s-algorithm=x ; s={digest} ; {stamp}",
        ):
            assert parse("zeptomail", {"producer-signature": header}, body, self.secret, now=NOW), header
        for header in (
            f"s={digest}", f"ts=;s={digest}", f"ts=soon;s={digest}", f"ts=-1;s={digest}", f"ts={'9' * 40};s={digest}", f"{stamp};s=", f"{stamp};s=*é*", stamp, ";", f"{good},{good}",
            f"{stamp};s={hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()}", f"{stamp};s={mac(body, self.secret, hashlib.sha1)};s-algorithm=HmacSHA1",
            f"ts={NOW.timestamp():.0f};s={digest}",
        ):  # fmt: skip
            with pytest.raises(AuthError):
                parse("zeptomail", {"producer-signature": header}, body, self.secret, now=NOW)

    def test_a_secret_that_is_shown_will_do_where_nothing_is_signed(self) -> None:
        body = self.body_of([self.first])
        assert parse("zeptomail", {"X-Webhook-Secret": self.secret}, body, self.secret, now=NOW)
        for headers in (
            {"X-Webhook-Secret": "other"},
            {"X-Webhook-Secret": self.secret, "Producer-Signature": "ts=1;s=AAAA"},
        ):
            with pytest.raises(AuthError):
                parse("zeptomail", headers, body, self.secret, now=NOW)


def mac(body: bytes, secret: str, by: Any = hashlib.sha256) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, by).digest()).decode()


def signature(body: bytes, secret: str, now: datetime) -> str:
    return f"ts={now.timestamp() * 1000:.0f};s={quote(mac(body, secret), safe='')};s-algorithm=HmacSHA256"

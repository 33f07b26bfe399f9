"""Mandrill's webhook: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from webhook_checks import MAIL_ID, NOW, Signed, WebhookChecks, at

from mailer import AuthError, ConfigError
from mailer.webhooks import parse

URL = "https://hooks.example.com/mandrill?x=1"


def sample(event: str, *, more: dict[str, Any] | None = None, **msg: Any) -> dict[str, Any]:
    return {
        "event": event,
        "_id": "abc",
        "ts": 1767323100,
        "msg": {
            "_id": "abc", "ts": 1767323000, "email": "ada@example.org", "sender": "shop@example.com", "subject": "Invoice 17",
            "tags": ["invoice", "eu"], "metadata": {"order": "17", "mailer_id": MAIL_ID}, "state": "sent", **msg,
        },
        **(more or {}),
    }  # fmt: skip


SEEN = {
    "provider_id": "abc",
    "recipient": "ada@example.org",
    "time": at(1767323100),
    "tags": ("invoice", "eu"),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
}


class TestMandrill(WebhookChecks):
    provider = "mandrill"
    secret, other_secret = "mandrill-key", "mandrill-other-key"
    has_window = False
    is_list = True
    mail_id_in = "send"
    samples = {
        "send": (sample("send"), {**SEEN, "kind": "sent", "reject_reason": None, "is_hard": None}),
        "deferral": (
            sample("deferral", smtp_events=[{"diag": "450 busy", "type": "deferred"}, {"diag": "451 4.3.5 Temporarily unavailable, try again later."}]),
            {**SEEN, "kind": "deferred", "code": 451, "enhanced_code": "4.3.5"},
        ),
        "hard bounce": (
            sample("hard_bounce", bounce_description="bad_mailbox", diag="smtp;550 5.1.1 The email account that you tried to reach does not exist."),
            {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": True, "code": 550, "enhanced_code": "5.1.1"},
        ),
        "soft bounce": (
            sample("soft_bounce", bounce_description="mailbox_full", diag="smtp;552 5.2.2 Over Quota"),
            {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": False, "enhanced_code": "5.2.2"},
        ),
        "soft bounce without a reply": (sample("soft_bounce", bounce_description="mailbox_full"), {**SEEN, "kind": "bounced", "text": "mailbox_full"}),
        "delivered": (sample("delivered", smtp_events=[{"diag": "250 OK"}]), {**SEEN, "kind": "delivered", "code": 250}),
        "reject": (sample("reject", reject={"reason": "unsub"}), {**SEEN, "kind": "rejected", "reject_reason": "unsubscribed", "text": "unsub"}),
        "reject for no reason": (sample("reject", reject=None), {**SEEN, "kind": "rejected", "reject_reason": "other"}),
        "open": (sample("open", more={"user_agent": "M", "ip": "192.0.2.1"}), {**SEEN, "kind": "opened", "user_agent": "M"}),
        "click": (sample("click", more={"url": "https://example.com/?a=b&c", "user_agent": "M"}), {**SEEN, "kind": "clicked", "url": "https://example.com/?a=b&c"}),
        "spam": (sample("spam"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "unsub": (sample("unsub"), {**SEEN, "kind": "unsubscribed", "reject_reason": "unsubscribed"}),
        "no metadata": (sample("send", metadata=[]), {**SEEN, "kind": "sent", "metadata": {}, "mail_id": None}),
        "a list of its own changes": (
            {"type": "blacklist", "action": "add", "reject": {"reason": "hard-bounce", "email": "ada@example.org"}, "ts": 1767323100},
            {"kind": "unknown", "provider_id": "", "recipient": "ada@example.org", "time": at(1767323100), "reject_reason": None, "is_hard": None},
        ),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(event="inbound"))

    def body_of(self, items: list[Any]) -> bytes:
        return urlencode({"mandrill_events": json.dumps(items)}).encode()

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        """As the vendor does, of the fields before they are encoded; a body that is no form of one field goes as it is."""
        signed = URL.encode()
        if body.startswith(b"mandrill_events="):
            from urllib.parse import unquote_plus

            signed += b"mandrill_events" + unquote_plus(body.partition(b"=")[2].decode()).encode()
        return Signed(body, {"X-Mandrill-Signature": signature_of(secret, signed)}, {"url": URL})

    def test_the_vector(self) -> None:
        body = "mandrill_events=" + quote_plus('[{"event":"send","_id":"abc"}]')
        headers = {"x-mandrill-signature": "nJ5Q5zDf9/R5QDO5Eu9QnMoVZIM="}
        [event] = parse("mandrill", headers, body, "mandrill-key", url=URL)
        assert (event.kind, event.provider_id) == ("sent", "abc")
        for url in (URL.replace("https", "http"), URL + "&", URL.partition("?")[0]):
            with pytest.raises(AuthError, match="signature is wrong"):
                parse("mandrill", headers, body, "mandrill-key", url=url)

    def test_fields_are_signed_in_the_order_of_their_names(self) -> None:
        body = "z=%C3%A9&mandrill_events=%5B%5D&a=+1"
        signed = f"{URL}a 1mandrill_events[]zé".encode()
        assert parse("mandrill", {"x-mandrill-signature": signature_of("k-1", signed)}, body, "k-1", url=URL) == []

    def test_without_its_url_nothing_can_be_checked(self) -> None:
        with pytest.raises(ConfigError, match="give url="):
            parse("mandrill", {}, b"mandrill_events=[]", self.secret, now=NOW)


def signature_of(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha1).digest()).decode()

"""Scaleway's webhook by Topics and Events: what is its own. The rest stands in ``webhook_checks``, or in SES's test."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from test_ses_webhook import PEM, certificate, envelope, signed
from webhook_checks import NOW, Signed, WebhookChecks

from mailer import AuthError, ConfigError
from mailer.webhooks import certificate_url, parse, webhook_of
from mailer.webhooks.call import Call

URL = "https://messaging.s3.fr-par.scw.cloud/fr-par/sns/sns-cert-0123.pem"
TOPIC = "arn:scw:sns:fr-par:project-8c8bfa06:mail-events"
CONFIRM = "https://sns.mnq.fr-par.scaleway.com/?Action=ConfirmSubscription&Token=2336"


def sample(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "evt-1", "type": kind, "organization_id": "o", "project_id": "p", "domain_id": "d", "domain_name": "example.com", "created_at": "2026-01-02T03:04:05Z",
        "email_id": "d4fbec9d-eed9-44d5-af47-c1126467a5ca", "email_from": "shop@example.com", "email_to": "ada@example.org",
        "email_headers": [{"key": "Message-Id", "value": "<1@example.com>"}], "email_queued_at": "2026-01-02T03:04:00Z", **more,
    }  # fmt: skip


def reply(code: int, text: str) -> dict[str, Any]:
    return {"email_response_code": code, "email_response_message": text, "email_try_count": 1}


SEEN = {
    "provider_id": "d4fbec9d-eed9-44d5-af47-c1126467a5ca",
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


class TestScaleway(WebhookChecks):
    provider = "scaleway"
    secret, other_secret = TOPIC, TOPIC + "-2"
    window_s = 3600.0
    covers_body = False  # it covers fields, see SES's test
    mail_id_in = None
    samples = {
        "dropped": (
            sample("email_dropped", **reply(550, "5.1.1 who?")),
            {**BOUNCED, "is_hard": True, "text": "5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "dropped by a policy": (sample("email_dropped", **reply(550, "5.7.1 no")), {**BOUNCED, "is_hard": False}),
        "dropped with a code alone": (sample("email_dropped", **reply(550, "")), {**BOUNCED, "is_hard": True}),
        "tried for too long": (sample("email_dropped", **reply(451, "later")), {**BOUNCED, "is_hard": False}),
        "as it was told before": (sample("email_dropped", email_error="550 5.1.1 who?"), {**BOUNCED, "is_hard": True, "code": 550}),
        "dropped without a word": (sample("email_dropped"), BOUNCED),
        "no mailbox": (sample("email_mailbox_not_found", **reply(550, "")), {**BOUNCED, "reject_reason": "invalid", "is_hard": True}),
        "queued": (sample("email_queued"), {**SEEN, "kind": "queued"}),
        "delivered": (sample("email_delivered", **reply(250, "2.0.0 OK")), {**SEEN, "kind": "delivered", "code": 250}),
        "deferred": (sample("email_deferred", email_next_try="2026-01-02T04:04:05Z", **reply(451, "4.7.1 later")), {**SEEN, "kind": "deferred", "code": 451, "enhanced_code": "4.7.1"}),
        "spam": (sample("email_spam"), {**SEEN, "kind": "rejected", "reject_reason": "spam"}),
        "blocklisted": (sample("email_blocklisted"), {**SEEN, "kind": "rejected", "reject_reason": "blocked"}),
        "of no mail": ({"id": "evt-1", "type": "blocklist_created", "created_at": "2026-01-02T03:04:05Z"}, {**SEEN, "kind": "unknown", "provider_id": "", "recipient": None}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(type="email_moon"))

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        """What cannot be a message of it goes as it is."""
        more = {"certificates": {URL: PEM}}
        try:
            data = envelope(body.decode(), now=now, topic=secret, SigningCertURL=URL)
        except UnicodeDecodeError:
            return Signed(body, {}, more)
        return Signed(b"{}" if body == b"{}" else signed(data), {"Content-Type": "text/plain"}, more)

    def test_who_shows_nothing_is_refused(self) -> None:
        """The headers hold nothing; the envelope does."""
        for body in (b"{}", b"", json.dumps(envelope(self.first, topic=TOPIC, SigningCertURL=URL)).encode()):
            self.expect_refusal(Signed(body, {}, {"certificates": {URL: PEM}}))

    def test_only_their_own_bucket_holds_certificates(self) -> None:
        def of(url: str) -> str | None:
            return certificate_url("scaleway", {}, json.dumps({"SigningCertURL": url}))

        assert of(URL) == URL
        for url in (
            URL.replace("https", "http"), URL.replace("messaging.", "attacker."), URL.replace("fr-par.scw", "nl-ams.scw"), URL.replace(".cloud/", ".cloud.evil.com/"),
            URL.replace(".cloud/", ".cloud:8443/"), URL.replace("//", "//x@"), URL.replace("messaging.s3", "messagingxs3"), URL.replace(".pem", ".crt"), URL + "?x=1",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem",
        ):  # fmt: skip
            assert of(url) is None, url
            call = signed(envelope(self.first, topic=TOPIC, SigningCertURL=url))
            assert "host of theirs" in self.expect_refusal(Signed(call, {}, {"certificates": {url: PEM}}))

    def test_the_certificate_is_needed_and_has_to_be_valid(self) -> None:
        call = self.sign(self.body_of([self.first]), TOPIC, NOW)
        with pytest.raises(ConfigError, match="fetch the one that certificate_url names"):
            parse("scaleway", {}, call.body, TOPIC, now=NOW)
        for pem in (certificate(days=-1), b"x"):
            with pytest.raises(AuthError):
                parse("scaleway", {}, call.body, TOPIC, now=NOW, certificates={URL: pem})
        with pytest.raises(ConfigError, match="arn:scw:sns:"):
            parse("scaleway", {}, call.body, "secret", now=NOW, certificates={URL: PEM})

    def test_a_subscription_is_confirmed_at_their_host_alone(self) -> None:
        def call(url: str) -> Call:
            data = envelope(
                "You have chosen", kind="SubscriptionConfirmation", topic=TOPIC, SigningCertURL=URL, SubscribeURL=url
            )
            return Call.of({}, signed(data))

        [event] = parse("scaleway", {}, call(CONFIRM).body, TOPIC, now=NOW, certificates={URL: PEM})
        assert (event.kind, event.raw["SubscribeURL"]) == ("unknown", CONFIRM)
        webhook = webhook_of("scaleway")
        assert webhook.confirmation_url(call(CONFIRM)) == CONFIRM
        for url in (
            CONFIRM.replace("https", "http"),
            CONFIRM.replace("scaleway.com", "scaleway.com.evil.com"),
            CONFIRM.replace("fr-par", "x.y"),
            URL,
        ):
            assert webhook.confirmation_url(call(url)) is None

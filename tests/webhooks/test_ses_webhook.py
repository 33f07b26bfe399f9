"""SES's webhook by SNS: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from webhook_checks import MAIL_ID, NOW, Signed, WebhookChecks

from mailer import AuthError, ConfigError
from mailer.webhooks import certificate_url, parse
from mailer.webhooks.payload import Payload
from mailer.webhooks.sns import AMAZON

URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail-events"
KEY = rsa.generate_private_key(65537, 1024)  # weak, and fast


def certificate(key: Any = KEY, *, days: int = 365) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), NOW - timedelta(days=9), NOW + timedelta(days=days)
    )
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


PEM = certificate()


def envelope(
    message: Any, *, kind: str = "Notification", now: datetime = NOW, topic: str = TOPIC, **more: Any
) -> dict[str, Any]:
    confirmation = {
        "Token": "2336",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336",
    }
    return {
        "Type": kind, "MessageId": "sns-1", "TopicArn": topic, "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "SignatureVersion": "2", "SigningCertURL": URL,
        **({} if kind == "Notification" else confirmation), **more,
    }  # fmt: skip


def signed(data: dict[str, Any], key: rsa.RSAPrivateKey = KEY) -> bytes:
    """As https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html says."""
    if data["Type"] == "Notification":
        names = ["Message", "MessageId", *(["Subject"] if "Subject" in data else []), "Timestamp", "TopicArn", "Type"]
    else:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "\n".join(part for name in names for part in (name, data[name])) + "\n"
    algorithm = hashes.SHA1() if data["SignatureVersion"] == "1" else hashes.SHA256()
    return json.dumps(
        {**data, "Signature": base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()}
    ).encode()


def sample(
    kind: str,
    block: str = "",
    content: dict[str, Any] | None = None,
    *,
    to: tuple[str, ...] = ("ada@example.org",),
    key: str = "eventType",
) -> dict[str, Any]:
    return {
        key: kind,
        "mail": {
            "timestamp": "2026-01-02T03:04:00.000Z", "messageId": "0102018-000000", "source": "shop@example.com", "destination": list(to),
            "headers": [], "commonHeaders": {"subject": "Invoice 17"},
            "tags": {"ses:configuration-set": ["events"], "tag": ["invoice"], "order": ["17"], "mailer_id": [MAIL_ID]},
        },
        **({block: content} if block else {}),
    }  # fmt: skip


WHEN = "2026-01-02T03:04:05.000Z"
SEEN = {
    "provider_id": "0102018-000000",
    "event_id": "sns-1",
    "recipient": "ada@example.org",
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "tags": ("invoice",),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
}
EARLIER = {**SEEN, "time": datetime(2026, 1, 2, 3, 4, tzinfo=UTC)}
BOUNCE = {
    "bounceType": "Permanent", "bounceSubType": "NoEmail", "timestamp": WHEN, "feedbackId": "f", "reportingMTA": "dns; x",
    "bouncedRecipients": [{"emailAddress": "ada@example.org", "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 who?"}],
}  # fmt: skip


class TestSes(WebhookChecks):
    provider = "ses"
    secret, other_secret = TOPIC, TOPIC + "-2"
    window_s = 3600.0
    covers_body = False  # it covers fields, see below
    mail_id_in = "bounce"
    samples = {
        "bounce": (
            sample("Bounce", "bounce", BOUNCE),
            {**SEEN, "kind": "bounced", "reject_reason": "invalid", "is_hard": True, "text": "smtp; 550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "bounce of two": (
            sample("Bounce", "bounce", {**BOUNCE, "bounceType": "Transient", "bounceSubType": "MailboxFull", "bouncedRecipients": [
                {"emailAddress": "Ada <ada@example.org>", "status": "5.2.2"}, {"emailAddress": "bob@example.org"}]}),
            [
                {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": False, "text": "MailboxFull", "enhanced_code": "5.2.2"},
                {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": False, "recipient": "bob@example.org", "enhanced_code": None},
            ],
        ),
        "bounce of an identity": (
            sample("Bounce", "bounce", {**BOUNCE, "bounceType": "Undetermined", "bounceSubType": "Undetermined"}, key="notificationType"),
            {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": None},
        ),
        "complaint": (
            sample("Complaint", "complaint", {"complainedRecipients": [{"emailAddress": "ada@example.org"}], "complaintFeedbackType": "abuse", "timestamp": WHEN, "userAgent": "Feedback/1"}),
            {**SEEN, "kind": "complained", "reject_reason": "spam", "is_hard": None, "user_agent": ""},
        ),
        "complaint taken back": (
            sample("Complaint", "complaint", {"complainedRecipients": [{"emailAddress": "ada@example.org"}], "complaintFeedbackType": "not-spam", "timestamp": WHEN}),
            {**SEEN, "kind": "unknown", "reject_reason": None},
        ),
        "delivery": (
            sample("Delivery", "delivery", {"recipients": ["ada@example.org", "bob@example.org"], "smtpResponse": "250 2.6.0 OK", "timestamp": WHEN}),
            [{**SEEN, "kind": "delivered", "code": 250, "enhanced_code": "2.6.0", "reject_reason": None}, {**SEEN, "kind": "delivered", "recipient": "bob@example.org"}],
        ),
        "send": (
            sample("Send", "send", {}, to=("ada@example.org", "Bob <bob@example.org>")),
            [{**EARLIER, "kind": "sent"}, {**EARLIER, "kind": "sent", "recipient": "bob@example.org"}],
        ),
        "reject": (sample("Reject", "reject", {"reason": "Bad content"}), {**EARLIER, "kind": "rejected", "reject_reason": "blocked", "text": "Bad content"}),
        "rendering failure": (sample("Rendering Failure", "failure", {"templateName": "t", "errorMessage": "no name"}), {**EARLIER, "kind": "failed", "text": "no name"}),
        "delay": (
            sample("DeliveryDelay", "deliveryDelay", {"timestamp": WHEN, "delayType": "TransientCommunicationFailure", "delayedRecipients": [
                {"emailAddress": "ada@example.org", "status": "4.4.1", "diagnosticCode": "smtp; 421 4.4.1 Unable to connect"}]}),
            {**SEEN, "kind": "deferred", "code": 421, "enhanced_code": "4.4.1", "reject_reason": None},
        ),
        "open": (sample("Open", "open", {"ipAddress": "192.0.2.1", "userAgent": "M", "timestamp": WHEN}), {**SEEN, "kind": "opened", "user_agent": "M"}),
        "open by one of two": (
            sample("Open", "open", {"userAgent": "M", "timestamp": WHEN}, to=("ada@example.org", "bob@example.org")),
            {**SEEN, "kind": "opened", "recipient": None},
        ),
        "click": (
            sample("Click", "click", {"link": "https://example.com/", "linkTags": None, "userAgent": "M", "timestamp": WHEN}),
            {**SEEN, "kind": "clicked", "url": "https://example.com/", "user_agent": "M"},
        ),
        "subscription": (sample("Subscription", "subscription", {"contactList": "c", "timestamp": WHEN}), {**SEEN, "kind": "unsubscribed"}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(eventType="Reputation"))

    def body_of(self, items: list[Any]) -> bytes:
        return json.dumps(items[0]).encode()

    def sign(self, body: bytes, secret: str, now: datetime) -> Signed:
        text = body.decode("utf-8", "replace")
        return Signed(signed(envelope(text, now=now, topic=secret)), {}, {"certificates": {URL: PEM}})

    def of(self, data: dict[str, Any], key: rsa.RSAPrivateKey = KEY, **more: Any) -> Any:
        return parse("ses", {}, signed(data, key), TOPIC, **{"now": NOW, "certificates": {URL: PEM}, **more})

    def test_both_versions_of_signatures_and_a_subject(self) -> None:
        for version in ("1", "2"):
            for more in ({}, {"Subject": "Amazon SES Email Event Notification"}):
                assert self.of(envelope(sample("Send"), SignatureVersion=version, **more))[0].kind == "sent"
        as_it_is = json.loads(signed(envelope(sample("Send"))))
        for version in ("1", "3", "", None):
            with pytest.raises(AuthError):
                parse(
                    "ses",
                    {},
                    json.dumps({**as_it_is, "SignatureVersion": version}),
                    TOPIC,
                    now=NOW,
                    certificates={URL: PEM},
                )

    def test_each_field_that_is_signed_is_covered(self) -> None:
        for kind in ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"):
            good = json.loads(
                signed(envelope(sample("Send"), kind=kind, **({"Subject": "s"} if kind == "Notification" else {})))
            )
            covered = set(good) - {"SignatureVersion", "Signature", "SigningCertURL"}
            assert len(covered) == (6 if kind == "Notification" else 7)
            for name in covered:
                for value in (good[name] + "x", None, 7, [good[name]]):
                    with pytest.raises(AuthError):
                        parse("ses", {}, json.dumps({**good, name: value}), TOPIC, now=NOW, certificates={URL: PEM})
        with pytest.raises(AuthError):  # what follows a line end must not become a field of its own
            parse(
                "ses",
                {},
                json.dumps({**good, "Subject": "x"} | {"Message": good["Message"] + "\nMessageId"}),
                TOPIC,
                now=NOW,
                certificates={URL: PEM},
            )

    def test_a_confirmation_is_told_and_not_followed(self) -> None:
        [event] = self.of(envelope("You have chosen to subscribe", kind="SubscriptionConfirmation"))
        assert event.kind == "unknown"
        assert event.raw["SubscribeURL"].startswith("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription")
        assert AMAZON.subscribe_url(Payload(dict(event.raw))) == event.raw["SubscribeURL"]
        assert AMAZON.subscribe_url(Payload({**event.raw, "SubscribeURL": "https://sns.evil.com/"})) is None
        assert AMAZON.subscribe_url(Payload({**event.raw, "Type": "UnsubscribeConfirmation"})) is None
        [event] = self.of(envelope("Successfully validated SNS topic for Amazon SES event publishing."))
        assert (event.kind, event.raw["MessageId"]) == ("unknown", "sns-1")

    def test_the_certificate_is_amazons_or_none(self) -> None:
        good = json.loads(signed(envelope(sample("Send"))))
        assert certificate_url("ses", {}, json.dumps(good)) == URL
        assert (
            certificate_url("ses", {}, json.dumps({**good, "SigningCertURL": URL.replace(".com", ".com.cn")}))
            is not None
        )
        for url in (
            "", None, 7, "x", URL.replace("https", "http"), URL + "?x=.pem", URL + "#.pem", URL[:-4], URL.replace(".com/", ".com.evil.com/"),
            URL.replace("//", "//evil.com@"), URL.replace(".com/", ".com:443/"), URL.replace(".com/", ".com@evil.com/"), "https://sns.eu.evil.com/x.pem",
            "https://s3.amazonaws.com/sns.eu-west-1.amazonaws.com/x.pem", "https://sns.a.b.amazonaws.com/x.pem", "https://evil-sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com\\@evil.com/x.pem", "https://sns.eu-west-1.amazonaws.com.evil/x.pem", "https://[sns/x.pem", URL + "\n", " " + URL,
            "https://sns.eu-wést-1.amazonaws.com/x.pem", "https://evil.com/#" + URL, "//sns.eu-west-1.amazonaws.com/x.pem",
        ):  # fmt: skip
            body = json.dumps({**good, "SigningCertURL": url})
            assert certificate_url("ses", {}, body) is None, url
            with pytest.raises(AuthError, match="host of theirs"):
                parse("ses", {}, body, TOPIC, now=NOW, certificates={str(url): PEM})
        assert certificate_url("ses", {}, b"[") is certificate_url("postmark", {}, b"{}") is None

    def test_the_certificate_has_to_be_given_and_good(self) -> None:
        data = envelope(sample("Send"))
        with pytest.raises(ConfigError, match="certificates="):
            self.of(data, certificates={})
        other = rsa.generate_private_key(65537, 1024)
        for pem in (
            b"",
            b"x",
            PEM[:-40],
            certificate(other),
            certificate(ec.generate_private_key(ec.SECP256R1())),
            certificate(days=-1),
        ):
            with pytest.raises(AuthError):
                self.of(data, certificates={URL: pem})

    def test_raw_delivery_is_not_believed(self) -> None:
        for body in (json.dumps(sample("Send")), b"[]", b"7", b"{}", b"\xff", json.dumps(envelope(sample("Send")))):
            with pytest.raises(AuthError, match="no signature"):
                parse("ses", {}, body, TOPIC, now=NOW)

    def test_a_secret_that_is_no_topic_is_a_configuration_error(self) -> None:
        with pytest.raises(ConfigError, match="ARN of the topic"):
            parse("ses", {}, signed(envelope(sample("Send"))), "secret", now=NOW, certificates={URL: PEM})

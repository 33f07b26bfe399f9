"""Azure's webhook by Event Grid: what is its own. The rest stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from webhook_checks import BasicAuth

from mailer import Mailer
from mailer.webhooks import WsgiWebhooks, webhook_of
from mailer.webhooks.call import Call


def sample(told: str, **data: Any) -> dict[str, Any]:
    return {
        "id": "evt-1", "topic": "/subscriptions/1/resourceGroups/2", "subject": "sender/shop@example.com/message/9b5d4c8e", "eventType": f"Microsoft.Communication.{told}",
        "eventTime": "2026-01-02T03:04:06.1234567Z", "dataVersion": "1.0", "metadataVersion": "1",
        "data": {"sender": "shop@example.com", "recipient": "ada@example.org", "messageId": "9b5d4c8e-0000-4000-8000-000000000000", **data},
    }  # fmt: skip


def report(status: str, text: str = "") -> dict[str, Any]:
    details = {"statusMessage": text, "recipientMailServerHostName": "mx.example.org"}
    return sample(
        "EmailDeliveryReportReceived",
        status=status,
        deliveryStatusDetails=details,
        deliveryAttemptTimeStamp="2026-01-02T03:04:05.1234567+00:00",
    )


def engaged(kind: str, **data: Any) -> dict[str, Any]:
    return sample("EmailEngagementTrackingReportReceived", engagementType=kind, userAgent="M", **data)


SEEN = {
    "provider_id": "9b5d4c8e-0000-4000-8000-000000000000",
    "event_id": "evt-1",
    "recipient": "ada@example.org",
    "time": datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC),
    "tags": (),
    "metadata": {},
    "mail_id": None,
    "is_hard": None,
    "reject_reason": None,
}
LATER = {**SEEN, "time": datetime(2026, 1, 2, 3, 4, 6, 123456, tzinfo=UTC)}
BOUNCED = {**SEEN, "kind": "bounced", "reject_reason": "bounced", "is_hard": True}
CLOUD = report("Delivered")
CLOUD = {
    "id": "evt-1",
    "source": "/x",
    "type": CLOUD["eventType"],
    "time": CLOUD["eventTime"],
    "specversion": "1.0",
    "data": CLOUD["data"],
}
VALIDATION = {
    "id": "v-1", "topic": "/subscriptions/1", "subject": "", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "eventTime": "2026-01-02T03:04:06Z",
    "data": {"validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6", "validationUrl": "https://rp-westeurope.eventgrid.azure.net/x?id=1&t=2"}, "dataVersion": "1", "metadataVersion": "1",
}  # fmt: skip


class TestAzure(BasicAuth):
    provider = "azure"
    is_list = True
    mail_id_in = None
    samples = {
        "bounced": (report("Bounced", "smtp;550 5.1.1 who?"), {**BOUNCED, "text": "smtp;550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"}),
        "bounced by a policy": (report("Bounced", "550 5.7.1 no"), {**BOUNCED, "is_hard": False}),
        "bounced without a word": (report("Bounced"), {**BOUNCED, "text": ""}),
        "delivered": (report("Delivered", "250 OK"), {**SEEN, "kind": "delivered"}),
        "expanded": (report("Expanded"), {**SEEN, "kind": "sent"}),
        "suppressed": (report("Suppressed"), {**SEEN, "kind": "rejected", "reject_reason": "bounced"}),
        "quarantined": (report("Quarantined"), {**SEEN, "kind": "rejected", "reject_reason": "spam"}),
        "taken for spam": (report("FilteredSpam"), {**SEEN, "kind": "rejected", "reject_reason": "spam"}),
        "failed": (report("Failed", "an error"), {**SEEN, "kind": "failed", "reject_reason": "other", "text": "an error"}),
        "viewed": (engaged("view", userActionTimeStamp="2026-01-02T03:04:05.1234567Z"), {**SEEN, "kind": "opened", "user_agent": "M", "url": ""}),
        "clicked": (engaged("Click", engagementContext="https://example.com/"), {**LATER, "kind": "clicked", "url": "https://example.com/"}),
        "clicked, by its other key": (sample("EmailEngagementTrackingReportReceived", engagement="click"), {**LATER, "kind": "clicked"}),
        "by somebody": (engaged("view", recipient=None), {**LATER, "kind": "opened", "recipient": None}),
        "as an event of CloudEvents": (CLOUD, {**SEEN, "kind": "delivered"}),
        "a status of another event": (sample("SMSDeliveryReportReceived", status="Delivered"), {**LATER, "kind": "unknown"}),
        "the question whether to tell": (VALIDATION, {"kind": "unknown", "event_id": "v-1", "provider_id": "", "recipient": None}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item["data"].update(status="Moon"))

    def test_the_question_is_answered_with_its_code_and_nothing_is_fetched(self) -> None:
        webhook = webhook_of("azure")
        body = self.body_of([VALIDATION])
        wanted = {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}
        assert webhook.reply(Call.of({}, body)) == wanted
        assert webhook.confirmation_url(Call.of({}, body)) is None
        for other in (
            [],
            [report("Delivered")],
            [7],
            [{**VALIDATION, "data": {}}],
            [{**VALIDATION, "data": {"validationCode": 7.5}}],
        ):
            assert webhook.reply(Call.of({}, self.body_of(other))) is None

    def test_events_of_cloudevents_are_asked_for_by_options(self) -> None:
        from test_app import ask_wsgi

        asks = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}
        with Mailer("null:") as mailer:
            app = WsgiWebhooks(
                mailer, {"azure": "long-secret", "postmark": "long-secret"}, base_url="https://x.example/"
            )
            status, fields, content = ask_wsgi(app, "OPTIONS", "/azure?secret=long-secret", asks, b"")
            assert (status, content, fields["allow"]) == (200, b"", "POST")
            assert (fields["webhook-allowed-origin"], fields["webhook-allowed-rate"]) == ("eventgrid.azure.net", "*")
            for path, headers, wanted in (
                ("/azure", asks, 401),
                ("/azure?secret=other", asks, 401),
                ("/azure?secret=long-secret", {}, 405),
                ("/azure?secret=long-secret", {"WebHook-Request-Origin": "a, b"}, 405),
                ("/postmark?secret=long-secret", asks, 405),
                ("/nobody?secret=long-secret", asks, 404),
            ):
                status, fields, _ = ask_wsgi(app, "OPTIONS", path, headers, b"")
                assert (status, "webhook-allowed-origin" in fields) == (wanted, False), (path, headers)

    def test_only_who_knows_the_secret_is_answered(self) -> None:
        from test_app import ask_wsgi

        with Mailer("null:") as mailer:
            app = WsgiWebhooks(mailer, {"azure": "long-secret"}, confirm_subscriptions=True)
            body, headers = self.body_of([VALIDATION]), {"Content-Type": "application/json"}
            assert ask_wsgi(app, "POST", "/azure", headers, body)[0] == 401
            status, fields, content = ask_wsgi(app, "POST", "/azure?secret=long-secret", headers, body)
            assert (status, fields["content-type"]) == (200, "application/json")
            assert content == b'{"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}'
            assert (
                ask_wsgi(app, "POST", "/azure?secret=long-secret", headers, self.body_of([report("Delivered")]))[2]
                == b""
            )

"""Netcore's webhook. What holds for every provider stands in ``webhook_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from typing import Any

from webhook_checks import MAIL_ID, BasicAuth, at

from mailer.webhooks import parse


def sample(event: str, **more: Any) -> dict[str, Any]:
    return {
        "TRANSID": 15860000012345678, "RCPTID": 1, "EMAIL": "ada@example.org", "EVENT": event, "RESPONSE": "", "TIMESTAMP": 1767323045, "CLIENTID": 7,
        "FROMADDRESS": "shop@example.com", "TAGS": "invoice", "X-APIHEADER": json.dumps({"order": "17", "mailer_id": MAIL_ID}), "MSIZE": 100, **more,
    }  # fmt: skip


SEEN = {
    "provider_id": "15860000012345678",
    "recipient": "ada@example.org",
    "time": at(1767323045),
    "tags": ("invoice",),
    "metadata": {"order": "17"},
    "mail_id": MAIL_ID,
    "is_hard": None,
    "reject_reason": None,
}
BOUNCED = {**SEEN, "kind": "bounced", "reject_reason": "bounced"}


class TestNetcore(BasicAuth):
    provider = "netcore"
    is_list = True
    mail_id_in = "sent"
    samples = {
        "hard bounce": (
            sample("bounced", BOUNCE_TYPE="HARDBOUNCE", BOUNCE_REASON="bad mailbox", RESPONSE="smtp;550 5.1.1 who?"),
            {**BOUNCED, "is_hard": True, "text": "smtp;550 5.1.1 who?", "code": 550, "enhanced_code": "5.1.1"},
        ),
        "soft bounce": (sample("bounced", BOUNCE_TYPE="SOFTBOUNCE", BOUNCE_REASON="full"), {**BOUNCED, "is_hard": False, "text": "full"}),
        "bounce": (sample("bounced"), BOUNCED),
        "bounce without its type": (sample("bounced", RESPONSE="550 5.1.1 who?"), {**BOUNCED, "is_hard": True}),
        "delivered": (sample("delivered", TRANSID="14652378013752608"), {**SEEN, "kind": "delivered", "provider_id": "14652378013752608"}),
        "invalid": (sample("invalid"), {**BOUNCED, "reject_reason": "invalid", "is_hard": True}),
        "sent": (sample("sent", RESPONSE="250 OK"), {**SEEN, "kind": "delivered", "code": 250}),
        "dropped": (sample("dropped", BOUNCE_TYPE="HARDBOUNCE"), {**SEEN, "kind": "rejected", "reject_reason": "other"}),
        "spam": (sample("spam"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "abuse": (sample("ABUSE"), {**SEEN, "kind": "complained", "reject_reason": "spam"}),
        "unsubscribed": (sample("unsubscribed"), {**SEEN, "kind": "unsubscribed", "reject_reason": "unsubscribed"}),
        "opened": (sample("opened", USERAGENT="M", IPADDRESS="192.0.2.1"), {**SEEN, "kind": "opened", "user_agent": "M"}),
        "clicked": (sample("clicked", URL="https://example.com/"), {**SEEN, "kind": "clicked", "url": "https://example.com/"}),
        "several tags": (sample("sent", TAGS=["invoice", "eu"], **{"X-APIHEADER": ""}), {**SEEN, "kind": "delivered", "tags": ("invoice", "eu"), "metadata": {}, "mail_id": None}),
    }  # fmt: skip

    unheard_of = staticmethod(lambda item: item.update(EVENT="forwarded"))

    def test_the_name_that_it_had(self) -> None:
        [event] = parse("pepipost", {"X-Webhook-Secret": "s-1"}, self.body_of([sample("sent")]), "s-1")
        assert (event.provider, event.kind, event.mail_id) == ("pepipost", "delivered", MAIL_ID)

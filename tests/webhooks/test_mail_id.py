"""Our mail's id: it goes out with the metadata of each provider that repeats any, and is found in what it tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from webhook_checks import MAIL_ID

from mailer import Content, Envelope, Mail, Message, Provider
from mailer.event import MAIL_ID_KEY
from mailer.relay.brevo import Brevo
from mailer.relay.mailersend import MailerSend
from mailer.relay.mailgun import Mailgun
from mailer.relay.mailjet import Mailjet
from mailer.relay.mailtrap import Mailtrap
from mailer.relay.mandrill import Mandrill
from mailer.relay.netcore import Netcore
from mailer.relay.postmark import Postmark
from mailer.relay.resend import Resend
from mailer.relay.sendgrid import SendGrid
from mailer.relay.ses import Ses
from mailer.relay.sparkpost import SparkPost
from mailer.relay.unisender_go import UnisenderGo
from mailer.relay.zeptomail import ZeptoMail
from mailer.webhooks import webhook_of
from mailer.webhooks.call import Call

TOKEN = "Tok3n-for-tests"

#: Provider -> what it tells of a mail whose request had this body.
TELLS: dict[str, tuple[Provider, Callable[[Any], Any]]] = {
    "postmark": (Postmark(TOKEN), lambda body: {"RecordType": "Open", "Metadata": body["Metadata"]}),
    "sendgrid": (SendGrid(TOKEN), lambda body: [{"event": "open", **body["personalizations"][0]["custom_args"]}]),
    "resend": (
        Resend(TOKEN),
        lambda body: {"type": "email.opened", "data": {"tags": {tag["name"]: tag["value"] for tag in body["tags"]}}},
    ),
    "brevo": (
        Brevo(TOKEN),
        lambda body: {"event": "opened", "X-Mailin-custom": body["headers"]["X-Mailin-custom"]},
    ),
    "sparkpost": (
        SparkPost(TOKEN),
        lambda body: [{"msys": {"track_event": {"type": "open", "rcpt_meta": body["metadata"]}}}],
    ),
    "mailjet": (
        Mailjet(TOKEN, "Secret"),
        lambda body: {"event": "open", "Payload": body["Messages"][0]["EventPayload"]},
    ),
    "ses": (
        Ses("AKIDEXAMPLE", "Secret" * 4, region="eu-west-1"),
        lambda body: {
            "eventType": "Open",
            "mail": {"tags": {tag["Name"]: [tag["Value"]] for tag in body["EmailTags"]}},
        },
    ),
    "mailtrap": (
        Mailtrap(TOKEN),
        lambda body: {"events": [{"event": "open", "custom_variables": body["custom_variables"]}]},
    ),
    "netcore": (
        Netcore(TOKEN),
        lambda body: [{"EVENT": "opened", "X-APIHEADER": body["personalizations"][0]["token_to"]}],
    ),
    "unisendergo": (
        UnisenderGo(TOKEN),
        lambda body: {
            "event_name": "transactional_email_status",
            "status": "opened",
            "metadata": body["message"]["global_metadata"],
        },
    ),
    "zeptomail": (
        ZeptoMail(TOKEN),
        lambda body: {
            "event_name": ["email_open"],
            "event_message": [{"email_info": {"client_reference": body["client_reference"]}}],
        },
    ),
    "mandrill": (
        Mandrill(TOKEN),
        lambda body: [{"event": "open", "msg": {"metadata": body["message"]["metadata"]}}],
    ),
}
#: Whose requests are no JSON.
OTHERS: dict[str, Provider] = {"mailgun": Mailgun(TOKEN)}


def content(provider: Provider, **fields: Any) -> bytes:
    message = Message(**{"from_": "shop@example.com", "to": "ann@example.org", "text": "x", "subject": "x", **fields})
    return provider.request(Mail(MAIL_ID, Envelope.of(message), message, Content.of(b"x\r\n"))).content


@pytest.mark.parametrize("name", TELLS)
def test_what_goes_out_is_found_in_what_comes_back(name: str) -> None:
    provider, told = TELLS[name]
    for given in ({}, {"order": "17"}):
        item = told(json.loads(content(provider, metadata=given)))
        webhook = webhook_of(name)
        body = json.dumps({"Type": "Notification", "Message": json.dumps(item)} if name == "ses" else item)
        if name == "mandrill":
            from urllib.parse import urlencode

            body = urlencode({"mandrill_events": body})
        [event] = webhook.events(Call.of({}, body))
        assert (event.kind, event.mail_id, event.metadata) == ("opened", MAIL_ID, given)


@pytest.mark.parametrize("name", [*TELLS, *OTHERS])
def test_it_goes_where_there_is_room_and_the_app_has_none_of_that_name(name: str) -> None:
    provider = OTHERS.get(name) or TELLS[name][0]
    assert MAIL_ID.encode() in content(provider)
    own = content(provider, metadata={MAIL_ID_KEY: "7"})
    assert MAIL_ID.encode() not in own
    assert MAIL_ID_KEY.encode() in own
    for entries, size in ((10, 1), (1, 9_990), (1, 995)):
        full = content(provider, metadata={f"k{n}": "x" * size for n in range(entries)})
        most_entries, most_bytes = provider.metadata_room
        is_full = entries >= most_entries or size > most_bytes - 43
        assert (MAIL_ID.encode() not in full) == is_full, (entries, size)


def test_a_full_form_of_mailguns_goes_without_it() -> None:
    for size, is_full in ((16_000, False), (16_330, True)):
        text = content(Mailgun(TOKEN), headers={"X-Long": "x" * size})
        assert (MAIL_ID.encode() not in text) == is_full


def test_who_carries_no_metadata_carries_no_id() -> None:
    assert MAIL_ID.encode() not in content(MailerSend(TOKEN))

"""Mandrill: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from relay_cases import FILES, mail_of, message_of
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import Attachment, AuthError, ConfigError, Content, MessageError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.exchange import Request
from mailer.relay.mandrill import Mandrill
from mailer.testing import Answer, FakeRelay, sweep
from mailer.verdict import Scope


def item(email: str, status: str = "sent", **more: Any) -> dict[str, Any]:
    return {"email": email, "status": status, "reject_reason": None, "queued_reason": None, "_id": "m-1", **more}


ANN, BOB = item("ann@example.org"), item("bob@example.org")


def error(name: str, status: int = 500, message: str = "no") -> Any:
    return answer(status, {"status": "error", "code": -1, "name": name, "message": message})


class TestMandrill(ProviderChecks):
    provider = Mandrill(TOKEN)
    ok = answer(200, [ANN, BOB])
    schemas = [("mandrill.openapi.json", "#/components/schemas/MessagesRequestComponent")]  # noqa: RUF012
    named_bases = {  # noqa: RUF012
        "mandrill://T@default": "https://mandrillapp.com/api/1.0",
        "mandrill://T@mandrill.example.com": "https://mandrill.example.com/api/1.0",
    }
    answers = {  # noqa: RUF012
        "queued, in another order and case": (answer(200, [item("BOB@EXAMPLE.ORG", "queued", queued_reason="multiple-recipients"), ANN]), [A, A], None, ""),
        "one is refused": (answer(200, [ANN, item("bob@example.org", "rejected", reject_reason="hard-bounce")]), [A, R], None, ""),
        "one is invalid": (answer(200, [item("ann@example.org", "invalid", _id=None), BOB]), [R, A], None, ""),
        "all are refused": (answer(200, [item(f"{who}@example.org", "rejected", reject_reason="spam") for who in ("ann", "bob")]), [R, R], None, "rejected: spam"),
        "the test mode's limit": (answer(200, [ANN, item("bob@example.org", "rejected", reject_reason="test-mode-limit")]), [A, D], None, ""),
        "one is not named": (answer(200, [ANN]), [A, U], None, ""),
        "one has no id": (answer(200, [ANN, item("bob@example.org", _id=None)]), [A, U], None, ""),
        "one status is none that is known": (answer(200, [ANN, item("bob@example.org", "sending")]), [A, U], None, ""),
        "an id that is the key": (answer(200, [ANN, item("bob@example.org", _id=TOKEN)]), [A, U], None, ""),
        "nobody is named": (answer(200, [item("eve@example.org")]), [U, U], ProtocolError, "does not name"),
        "an error inside a 200": (error("ValidationError", 200), [R, R], None, "ValidationError no"),
        "bad key as a 500": (error("Invalid_Key", message=f"key {TOKEN.upper()}"), [D, D], AuthError, "key ***"),
        "bad key as a 401": (error("Invalid_Key", 401), [D, D], AuthError, "Invalid_Key"),
        "not paid": (error("PaymentRequired", 402), [D, D], ConfigError, "PaymentRequired"),
        "no subaccount": (error("Unknown_Subaccount"), [D, D], ConfigError, "Unknown_Subaccount"),
        "no template": (error("Unknown_Template"), [R, R], None, "Unknown_Template"),
        "not valid as a 500": (error("ValidationError"), [R, R], None, "ValidationError"),
        "a fault of its own": (error("GeneralError"), [D, D], None, "GeneralError"),
        "it rests": (error("ServiceUnavailable"), [D, D], None, "ServiceUnavailable"),
        "too many requests": (error("RequestLimitExceeded", 429), [D, D], None, "RequestLimitExceeded"),
        "a name that nobody knows": (error("Odd_Name"), [D, D], None, "Odd_Name"),
    }  # fmt: skip

    @classmethod
    def body_of(cls, request: Request) -> Any:
        """Without the key, which no golden file holds."""
        body = json.loads(request.content)
        assert body.pop("key") == TOKEN
        return body

    def schema_body(self, body: Any) -> Any:
        """The message alone: no whole request can pass the vendor's schema."""
        assert set(body) <= {"message", "async", "send_at", "template_name", "template_content"}
        return body["message"]

    def test_the_token_stands_in_its_header_alone(self) -> None:
        """Here it stands in the body, once, and is shown nowhere."""
        request = self.provider.request(PAIR)
        assert request.content.count(json.dumps(TOKEN).encode()) == 1
        assert TOKEN not in request.url + str(request.headers)
        assert TOKEN not in repr(request) + repr(self.provider) + repr(RelayBackend(self.provider))
        with pytest.raises(MessageError, match="JSON") as refused:
            self.provider.request(mail_of(message_of("options not JSON")))
        assert TOKEN not in str(refused.value)

    def test_why_somebody_was_refused_says_what_else_it_concerns(self) -> None:
        for reason, scope in (("unsub", Scope.RECIPIENT), ("unsigned", Scope.MESSAGE), ([], Scope.RECIPIENT)):
            given = answer(200, [ANN, item("bob@example.org", "rejected", reject_reason=reason)])
            ann, bob = self.provider.receipt(given, PAIR).results
            assert (ann.provider_id, bob.provider_id, bob.scope) == ("m-1", None, scope)
            assert bob.text.startswith("rejected")

    def test_who_sees_whom(self) -> None:
        for case, preserved, kinds in (
            ("bcc", True, ["to", "cc", "bcc", "bcc"]),
            ("bcc only", False, ["to", "to"]),  # a copy each
            ("cc only", True, ["to", "to", "bcc"]),
        ):
            message = self.body_of(self.provider.request(mail_of(message_of(case))))["message"]
            assert (message["preserve_recipients"], [to["type"] for to in message["to"]]) == (preserved, kinds), case

    def test_options_cannot_say_who_gets_it_or_who_sends(self) -> None:
        for options in ({"key": "x"}, {"message": {"bcc_address": "e@x"}}, {"message": {"To": []}}, {"message": 7}):
            with pytest.raises(MessageError):
                self.provider.request(mail_of(message_of("plain").with_(provider_options=options)))
        options = {"message": {"subaccount": "s", "headers": {"X-B": "2"}}, "ip_pool": "p"}
        body = self.body_of(
            self.provider.request(mail_of(message_of("plain").with_(provider_options=options, headers={"X-A": "1"})))
        )
        assert (body["ip_pool"], body["message"]["subaccount"]) == ("p", "s")
        assert body["message"]["headers"] == {"X-A": "1", "X-B": "2"}

    def test_nor_can_header_fields(self) -> None:
        """Its SMTP reads them as instructions, and content as it is goes the same way."""
        whole = Mandrill(TOKEN, api="mime")
        for name in ("X-MC-BccAddress", "x-mc-preserverecipients"):
            mail = mail_of(message_of("plain").with_(headers={name: "eve@example.org"}))
            content = Content.of(f"Subject: x\r\n{name} : eve@example.org\r\n\r\nx\r\n".encode())
            for provider, one in ((self.provider, mail), (whole, mail.with_(message=None, content=content))):
                with pytest.raises(UnsupportedFeature, match=r"(?i)x-mc-.* only to, cc and bcc do") as refused:
                    RelayBackend(provider).left_out(one)
                assert refused.value.field == "headers"
        harmless = Content.of(b"X-MC-Tags: a\r\n\r\nX-MC-BccAddress: told of\r\n")
        RelayBackend(whole).left_out(PAIR.with_(message=None, content=harmless))

    def test_what_is_shown_inside_is_an_image(self) -> None:
        pdf = Attachment.from_bytes("r.pdf", b"%PDF-", content_id="r", inline=True)
        mail = mail_of(message_of("inline").attach(pdf, *FILES[:1]))
        backend = RelayBackend(self.provider)
        with pytest.raises(UnsupportedFeature, match="images alone"):
            backend.left_out(mail)
        message = self.body_of(self.provider.request(mail))["message"]
        assert [a["name"] for a in message["images"]] == ["logo"]
        assert [a["name"] for a in message["attachments"]] == ["r.pdf", "r.pdf"]

    def test_tags_that_would_spoil_the_mail_are_left_out(self) -> None:
        mail = mail_of(message_of("plain").with_(tags=["_mine", "x" * 51, "fine"]))
        assert [note.split()[0] for note in RelayBackend(self.provider).left_out(mail)] == ["tags"]
        assert self.body_of(self.provider.request(mail))["message"]["tags"] == ["fine"]

    def test_when_it_is_sent_is_in_utc_and_never_before(self) -> None:
        when = datetime(2030, 1, 2, 1, 4, 5, 1, tzinfo=timezone(-timedelta(hours=2)))
        body = self.body_of(self.provider.request(mail_of(message_of("plain").with_(send_at=when))))
        assert body["send_at"] == "2030-01-02 03:04:06"
        assert when.astimezone(UTC).hour == 3

    def test_over_loopback_and_no_key_shows(self) -> None:
        with FakeRelay("mandrill", token=TOKEN) as relay, new_world("trio") as world:
            url = relay.url.replace(TOKEN, "Tok3n-%25%2F+x")
            with world.mailer(url) as mailer:
                receipt = mailer.send(message_of("bcc"))
            assert receipt.ok
            assert len(receipt.provider_ids) == 4
            assert relay.requests[0].path == "/api/1.0/messages/send"
            for given in (
                Answer(lose=True),
                Answer(status=500, body=json.dumps({"name": "Invalid_Key", "message": TOKEN})),
            ):
                relay.next(given)
                sweep(lambda: backend_from_url(url), [TOKEN], message=message_of("plain"), faces=("blocking",))

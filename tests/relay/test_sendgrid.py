"""SendGrid: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from relay_cases import mail_of, message_of
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import AuthError, MessageError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.relay.exchange import Response
from mailer.relay.sendgrid import SendGrid
from mailer.testing import FakeRelay


def errors(*items: object) -> dict[str, object]:
    return {"errors": list(items)}


class TestSendGrid(ProviderChecks):
    provider = SendGrid(TOKEN)
    ok = answer(202, x_message_id="m-1")
    schemas = [("sendgrid.openapi.json", "#/components/requestBodies/PostMailSend/content/application~1json/schema")]  # noqa: RUF012
    credentials = ("Authorization", f"Bearer {TOKEN}")
    named_bases = {  # noqa: RUF012
        "sendgrid://T@default": "https://api.sendgrid.com",
        "sendgrid://T@eu": "https://api.eu.sendgrid.com",
        "sendgrid://T@relay.example.com:8443": "https://relay.example.com:8443",
    }
    answers = {  # noqa: RUF012
        "JSON beside the id": (answer(202, {}, x_message_id="m-1"), [A, A], None, ""),
        "no id": (answer(202), [U, U], ProtocolError, "gives no id"),
        "an id that is none": (answer(202, x_message_id="a\0b"), [U, U], ProtocolError, "gives no id"),
        "an id that is the key": (answer(202, x_message_id=TOKEN), [U, U], ProtocolError, "id is none"),
        "200 without the sandbox": (answer(200, x_message_id="m-1"), [U, U], ProtocolError, "no 202"),
        "a page beside the id": (answer(202, b"<html>", x_message_id="m-1"), [U, U], ProtocolError, "has a body"),
        "refused inside a 202": (answer(202, errors({"message": "no"}), x_message_id="m-1"), [R, R], None, "no"),
        "refused": (
            answer(400, errors({"message": "Does not contain\r\na valid \x1b[2Jaddress.", "field": "personalizations.0.to", "help": None})),
            [R, R], None, "Does not contain a valid \\x1b[2Jaddress. (personalizations.0.to)",
        ),
        "for two reasons": (answer(400, errors({"message": "a", "field": None}, {"message": "b", "field": "from"})), [R, R], None, "a; b (from)"),
        "in another form": (answer(400, errors("text", 7, {"message": [1]})), [R, R], None, "text"),
        "no list": (answer(400, {"errors": 7}), [R, R], None, "HTTP 400"),
        "bad key": (answer(401, errors({"message": f"key {TOKEN.upper()}"})), [D, D], AuthError, "key ***"),
        "sender not verified": (answer(403, errors({"message": "verified", "field": "from"})), [D, D], AuthError, "verified (from)"),
    }  # fmt: skip

    def test_until_when_a_throttle_holds(self) -> None:
        now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        at = int(now.timestamp())
        for headers, status, seconds in (
            ({"x-ratelimit-reset": str(at + 9)}, 429, 9),
            ({"x-ratelimit-reset": str(at - 9)}, 429, 0),
            ({"x-ratelimit-reset": str(at + 10**9)}, 429, 86_400),
            ({"x-ratelimit-reset": str(at + 9), "retry-after": "3"}, 429, 3),
            ({"x-ratelimit-reset": "soon"}, 429, None),
            ({"x-ratelimit-reset": "9" * 99}, 429, None),
            ({"x-ratelimit-reset": str(at + 9)}, 503, None),
        ):
            receipt = self.provider.receipt(Response(status, headers, b"", now), PAIR)
            assert [(r.outcome, r.retry_after_s) for r in receipt.results] == [(D, seconds)] * 2, headers

    def test_the_sandbox_checks_and_sends_nothing(self) -> None:
        sandbox = SendGrid(TOKEN, sandbox=True)
        assert self.body_of(sandbox.request(PAIR))["mail_settings"] == {"sandbox_mode": {"enable": True}}
        [result, _] = sandbox.receipt(answer(200), PAIR).results
        assert (result.outcome, result.provider_id) == (A, None)
        assert "nothing is sent" in result.text
        by_option = mail_of(
            message_of("plain").with_(provider_options={"mail_settings": {"sandbox_mode": {"enable": True}}})
        )
        assert self.provider.receipt(answer(200), by_option).results[0].outcome is A
        sent = mail_of(
            message_of("plain").with_(provider_options={"mail_settings": {"sandbox_mode": {"enable": False}}})
        )
        assert sandbox.receipt(answer(200), sent).results[0].outcome is U

    def test_options_add_no_recipient_in_a_setting_of_mails(self) -> None:
        for sandbox in (False, True):
            for key in ("bcc", "BCC"):
                options = {"mail_settings": {key: {"enable": True, "email": "more@example.net"}}}
                mail = mail_of(message_of("plain").with_(provider_options=options))
                with pytest.raises(MessageError, match="says who gets the mail"):
                    SendGrid(TOKEN, sandbox=sandbox).request(mail)

    def test_what_it_writes_itself_no_header_may_name(self) -> None:
        backend = RelayBackend(self.provider)
        mail = mail_of(message_of("plain").with_(headers={"X-SG-EID": "1", "X-Mine": "2"}))
        with pytest.raises(UnsupportedFeature, match="x-sg-eid are sendgrid's own"):
            backend.left_out(mail)
        backend.unsupported = "degrade"
        assert [note.split()[0] for note in backend.left_out(mail)] == ["headers"]
        assert self.body_of(self.provider.request(mail))["headers"] == {"X-Mine": "2"}

    def test_dynamic_templates_have_variables_others_none(self) -> None:
        message = message_of("template by name").with_(provider_template="d-17")
        body = self.body_of(self.provider.request(mail_of(message)))
        assert (body["template_id"], body["personalizations"][0]["dynamic_template_data"]) == ("d-17", {"name": "Ann"})
        assert "content" not in body
        assert "subject" not in body
        with pytest.raises(UnsupportedFeature, match="brings its own"):
            RelayBackend(self.provider).left_out(mail_of(message.with_(alternatives=[("text/calendar", "BEGIN:")])))
        legacy = mail_of(message.with_(provider_template="17", context={}))
        assert self.body_of(self.provider.request(legacy))["template_id"] == "17"
        with pytest.raises(UnsupportedFeature, match="named d-"):
            RelayBackend(self.provider).left_out(mail_of(message.with_(provider_template="17")))

    def test_how_much_it_takes(self) -> None:
        backend = RelayBackend(self.provider)
        backend.left_out(mail_of(message_of("plain").with_(metadata={"k": "x" * 9_999})))
        with pytest.raises(UnsupportedFeature, match="10001 bytes"):
            backend.left_out(mail_of(message_of("plain").with_(metadata={"k": "x" * 10_000})))
        tags = mail_of(message_of("plain").with_(tags=["x" * 256, *map(str, range(11))]))
        assert len(backend.left_out(tags)) == 2
        assert self.body_of(self.provider.request(tags))["categories"] == [*map(str, range(10))]
        many = message_of("plain").with_(to=[f"n{n}@example.org" for n in range(1001)])
        with pytest.raises(UnsupportedFeature, match="more than the 1000"):
            backend.left_out(mail_of(many))

    def test_mails_of_one_content_are_one_request(self) -> None:
        mails = [mail_of(message_of("metadata").with_(to=f"n{n}@example.org", metadata={"n": n})) for n in range(1001)]
        groups = list(self.provider.grouped(mails))
        assert [len(group) for group in groups] == [1000, 1]
        body = self.body_of(self.provider.batch_request(mails[:3]))
        assert self.faults(body) == []
        assert [(one["to"], one["custom_args"]) for one in body["personalizations"]] == [
            ([{"email": f"n{n}@example.org"}], {"n": str(n), "mailer_id": "0" * 32}) for n in range(3)
        ]
        others = [mail_of(message_of("plain").with_(tags=tag)) for tag in "aab"]
        assert [len(group) for group in self.provider.grouped(others)] == [2, 1]
        wide = [mail_of(message_of("plain").with_(to=[f"n{n}@example.org" for n in range(600)]))] * 3
        assert [len(group) for group in self.provider.grouped(wide)] == [1, 1, 1]

    def test_in_a_batch_who_is_named_is_refused_and_the_others_can_be_sent_to(self) -> None:
        mails = [
            mail_of(message_of("bcc only")).with_(id="a" * 32),
            mail_of(message_of("plain")).with_(id="b" * 32),
            mail_of(message_of("plain")).with_(id="c" * 32),
        ]
        for fields, wanted in (
            (["personalizations.2.to"], [D, R, D]),
            (["personalizations.1.to.0.email", "personalizations.3"], [R, D, R]),
            (["personalizations.2.to", None], [R, R, R]),
            (["personalizations.99.to"], [R, R, R]),
            (["from"], [R, R, R]),
            ([], [R, R, R]),
        ):
            given = answer(400, errors(*[{"message": "x", "field": field} for field in fields]))
            receipts = self.provider.batch_receipts(given, mails)
            assert [receipt.results[0].outcome for receipt in receipts] == wanted, fields
        for given, outcome in (
            (self.ok, A),
            (answer(401, errors({"message": "x", "field": "personalizations.0"})), D),
            (answer(502), U),
        ):
            receipts = self.provider.batch_receipts(given, mails)
            assert {r.outcome for receipt in receipts for r in receipt.results} == {outcome}
            assert [receipt.id for receipt in receipts] == [mail.id for mail in mails]

    def test_over_loopback(self) -> None:
        with FakeRelay("sendgrid", token=TOKEN) as relay, new_world("asyncio") as world:
            url = relay.url.replace(TOKEN, "Tok3n-%25%2F+x")
            with world.mailer(url) as mailer, world.mailer(url + "&sandbox=yes") as sandbox:
                receipts = [mailer.send(message_of("bcc")), sandbox.send(message_of("plain"))]
                many = list(mailer.send_many([message_of("plain").with_(to=f"n{n}@example.org") for n in range(3)]))
        assert [receipt.provider_ids for receipt in receipts] == [("s-1",), ()]
        assert [receipt.provider_ids for receipt in many] == [("s-3",)] * 3
        assert len(relay.requests) == 3
        assert all(receipt.ok for receipt in receipts)
        assert relay.requests[0].json["personalizations"][0]["bcc"] == [
            {"email": "dee@example.org"},
            {"email": "eve@example.org"},
        ]

"""Mailtrap: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from typing import Any

import pytest
from relay_cases import mail_of, message_of, schema_errors, unreadable
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import Attachment, AuthError, ConfigError, ProtocolError, TransportError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.exchange import Response
from mailer.relay.mailtrap import Mailtrap
from mailer.testing import Answer, FakeRelay


def taken(*ids: Any) -> dict[str, Any]:
    return {"success": True, "message_ids": list(ids)}


def failed(*errors: Any) -> dict[str, Any]:
    return {"success": False, "errors": list(errors)}


def items(*those: Any, status: int = 200, **more: Any) -> Response:
    return answer(status, {"success": True, "responses": list(those), **more})


class TestMailtrap(ProviderChecks):
    provider = Mailtrap(TOKEN)
    ok = answer(200, taken("m-1", "m-2"))
    schemas = []  # noqa: RUF012 - it depends on the body: see faults
    credentials = ("Api-Token", TOKEN)
    named_bases = {  # noqa: RUF012
        "mailtrap://T@default": "https://send.api.mailtrap.io/api",
        "mailtrap://T@bulk": "https://bulk.api.mailtrap.io/api",
        "mailtrap://T@sandbox?sandbox_id=7": "https://sandbox.api.mailtrap.io/api",
        "mailtrap://T@default?sandbox_id=7": "https://sandbox.api.mailtrap.io/api",
        "mailtrap://T@mail.example.com?sandbox_id=7": "https://mail.example.com/api",
    }
    answers = {  # noqa: RUF012
        "one id is missing": (answer(200, taken("m-1")), [U, U], ProtocolError, "not an id for each recipient"),
        "an id too many": (answer(200, taken("m-1", "m-2", "m-3")), [U, U], ProtocolError, "not an id for each"),
        "no ids": (answer(200, {"success": True}), [U, U], ProtocolError, "not an id for each recipient"),
        "ids in another form": (answer(200, taken("m-1", {})), [U, U], ProtocolError, "gives no id"),
        "an id that is the token": (answer(200, taken("m-1", TOKEN)), [U, U], ProtocolError, "id is none"),
        "neither success nor error": (answer(200, {"message_ids": ["m-1", "m-2"]}), [U, U], ProtocolError, "neither"),
        "both success and error": (answer(200, {**taken("m-1", "m-2"), "errors": ["x"]}), [U, U], ProtocolError, "neither"),
        "no errors in a list": (answer(200, {**taken("m-1", "m-2"), "errors": []}), [A, A], None, ""),
        "refused inside a 200": (answer(200, failed("'from' address\r\nis invalid", "and more")), [R, R], None, "'from' address is invalid; and more"),
        "an error alone inside a 200": (answer(200, {"error": "no"}), [R, R], None, "no"),
        "refused": (answer(400, failed("'subject' is required")), [R, R], None, "'subject' is required"),
        "errors as a text": (answer(400, {"errors": "bad"}), [R, R], None, "bad"),
        "errors in another form": (answer(400, {"errors": {"a": 1}, "error": [7]}), [R, R], None, "HTTP 400"),
        "bad token": (answer(401, failed(f"token {TOKEN.upper()}")), [D, D], AuthError, "token ***"),
        "not permitted": (answer(403, {"error": "Forbidden"}), [D, D], AuthError, "Forbidden"),
        "too many": (answer(429, failed("Too many requests")), [D, D], None, "Too many requests"),
    }  # fmt: skip

    def faults(self, body: Any) -> list[str]:
        """The vendor's file closes no object, and its parts cannot be closed each by itself: the whole is asked too."""
        if "requests" in body:
            found = schema_errors(body, "mailtrap.openapi.json", "#/components/schemas/BatchEmail")
            wholes = [{**body.get("base", {}), **item} for item in body["requests"]]  # as an item counts
            return found + [fault for whole in wholes for fault in self.faults(whole)]
        kind = "WithTextAndHtml" if {"text", "html"} <= set(body) else "WithHtml" if "html" in body else "WithText"
        pointer = f"#/components/schemas/Email{'FromTemplate' if 'template_uuid' in body else kind}"
        known = {"from", "to", "cc", "bcc", "reply_to", "attachments", "headers", "custom_variables"}
        known |= (
            {"template_uuid", "template_variables"}
            if "template_uuid" in body
            else {"subject", "text", "html", "category"}
        )
        return [*schema_errors(body, "mailtrap.openapi.json", pointer), *(set(body) - known)]

    def test_each_recipient_has_his_own_id_in_the_order_asked(self) -> None:
        mail = mail_of(message_of("bcc"), ["eve@example.org", "cyd@example.org", "ann@example.org", "new@example.org"])
        receipt = self.provider.receipt(answer(200, taken("to", "cc", "bcc", "added")), mail)
        assert [(r.address.local, r.provider_id) for r in receipt.results] == [
            ("eve", "bcc"), ("cyd", "cc"), ("ann", "to"), ("new", "added"),
        ]  # fmt: skip

    def test_each_mail_of_a_batch_is_its_own(self) -> None:
        mails = [mail_of(message_of("plain").with_(to=f"n{n}@example.org")) for n in range(4)]
        request = self.provider.batch_request(mails)
        assert request.url == "https://send.api.mailtrap.io/api/batch"
        assert self.faults(self.body_of(request)) == []
        given = items(
            taken("m-1"), failed("bad address"), taken("a", "b"), taken(4), success=False, errors=["some failed"]
        )
        receipts = self.provider.batch_receipts(given, mails)
        assert [receipt.results[0].outcome for receipt in receipts] == [A, R, U, A]
        assert [receipt.provider_ids for receipt in receipts] == [("m-1",), (), (), ("4",)]
        assert receipts[1].results[0].text == "bad address"
        assert [type(receipt.error) for receipt in receipts] == [type(None), type(None), ProtocolError, type(None)]

    def test_what_all_of_a_batch_have_alike_is_said_once(self) -> None:
        message = message_of("inline").with_(text="Hi", tags=["news"])
        mails = [mail_of(message.with_(to=f"n{n}@example.org", metadata={"n": str(n)})) for n in range(3)]
        body = self.body_of(self.provider.batch_request(mails))
        assert self.faults(body) == []
        assert set(body["base"]) == {"from", "subject", "html", "text", "attachments", "category"}
        assert [set(item) for item in body["requests"]] == [{"to", "custom_variables"}] * 3
        wholes = [{**body["base"], **item} for item in body["requests"]]
        assert wholes == [self.body_of(self.provider.request(mail)) for mail in mails]
        # What one lacks is nobody's base.
        mails[1] = mail_of(message_of("html").with_(provider_options={"x": 1}))
        body = self.body_of(self.provider.batch_request(mails))
        assert set(body["base"]) == {"from", "subject"}
        wholes = [{**body["base"], **item} for item in body["requests"]]
        assert wholes == [self.body_of(self.provider.request(mail)) for mail in mails]

    def test_a_batch_answer_that_does_not_fit_is_one_for_all(self) -> None:
        for given, outcome in (
            (answer(401, failed("x")), D),
            (answer(429), D),
            (answer(502), U),
            (answer(400, failed("too many")), R),
            (answer(200, failed("'base' is wrong")), R),
            (answer(200, {"success": False, "responses": [], "errors": ["x"]}), R),
            (answer(200, {"success": True, "responses": []}), U),
            (items(taken("m-1"), errors=["x"]), U),  # one for two mails: it may be that of either
            (items(*[taken("m-1", "m-2")] * 3), U),
            (items(*[taken("m-1", "m-2")] * 2, status=503), D),  # its own status counts: nothing was taken
            (answer(200, [taken("m-1"), taken("m-2")]), U),
            (Response(200, {}, b'{"responses":[{"succ', cut=TransportError("lost")), U),
        ):
            receipts = self.provider.batch_receipts(given, [PAIR, PAIR])
            assert [r.results[0].outcome for r in receipts] == [outcome] * 2, given.content

    def test_who_is_hidden_alone_has_an_item_and_all_count(self) -> None:
        hidden = mail_of(message_of("bcc only"))
        request = self.provider.request(hidden)
        assert request.url.endswith("/api/batch")
        assert self.body_of(request)["requests"] == [
            {"to": [{"email": f"{who}@example.org"}]} for who in ("dee", "eve")
        ]
        receipt = self.provider.receipt(items(taken("m-1"), failed("no")), hidden)
        assert [(result.address.local, result.outcome) for result in receipt.results] == [("dee", A), ("eve", R)]
        plain = mail_of(message_of("plain"))
        assert [len(group) for group in self.provider.grouped([plain, *[hidden] * 250])] == [250, 1]
        assert [len(group) for group in self.provider.grouped([plain] * 1001)] == [500, 500, 1]
        heavy = mail_of(message_of("plain").attach(Attachment("x.bin", unreadable, 6_000_000)))
        assert [len(group) for group in self.provider.grouped([heavy] * 6)] == [5, 1]

    def test_several_reply_to_are_a_header_in_ascii(self) -> None:
        message = message_of("plain").with_(reply_to=[("Bücher, Hilfe", "help@bücher.example"), "sales@example.com"])
        body = self.body_of(self.provider.request(mail_of(message)))
        assert body["headers"]["Reply-To"].isascii()
        assert body["headers"]["Reply-To"].endswith("<help@xn--bcher-kva.example>, sales@example.com")
        assert "reply_to" not in body

    def test_tags_that_do_not_travel_are_noted(self) -> None:
        backend = RelayBackend(self.provider)
        for fields, note in (
            ({"tags": ["x" * 256]}, "of more than 255 characters"),
            ({"tags": ["x"], "provider_template": "b81aabcd-1a1e-41cf-91b6-eca0254b3d96", "subject": "", "text": None}, "beside a stored template"),
        ):  # fmt: skip
            mail = mail_of(message_of("plain").with_(**fields))
            [said] = backend.left_out(mail)
            assert note in said
            assert "category" not in self.body_of(self.provider.request(mail))
        longest = mail_of(message_of("plain").with_(tags=["x" * 255]))
        assert backend.left_out(longest) == ()
        assert self.body_of(self.provider.request(longest))["category"] == "x" * 255
        with pytest.raises(UnsupportedFeature, match="brings its own subject"):
            backend.left_out(mail_of(message_of("template").with_(subject="Hi")))
        assert self.faults(self.body_of(self.provider.request(longest))) == []

    def test_the_sandbox_catches_what_it_is_sent(self) -> None:
        sandbox = Mailtrap(TOKEN, sandbox_id="123")
        assert sandbox.request(PAIR).url == "https://sandbox.api.mailtrap.io/api/send/123"
        assert sandbox.batch_request([PAIR, PAIR]).url == "https://sandbox.api.mailtrap.io/api/batch/123"
        receipt = sandbox.receipt(answer(200, taken("m-1")), PAIR)
        assert [(r.outcome, r.provider_id) for r in receipt.results] == [(A, "m-1")] * 2
        assert receipt.results[0].text == "caught by sandbox 123: nothing is sent"
        assert sandbox.receipt(answer(200, taken()), PAIR).results[0].outcome is U

    @pytest.mark.parametrize(
        "url",
        [
            "mailtrap://T@sandbox",
            "mailtrap://T@bulk?sandbox_id=7",
            "mailtrap://T@default?sandbox_id=..%2F7",
            "mailtrap://T@default?sandbox_id=",
            "mailtrap://T@default?sandbox_id=%D9%A3",
        ],
    )
    def test_a_sandbox_has_its_number(self, url: str) -> None:
        with pytest.raises(ConfigError, match="sandbox"):
            backend_from_url(url)

    def test_over_loopback_in_batches(self) -> None:
        with FakeRelay("mailtrap", token=TOKEN) as relay, new_world("asyncio") as world:
            url = relay.url.replace(TOKEN, "Tok3n-%25%2F+x")
            with world.mailer(f"{url}&sandbox_id=9") as mailer:
                assert mailer.send(message_of("bcc")).ok
            with world.mailer(url) as mailer:
                receipts = list(mailer.send_many([message_of("bcc"), *[message_of("plain")] * 500]))
                relay.next(Answer(body=failed("no")))
                [refused] = mailer.send_many([message_of("plain")])
        assert all(receipt.ok for receipt in receipts)
        assert len({given for receipt in receipts for given in receipt.provider_ids}) == 504
        assert [request.path for request in relay.requests] == ["/api/send/9", "/api/batch", "/api/send", "/api/send"]
        assert refused.rejected

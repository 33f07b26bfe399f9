"""Microsoft Graph: what is its own. The rest stands in ``relay_checks`` and ``mailbox_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from mailbox_checks import MailboxChecks, WholeMailChecks, composed
from relay_cases import mail_of, message_of, unreadable
from relay_checks import PAIR, TOKEN, A, D, R, U, answer
from worlds import World

from mailer import (
    Attachment,
    AuthError,
    ConfigError,
    Content,
    Message,
    MessageError,
    ProtocolError,
    RetryPolicy,
    UnsupportedFeature,
)
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.exchange import Request
from mailer.relay.msgraph import MicrosoftGraph
from mailer.testing import Answer, FakeRelay

ID = "11111111-2222-3333-4444-555555555555"


def error(code: Any, text: Any = "x", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": text, "innerError": {"request-id": "r"}, **more}}


ANSWERS = {
    "with what support asks for": (answer(202, request_id=ID), [A, A], None, f"request-id {ID}"),
    "an error inside a 202": (answer(202, error("ErrorX", "no")), [R, R], None, "ErrorX no"),
    "a page inside a 202": (answer(202, b"<html>"), [U, U], ProtocolError, "where none is documented"),
    "an object inside a 202": (answer(202, {}), [U, U], ProtocolError, "where none is documented"),
    "another success": (answer(200), [U, U], ProtocolError, "it is no 202"),
    "refused": (answer(400, error("ErrorInvalidRecipients", "At least one\r\nis not valid")), [R, R], None, "ErrorInvalidRecipients At least one is not valid"),
    "bad token": (answer(401, error("InvalidAuthenticationToken")), [D, D], AuthError, "InvalidAuthenticationToken x (tokens for it have the scope https://graph.microsoft.com/.default"),
    "not permitted": (answer(403, error("ErrorAccessDenied")), [D, D], AuthError, "ErrorAccessDenied"),
    "as another": (answer(403, error("ErrorSendAsDenied")), [D, D], AuthError, "ErrorSendAsDenied"),
    "no such mailbox": (answer(404, error("ErrorInvalidUser")), [D, D], ConfigError, "ErrorInvalidUser"),
    "too large": (answer(413, error("ErrorMessageSizeExceeded")), [R, R], None, "ErrorMessageSizeExceeded"),
    "too many": (answer(429, error("ApplicationThrottled"), retry_after="7"), [D, D], None, "ApplicationThrottled"),
    "too many a day": (answer(429, error("ErrorExceededMessageLimit")), [D, D], ConfigError, "ErrorExceeded"),
    "full": (answer(400, error("ErrorQuotaExceeded")), [D, D], ConfigError, "ErrorQuotaExceeded"),
    "broken": (answer(500, error("ErrorInternalServerError")), [D, D], None, "ErrorInternalServerError"),
    "away": (answer(503, error("serviceNotAvailable")), [D, D], None, "serviceNotAvailable"),
    "an error that is a number": (answer(400, {"error": 7}), [R, R], None, "HTTP 400"),
    "in another form": (answer(400, {"error": {"code": 7, "message": []}}), [R, R], None, "HTTP 400"),
    "as the token server says it": (answer(400, {"error": "invalid_request"}), [R, R], None, "invalid_request"),
}  # fmt: skip


class TestJson(MailboxChecks):
    provider = MicrosoftGraph()
    ok = answer(202)
    schemas = [("msgraph.sendMail.request.schema.json", "")]  # noqa: RUF012
    credentials = ("Authorization", f"Bearer {TOKEN}")
    named_bases = {  # noqa: RUF012
        "msgraph://default": "https://graph.microsoft.com/v1.0",
        "msgraph://us?save_to_sent=no": "https://graph.microsoft.us/v1.0",
        "msgraph://dod?api=mime": "https://dod-graph.microsoft.us/v1.0",
        "msgraph://china": "https://microsoftgraph.chinacloudapi.cn/v1.0",
        "msgraph://mail.example.com": "https://mail.example.com/v1.0",
    }
    statuses = {404: ([D, D], ConfigError)}  # noqa: RUF012
    answers = ANSWERS

    def test_whose_mailbox_it_is_stands_in_the_path(self) -> None:
        for url, path in (
            ("msgraph://default", "/v1.0/me/sendMail"),
            ("msgraph://a%2Fb%40b%C3%BCcher.example@default", "/v1.0/users/a%2Fb%40xn--bcher-kva.example/sendMail"),
            (f"msgraph://{ID}@default", f"/v1.0/users/{ID}/sendMail"),
            (f"msgraph://{ID}@default?api=mime", f"/v1.0/users/{ID}/sendMail"),
        ):
            backend = backend_from_url(url)
            assert isinstance(backend, RelayBackend)
            assert backend.provider.request(PAIR).url == f"https://graph.microsoft.com{path}"
        for url, says in (
            ("msgraph://a%40b.test:secret@default", r"access tokens, and no password.*smtp\+office365://$"),
            ("msgraph://..%2Fusers@default", "mailbox's address"),
            ("msgraph://default?api=mime&save_to_sent=no", "save_to_sent=no is for api=json"),
            ("msgraph://default?save_to_sent=perhaps", "must be one of"),
        ):
            with pytest.raises(ConfigError, match=says) as refused:
                backend_from_url(url)
            assert "secret" not in str(refused.value)

    def test_what_it_takes_by_mime_alone_is_told(self) -> None:
        backend = RelayBackend(self.provider)
        [note] = backend.left_out(mail_of(message_of("text and html")))
        assert note == "text is not carried by msgraph beside html, but by api=mime"
        with pytest.raises(UnsupportedFeature, match=r"List-Unsubscribe are not carried by msgraph.*api=mime"):
            backend.left_out(mail_of(message_of("headers")))
        by_mime = RelayBackend(MicrosoftGraph(api="mime"))
        for case in ("text and html", "headers", "alternatives", "amp", "date"):
            assert by_mime.left_out(composed(message_of(case))) == ()
        [note] = by_mime.left_out(composed(message_of("message_id")))
        assert note == "message_id may be replaced by msgraph"

    def test_headers_are_ascii_and_begin_with_x(self) -> None:
        message = message_of("plain").with_(headers=[("X-A", "größer"), ("x-b", "1"), ("Subject-X", "no")], priority=5)
        item = self.body_of(self.provider.request(mail_of(message)))["message"]
        assert item["internetMessageHeaders"] == [
            {"name": "X-A", "value": "=?utf-8?b?Z3LDtsOfZXI=?="}, {"name": "x-b", "value": "1"},
        ]  # fmt: skip
        assert item["importance"] == "low"

    def test_a_request_has_4_000_000_bytes_at_most(self) -> None:
        message = message_of("plain")
        for provider, seal in ((self.provider, mail_of), (MicrosoftGraph(api="mime"), composed)):
            backend = RelayBackend(provider)
            assert backend.left_out(seal(message.attach(Attachment("x.bin", unreadable, 2_000_000)))) == ()
            with pytest.raises(UnsupportedFeature, match="msgraph takes 4000000") as refused:
                backend.left_out(seal(message.attach(Attachment("x.bin", unreadable, 3_000_001))))
            assert refused.value.field == "attachments"
        by_mime = RelayBackend(MicrosoftGraph(api="mime"))
        whole = PAIR.with_(content=Content.of(b"x" * 2_999_998 + b"\r\n"), message=None)
        assert by_mime.left_out(whole) == ()
        with pytest.raises(UnsupportedFeature, match="has 4000004 bytes in base64"):
            by_mime.left_out(whole.with_(content=Content.of(b"x" * 2_999_999 + b"\r\n")))
        # In base64 twice, by mime.
        with pytest.raises(UnsupportedFeature, match="msgraph takes"):
            by_mime.left_out(composed(message.attach(Attachment("x.bin", unreadable, 2_300_000))))

    def test_options_are_laid_over_the_message_and_say_not_to_whom(self) -> None:
        options = {"message": {"categories": ["a"], "body": {"contentType": "Text"}}, "saveToSentItems": False}
        body = self.body_of(self.provider.request(mail_of(message_of("plain").with_(provider_options=options))))
        assert self.faults(body) == []
        assert body["message"]["categories"] == ["a"]
        assert body["message"]["body"] == {"contentType": "Text", "content": "Hello\n"}
        assert body["saveToSentItems"] is False
        for options in ({"message": {"ToRecipients": []}}, {"message": {"bccRecipients": []}}, {"Message": {}}, {"message": 7}, {"toRecipients": []}):  # fmt: skip
            with pytest.raises(MessageError) as refused:
                self.provider.request(mail_of(message_of("plain").with_(provider_options=options)))
            assert refused.value.field == "provider_options"

    def test_what_is_not_to_be_kept(self) -> None:
        body = self.body_of(MicrosoftGraph(save_to_sent=False).request(PAIR))
        assert body["saveToSentItems"] is False
        assert self.body_of(self.provider.request(PAIR))["saveToSentItems"] is True


class TestMime(WholeMailChecks):
    provider = MicrosoftGraph(api="mime")
    ok = answer(202)
    golden_name = "msgraph.mime"
    schemas: list[tuple[str, str]] = []  # noqa: RUF012 - it is no JSON
    credentials = ("Authorization", f"Bearer {TOKEN}")
    named_bases = TestJson.named_bases
    statuses = TestJson.statuses
    answers = ANSWERS

    @classmethod
    def body_of(cls, request: Request) -> Any:
        return b64decode(request.content, validate=True).decode()

    def content_of(self, request: Request) -> bytes:
        assert ("Content-Type", "text/plain") in request.headers
        content = b64decode(request.content, validate=True)
        assert b64encode(content) == request.content
        return content


MESSAGE = Message(from_="me@example.com", to="ann@example.org", bcc="dee@example.org", subject="Grüße", text="Hi")


def test_over_loopback_with_a_token_that_ends(world: World) -> None:
    for options in ("", "&api=mime"):
        tokens = iter(["eyJ0.Old-one", "eyJ0.New-one"])
        given = lambda t=tokens: {"access_token": next(t), "expires_in": 3600}  # noqa: E731
        with (
            FakeRelay("msgraph", token="eyJ0.New-one") as relay,
            world.mailer(relay.url + options, tokens=given, retry=RetryPolicy(wait_s=0)) as mailer,
        ):
            relay.next(relay.accept, Answer(status=429, headers={"Retry-After": "0"}))
            receipt = mailer.send(MESSAGE)
        assert receipt.ok
        assert receipt.provider_ids == ()
        assert receipt.results[0].text == "request-id 00000000-0000-0000-0000-000000000003"
        assert [request.path for request in relay.requests] == ["/v1.0/users/me%40example.com/sendMail"] * 3
        assert len({request.content for request in relay.requests}) == 1
        content = relay.requests[0].content
        if options:
            assert b64decode(content).startswith(b"Bcc: dee@example.org\r\n")
        else:
            assert json.loads(content)["message"]["bccRecipients"] == [{"emailAddress": {"address": "dee@example.org"}}]

"""Resend: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from relay_cases import mail_of, message_of
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, answer
from worlds import new_world

from mailer import Attachment, AuthError, ConfigError, MessageError, ProtocolError, RetryPolicy, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.relay.exchange import Response
from mailer.relay.resend import Resend
from mailer.testing import Answer, FakeRelay


def error(name: str, text: object = "x") -> dict[str, object]:
    return {"statusCode": 0, "name": name, "message": text}


class TestResend(ProviderChecks):
    provider = Resend(TOKEN)
    ok = answer(200, {"id": "m-1"})
    schemas = [("resend.openapi.json", "#/components/schemas/SendEmailRequest")]  # noqa: RUF012
    credentials = ("Authorization", f"Bearer {TOKEN}")
    named_bases = {  # noqa: RUF012
        "resend://T@default": "https://api.resend.com",
        "resend://T@relay.example.com": "https://relay.example.com",
    }
    answers = {  # noqa: RUF012
        "no id": (answer(200, {}), [D, D], ProtocolError, "gives no id"),
        "an id that is none": (answer(200, {"id": [1]}), [D, D], ProtocolError, "gives no id"),
        "an id that is the key": (answer(200, {"id": TOKEN}), [D, D], ProtocolError, "id is none"),
        "refused": (answer(422, error("validation_error", "from\r\nis \x1b[2Jwrong")), [R, R], None, "validation_error from is \\x1b[2Jwrong"),
        "an error in another form": (answer(422, error("", [1])), [R, R], None, "HTTP 422"),
        "still running": (answer(409, error("concurrent_idempotent_requests")), [D, D], None, "concurrent"),
        "another body with this key": (answer(409, error("invalid_idempotent_request")), [R, R], None, "invalid_idem"),
        "no such key": (answer(400, error("invalid_idempotency_key")), [R, R], None, "invalid_idem"),
        "throttled": (answer(429, error("rate_limit_exceeded")), [D, D], None, "rate_limit"),
        "daily quota": (answer(429, error("daily_quota_exceeded")), [D, D], ConfigError, "daily_quota"),
        "monthly quota": (answer(429, error("monthly_quota_exceeded")), [D, D], ConfigError, "monthly"),
        "bad key": (answer(403, error("invalid_api_key", f"key {TOKEN.upper()}")), [D, D], AuthError, "key ***"),
        "restricted key": (answer(401, error("restricted_api_key")), [D, D], AuthError, "restricted"),
        "security": (answer(451, error("security_error")), [R, R], None, "security_error"),
        "broken": (answer(500, error("application_error")), [D, D], None, "application_error"),
    }  # fmt: skip

    def schema_body(self, body: Any) -> Any:
        # The file is written for mails of no template: those bring their own subject.
        return {"subject": "", **body} if "template" in body else body

    def test_every_try_has_the_same_key(self) -> None:
        """F75, F78: the message's, or the mail's id."""
        keys = [dict(self.provider.request(PAIR).headers)["Idempotency-Key"] for _ in range(2)]
        assert keys == ["0" * 32] * 2
        given = self.provider.request(mail_of(message_of("idempotency_key")))
        assert dict(given.headers)["Idempotency-Key"] == "order-7"
        assert dict(given.headers)["User-Agent"]

    def test_how_long_a_throttle_holds(self) -> None:
        now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        for headers, status, seconds in (
            ({"ratelimit-reset": "2"}, 429, 2),
            ({"ratelimit-reset": "2", "retry-after": "3"}, 429, 3),
            ({"ratelimit-reset": "soon"}, 429, None),
            ({"ratelimit-reset": "2"}, 503, None),
        ):
            receipt = self.provider.receipt(Response(status, headers, b"", now), PAIR)
            assert [(r.outcome, r.retry_after_s) for r in receipt.results] == [(D, seconds)] * 2, headers

    def test_tags_and_metadata_are_pairs_in_a_narrow_alphabet(self) -> None:
        message = message_of("plain").with_(
            tags=["a", "b c", "d"], metadata={"order": 7, "tag": "x", "tag_9": "y", "ü": "1", "note": "a b", "": "x"}
        )
        mail = mail_of(message)
        notes = RelayBackend(self.provider).left_out(mail)
        assert [note.split()[0] for note in notes] == ["tags", "metadata"]
        pairs = [(pair["name"], pair["value"]) for pair in self.body_of(self.provider.request(mail))["tags"]]
        assert pairs == [("tag", "a"), ("tag_2", "d"), ("order", "7"), ("mailer_id", "0" * 32)]
        asked_once_more = mail_of(
            message.with_(idempotency_key="order-7")
        )  # as another mail: it must be the same request
        assert b"mailer_id" not in self.provider.request(asked_once_more).content

    def test_a_template_has_texts_and_numbers_for_variables(self) -> None:
        message = message_of("template").with_(context={"a": "x", "b": 1, "c": 1.5})
        body = self.body_of(self.provider.request(mail_of(message)))
        assert body["template"] == {"id": "17", "variables": {"a": "x", "b": 1, "c": 1.5}}
        for value in (None, True, ["x"], {"x": 1}):
            with pytest.raises(MessageError, match="'a' must be text or a number") as refused:
                self.provider.request(mail_of(message.with_(context={"a": value})))
            assert refused.value.field == "context"

    def test_hidden_recipients_alone_are_refused_not_shown_to_each_other(self) -> None:
        with pytest.raises(UnsupportedFeature, match="somebody must be in To"):
            RelayBackend(self.provider).left_out(mail_of(message_of("bcc only")))

    def test_a_lost_answer_is_asked_for_again_with_the_same_key(self) -> None:
        """F78: over loopback; the provider sends once."""
        with FakeRelay("resend", token=TOKEN) as relay, new_world("trio") as world:
            relay.next(Answer(lose=True))
            url = relay.url.replace(TOKEN, "Tok3n-%25%2F+x")
            with world.mailer(url, retry=RetryPolicy(wait_s=0)) as mailer:
                receipt = mailer.send(message_of("names"))
        assert receipt.ok
        first, second = relay.requests
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
        assert first.content == second.content
        assert {r.outcome for r in receipt.results} == {A}

    def test_a_file_that_is_named_as_another_type_is_noted(self) -> None:
        """It would be lost with its mail, and without a word."""
        backend = RelayBackend(self.provider)
        for name, kind, is_odd in (
            ("x.txt", "application/pdf", True),
            ("x.pdf", "application/pdf", False),
            ("x.csv", "text/csv; charset=utf-8", False),
            ("x.unknown", "application/pdf", False),
            ("x", "image/png", False),
        ):
            mail = mail_of(message_of("plain").attach(Attachment.from_bytes(name, b"x", content_type=kind)))
            notes = [note.split()[0] for note in backend.left_out(mail)]
            assert notes == (["attachments"] if is_odd else []), name

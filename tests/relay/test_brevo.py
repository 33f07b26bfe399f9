"""Brevo: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from relay_cases import WHEN, mail_of, message_of
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import AuthError, ConfigError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.relay.brevo import Brevo
from mailer.relay.exchange import Response
from mailer.testing import FakeRelay


class TestBrevo(ProviderChecks):
    provider = Brevo(TOKEN)
    ok = answer(201, {"messageId": "m-1"})
    schemas = [("brevo.openapi.json", "#/components/schemas/sendSmtpEmail")]  # noqa: RUF012
    credentials = ("api-key", TOKEN)
    named_bases = {  # noqa: RUF012
        "brevo://T@default": "https://api.brevo.com/v3",
        "brevo://T@api.sendinblue.com": "https://api.sendinblue.com/v3",
    }
    answers = {  # noqa: RUF012
        "scheduled": (answer(202, {"messageId": "m-1", "batchId": "b"}), [A, A], None, ""),
        "an id for each of no versions": (answer(201, {"messageIds": ["m-1", "m-2"]}), [U, U], ProtocolError, "an id for each"),
        "one id for all": (answer(201, {"messageIds": ["m-1"]}), [A, A], None, ""),
        "ids in another form": (answer(201, {"messageIds": {"a": 1}}), [U, U], ProtocolError, "an id for each"),
        "no ids": (answer(201, {"messageIds": []}), [U, U], ProtocolError, "an id for each"),
        "no id": (answer(201, {}), [U, U], ProtocolError, "gives no id"),
        "an id that is none": (answer(201, {"messageIds": [None]}), [U, U], ProtocolError, "gives no id"),
        "an id that is the key": (answer(201, {"messageId": TOKEN}), [U, U], ProtocolError, "id is none"),
        "refused": (answer(400, {"code": "invalid_parameter", "message": "to\r\nis \x1b[2Jwrong"}), [R, R], None, "invalid_parameter to is \\x1b[2Jwrong"),
        "an error in another form": (answer(400, {"code": 7, "message": [1]}), [R, R], None, "HTTP 400"),
        "bad key": (answer(401, {"code": "unauthorized", "message": f"{TOKEN} not found"}), [D, D], AuthError, "*** not found"),
        "no credits": (answer(402, {"code": "not_enough_credits", "message": "x"}), [D, D], ConfigError, "not_enough"),
        "under validation": (answer(400, {"code": "account_under_validation"}), [D, D], ConfigError, "account_under"),
        "sent before, perhaps": (answer(400, {"code": "duplicate_request"}), [U, U], None, "duplicate_request"),
        "no permission": (answer(403, {"code": "permission_denied"}), [D, D], AuthError, "permission"),
    }  # fmt: skip

    def test_how_long_a_throttle_holds(self) -> None:
        now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        for headers, status, seconds in (
            ({"x-sib-ratelimit-reset": "20"}, 429, 20),
            ({"x-sib-ratelimit-reset": "20", "retry-after": "3"}, 429, 3),
            ({"x-sib-ratelimit-reset": "20"}, 503, None),
        ):
            receipt = self.provider.receipt(Response(status, headers, b"", now), PAIR)
            assert [(r.outcome, r.retry_after_s) for r in receipt.results] == [(D, seconds)] * 2, headers

    def test_the_hidden_alone_have_a_version_and_an_id_each(self) -> None:
        mail = mail_of(message_of("bcc only"))
        body = self.body_of(self.provider.request(mail))
        assert [version["to"] for version in body["messageVersions"]] == [
            [{"email": "dee@example.org"}],
            [{"email": "eve@example.org"}],
        ]
        assert not {"to", "cc", "bcc"} & set(body)
        assert self.provider.receipt(answer(201, {"messageIds": ["a", "b"]}), mail).provider_ids == ("a", "b")
        for wrong in ({"messageIds": ["a"]}, {"messageId": "a"}):
            assert {r.outcome for r in self.provider.receipt(answer(201, wrong), mail).results} == {U}

    def test_a_text_alone_is_shown_by_html(self) -> None:
        body = self.body_of(self.provider.request(mail_of(message_of("plain").with_(text="a < b & c\n"))))
        assert body["htmlContent"] == '<div style="white-space: pre-wrap">a &lt; b &amp; c\n</div>'
        assert body["textContent"] == "a < b & c\n"

    def test_headers_are_title_case_and_ascii_and_instructions_are_none(self) -> None:
        backend = RelayBackend(self.provider)
        mail = mail_of(
            message_of("plain").with_(headers={"x-note": "grö" * 40, "X-Sib-Sandbox": "drop", "idempotencyKey": "1"})
        )
        with pytest.raises(UnsupportedFeature, match="X-Sib-Sandbox, idempotencyKey are instructions"):
            backend.left_out(mail)
        headers = self.body_of(self.provider.request(mail))["headers"]
        assert list(headers) == ["X-Note", "X-Mailin-custom"]
        value = headers["X-Note"]
        assert value.isascii()
        assert value.isprintable()
        from email.header import decode_header, make_header

        assert str(make_header(decode_header(value))) == "grö" * 40

    def test_metadata_and_the_sandbox_are_headers(self) -> None:
        sandbox = Brevo(TOKEN, sandbox=True)
        body = self.body_of(sandbox.request(mail_of(message_of("metadata"))))
        assert body["headers"] == {
            "X-Mailin-custom": f'{{"order": "7", "count": 3, "path": ["a", "\\u00fc"], "mailer_id": "{"0" * 32}"}}',
            "X-Sib-Sandbox": "drop",
        }

    def test_a_schedule_is_utc_to_the_millisecond(self) -> None:
        moment = WHEN.replace(microsecond=678_901).astimezone(timezone(timedelta(hours=2)))
        body = self.body_of(self.provider.request(mail_of(message_of("plain").with_(send_at=moment))))
        assert body["scheduledAt"] == "2030-01-02T03:04:05.678Z"

    def test_long_names_are_cut_with_a_note(self) -> None:
        mail = mail_of(message_of("plain").with_(to=("ü" * 71, "ann@example.org")))
        assert [note.split()[0] for note in RelayBackend(self.provider).left_out(mail)] == ["names", "text"]
        assert self.body_of(self.provider.request(mail))["to"] == [{"email": "ann@example.org", "name": "ü" * 70}]

    def test_over_loopback(self) -> None:
        with FakeRelay("brevo", token=TOKEN) as relay, new_world("blocking") as world:
            url = relay.url.replace(TOKEN, "Tok3n-%25%2F+x") + "&sandbox=yes"
            with world.mailer(url) as mailer:
                receipts = [mailer.send(message_of("bcc")), mailer.send(message_of("bcc only"))]
        assert [receipt.provider_ids for receipt in receipts] == [
            ("<b-1.0@smtp-relay.mailin.fr>",),
            ("<b-2.0@smtp-relay.mailin.fr>", "<b-2.1@smtp-relay.mailin.fr>"),
        ]
        assert all(request.json["headers"]["X-Sib-Sandbox"] == "drop" for request in relay.requests)


def test_versions_lend_each_other_no_variables() -> None:
    """What stands beside the versions is laid under each: Ann's would show in Bob's, who lacks them."""
    from json import loads

    base = message_of("template").with_(context={})
    mails = [
        mail_of(base.with_(to=f"{who}@example.org", context=context))
        for who, context in (("ann", {"name": "Ann", "code": "1234"}), ("bob", {"name": "Bob"}))
    ]
    body = loads(Brevo(TOKEN).batch_request(mails).content)
    assert [version["params"] for version in body["messageVersions"]] == [m.message.context for m in mails if m.message]
    assert "params" not in body
    alike = [mail_of(base.with_(to=f"{who}@example.org", context={"name": "all"})) for who in ("ann", "bob")]
    body = loads(Brevo(TOKEN).batch_request(alike).content)
    assert body["params"] == {"name": "all"}
    assert all("params" not in version for version in body["messageVersions"])


def test_what_is_not_ascii_arrives_or_is_noted() -> None:
    """A name with punctuation beside it is dropped there unless it is encoded; headers are sent as they are."""
    from email.header import decode_header, make_header
    from json import loads

    backend = RelayBackend(Brevo(TOKEN))

    def said(name: str) -> tuple[str, list[str]]:
        mail = mail_of(message_of("html").with_(to=[(name, "ann@example.org")]))
        notes = [note.split()[0] for note in backend.left_out(mail)]
        return loads(backend.provider.request(mail).content)["to"][0]["name"], notes

    for name in ("Müller, Shop", 'Zoë "Z"', "Ann (Köln)", "a.b ü"):
        word, notes = said(name)
        assert word.isascii()
        assert str(make_header(decode_header(word))) == name
        assert len(word) <= 70
        assert notes == []
    for name in ("Müller Shop", "Shop, Inc.", "注文"):  # which it encodes, and quotes, itself
        assert said(name) == (name, [])
    long = "Größe, " * 9  # an encoded word has no room in 70 characters, and half of one is none
    assert said(long.strip()) == (("Größe " * 9).strip(), ["names"])

    for fields, field in (({"headers": {"X-Note": "größer"}}, "headers"), ({"metadata": {"a": "ü"}}, "metadata")):
        mail = mail_of(message_of("html").with_(**fields))
        assert [note.split()[0] for note in backend.left_out(mail)] == [field]
    backend.unsupported = "error"
    with pytest.raises(UnsupportedFeature, match="X-Note"):
        backend.left_out(mail_of(message_of("html").with_(headers={"X-Note": "größer"})))

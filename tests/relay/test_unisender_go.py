"""Unisender Go and UniOne: what is their own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.utils import getaddresses
from typing import Any

import pytest
from relay_cases import mail_of, message_of
from relay_checks import TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import Address, AuthError, ConfigError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.unione import UniOne
from mailer.relay.unisender_go import UnisenderGo
from mailer.testing import Answer, FakeRelay

ANN, BOB = "ann@example.org", "bob@example.org"


def taken(*emails: Any, **failed: Any) -> Any:
    named = {f"{name}@example.org": reason for name, reason in failed.items()}
    body = {"status": "success", "job_id": "m-1", "emails": list(emails), "failed_emails": named}
    return answer(200, body)


def fault(status: int, code: Any, text: Any = "No.", **more: Any) -> Any:
    return answer(status, {"status": "error", "message": text, "code": code, **more})


class TestUnisenderGo(ProviderChecks):
    provider = UnisenderGo(TOKEN)
    ok = taken(ANN, BOB)
    schemas = [("unisender_go.email_send.request.schema.json", "")]  # noqa: RUF012
    credentials = ("X-API-KEY", TOKEN)
    named_bases = {  # noqa: RUF012
        "unisendergo://T@default": "https://go1.unisender.ru/ru/transactional/api/v1",
        "unisendergo://T@go1": "https://go1.unisender.ru/ru/transactional/api/v1",
        "unisendergo://T@go2": "https://go2.unisender.ru/ru/transactional/api/v1",
        "unisendergo://T@mail.example.com": "https://mail.example.com/ru/transactional/api/v1",
    }
    answers = {  # noqa: RUF012
        "in another case": (taken("ANN@example.org", BOB), [A, A], None, ""),
        "one is refused": (taken(ANN, bob="unsubscribed"), [A, R], None, ""),
        "one is refused for now": (taken(ANN, bob="temporary_unavailable"), [A, D], None, ""),
        "one is refused for a new reason": (taken(ANN, bob="abducted"), [A, R], None, ""),
        "one stands twice": (taken(ANN, BOB, bob="duplicate"), [A, A], None, ""),
        "one is taken and refused": (taken(ANN, BOB, bob="blocked"), [A, R], None, ""),
        "one is a duplicate of nobody": (taken(ANN, bob="duplicate"), [A, R], None, ""),
        "one is not named": (taken(ANN), [A, U], None, ""),
        "all are refused": (answer(200, {"status": "success", "emails": [], "failed_emails": {ANN: "invalid", BOB: "invalid"}}), [R, R], None, "invalid"),
        "nobody is named": (taken(), [U, U], ProtocolError, "names none of the recipients"),
        "others are named": (taken(7, "x@example.org"), [U, U], ProtocolError, "names none of the recipients"),
        "no id": (answer(200, {"status": "success", "emails": [ANN, BOB]}), [U, U], ProtocolError, "gives no id"),
        "an id that is the token": (answer(200, {"status": "success", "job_id": TOKEN, "emails": [ANN]}), [U, U], ProtocolError, "id is none"),
        "no status": (answer(200, {"job_id": "m-1", "emails": [ANN, BOB]}), [U, U], ProtocolError, "neither success nor error"),
        "an error inside a 200": (fault(200, 150), [R, R], None, "150 No."),
        "not valid": (fault(400, 150), [R, R], None, "150 No."),
        "all are refused, as an error": (fault(400, 204, failed_emails={ANN: "invalid", BOB: "temporary_unavailable"}), [R, D], None, ""),
        "the other data centre": (fault(403, 114, "wrong dc"), [D, D], ConfigError, "114 wrong dc"),
        "bad token": (fault(401, 102, f"key {TOKEN}"), [D, D], AuthError, "key ***"),
        "in another form": (answer(400, {"status": "error", "message": 7, "code": "x", "failed_emails": 7}), [R, R], None, "HTTP 400"),
    }  # fmt: skip

    def test_who_is_shown_to_whom(self) -> None:
        """Each gets a copy; what it shows of the others are two headers, where there are others."""
        for case, wanted in (
            ("plain", {}),
            ("bcc alone", {}),
            ("bcc only", {}),
            ("bcc", {"to": '"Ann" <ann@example.org>', "cc": '"Cyd" <cyd@example.org>'}),
            ("cc only", {"to": "cyd@example.org, cem@example.org"}),
        ):
            message = self.body_of(self.provider.request(mail_of(message_of(case))))["message"]
            assert message.get("headers", {}) == wanted, case

    def test_names_that_it_would_take_apart_are_encoded(self) -> None:
        """Read back by the standard library, they are what they were, and every word is as short as it must be."""
        names = ["Müller, Shop", "a@b", "x <y>", "Plain Name", 'He "said" so', "長" * 60, "é" * 22, "a, " * 40 + "b"]
        message = message_of("plain").with_(to=[Address(name, f"n{n}", "b.test") for n, name in enumerate(names)])
        body = self.body_of(self.provider.request(mail_of(message)))["message"]
        said = body["headers"]["to"]
        assert said.isascii()
        assert all(len(word) <= 75 for word in said.split())
        pairs = getaddresses([said])
        assert [str(make_header(decode_header(name))) for name, _ in pairs] == names
        assert [r["substitutions"]["to_name"] for r in body["recipients"]] == names
        for name, shown in (("Help", "Help"), ("Help (us)", "=?utf-8?b?SGVscCAodXMp?="), ("é", "=?utf-8?b?w6k=?=")):
            reply = message_of("plain").with_(reply_to=(name, "r@example.com"))
            assert self.body_of(self.provider.request(mail_of(reply)))["message"]["reply_to_name"] == shown

    def test_what_its_templates_would_evaluate_is_refused_in_plain_mails(self) -> None:
        backend = RelayBackend(self.provider)
        mark = "{{ name }}"
        for fields in (
            {"subject": mark}, {"text": mark}, {"html": mark}, {"headers": {"X-A": mark}},
            {"from_": (mark, "a@example.com")}, {"to": (mark, "b@example.org")},
        ):  # fmt: skip
            mail = mail_of(message_of("plain").with_(**fields))
            with pytest.raises(
                UnsupportedFeature, match=r"text: with '{{', in subject, names and headers too, is eval"
            ):
                backend.left_out(mail)
        assert backend.left_out(mail_of(message_of("template").with_(subject="{{ name }}"))) == ()

    def test_metadata_and_times(self) -> None:
        backend = RelayBackend(self.provider)
        many = {f"k{n}": n for n in range(11)}
        mail = mail_of(message_of("plain").with_(metadata=many, send_at=datetime(2030, 1, 2, 3, 4, 5, 1, tzinfo=UTC)))
        assert [note.split()[0] for note in backend.left_out(mail)] == ["metadata"]
        body = self.body_of(self.provider.request(mail))["message"]
        assert body["global_metadata"] == {f"k{n}": str(n) for n in range(10)}
        assert body["options"] == {"send_at": "2030-01-02 03:04:06"}

    def test_over_loopback(self) -> None:
        for scheme, path in (("unisendergo", "/ru/"), ("unione", "/en/")):
            with (
                FakeRelay(scheme, token=TOKEN) as relay,
                new_world("blocking") as world,
                world.mailer(relay.url.replace(TOKEN, "Tok3n-%25%2F+x")) as mailer,
            ):
                first = mailer.send(message_of("bcc"))
                emails = ["ann@example.org", "cyd@example.org", "eve@example.org"]
                body = {
                    "status": "success",
                    "job_id": "j-2",
                    "emails": emails,
                    "failed_emails": {"dee@example.org": "blocked"},
                }
                relay.next(Answer(body=body))
                second = mailer.send(message_of("bcc"))
            assert (first.ok, first.provider_ids) == (True, ("u-1",))
            assert relay.requests[0].path == f"{path}transactional/api/v1/email/send.json"
            assert [result.outcome for result in second.results] == [A, A, R, A]


def test_unione_is_the_same_under_another_name_and_in_other_places() -> None:
    for host, base in {
        "default": "https://eu1.unione.io/en/transactional/api/v1",
        "eu1": "https://eu1.unione.io/en/transactional/api/v1",
        "us1": "https://us1.unione.io/en/transactional/api/v1",
        "mail.example.com": "https://mail.example.com/en/transactional/api/v1",
    }.items():
        backend = backend_from_url(f"unione://T@{host}")
        assert isinstance(backend, RelayBackend)
        assert (backend.provider.name, backend.provider.base) == ("unione", base)
    for case in ("names", "bcc", "template", "metadata"):
        one, other = (provider(TOKEN).request(mail_of(message_of(case))) for provider in (UniOne, UnisenderGo))
        assert (one.content, one.headers) == (other.content, other.headers)
        assert one.url == "https://eu1.unione.io/en/transactional/api/v1/email/send.json"

"""SparkPost: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from typing import Any

import pytest
from relay_cases import mail_of, message_of
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import Attachment, AuthError, ConfigError, MessageError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.sparkpost import SparkPost
from mailer.testing import FakeRelay


def results(taken: Any, refused: Any, *faults: str, **more: Any) -> dict[str, Any]:
    counts = {"total_accepted_recipients": taken, "total_rejected_recipients": refused}
    named = {
        "rcpt_to_errors": [{"message": "required field is missing", "description": d, "code": "1400"} for d in faults]
    }
    errors = {"errors": [{"message": "transmission created, but with validation errors", "code": "2000"}]}
    return {"results": {"id": "m-1", **counts, **(named if faults else {}), **more}, **(errors if faults else {})}


def errors(code: str, message: str = "no", description: str = "") -> dict[str, Any]:
    return {"errors": [{"message": message, "description": description, "code": code}]}


class TestSparkPost(ProviderChecks):
    provider = SparkPost(TOKEN)
    ok = answer(200, results(2, 0))
    schemas = [("sparkpost.transmissions.request.schema.json", "")]  # noqa: RUF012
    credentials = ("Authorization", TOKEN)
    named_bases = {  # noqa: RUF012
        "sparkpost://T@default": "https://api.sparkpost.com/api/v1",
        "sparkpost://T@eu": "https://api.eu.sparkpost.com/api/v1",
        "sparkpost://T@acme.msyscloud.com": "https://acme.msyscloud.com/api/v1",
    }
    answers = {  # noqa: RUF012
        "one is refused, and named": (answer(200, results(1, 1, "invalid address: BOB@example.org.")), [A, R], None, "invalid address"),
        "one is refused, and not named": (answer(200, results(1, 1, "invalid address")), [U, U], None, "it does not say who"),
        "one is refused, and both are named": (answer(200, results(1, 1, "ann@example.org or bob@example.org")), [R, R], None, "ann@"),
        "all are refused": (answer(200, results(0, 2, "x")), [R, R], None, "x"),
        "all are refused without a word": (answer(200, results(0, 2)), [R, R], None, "all recipients are refused"),
        "errors alone inside a 200": (answer(200, errors("2000")), [R, R], None, "2000 no"),
        "faults, and nobody refused": (answer(200, results(2, 0, "x")), [U, U], ProtocolError, "nobody whom it refused"),
        "numbers that do not fit": (answer(200, results(1, 0)), [U, U], ProtocolError, "numbers of recipients"),
        "numbers that are none": (answer(200, results("2", False)), [U, U], ProtocolError, "numbers of recipients"),
        "no id": (answer(200, results(2, 0, id=None)), [U, U], ProtocolError, "gives no id"),
        "an id that is the key": (answer(200, results(2, 0, id=TOKEN)), [U, U], ProtocolError, "id is none"),
        "no results": (answer(200, {"results": []}), [U, U], ProtocolError, "no results"),
        "the sending quota": (answer(420, errors("2101", "Exceed Sending Limit (daily)")), [D, D], None, "2101 Exceed"),
        "the sending quota, in another form": (answer(420, b"slow down"), [D, D], None, "slow down"),
        "too many requests": (answer(429, errors("1", "Too many requests")), [D, D], None, "Too many"),
        "domain not verified": (answer(400, errors("7001", "Invalid domain", "Unconfigured Sending Domain <example.com>")), [D, D], ConfigError, "7001 Invalid domain; Unconfigured"),
        "bad key": (answer(401, errors("", f"key {TOKEN.upper()}")), [D, D], AuthError, "key ***"),
        "no such template": (answer(422, errors("1603", "Subresource not found")), [R, R], None, "1603 Subresource"),
        "in another form": (answer(422, {"errors": ["x", 7, {"message": [1]}]}), [R, R], None, "HTTP 422"),
    }  # fmt: skip

    def test_who_sees_whom(self) -> None:
        def shown(case: str) -> tuple[list[tuple[str, str]], str | None]:
            body = self.body_of(self.provider.request(mail_of(message_of(case))))
            addresses = [recipient["address"] for recipient in body["recipients"]]
            return [(a["email"], a.get("header_to", "")) for a in addresses], body["content"].get("headers", {}).get(
                "CC"
            )

        ann = '"Ann" <ann@example.org>'
        assert shown("plain") == ([("ann@example.org", "")], None)
        assert shown("bcc") == (
            [(f"{who}@example.org", ann) for who in ("ann", "cyd", "dee", "eve")],
            '"Cyd" <cyd@example.org>',
        )
        # A copy each, which shows nobody else.
        assert shown("bcc only") == ([("dee@example.org", ""), ("eve@example.org", "")], None)
        both = "cyd@example.org, cem@example.org"
        assert shown("cc only") == ([(f"{who}@example.org", both) for who in ("cyd", "cem", "dee")], None)

    def test_what_looks_like_a_variable_is_meant_as_it_stands(self) -> None:
        backend = RelayBackend(self.provider)
        mail = mail_of(message_of("plain").with_(text="{{x}}", html="{{y}}"))
        assert backend.left_out(mail) == ()
        assert self.body_of(self.provider.request(mail))["options"]["perform_substitutions"] is False
        for fields in (
            {"subject": "{{x}}"},
            {"headers": {"X-A": "{{x}}"}},
            {"from_": ("{{x}}", "a@example.com")},
            {"cc": ("{{x}}", "a@example.com")},
        ):
            with pytest.raises(UnsupportedFeature, match="evaluated"):
                backend.left_out(mail_of(message_of("plain").with_(**fields)))

    def test_a_stored_template_takes_variables_and_nothing_beside_it(self) -> None:
        backend = RelayBackend(self.provider)
        templated = message_of("template by name")
        body = self.body_of(self.provider.request(mail_of(templated)))
        assert (body["content"], body["substitution_data"]) == ({"template_id": "welcome"}, {"name": "Ann"})
        assert "options" not in body
        assert [note.split()[0] for note in backend.left_out(mail_of(templated))] == ["from_"]
        for fields in (
            {"reply_to": "x@example.com"},
            {"headers": {"X-A": "1"}},
            {"attachments": [Attachment.from_bytes("a", b"x")]},
        ):
            with pytest.raises(UnsupportedFeature, match="the template has its own"):
                backend.left_out(mail_of(templated.with_(**fields)))

    def test_the_first_tag_is_the_campaign_and_the_others_each_recipients(self) -> None:
        backend = RelayBackend(self.provider)
        mail = mail_of(message_of("plain").with_(tags=[str(n) for n in range(12)]))
        assert len(backend.left_out(mail)) == 1
        body = self.body_of(self.provider.request(mail))
        assert (body["campaign_id"], body["recipients"][0]["tags"]) == ("0", [str(n) for n in range(1, 11)])
        long = mail_of(message_of("plain").with_(tags=["ü" * 33, "b"]))
        assert len(backend.left_out(long)) == 1
        assert "campaign_id" not in self.body_of(self.provider.request(long))

    def test_a_name_that_is_too_long_is_refused(self) -> None:
        mail = mail_of(message_of("plain").attach(Attachment.from_bytes("x" * 256, b"")))
        with pytest.raises(MessageError, match="255"):
            self.provider.request(mail)

    @pytest.mark.parametrize(
        "option", ["subaccount=", "subaccount=%C3%BC", "subaccount=-7", "sandbox=maybe", "subacount=1"]
    )
    def test_options_that_are_wrong_say_so(self, option: str) -> None:
        with pytest.raises(ConfigError, match=r"option|subaccount|sandbox"):
            backend_from_url(f"sparkpost://T@default?{option}")

    def test_over_loopback(self) -> None:
        with FakeRelay("sparkpost", token=TOKEN) as relay, new_world("blocking") as world:
            url = relay.url.replace(TOKEN, "Tok3n-%25%2F+x")
            with world.mailer(f"{url}&subaccount=7&sandbox=yes") as mailer:
                receipt = mailer.send(message_of("bcc"))
        assert (receipt.ok, receipt.provider_ids) == (True, ("sp-1",))
        [request] = relay.requests
        assert (request.path, request.headers["x-msys-subaccount"]) == ("/api/v1/transmissions", "7")
        assert request.json["options"]["sandbox"] is True
        assert PAIR.id not in request.content.decode()

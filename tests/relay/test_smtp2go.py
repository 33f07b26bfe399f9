"""SMTP2GO: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from relay_cases import mail_of, message_of, schema_errors
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import AuthError, ConfigError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.relay.smtp2go import Smtp2Go
from mailer.testing import Answer, FakeRelay

ERROR = "An error occurred."


def taken(**data: Any) -> Any:
    return answer(
        200, {"request_id": "x", "data": {"succeeded": 2, "failed": 0, "failures": [], "email_id": "m-1", **data}}
    )


def fault(status: int, code: str, **data: Any) -> Any:
    return answer(status, {"request_id": "x", "data": {"error": ERROR, "error_code": code, **data}})


def on_field(name: str) -> dict[str, Any]:
    return {"field_validation_errors": {"fieldname": name, "message": "not valid"}}


class TestSmtp2Go(ProviderChecks):
    provider = Smtp2Go(TOKEN)
    ok = taken()
    schemas = [  # noqa: RUF012
        ("smtp2go.openapi.json", "#/paths/~1email~1send/post/requestBody/content/application~1json/schema")
    ]
    credentials = ("X-Smtp2go-Api-Key", TOKEN)
    named_bases = {  # noqa: RUF012
        "smtp2go://T@default": "https://api.smtp2go.com/v3",
        "smtp2go://T@us": "https://us-api.smtp2go.com/v3",
        "smtp2go://T@eu": "https://eu-api.smtp2go.com/v3",
        "smtp2go://T@au": "https://au-api.smtp2go.com/v3",
        "smtp2go://T@mail.example.com:8443": "https://mail.example.com:8443/v3",
    }
    answers = {  # noqa: RUF012
        "one is refused": (taken(succeeded=1, failed=1, failures=["<BOB@example.org>: blocked"]), [A, R], None, ""),
        "one is refused, as an object": (taken(succeeded=1, failed=1, failures=[{"email": "bob@example.org", "error": "bad"}]), [A, R], None, "bob@example.org; bad"),
        "one is refused, and not counted": (answer(200, {"data": {"failures": ["bob@example.org"], "email_id": "m-1"}}), [A, R], None, "bob"),
        "one is refused, and not said who": (taken(succeeded=1, failed=1), [U, U], None, "1 refused, and it does not say who"),
        "two are refused, and one is named": (taken(succeeded=1, failed=2, failures=["bob@example.org"]), [U, R], None, "bob"),
        "all are refused": (taken(succeeded=0, failed=2, failures=["blocked"]), [R, R], None, "blocked"),
        "all are refused, for no reason": (taken(succeeded=0, failed=2), [R, R], None, "all recipients are refused"),
        "nobody, for no reason": (taken(succeeded=0), [U, U], ProtocolError, "nobody was sent to"),
        "named, and counted as none": (taken(failures=["bob@example.org"]), [U, U], ProtocolError, "number of failures"),
        "a number that is none": (taken(failed=True), [U, U], ProtocolError, "number of failures"),
        "a number below nothing": (taken(failed=-1), [U, U], ProtocolError, "number of failures"),
        "scheduled": (taken(email_id=None, schedule_id="s-1"), [A, A], None, ""),
        "no id": (taken(email_id=""), [U, U], ProtocolError, "gives no id"),
        "an id that is the token": (taken(email_id=TOKEN), [U, U], ProtocolError, "id is none"),
        "no data": (answer(200, {"request_id": "x"}), [U, U], ProtocolError, "no data"),
        "an error inside a 200": (fault(200, "E_X"), [R, R], None, f"E_X {ERROR}"),
        "an error inside a 200, at the top": (answer(200, {"error": "no", "error_code": "E_Y"}), [R, R], None, "E_Y no"),
        "not valid": (fault(400, "E_ApiResponseCodes.NON_VALIDATING_IN_PAYLOAD", **on_field("sender")), [R, R], None, "sender; not valid"),
        "bad key by its field": (fault(400, "E_ApiResponseCodes.NON_VALIDATING_IN_PAYLOAD", **on_field("api_key")), [D, D], AuthError, "api_key"),
        "bad token": (fault(401, "E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED", more=TOKEN), [D, D], AuthError, "ENDPOINT"),
        "no credits": (fault(402, "E_X"), [D, D], ConfigError, "E_X"),
        "in another form": (answer(400, {"data": {"error": 7, "error_code": []}}), [R, R], None, "HTTP 400"),
    }  # fmt: skip

    def faults(self, body: Any) -> list[str]:
        """A batch has a form of its own."""
        if "emails" in body:
            pointer = "#/paths/~1email~1batch/post/requestBody/content/application~1json/schema"
            return schema_errors(body, "smtp2go.openapi.json", pointer, is_closed=True)
        return super().faults(body)

    def schema_body(self, body: Any) -> Any:
        """The vendor's file types ``template_data`` as a string; its samples give an object."""
        return {key: value for key, value in body.items() if key != "template_data"}

    def test_throttled_it_waits_a_minute(self) -> None:
        for given, wait_s in ((answer(429), 60), (answer(429, retry_after="7"), 7)):
            receipt = self.provider.receipt(given, PAIR)
            assert [(r.outcome, r.retry_after_s) for r in receipt.results] == [(D, wait_s)] * 2

    def test_a_schedule_that_is_not_confirmed_says_so(self) -> None:
        """How the time is written is not documented past doubt: whether it was read, the answer shows."""
        when = datetime(2030, 1, 2, 3, 4, 5, 1, tzinfo=UTC)
        mail = mail_of(message_of("plain").with_(send_at=when))
        assert self.body_of(self.provider.request(mail))["schedule"] == "2030-01-02T03:04:06+00:00"
        for given, text in ((taken(schedule_id="s-1"), ""), (taken(), "may have been sent at once")):
            [result] = self.provider.receipt(given, mail).results
            assert (result.outcome, text in result.text) == (A, True)

    def test_headers_may_stand_twice_and_several_may_be_replied_to(self) -> None:
        message = message_of("headers twice").with_(reply_to=['"x, y" <a@example.com>', "b@example.com"])
        mail = mail_of(message)
        assert RelayBackend(self.provider).left_out(mail) == ()
        headers = self.body_of(self.provider.request(mail))["custom_headers"]
        assert [(h["header"], h["value"]) for h in headers] == [
            ("X-A", "1"), ("X-A", "2"), ("Reply-To", '"x, y" <a@example.com>, b@example.com'),
        ]  # fmt: skip

    def test_how_many_it_takes(self) -> None:
        for kind in ("to", "cc", "bcc"):
            many = [f"n{n}@example.org" for n in range(101)]
            with pytest.raises(UnsupportedFeature, match=f"101 in {kind} are more than the 100 that smtp2go takes"):
                RelayBackend(self.provider).left_out(mail_of(message_of("plain").with_(**{kind: many})))

    def test_over_loopback(self) -> None:
        body = {"data": {"succeeded": 3, "failed": 1, "failures": ["dee@example.org"], "email_id": "i-2"}}
        # Only who is hidden is left: none of them is shown to the other, and nothing is sent.
        hidden = message_of("plain").with_(to="björn@example.org", bcc=["a@b.test", "c@d.test"])
        with (
            FakeRelay("smtp2go", token=TOKEN) as relay,
            new_world("asyncio") as world,
            world.mailer(relay.url.replace(TOKEN, "Tok3n-%25%2F+x")) as mailer,
        ):
            first = mailer.send(message_of("bcc"))
            relay.next(Answer(body=body))
            second = mailer.send(message_of("bcc"))
            [third] = mailer.send_many([hidden])
        assert (first.ok, first.provider_ids, relay.requests[0].path) == (True, ("sg-1",), "/v3/email/send")
        assert [result.outcome for result in second.results] == [A, A, R, A]
        assert len(relay.requests) == 2
        assert (third.results, third.error and third.error.field) == ((), "recipients")

"""ZeptoMail: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from typing import Any

import pytest
from relay_cases import FILES, mail_of, message_of, schema_errors
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import AuthError, ConfigError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.envelope import NULL_SENDER
from mailer.relay.zeptomail import ZeptoMail
from mailer.testing import Answer, FakeRelay

RECEIVED = {"code": "EM_104", "additional_info": [], "message": "Email request received"}


def taken(**more: Any) -> Any:
    return answer(201, {"data": [RECEIVED], "message": "OK", "request_id": "m-1", "object": "email", **more})


def fault(status: int, code: str, *details: dict[str, Any]) -> Any:
    return answer(status, {"error": {"code": code, "message": "No.", "details": list(details), "request_id": "x"}})


def bad(address: str, code: str = "SM_113") -> dict[str, Any]:
    return {"code": code, "message": "Invalid email address", "target": "to", "target_value": address}


class TestZeptoMail(ProviderChecks):
    provider = ZeptoMail(TOKEN)
    ok = taken()
    schemas = [("zeptomail.requests.schema.json", "#/$defs/email")]  # noqa: RUF012
    credentials = ("Authorization", f"Zoho-enczapikey {TOKEN}")
    named_bases = {  # noqa: RUF012
        "zeptomail://T@default": "https://api.zeptomail.com/v1.1",
        "zeptomail://T@eu": "https://api.zeptomail.eu/v1.1",
        "zeptomail://T@in": "https://api.zeptomail.in/v1.1",
        "zeptomail://T@au": "https://api.zeptomail.com.au/v1.1",
        "zeptomail://T@jp": "https://api.zeptomail.jp/v1.1",
        "zeptomail://T@cn": "https://api.zeptomail.com.cn/v1.1",
        "zeptomail://T@mail.example.com:8443": "https://mail.example.com:8443/v1.1",
    }
    answers = {  # noqa: RUF012
        "taken with 200": (answer(200, {"data": [RECEIVED], "request_id": "m-1"}), [A, A], None, "Email request received"),
        "data in another form": (taken(data=[7]), [U, U], ProtocolError, "no list of data"),
        "data of nothing": (taken(data=[]), [U, U], ProtocolError, "no list of data"),
        "no id": (taken(request_id=None), [U, U], ProtocolError, "gives no id"),
        "an id that is the token": (taken(request_id=TOKEN), [U, U], ProtocolError, "id is none"),
        "an error inside a success": (taken(error={"code": "TM_3301", "message": "No."}), [R, R], None, "TM_3301 No."),
        "one address is bad": (fault(400, "TM_4001", bad("BOB@example.org")), [D, R], None, "SM_113"),
        "both are bad": (fault(400, "TM_4001", bad("ann@example.org"), bad("bob@example.org")), [R, R], None, "SM_113"),
        "one is bad, and something else": (fault(400, "TM_4001", bad("bob@example.org"), bad("x", "SM_120")), [R, R], None, "SM_113"),
        "somebody else is bad": (fault(400, "TM_4001", bad("shop@example.com")), [R, R], None, "shop@example.com"),
        "a field is missing": (fault(400, "TM_3201", {"code": "GE_102", "target": "subject"}), [R, R], None, "GE_102 No.; subject"),
        "domain not verified": (fault(400, "TM_4001", {"code": "SM_111"}), [D, D], ConfigError, "SM_111"),
        "no more today": (fault(400, "TM_3601", {"code": "SMI_115"}), [D, D], ConfigError, "SMI_115"),
        "no credits": (fault(403, "TM_5001", {"code": "LE_102"}), [D, D], ConfigError, "LE_102"),
        "bad token": (fault(500, "TM_4001", {"code": "SERR_157", "message": TOKEN}), [D, D], AuthError, "SERR_157"),
        "without details": (answer(400, {"error": {"code": "TM_9", "message": "x", "details": 7}}), [R, R], None, "TM_9 x"),
        "in another form": (answer(400, {"error": ["x"]}), [R, R], None, "HTTP 400"),
    }  # fmt: skip

    def faults(self, body: Any) -> list[str]:
        """A stored template has a form of its own, and so has a batch."""
        is_batch = len(body["to"]) > 1 and not {"cc", "bcc"} & set(body)
        kind = "template" if {"template_key", "template_alias"} & set(body) else "email"
        if is_batch:
            kind = {"template": "templateBatch", "email": "batch"}[kind]
        return schema_errors(body, "zeptomail.requests.schema.json", f"#/$defs/{kind}", is_closed=True)

    def test_a_template_is_named_by_its_key_or_by_its_alias(self) -> None:
        for name, key in (("2d6f.1a2b.k1.9c3d", "template_key"), ("welcome", "template_alias")):
            request = self.provider.request(mail_of(message_of("template").with_(provider_template=name)))
            body = self.body_of(request)
            assert (request.url.removeprefix(self.provider.base), body[key]) == ("/email/template", name)
            assert body["merge_info"] == {"name": "Ann"}
            assert self.faults(body) == []

    def test_where_bounces_go(self) -> None:
        backend = RelayBackend(self.provider)
        mail = mail_of(message_of("plain").with_(return_path="bounces@bücher.example"))
        assert backend.left_out(mail) == ()
        body = self.body_of(self.provider.request(mail))
        assert body["bounce_address"] == "bounces@xn--bcher-kva.example"
        assert self.faults(body) == []
        with pytest.raises(UnsupportedFeature, match="return_path: that is empty"):
            backend.left_out(mail_of(message_of("plain").with_(return_path=NULL_SENDER)))

    def test_how_much_it_takes(self) -> None:
        backend = RelayBackend(self.provider)
        for fields, says in (
            ({"to": [f"n{n}@example.org" for n in range(341)]}, "341 in to are more than the 340"),
            ({"attachments": FILES * 21}, "63 are more than the 60"),
            ({"provider_template": "x", "text": None, "subject": "", "attachments": FILES}, "beside a stored template"),
            ({"provider_template": "x", "text": None}, "brings its own subject"),
        ):
            with pytest.raises(UnsupportedFeature, match=says):
                backend.left_out(mail_of(message_of("plain").with_(**fields)))

    def test_over_loopback(self) -> None:
        with (
            FakeRelay("zeptomail", token=TOKEN) as relay,
            new_world("trio") as world,
            world.mailer(relay.url.replace(TOKEN, "Tok3n-%25%2F+x")) as mailer,
        ):
            first = mailer.send(message_of("bcc"))
            relay.next(Answer(status=400, body={"error": {"code": "TM_4001", "details": [bad("dee@example.org")]}}))
            [second] = mailer.send_many([message_of("bcc")])
        assert (first.ok, first.provider_ids, relay.requests[0].path) == (True, ("z-1",), "/v1.1/email")
        assert [result.outcome for result in second.results] == [D, D, R, D]
        assert PAIR.id not in relay.requests[0].content.decode()

"""Postal: what is its own, in its parts and as it is. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from relay_cases import message_of
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import AuthError, ConfigError, Envelope, ProtocolError, UnsupportedFeature
from mailer.backends.url import backend_from_url
from mailer.relay.postal import Postal
from mailer.testing import Answer, FakeRelay

ANN, BOB = "ann@example.org", "bob@example.org"


def taken(**messages: Any) -> Any:
    named = {f"{name}@example.org": given for name, given in messages.items()}
    return answer(200, {"status": "success", "time": 0.1, "flags": {}, "data": {"message_id": "x", "messages": named}})


def fault(code: str, status: str = "error", http: int = 200, text: Any = "No.") -> Any:
    return answer(http, {"status": status, "time": 0.1, "flags": {}, "data": {"code": code, "message": text}})


class TestPostal(ProviderChecks):
    provider = Postal(TOKEN, base="https://postal.example.com")
    ok = taken(ann={"id": 12, "token": "abc"}, bob={"id": 13, "token": "abd"})
    schemas = [("postal.requests.schema.json", "#/$defs/message")]  # noqa: RUF012
    credentials = ("X-Server-API-Key", TOKEN)
    named_bases = {  # noqa: RUF012
        "postal://T@postal.example.com": "https://postal.example.com",
        "postal://T@mail.example.com:8443": "https://mail.example.com:8443",
        "postal://T@[::1]:5000?scheme=http": "http://[::1]:5000",
    }
    answers = {  # noqa: RUF012
        "in another case": (taken(ANN={"id": 1}, bob={"id": 2}), [A, A], None, ""),
        "one is not named": (taken(ann={"id": 12}), [A, U], None, ""),
        "one in another form": (taken(ann={"id": 12}, bob=7), [A, U], None, ""),
        "nobody is named": (taken(), [U, U], ProtocolError, "names none of the recipients"),
        "no id": (taken(ann={"id": 12}, bob={"token": "x"}), [U, U], ProtocolError, "gives no id"),
        "an id that is the token": (taken(ann={"id": TOKEN}, bob={"id": 1}), [U, U], ProtocolError, "id is none"),
        "no status": (answer(200, {"data": {"messages": {ANN: {"id": 1}, BOB: {"id": 2}}}}), [U, U], ProtocolError, "neither success nor error"),
        "no messages": (answer(200, {"status": "success", "data": []}), [U, U], ProtocolError, "neither success nor error"),
        "a success that is none": (fault("NoContent"), [R, R], None, "NoContent No."),
        "a parameter's error": (fault("", "parameter-error", text="`from` is required"), [R, R], None, "`from` is required"),
        "not permitted": (fault("UnauthenticatedFromAddress"), [D, D], ConfigError, "UnauthenticatedFromAddress"),
        "suspended": (fault("ServerSuspended"), [D, D], ConfigError, "ServerSuspended"),
        "bad key": (fault("InvalidServerAPIKey", text=f"not {TOKEN}"), [D, D], AuthError, "not ***"),
        "no access": (fault("AccessDenied"), [D, D], AuthError, "AccessDenied"),
        "too many": (fault("TooManyToAddresses"), [R, R], None, "TooManyToAddresses"),
        "by a proxy": (fault("x", http=404), [R, R], None, "x No."),
        "in another form": (answer(200, {"status": "error", "data": 7}), [R, R], None, "HTTP 200"),
    }  # fmt: skip

    def test_each_recipient_has_an_id_of_his_own(self) -> None:
        assert self.provider.receipt(self.ok, PAIR).provider_ids == ("12", "13")

    def test_its_host_is_the_url_s(self) -> None:
        for url in ("postal://T@default", "postal://T@", "postal://T@eu"):
            with pytest.raises(ConfigError, match=r"host must be your own server's, postal://KEY@mail\.example\.com"):
                backend_from_url(url)
        with pytest.raises(ConfigError, match="run by yourself: name its host"):
            Postal(TOKEN)

    def test_over_loopback(self) -> None:
        with (
            FakeRelay("postal", token=TOKEN) as relay,
            new_world("asyncio") as world,
            world.mailer(relay.url.replace(TOKEN, "Tok3n-%25%2F+x")) as mailer,
        ):
            first = mailer.send(message_of("bcc"))
            relay.next(Answer(body={"status": "error", "data": {"code": "NoContent", "message": "x"}}))
            [second] = mailer.send_many([message_of("bcc")])
        assert (first.ok, len(first.provider_ids), relay.requests[0].path) == (True, 4, "/api/v1/send/message")
        assert {result.outcome for result in second.results} == {R}


class TestPostalAsItIs(TestPostal):
    """``?api=mime``: the envelope says to whom, the content says the rest."""

    provider = Postal(TOKEN, base="https://postal.example.com", api="mime")
    golden_name = "postal-mime"
    schemas = [("postal.requests.schema.json", "#/$defs/raw")]  # noqa: RUF012
    named_bases = {"postal://T@postal.example.com?api=mime": "https://postal.example.com"}  # noqa: RUF012

    def test_the_null_sender_has_no_word_there(self) -> None:
        mail = PAIR.with_(message=None, envelope=Envelope(None, ["a@example.org"]))
        with pytest.raises(UnsupportedFeature, match="return_path: that is empty is not carried by postal"):
            self.provider.request(mail)

    def test_over_loopback(self) -> None:
        with (
            FakeRelay("postal", token=TOKEN) as relay,
            new_world("blocking") as world,
            world.mailer(relay.url.replace(TOKEN, "Tok3n-%25%2F+x") + "&api=mime") as mailer,
        ):
            receipt = mailer.send(message_of("bcc").with_(return_path="bounce@example.com"))
            raw = mailer.send_raw(
                b"From: a@example.com\r\n\r\nx\r\n", envelope=Envelope("a@example.com", ["b@example.org"])
            )
        body = relay.requests[0].json
        assert (receipt.ok, raw.ok, relay.requests[0].path) == (True, True, "/api/v1/send/raw")
        assert body["mail_from"] == "bounce@example.com"
        assert sorted(body["rcpt_to"]) == [ANN, "cyd@example.org", "dee@example.org", "eve@example.org"]
        head = b64decode(body["data"]).partition(b"\r\n\r\n")[0].lower()
        assert b"cyd@example.org" in head
        assert b"dee@example.org" not in head
        assert relay.requests[1].json["rcpt_to"] == ["b@example.org"]

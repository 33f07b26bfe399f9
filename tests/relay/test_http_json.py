"""A relay of one's own, by HTTP and JSON: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from relay_cases import CASES, mail_of, message_of
from relay_checks import ORDINARY, PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import AuthError, ConfigError, Envelope, Mail, Message, MessageError, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.exchange import Response
from mailer.relay.http_json import HttpJson
from mailer.testing import Answer, FakeRelay

BASE = "https://relay.example.com/v1/mails"
ANN, BOB = "ann@example.org", "bob@example.org"


def said(status: int = 200, *results: Any, **more: Any) -> Any:
    item = {"id": PAIR.id, **more} | ({"results": list(results)} if results else {})
    return answer(status, {"mails": [item]})


def result(who: str, outcome: Any, **more: Any) -> dict[str, Any]:
    return {"address": who, "outcome": outcome, **more}


class TestHttpJson(ProviderChecks):
    provider = HttpJson(TOKEN, base=BASE)
    golden_name = "http-json"
    ok = said(outcome="accepted", provider_id="m-1")
    schemas = []  # noqa: RUF012 - the form is our own: see the tests
    credentials = ("Authorization", f"Bearer {TOKEN}")
    named_bases = {  # noqa: RUF012
        "https+json://T@relay.example.com/v1/mails": BASE,
        "https+json://T@relay.example.com": "https://relay.example.com/",
        "https+json://T@relay.example.com:8443/a%20b/": "https://relay.example.com:8443/a%20b/",
        "http+json://T@[::1]:8080/x?header=X-Token&idempotency=yes&batch=50&lacks=amp_html,send_at": "http://[::1]:8080/x",
        "http+json://relay.internal/x": "http://relay.internal/x",
        "http+json://T@relay.internal/x?auth_in_clear=yes": "http://relay.internal/x",
    }
    answers = {  # noqa: RUF012
        "accepted by its status": (answer(202), [A, A], None, ""),
        "accepted without a word": (answer(204, b" \r\n"), [A, A], None, ""),
        "200 without a word": (answer(200), [U, U], ProtocolError, "nothing of this mail"),
        "202 and a page": (answer(202, b"<html>"), [U, U], ProtocolError, "nothing of this mail"),
        "of another mail": (answer(200, {"mails": [{"id": "x", "outcome": "accepted"}]}), [U, U], ProtocolError, "nothing of this mail"),
        "one is refused": (said(200, result("BOB@example.org", "rejected", code=550, enhanced_code="5.1.1", text="no\r\nsuch user"), outcome="accepted"), [A, R], None, ""),
        "each by himself": (said(200, result(ANN, "deferred", retry_after_s=7), result(BOB, "accepted")), [D, A], None, ""),
        "of one nothing is said": (said(200, result(ANN, "accepted")), [A, U], None, ""),
        "of the mail nothing is said": (said(200), [U, U], None, ""),
        "all are refused": (said(422, outcome="rejected", text="over quota", code=552), [R, R], None, "over quota"),
        "accepted inside a 500": (said(500, outcome="accepted"), [A, A], None, ""),
        "unknown in so many words": (said(200, outcome="unknown"), [U, U], None, ""),
        "an outcome that is none": (said(200, outcome="sent"), [U, U], ProtocolError, "an outcome is none of"),
        "an outcome in another form": (said(200, outcome=["accepted"]), [U, U], ProtocolError, "an outcome is none of"),
        "a code that is none": (said(200, outcome="accepted", code=True), [U, U], ProtocolError, "a code is none of"),
        "a code beyond": (said(200, outcome="rejected", code=99), [U, U], ProtocolError, "a code is none of"),
        "an enhanced code that is none": (said(200, outcome="rejected", enhanced_code="5.1"), [U, U], ProtocolError, "an enhanced_code"),
        "a wait that is none": (said(200, outcome="deferred", retry_after_s=-1), [U, U], ProtocolError, "a retry_after_s"),
        "a wait that is no number": (answer(200, b'{"mails":[{"id":"%s","outcome":"deferred","retry_after_s":NaN}]}' % PAIR.id.encode()), [U, U], ProtocolError, "a retry_after_s"),
        "results in another form": (answer(200, {"mails": [{"id": PAIR.id, "results": 7}]}), [U, U], ProtocolError, "results are no list"),
        "a result of no address": (said(200, 7, {"outcome": "rejected"}, outcome="accepted"), [A, A], None, ""),
        "an id that is the token": (said(200, outcome="accepted", provider_id=TOKEN), [U, U], ProtocolError, "id is none"),
        "an id that is none": (said(200, outcome="accepted", provider_id=[]), [U, U], ProtocolError, "gives no id"),
        "an error": (answer(400, {"error": "no From"}), [R, R], None, "no From"),
        "an error with a code": (answer(400, {"error": {"code": "E7", "text": "no From"}}), [R, R], None, "E7 no From"),
        "an error in another form": (answer(400, {"error": [7]}), [R, R], None, "HTTP 400"),
        "bad token": (answer(401, {"error": f"not {TOKEN}"}), [D, D], AuthError, "not ***"),
    }  # fmt: skip

    def ok_for(self, mail: Mail) -> Response:
        return answer(200, {"mails": [{"id": mail.id, "outcome": "accepted"}]})

    def test_the_form(self) -> None:
        """What comes over is the mail: read back it is what it was, but for who is hidden."""
        for case in ORDINARY:
            mail = mail_of(message_of(case), CASES[case].get("recipients"))
            if case in ("options not JSON", "too large", "unreadable"):
                with pytest.raises(MessageError):
                    self.provider.request(mail)
                continue
            body = self.body_of(self.provider.request(mail))
            [item] = body["mails"]
            assert set(item) == {"id", "key", "envelope", "message"}
            assert item["envelope"]["recipients"] == [address.ascii for address in mail.envelope.recipients]
            assert "bcc" not in item["message"]
            read = Message.from_dict(item["message"])
            assert read.with_(idempotency_key=None) == message_of(case).with_(bcc=(), idempotency_key=None), case

    def test_everything_but_ready_made_mail_is_carried(self) -> None:
        backend = RelayBackend(self.provider)
        lossy = {case for case in ORDINARY if self.told(case).get("notes") or self.told(case).get("field")}
        assert lossy == {"idempotency_key", "options not JSON", "too large", "unreadable"}
        assert backend.left_out(mail_of(message_of("delivery"))) == ()

    def test_what_an_answer_says_stands_on_the_receipt(self) -> None:
        refused = result(BOB, "rejected", code=550, enhanced_code="5.1.1", text="no\r\nsuch user", provider_id="x")
        receipt = self.provider.receipt(said(200, refused, outcome="accepted", provider_id=1 << 60), PAIR)
        ann, bob = receipt.results
        assert (ann.provider_id, ann.scope.value if ann.scope else None) == (str(1 << 60), "message")
        assert (bob.code, bob.enhanced_code, bob.text, bob.provider_id) == (550, "5.1.1", "no such user", None)
        assert bob.scope is not None
        assert bob.scope.value == "recipient"
        [later, _] = self.provider.receipt(said(200, outcome="deferred", retry_after_s=1e9), PAIR).results
        assert later.retry_after_s == 86_400

    def test_a_relay_that_honours_keys(self) -> None:
        keyed = HttpJson(TOKEN, base=BASE, idempotency=True, idempotency_header="X-Key")
        assert ("X-Key", PAIR.id) in keyed.request(PAIR).headers
        mail = mail_of(message_of("idempotency_key"))
        assert ("X-Key", "order-7") in keyed.request(mail).headers
        assert json.loads(keyed.request(mail).content)["mails"][0]["key"] == "order-7"
        assert RelayBackend(keyed).left_out(mail) == ()
        for given in (answer(502), answer(200, b"junk"), said(200, outcome="unknown")):
            assert [r.outcome for r in keyed.receipt(given, PAIR).results] == [D, D]

    def test_credentials_stand_where_they_are_wanted(self) -> None:
        login = b64encode(b"me:secret-word").decode()
        for url, header in (
            ("https+json://T0ken@r.test/x", ("Authorization", "Bearer T0ken")),
            ("https+json://T0ken@r.test/x?header=X-Api-Key", ("X-Api-Key", "T0ken")),
            ("https+json://me:secret-word@r.test/x", ("Authorization", f"Basic {login}")),
            ("https+json://r.test/x", None),
        ):
            backend = backend_from_url(url)
            assert isinstance(backend, RelayBackend)
            names = dict(backend.provider.request(PAIR).headers)
            given = [(name, value) for name, value in names.items() if name in ("Authorization", "X-Api-Key")]
            assert given == ([] if header is None else [header])
            assert not any(
                secret in str(backend) + repr(backend.provider) for secret in ("T0ken", "secret-word", login)
            )
        echoed = HttpJson("secret-word", user="me", base=BASE).receipt(answer(400, {"error": f"what is {login}"}), PAIR)
        assert echoed.results[0].text == "what is ***"

    def test_a_url_that_cannot_be(self) -> None:
        for url, says in (
            ("http+json://T@relay.internal/x", "without TLS the credentials are not sent"),
            ("http+json://u:p@relay.internal/x", "without TLS the credentials are not sent"),
            ("https+json:///x", "the host must be named"),
            ("https+json://T@bücher.example/x", "in its ASCII form"),
            ("https+json://:p@r.test/x", "a password needs a user"),
            ("https+json://u:p@r.test/x?header=X-A", "no header"),
            ("https+json://T@r.test/x?header=Content-Type", "none? ?of HTTP's own|not one of HTTP's own"),
            ("https+json://T@r.test/x?idempotency_header=a%0Ab", "encoded line break"),
            ("https+json://T@r.test/x?idempotency_header=a%20b", "name of a header"),
            ("https+json://T@r.test/x?batch=0", "whole number from 1 to 1000"),
            ("https+json://T@r.test/x?lacks=amp,merge", "'amp', 'merge' is none of attachments"),
            ("https+json://T@r.test/x?scheme=http", "says itself whether there is TLS"),
            ("https+json://T@r.test/x?api=xml", "must be one of json, mime"),
        ):
            with pytest.raises(ConfigError, match=says):
                backend_from_url(url)
        for base in (
            "ftp://r.test/x",
            "https://u@r.test/",
            "https://r.test/ü",
            "https://r.test/a b",
            "r.test",
            "https:///x",
        ):
            with pytest.raises(ConfigError, match="the base must be a URL"):
                HttpJson(base=base)

    def test_what_it_lacks_is_refused_or_noted(self) -> None:
        backend = RelayBackend(HttpJson(base=BASE, lacks=("send_at", "tags")))
        with pytest.raises(UnsupportedFeature, match="send_at: is not carried"):
            backend.left_out(mail_of(message_of("schedule")))
        mail = mail_of(message_of("tags"))
        assert [note.split()[0] for note in backend.left_out(mail)] == ["tags"]
        assert "tags" not in json.loads(backend.provider.request(mail).content)["mails"][0]["message"]

    def test_mails_in_batches_decide_for_themselves(self) -> None:
        keyed = HttpJson(base=BASE, batch=2)
        mails = [PAIR.with_(id=f"{n:032x}") for n in range(5)]
        assert [len(group) for group in keyed.grouped(mails)] == [2, 2, 1]
        assert "Idempotency-Key" not in dict(keyed.batch_request(mails[:2]).headers)
        items = [{"id": mails[1].id, "outcome": "rejected"}, {"id": mails[0].id, "outcome": "accepted"}]
        receipts = keyed.batch_receipts(answer(200, {"mails": items}), mails[:3])
        assert [r.results[0].outcome for r in receipts] == [A, R, U]
        receipts = keyed.batch_receipts(answer(429, {"mails": items[:1]}), mails[:2])
        assert [r.results[0].outcome for r in receipts] == [D, R]

    def test_as_it_is(self) -> None:
        whole = HttpJson(base=BASE, api="mime")
        mail = PAIR.with_(message=None, envelope=Envelope(None, [ANN]))
        [item] = json.loads(whole.request(mail).content)["mails"]
        assert item["envelope"] == {"sender": None, "recipients": [ANN]}
        assert b64decode(item["content"]) == bytes(mail.content)
        assert "message" not in item
        assert RelayBackend(whole).left_out(mail) == ()

    def test_over_loopback(self) -> None:
        with (
            FakeRelay("http+json", token=TOKEN) as relay,
            new_world("trio") as world,
            world.mailer(relay.url.replace(TOKEN, "Tok3n-%25%2F+x") + "?batch=100") as mailer,
        ):
            first = mailer.send(message_of("bcc"))
            relay.next(Answer(lose=True))
            receipts = list(mailer.send_many(message_of("plain") for _ in range(250)))
        assert (first.ok, first.provider_ids, relay.requests[0].path) == (True, ("h-1-0",), "/mails")
        assert b"dee@example.org" not in json.dumps(relay.requests[0].json["mails"][0]["message"]).encode()
        assert [len(request.json["mails"]) for request in relay.requests[1:]] == [100, 100, 50]
        assert [receipt.results[0].outcome for receipt in receipts] == [U] * 100 + [A] * 150

"""Mailjet: what is its own. The rest stands in ``relay_checks``."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from relay_cases import mail_of, message_of, unreadable
from relay_checks import PAIR, TOKEN, A, D, ProviderChecks, R, U, answer
from worlds import new_world

from mailer import Attachment, AuthError, ConfigError, ProtocolError, TransportError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.exchange import Response
from mailer.relay.mailjet import Mailjet
from mailer.testing import FakeRelay, sweep
from mailer.verdict import Scope

KEY = "K3y-of-ours"


def entry(who: str, given: Any = "m-1") -> dict[str, Any]:
    return {"Email": f"{who}@example.org", "MessageUUID": "u", "MessageID": given, "MessageHref": "https://x"}


def success(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Status": "success", "CustomID": "", "To": list(entries), "Cc": [], "Bcc": [], **more}


def fault(code: str, status: Any = 400, text: str = "no", related: Any = ()) -> dict[str, Any]:
    return {
        "ErrorIdentifier": "i",
        "ErrorCode": code,
        "StatusCode": status,
        "ErrorMessage": text,
        "ErrorRelatedTo": list(related),
    }


def failed(*errors: Any) -> dict[str, Any]:
    return {"Status": "error", "Errors": list(errors)}


def items(*those: Any, status: int = 200) -> Response:
    return answer(status, {"Messages": list(those)})


ANN, BOB = entry("ann"), entry("bob")
BOTH = success(ANN, BOB)


class TestMailjet(ProviderChecks):
    provider = Mailjet(KEY, TOKEN)
    ok = items(BOTH)
    schemas = [("mailjet.send_v3_1.request.schema.json", "")]  # noqa: RUF012
    credentials = ("Authorization", f"Basic {b64encode(f'{KEY}:{TOKEN}'.encode()).decode()}")
    named_bases = {  # noqa: RUF012
        "mailjet://K:S@default": "https://api.mailjet.com/v3.1",
        "mailjet://K:S@us": "https://api.us.mailjet.com/v3.1",
        "mailjet://K:S@mail.example.com": "https://mail.example.com/v3.1",
    }
    answers = {  # noqa: RUF012
        "in other lists and case": (items(success(entry("BOB"), Cc=[ANN])), [A, A], None, "success"),
        "sent inside a 400": (items(BOTH, status=400), [A, A], None, "success"),
        "one is not named": (items(success(ANN)), [A, U], None, ""),
        "nobody is named": (items(success()), [U, U], ProtocolError, "none of the recipients"),
        "no id": (items(success(ANN, {"Email": "bob@example.org"})), [U, U], ProtocolError, "gives no id"),
        "an id that is the secret": (items(success(ANN, entry("bob", TOKEN))), [U, U], ProtocolError, "id is none"),
        "neither success nor error": (items({"Status": "queued"}), [U, U], ProtocolError, "neither"),
        "an item that is none": (items(7), [U, U], ProtocolError, "neither"),
        "too few items": (items(), [U, U], ProtocolError, "an item for each mail"),
        "too many items": (items(BOTH, BOTH), [U, U], ProtocolError, "an item for each mail"),
        "too many items inside a 400": (items(BOTH, BOTH, status=400), [U, U], None, "an item for each mail"),
        "an error without a status of its own": (items({"Status": "error"}, status=429), [D, D], None, "HTTP 429"),
        "refused inside a 200": (items(failed(fault("mj-0006", text="too\r\nlong"))), [R, R], None, "mj-0006 too long"),
        "refused": (items(failed(fault("send-0010", text="bad template")), status=400), [R, R], None, "send-0010 bad template"),
        "one address is bad": (items(failed(fault("mj-0013", related=["To[1].Email"])), status=400), [D, R], None, "mj-0013 no (To[1].Email)"),
        "both addresses are bad": (items(failed(fault("mj-0013", related=["To[0].Email"]), fault("mj-0013", related=["To[1]"])), status=400), [R, R], None, "mj-0013"),
        "an address of nobody is bad": (items(failed(fault("mj-0013", related=["To[2].Email", "Cc[0]", "From.Email", 7])), status=400), [R, R], None, "mj-0013"),
        "an address and more is bad": (items(failed(fault("mj-0013", related=["To[1].Email"]), fault("mj-0003")), status=400), [R, R], None, "mj-0013"),
        "sender not permitted": (items(failed(fault("send-0008", 403)), status=400), [D, D], AuthError, "send-0008"),
        "its own status says later": (items(failed(fault("x", 503)), status=400), [D, D], None, "x no"),
        "its own status is none": (items(failed(fault("x", "503"))), [R, R], None, "x no"),
        "errors in another form": (items({"Status": "error", "Errors": [7]}), [R, R], None, "HTTP 400"),
        "an error for all": (answer(400, fault("mj-0002", text="bad JSON")), [R, R], None, "mj-0002 bad JSON"),
        "an error for all inside a 200": (answer(200, fault("mj-0002")), [R, R], None, "mj-0002"),
        "key suspended": (answer(401, fault("mj-0001", 401)), [D, D], AuthError, "mj-0001"),
        "bad key": (answer(401, fault("mj-0015", 401, f"key {TOKEN.upper()} {KEY}")), [D, D], AuthError, "key *** ***"),
    }  # fmt: skip

    def test_an_id_beyond_the_numbers_of_javascript_is_kept_whole(self) -> None:
        receipt = self.provider.receipt(items(success(entry("ann", 1152921500000000001), BOB)), PAIR)
        assert receipt.provider_ids == ("1152921500000000001", "m-1")

    def test_each_mail_of_a_batch_is_its_own(self) -> None:
        mails = [mail_of(message_of("plain").with_(to=f"n{n}@example.org")) for n in range(4)]
        given = items(
            success(entry("n0")), failed(fault("mj-0013", related=["To[0].Email"])), failed(fault("send-0006", 403)), success(entry("n3", 7)),
            status=400,
        )  # fmt: skip
        receipts = self.provider.batch_receipts(given, mails)
        assert [receipt.results[0].outcome for receipt in receipts] == [A, R, D, A]
        assert [receipt.provider_ids for receipt in receipts] == [("m-1",), (), (), ("7",)]
        assert receipts[1].results[0].scope is Scope.RECIPIENT
        assert [type(receipt.error) for receipt in receipts] == [type(None), type(None), AuthError, type(None)]

    @pytest.mark.parametrize(
        ("given", "outcome"),
        [
            (answer(401, fault("mj-0015", 401)), D),
            (answer(413, b"<html>"), R),
            (answer(503), D),
            (answer(502), U),
            (items(BOTH, status=400), U),  # one item for two mails: it may be that of either
            (items(BOTH, BOTH, status=503), D),
            (Response(400, {}, b'{"Messages":[{"Sta', cut=TransportError("lost")), U),
            (Response(200, {}, b'{"Messages":[{"Sta', cut=TransportError("lost")), U),
        ],
    )
    def test_a_batch_answer_that_does_not_fit_is_one_for_all(self, given: Response, outcome: Any) -> None:
        assert [r.results[0].outcome for r in self.provider.batch_receipts(given, [PAIR, PAIR])] == [outcome] * 2

    def test_who_is_hidden_alone_has_an_item_and_all_count(self) -> None:
        hidden = mail_of(message_of("bcc only"))
        body = json.loads(self.provider.request(hidden).content)
        assert [item["To"] for item in body["Messages"]] == [
            [{"Email": "dee@example.org"}],
            [{"Email": "eve@example.org"}],
        ]
        given = items(success(entry("dee")), failed(fault("mj-0013", related=["To[0].Email"])), status=400)
        assert [result.outcome for result in self.provider.receipt(given, hidden).results] == [A, R]
        plain = mail_of(message_of("plain"))
        groups = self.provider.grouped([plain, *[hidden] * 25])
        assert [len(group) for group in groups] == [25, 1]
        assert [len(group) for group in self.provider.grouped([plain] * 101)] == [50, 50, 1]
        heavy = mail_of(message_of("plain").attach(Attachment("x.bin", unreadable, 5_000_000)))
        assert [len(group) for group in self.provider.grouped([heavy] * 3)] == [2, 1]

    def test_local_parts_that_are_not_ascii_are_taken(self) -> None:
        backend = RelayBackend(self.provider)
        mail = mail_of(message_of("local part not ASCII"))
        assert backend.left_out(mail) == ()
        assert "björn@example.org" in self.provider.request(mail).content.decode()

    def test_what_has_a_property_no_header_may_name(self) -> None:
        mail = mail_of(message_of("plain").with_(headers={"X-Mailjet-Campaign": "1", "X-Mine": "2"}))
        with pytest.raises(UnsupportedFeature, match="X-Mailjet-Campaign are mailjet's own"):
            RelayBackend(self.provider).left_out(mail)
        assert json.loads(self.provider.request(mail).content)["Messages"][0]["Headers"] == {"X-Mine": "2"}

    def test_the_sandbox_checks_and_sends_nothing(self) -> None:
        sandbox = Mailjet(KEY, TOKEN, sandbox=True)
        assert json.loads(sandbox.request(PAIR).content)["SandboxMode"] is True
        for entries in ((entry("ann", 0), entry("bob", 0)), ()):
            receipt = sandbox.receipt(items(success(*entries)), PAIR)
            assert [(r.outcome, r.provider_id) for r in receipt.results] == [(A, None)] * 2
            assert "nothing is sent" in receipt.results[0].text

    @pytest.mark.parametrize(
        "url",
        [
            "mailjet://K@default",
            "mailjet://default",
            "mailjet://:S@default",
            "mailjet://K:@default",
            "mailjet://K%3A:S@default",
        ],
    )
    def test_both_keys_are_needed(self, url: str) -> None:
        with pytest.raises(ConfigError, match=r"//(API-KEY:SECRET-KEY|TOKEN)@default"):
            backend_from_url(url)

    def test_bases_and_regions(self) -> None:
        """Both keys are masked."""
        for url, base in self.named_bases.items():
            backend = backend_from_url(url)
            assert isinstance(backend, RelayBackend)
            assert backend.provider.base == base
            assert "K" not in str(backend)
            assert "S" not in str(backend)

    def test_over_loopback_in_batches_and_no_key_shows(self) -> None:
        with FakeRelay("mailjet", token=TOKEN) as relay, new_world("asyncio") as world:
            url = relay.url.replace(TOKEN, "Tok3n-%25%2F+x")
            with world.mailer(url) as mailer:
                receipts = list(mailer.send_many([message_of("plain")] * 51))
                assert all(receipt.ok for receipt in receipts)
            assert [len(request.json["Messages"]) for request in relay.requests] == [50, 1]
            assert len({receipt.provider_ids for receipt in receipts}) == 51
            sweep(
                lambda: backend_from_url(url.replace("KEY", KEY)),
                [TOKEN, KEY],
                message=message_of("plain"),
                faces=("blocking",),
            )

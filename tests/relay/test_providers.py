"""Each provider, the same cases in the same order: message in, request out; answer in, receipt out. Nothing waits."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from relay_cases import CASES, mail_of, message_of, schema_errors, unreadable

from mailer import AuthError, ConfigError, MessageError, Outcome, ProtocolError, TransportError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.relay.exchange import Request, Response
from mailer.relay.meaning import meaning_of
from mailer.relay.netcore import Netcore
from mailer.relay.postmark import Postmark
from mailer.relay.provider import Provider
from mailer.testing.provider_answers import JUNK, STATUSES

TOKEN = "Tok3n-%/+x"
PROVIDERS: dict[str, Provider] = {"postmark": Postmark(TOKEN), "netcore": Netcore(TOKEN)}
#: Where a body's schema stands: (file, pointer) for each path.
SCHEMAS = {
    "postmark": {
        "/email": [
            ("postmark.requests.schema.json", "#/$defs/email"),
            ("postmark.swagger.json", "#/definitions/SendEmailRequest"),
        ],
        "/email/withTemplate": [("postmark.requests.schema.json", "#/$defs/emailWithTemplate")],
        "/email/batch": [("postmark.requests.schema.json", "#/$defs/emailBatch")],
        "/email/batchWithTemplates": [("postmark.requests.schema.json", "#/$defs/emailBatchWithTemplates")],
    },
    "netcore": {"/mail/send": [("netcore.v5_1.request.schema.json", "")]},
}
CREDENTIALS = {"postmark": ("X-Postmark-Server-Token", TOKEN), "netcore": ("api_key", TOKEN)}
UNSCHEMED = {"options"}  # what an app adds of its own
MERGED = {"merge"}  # becomes plain mails before a provider sees it
A, R, D, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN


def golden(name: str) -> dict[str, Any]:
    path = Path(__file__).parent / "golden" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


# --- requests ---------------------------------------------------------------------------------------------------------


def told(name: str, case: str) -> dict[str, Any]:
    """What a backend makes of the case before it sends: path, body and notes, or the error."""
    backend = RelayBackend(PROVIDERS[name])
    mail = mail_of(message_of(case), CASES[case].get("recipients"))
    try:
        notes = backend.left_out(mail)
        request = backend.provider.request(mail)
    except MessageError as error:
        return {"error": type(error).__name__, "field": error.field}
    path = request.url.removeprefix(backend.provider.base)
    return {"path": path, "body": json.loads(request.content), "notes": list(notes)}


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_case_has_its_golden_request(name):
    assert list(golden(name)) == [case for case in CASES if case not in MERGED]


@pytest.mark.parametrize("case", [case for case in CASES if case not in MERGED])
@pytest.mark.parametrize("name", PROVIDERS)
def test_request_is_golden_and_holds_to_the_schema(name, case):
    got = told(name, case)
    assert got == golden(name)[case]
    if "body" in got and case not in UNSCHEMED:
        for file, pointer in SCHEMAS[name][got["path"]]:
            # The vendor's file is old; what it lacks stands in the README of the schemas.
            body = {
                k: v for k, v in got["body"].items() if "swagger" not in file or k not in ("Metadata", "MessageStream")
            }
            assert schema_errors(body, file, pointer) == []


@pytest.mark.parametrize("name", PROVIDERS)
def test_credentials_stand_in_their_header_alone(name):
    request = PROVIDERS[name].request(mail_of(message_of("plain")))
    assert CREDENTIALS[name] in request.headers
    assert ("Content-Type", "application/json") in request.headers
    assert ("Accept", "application/json") in request.headers
    assert TOKEN not in request.url
    assert TOKEN.encode() not in request.content
    assert TOKEN not in repr(request) + repr(PROVIDERS[name]) + repr(RelayBackend(PROVIDERS[name]))


@pytest.mark.parametrize("name", PROVIDERS)
def test_degraded_a_message_goes_without_what_is_noted(name):
    """Everything at once, with the policy that leaves out: the schema holds still, and each loss is named."""
    backend = RelayBackend(PROVIDERS[name])
    backend.unsupported = "degrade"
    fields: dict[str, Any] = {}
    for case in ("inline", "attachments", "reply_to list", "sender", "headers twice", "amp", "alternatives", "tags"):
        fields |= {**CASES[case], "attachments": (*fields.get("attachments", ()), *CASES[case].get("attachments", ()))}
    fields |= {**CASES["metadata"], **CASES["schedule"], **CASES["message_id"], "html": "<p>x</p>", "text": "x"}
    mail = mail_of(message_of("plain").with_(**fields)).with_(is_altered=True)
    notes = backend.left_out(mail)
    body = json.loads(backend.provider.request(mail).content)
    file, pointer = next(iter(SCHEMAS[name].values()))[0]
    assert schema_errors(body, file, pointer) == []
    lacking = [
        f
        for f in ("inline", "sender", "alternatives", "amp_html", "send_at", "raw", "message_id")
        if not getattr(backend.features, f)
    ]
    assert {note.split()[0] for note in notes} >= set(lacking)


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_is_ready_made_or_altered_does_not_travel(name):
    backend = RelayBackend(PROVIDERS[name])
    mail = mail_of(message_of("plain"))
    for raw in (mail.with_(message=None), mail.with_(is_altered=True)):
        with pytest.raises(UnsupportedFeature) as refused:
            backend.left_out(raw)
        assert refused.value.field == "raw"
    backend.unsupported = "degrade"
    with pytest.raises(UnsupportedFeature):
        backend.left_out(mail.with_(message=None))


def test_a_batch_is_one_array_and_templates_go_apart():
    postmark = PROVIDERS["postmark"]
    plain, templated = mail_of(message_of("plain")), mail_of(message_of("template"))
    mails = [plain, templated, plain.with_(), templated.with_()]
    groups = list(postmark.grouped(mails))
    assert [[mails.index(mail) for mail in group] for group in groups] == [[0, 0], [1, 1]]
    for group, path in zip(groups, ("/email/batch", "/email/batchWithTemplates"), strict=True):
        request = postmark.batch_request(group)
        assert request.url == postmark.base + path
        [(file, pointer)] = SCHEMAS["postmark"][path]
        assert schema_errors(json.loads(request.content), file, pointer) == []


@pytest.mark.parametrize(
    ("count", "attachment", "sizes"), [(500, 0, [500]), (501, 0, [500, 1]), (13, 6_000_000, [5, 5, 3])]
)
def test_a_batch_has_at_most_500_mails_and_50_megabytes(count, attachment, sizes):
    from mailer import Attachment

    message = message_of("plain")
    if attachment:
        message = message.attach(Attachment("x.bin", unreadable, attachment))
    assert [len(group) for group in PROVIDERS["postmark"].grouped([mail_of(message)] * count)] == sizes


# --- answers ----------------------------------------------------------------------------------------------------------

OK = {
    "postmark": (
        200,
        {"To": "x", "SubmittedAt": "2026-01-01T00:00:00Z", "MessageID": "m-1", "ErrorCode": 0, "Message": "OK"},
    ),
    "netcore": (202, {"status": "success", "message": "OK", "data": {"message_id": "m-1"}}),
}
#: Name -> for each provider: status, body, outcomes of ann and bob, cause, what the text has.
ANSWERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "accepted": {name: (*OK[name], [A, A], None, "OK") for name in OK},
    "one is refused": {
        "postmark": (
            200,
            {**OK["postmark"][1], "Message": "Message OK, but will not deliver to these inactive addresses: BOB@example.org."},
            [A, R], None, "inactive",
        ),
    },
    "all are refused": {
        "postmark": (
            422,
            {"ErrorCode": 406, "Message": "Found inactive addresses: ann@example.org, bob@example.org."},
            [R, R], None, "406 Found inactive",
        ),
        "netcore": (400, {"status": "error", "error": [{"message": "all suppressed"}]}, [R, R], None, "all suppressed"),
    },
    "one is at fault": {"postmark": (422, {"ErrorCode": 406, "Message": "inactive: <bob@example.org>"}, [D, R], None, "406")},
    "refused": {
        "postmark": (422, {"ErrorCode": 300, "Message": "Invalid 'From'\r\naddress \x1b[2J"}, [R, R], None, "300 Invalid 'From' address \\x1b[2J"),
        "netcore": (400, {"status": "error", "error": [{"message": "from\nis wrong", "field": "from"}]}, [R, R], None, "from is wrong"),
    },
    "refused inside a 200": {
        "postmark": (200, {"ErrorCode": 300, "Message": "no"}, [R, R], None, "300 no"),
        "netcore": (200, {"status": "error", "message": "no"}, [R, R], None, "no"),
    },
    "looks like a status": {"postmark": (422, {"ErrorCode": 401, "Message": "Sender signature not confirmed"}, [R, R], None, "401")},
    "maintenance": {"postmark": (422, {"ErrorCode": 100, "Message": "Maintenance"}, [D, D], None, "100 Maintenance")},
    "out of credits": {"postmark": (422, {"ErrorCode": 405, "Message": "credits"}, [D, D], ConfigError, "405 credits")},
    "account pending": {"postmark": (422, {"ErrorCode": 412, "Message": "x"}, [D, D], ConfigError, "412")},
    "account may not": {"postmark": (422, {"ErrorCode": 413, "Message": "x"}, [D, D], ConfigError, "413")},
    "no such stream": {"postmark": (422, {"ErrorCode": 1235, "Message": "x"}, [D, D], ConfigError, "1235")},
    "template missing": {"postmark": (422, {"ErrorCode": 1101, "Message": "x"}, [R, R], None, "1101")},
    "bad token": {
        "postmark": (401, {"ErrorCode": 10, "Message": f"Bad token {TOKEN}"}, [D, D], AuthError, "10 Bad token ***"),
        "netcore": (401, {"status": "error", "error": [{"message": f"key {TOKEN.lower()}"}]}, [D, D], AuthError, "key ***"),
    },
    **{
        f"HTTP {status}": dict.fromkeys(OK, (status, body, *meant)) for status, (body, meant) in STATUSES.items()
    },
    **{
        f"junk: {what}": dict.fromkeys(OK, (200, body.replace(b"TOKEN", TOKEN.encode()), [U, U], ProtocolError, "answered HTTP 200"))
        for what, body in JUNK.items()
    },
}  # fmt: skip
SHAPES = [(name, answer) for answer, by in ANSWERS.items() for name in by]


@pytest.mark.parametrize(("name", "answer"), SHAPES)
def test_answer_becomes_a_receipt(name, answer):
    status, body, outcomes, cause, text = ANSWERS[answer][name]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    mail = mail_of(message_of("plain").with_(to=["ann@example.org", "bob@example.org"]))
    receipt = PROVIDERS[name].receipt(Response(status, {"retry-after": "7"}, content), mail)
    assert [result.outcome for result in receipt.results] == outcomes
    assert [result.address for result in receipt.results] == list(mail.envelope.recipients)
    assert type(receipt.error) is (cause or type(None))
    for result in receipt.results:
        assert text in result.text
        assert result.text.isprintable()
        assert len(result.text) <= 400
        assert result.provider_id == ("m-1" if result.outcome is A else None)
        # "Retry-After" of one who was not deferred means nothing to us.
        assert result.retry_after_s == (7 if result.outcome is D and status != 422 else result.retry_after_s)
        assert (result.code is None) == (status == 700 or (status == 200 and result.outcome is R))
    assert TOKEN.lower() not in (repr(receipt) + repr(receipt.error) + json.dumps(receipt.to_dict())).lower()


def test_retry_after_is_read_as_seconds_or_date_where_deferred():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    mail = mail_of(message_of("plain"))
    for value, seconds in (("7", 7), ("Thu, 01 Jan 2026 00:01:30 GMT", 90), ("soon", None)):
        for status in (429, 503):
            [result] = PROVIDERS["postmark"].receipt(Response(status, {"retry-after": value}, b"", now), mail).results
            assert (result.outcome, result.retry_after_s) == (D, seconds)
    [result] = PROVIDERS["postmark"].receipt(Response(422, {"retry-after": "7"}, b"", now), mail).results
    assert (result.outcome, result.retry_after_s) == (R, None)
    assert now + timedelta(seconds=90) == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", PROVIDERS)
def test_an_answer_whose_rest_did_not_come_is_unknown_if_it_was_a_success(name):
    lost = TransportError("the connection broke")
    mail = mail_of(message_of("plain"))
    whole = json.dumps(OK[name][1]).encode()
    receipt = PROVIDERS[name].receipt(Response(200, {}, whole, cut=lost), mail)
    assert (receipt.results[0].outcome, receipt.error) == (U, lost)
    receipt = PROVIDERS[name].receipt(Response(401, {}, b"", cut=lost), mail)
    assert (receipt.results[0].outcome, type(receipt.error)) == (D, AuthError)


def test_batch_items_decide_for_themselves():
    mails = [mail_of(message_of("plain").with_(to=f"n{number}@example.org")) for number in range(6)]
    ok = OK["postmark"][1]
    items = [
        ok, {"ErrorCode": 406, "Message": "inactive n1@example.org"}, {"ErrorCode": 100, "Message": "x"},
        {"ErrorCode": 413, "Message": "x"}, "junk", {**ok, "MessageID": "m-6"},
    ]  # fmt: skip
    receipts = PROVIDERS["postmark"].batch_receipts(Response(200, {}, json.dumps(items).encode()), mails)
    assert [receipt.results[0].outcome for receipt in receipts] == [A, R, D, D, U, A]
    assert [receipt.provider_ids for receipt in receipts] == [("m-1",), (), (), (), (), ("m-6",)]
    assert [type(receipt.error) for receipt in receipts[3:5]] == [ConfigError, ProtocolError]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"[1]", b'{"ErrorCode":0,"MessageID":"x"}', b'[{"ErrorCode":0,"MessageID":"x"}]']
)
def test_a_batch_answer_that_does_not_fit_is_unknown_for_all(body):
    mails = [mail_of(message_of("plain"))] * 2
    receipts = PROVIDERS["postmark"].batch_receipts(Response(200, {}, body), mails)
    assert [(r.results[0].outcome, type(r.error)) for r in receipts] == [(U, ProtocolError)] * 2


def test_the_answer_to_a_batch_is_read_once(monkeypatch):
    """Five hundred items read for each of five hundred mails would be quadratic."""
    mails = [mail_of(message_of("plain"))] * 500
    content = json.dumps([OK["postmark"][1]] * 500).encode()
    read: list[bytes] = []
    whole = Response.json

    def counted(response: Response) -> Any:
        read.append(response.content)
        return whole(response)

    monkeypatch.setattr(Response, "json", counted)
    receipts = PROVIDERS["postmark"].batch_receipts(Response(200, {}, content), mails)
    assert all(receipt.ok for receipt in receipts)
    assert len(read) == 1


@pytest.mark.parametrize(("status", "outcome"), [(422, R), (429, D), (401, D), (502, U)])
def test_a_batch_that_is_refused_is_so_for_all(status, outcome):
    mails = [mail_of(message_of("plain"))] * 3
    receipts = PROVIDERS["postmark"].batch_receipts(Response(status, {}, b'{"ErrorCode":410,"Message":"x"}'), mails)
    assert [receipt.results[0].outcome for receipt in receipts] == [outcome] * 3


def test_with_a_key_that_is_honoured_what_is_unknown_may_be_sent_again():
    from dataclasses import replace

    class WithKeys(Postmark):
        features = replace(Postmark.features, idempotency_key=True)

    for response in (Response(502), Response(200, {}, b"junk"), Response(200, cut=TransportError("x"))):
        [result] = WithKeys("T").receipt(response, mail_of(message_of("plain"))).results
        assert result.outcome is D


def test_the_table_of_statuses():
    """API.md: 429, 500, 503 defer; 502, 504 leave it unknown; 401 and 403 are the account's; other 4xx reject."""
    outcomes = {status: meaning_of(status).outcome for status in range(100, 700)}
    deferred = {429, 500, 503, 401, 403, 407, 408, 421, 425}
    assert {s for s in range(400, 500) if outcomes[s] is not R} == {s for s in deferred if s < 500}
    assert {s for s in range(500, 600) if outcomes[s] is D} == {500, 503}
    assert all(outcomes[s] is D and meaning_of(s).cause is ConfigError for s in range(300, 400))
    assert not [s for s in outcomes if outcomes[s] is A]


# --- what it is made of -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ü", None, 7, "x" * 1001])
def test_a_token_that_no_header_can_carry_is_a_config_error(token):
    with pytest.raises(ConfigError, match=r"must be printable ASCII without blanks: postmark://TOKEN@default$"):
        Postmark(token)


def test_an_accepted_answer_of_netcore_may_have_a_number_as_its_id():
    body = {"status": "success", "data": {"message_id": 1 << 62}}
    receipt = PROVIDERS["netcore"].receipt(Response(200, {}, json.dumps(body).encode()), mail_of(message_of("plain")))
    assert receipt.provider_ids == (str(1 << 62),)


def test_a_request_that_json_cannot_hold_names_the_reason():
    for value in (float("nan"), object(), {1, 2}):
        with pytest.raises(MessageError, match="JSON"):
            Request.json("https://x", {"a": value}, {})


def test_a_sandbox_that_a_provider_has_not_is_a_config_error():
    with pytest.raises(ConfigError, match="netcore has no sandbox"):
        Netcore(TOKEN, sandbox=True)


def test_what_a_stored_template_brings_is_given_beside_it_by_nobody():
    """The subject too, where the template has it."""
    for name, field, is_refused in (
        ("postmark", "subject", True), ("netcore", "subject", False),
        ("postmark", "html", True), ("netcore", "amp_html", True),
    ):  # fmt: skip
        message = message_of("template").with_(**{field: "x"})
        said = [feature for feature, *_ in PROVIDERS[name].left_out(PROVIDERS[name].letter(mail_of(message)))]
        assert ("provider_template" in said) is is_refused, (name, field)

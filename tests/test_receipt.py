"""The receipt: one outcome for each recipient, and errors on request."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime

import pytest

from mailer.address import Address
from mailer.envelope import Envelope
from mailer.errors import (
    ConnectError,
    DeliveryDeferred,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnknown,
    MailerError,
    MessageError,
    Outcome,
)
from mailer.mail import Content, Mail
from mailer.receipt import Attempt, Receipt, RecipientResult, attempt_of, result_of
from mailer.verdict import Scope

A, D, R, U = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED, Outcome.UNKNOWN


def receipt(*outcomes: Outcome, **more: object) -> Receipt:
    results = tuple(
        RecipientResult(Address("", f"u{i}", "b.test"), outcome, 250, "2.0.0", "ok", None, f"id{i // 2}")
        for i, outcome in enumerate(outcomes)
    )
    return Receipt(**{"id": "x", "backend": "memory:", "results": results, **more})


def test_results_are_parted_by_outcome():
    one = receipt(A, D, R, U, A)
    assert [len(part) for part in (one.accepted, one.deferred, one.rejected, one.unknown)] == [2, 1, 1, 1]
    assert one.provider_ids == ("id0", "id1", "id2")
    assert not one.ok
    assert receipt(A, A).ok
    assert not receipt().ok


@pytest.mark.parametrize(
    ("outcomes", "error"),
    [
        ((A, A), None),
        ((A, R), DeliveryRefused),
        ((A, D, R), DeliveryDeferred),
        ((D, R, U), DeliveryUnknown),
        ((), DeliveryRefused),
    ],
)
def test_raise_unless_ok_raises_the_first_that_applies(outcomes, error):
    one = receipt(*outcomes)
    if error is None:
        assert one.raise_unless_ok() is one
    else:
        with pytest.raises(DeliveryError) as caught:
            one.raise_unless_ok()
        assert type(caught.value) is error
        assert caught.value.receipt is one


@pytest.mark.parametrize(
    ("outcomes", "error"),
    [((A, R), None), ((R, R), DeliveryRefused), ((R, D), DeliveryDeferred), ((D, U, R), DeliveryUnknown)],
)
def test_send_raises_only_if_nobody_accepted(outcomes, error):
    one = receipt(*outcomes)
    if error is None:
        assert one.raise_if_none_accepted() is one
    else:
        with pytest.raises(error):
            one.raise_if_none_accepted()


def test_raise_for_rejected_looks_at_rejections_only():
    assert receipt(D, U).raise_for_rejected()
    with pytest.raises(DeliveryRefused, match=r"rejected by memory:: u1@b\.test: 250 2\.0\.0 ok"):
        receipt(A, R).raise_for_rejected()


def test_errors_are_chained_from_the_cause():
    cause = ConnectError("no route")
    attempt = Attempt("smtp://x", datetime(2026, 1, 1, tzinfo=UTC), 0.5, {D: 1}, cause)
    one = receipt(D, attempts=(attempt,))
    assert one.cause is cause
    with pytest.raises(DeliveryDeferred) as caught:
        one.raise_unless_ok()
    assert caught.value.__cause__ is cause


def test_a_receipt_of_what_was_not_composed_raises_its_error():
    error = MessageError("bad", field="to")
    with pytest.raises(MessageError) as caught:
        receipt(error=error).raise_unless_ok()
    assert caught.value is error
    skipped = receipt(skipped="suppressed")
    assert skipped.raise_if_none_accepted() is skipped


@pytest.mark.parametrize("code", [199, 600, 0, -1])
def test_a_code_outside_200_to_599_cannot_be_built(code):
    address = Address("", "a", "b.test")
    with pytest.raises(ValueError, match="outside 200-599"):
        RecipientResult(address, A, code)
    with pytest.raises(MessageError, match="outside 200-599"):
        RecipientResult.from_dict({"address": address.to_dict(), "outcome": "accepted", "code": code})
    with pytest.raises(TypeError):
        RecipientResult(address, "accepted")


def test_json_has_outcomes_in_lower_case_and_reads_back():
    attempt = Attempt("smtp://x", datetime(2026, 1, 1, tzinfo=UTC), 0.5, {D: 1}, ConnectError("no route"))
    one = receipt(A, D, attempts=(attempt,), notes=("n",), error=MessageError("bad"), message_index=3)
    data = json.loads(json.dumps(one.to_dict()))
    assert [r["outcome"] for r in data["results"]] == ["accepted", "deferred"]
    back = Receipt.from_dict({**data, "later": 1})
    assert back == one
    assert (type(back.error), str(back.attempts[0].cause)) == (MessageError, "no route")
    assert type(back.attempts[0].cause) is ConnectError
    for kind in ("NoSuch", "DeliveryRefused", "Any", "annotations"):
        foreign = Receipt.from_dict({"id": "x", "error": {"type": kind, "text": "t"}})
        assert type(foreign.error) is MailerError


def test_timings_add_up_and_transcripts_follow_one_another():
    first = Attempt(
        "a:", datetime(2026, 1, 1, tzinfo=UTC), 1.0, {D: 1}, None, {"connect": 0.5, "final": 0.25}, ("x", "y")
    )
    second = Attempt("b:", datetime(2026, 1, 1, tzinfo=UTC), 1.0, {A: 1}, None, {"connect": 0.25}, ("z",))
    one = receipt(A, attempts=(first, second))
    assert one.timings == {"connect": 0.75, "final": 0.25}
    assert one.transcript == ("x", "y", "z")
    assert Receipt.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert (receipt(A).timings, receipt(A).transcript) == ({}, ())
    assert DeliveryDeferred("later", one).transcript == one.transcript


@pytest.mark.parametrize("wrong", [{"timings": [1]}, {"timings": {"connect": "soon"}}, {"transcript": 7}])
def test_an_attempt_that_is_none_is_not_read(wrong):
    good = Attempt("a:", datetime(2026, 1, 1, tzinfo=UTC), 1.0, {D: 1}).to_dict()
    assert Attempt.from_dict({name: value for name, value in good.items() if name not in ("timings", "transcript")})
    with pytest.raises(MessageError):
        Attempt.from_dict({**good, **wrong})


def test_pickle():
    one = receipt(A, error=MessageError("bad", field="to"))
    back = pickle.loads(pickle.dumps(one))
    assert back == one
    assert back.error.field == "to"


def test_for_all_says_the_same_for_everyone():
    mail = Mail("m", Envelope("a@b.test", ["c@d.test", "e@f.test"]), None, Content.of(b"x\r\n"))
    one = Receipt.for_all(mail, D, code=451, text="later", retry_after_s=7.0, notes=["n"])
    assert (one.id, one.notes) == ("m", ("n",))
    assert [(r.address, r.outcome, r.code, r.retry_after_s) for r in one.results] == [
        (a, D, 451, 7.0) for a in mail.envelope.recipients
    ]


@pytest.mark.parametrize("wait", ["5", b"5", [5]])
def test_a_wait_that_is_no_number_cannot_be_built_or_read(wait):
    """Whoever compared it would fail with the mail half way."""
    with pytest.raises(TypeError, match="retry_after_s"):
        RecipientResult(Address.parse("a@x.test"), Outcome.DEFERRED, retry_after_s=wait)
    data = RecipientResult(Address.parse("a@x.test"), Outcome.DEFERRED, retry_after_s=5).to_dict()
    with pytest.raises(MessageError):
        RecipientResult.from_dict({**data, "retry_after_s": wait})


def test_a_text_is_one_line_whoever_wrote_it():
    result = RecipientResult(Address.parse("a@x.test"), Outcome.DEFERRED, text="a\r\nb\x1b[31m\u202e\u00fc")
    assert result.text == r"a\r\nb\x1b[31m\u202e" + "\u00fc"


def test_what_twins_make_has_every_field_of_what_constructors_make() -> None:
    """A field that is new, and forgotten where objects are filled by hand, would be missing in some receipts only."""
    ann, now = Address("", "ann", "b.test"), datetime.now(UTC)
    result = RecipientResult(ann, Outcome.ACCEPTED, 250, "2.0.0", "ok", provider_id="Q1", scope=Scope.MESSAGE)
    attempt = Attempt("x:", now, 0.5, {Outcome.ACCEPTED: 1}, None, {"data": 0.1}, ("S: 250",))
    whole = Receipt(id="1", backend="x:", results=(result,), attempts=(attempt,), notes=("n",), message_index=3)
    assert repr(result_of(ann, Outcome.ACCEPTED, 250, "2.0.0", "ok", "Q1", Scope.MESSAGE)) == repr(result)
    assert repr(attempt_of("x:", now, 0.5, {Outcome.ACCEPTED: 1}, None, {"data": 0.1}, ("S: 250",))) == repr(attempt)
    assert repr(whole.with_()) == repr(whole)
    assert whole.with_(notes=()).notes == ()
    with pytest.raises(TypeError, match="'note'"):
        whole.with_(note=())

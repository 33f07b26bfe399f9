"""F74-F80 of every provider: throttles, ambiguity, junk, answers cut short, redirects; one table for them all."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from every import EMPTY_IS_TAKEN, JUNK, NO_TEXTS, NOW, PAIR, SCHEMES, TOKEN, Every, every, response, spoilt
from relay_cases import mail_of, message_of
from worlds import World

from mailer import AuthError, ConfigError, Outcome, Receipt, RetryPolicy, TransportError
from mailer.errors import DeliveryError
from mailer.relay.exchange import Response
from mailer.retry import MAX_RETRY_AFTER_S
from mailer.testing import Answer, FakeRelay

A, R, D, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN


@pytest.fixture(scope="module", params=SCHEMES)
def one(request: pytest.FixtureRequest) -> Every:
    """Each provider in turn."""
    return every(request.param)


def read(one: Every, given: Response) -> Receipt:
    """The receipt, which shows no credential, whatever was answered."""
    receipt = one.provider.receipt(given, PAIR)
    assert [result.address for result in receipt.results] == list(PAIR.envelope.recipients)
    for result in receipt.results:
        assert result.text.isprintable()
        assert len(result.text) <= 400
    shown = repr(receipt) + repr(receipt.error) + str(receipt.error) + json.dumps(receipt.to_dict())
    assert one.secret.lower() not in shown.lower()
    return receipt


def outcomes(one: Every, given: Response) -> set[Outcome]:
    return {result.outcome for result in read(one, given).results}


def in_doubt(one: Every) -> set[Outcome]:
    """Without a key that is honoured nobody knows."""
    return {D if one.provider.features.idempotency_key else U}


def test_what_it_documents_is_a_success(one: Every) -> None:
    """Or nothing below would mean anything."""
    assert outcomes(one, one.answered(one.asked())) == {A}


def test_retry_after_in_each_of_its_forms(one: Every) -> None:
    """F74."""
    soon = NOW + timedelta(seconds=90)
    for value, seconds in (
        ("7", 7),
        (" 7\t", 7),
        ("0", 0),
        ("007", 7),
        ("7.5", 7.5),  # no form of the RFC, and clear
        (format_datetime(soon, usegmt=True), 90),
        (soon.strftime("%A, %d-%b-%y %H:%M:%S GMT"), 90),
        (soon.strftime("%a %b %e %H:%M:%S %Y"), 90),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("9" * 5000, MAX_RETRY_AFTER_S),
    ):
        for status in (429, 503):
            receipt = read(one, response(status, b"", {"Retry-After": value}))
            assert {(r.outcome, r.retry_after_s) for r in receipt.results} == {(D, seconds)}, (status, value)
    own = {r.retry_after_s for r in read(one, response(429)).results}  # what it waits where nothing is asked for
    for value in ("soon", "-7", "", "7 s", "٧", "Thu, 32 Jan 2026 00:00:00 GMT"):
        assert {r.retry_after_s for r in read(one, response(429, b"", {"Retry-After": value})).results} == own, value
    for status in (400, 422, 401, 200):
        given = read(one, response(status, b"", {"Retry-After": "7"}))
        assert {r.retry_after_s for r in given.results if r.outcome is not D} <= {None}


def test_a_throttle_in_its_own_words(one: Every) -> None:
    request = one.asked()
    one.relay.throttle(7)
    answer = one.relay._next.pop()
    assert isinstance(answer, Answer)
    receipt = read(one, response(answer.status, answer.body, answer.headers))
    assert {(r.outcome, r.retry_after_s) for r in receipt.results} == {(D, 7)}
    assert receipt.error is None
    assert outcomes(one, one.answered(request)) == {A}


def test_what_failed_on_its_side(one: Every) -> None:
    """F75: refused without being acted upon, or in doubt."""
    for body in (b"", b"{}", b"[]", b"<html>", one.secret.encode(), b'{"message": "no", "error": "no"}'):
        for status in (500, 503):
            assert outcomes(one, response(status, body)) == {D}, (status, body)
        for status in (502, 504, 520, 599):
            assert outcomes(one, response(status, body)) == in_doubt(one), (status, body)


def test_a_key_that_is_honoured_goes_with_each_try(one: Every) -> None:
    """F75: the same one."""
    if not one.provider.features.idempotency_key:
        return
    for mail, key in ((PAIR, PAIR.id), (mail_of(message_of("plain").with_(idempotency_key="order-7")), "order-7")):
        tries = [one.provider.request(mail) for _ in range(2)]
        assert tries[0].headers == tries[1].headers
        assert tries[0].content == tries[1].content
        said = repr(tries[0].headers) + tries[0].content.decode()
        assert key in said or one.scheme == "azure"  # which makes a UUID of it


def test_the_account_is_at_fault_and_not_the_mail(one: Every) -> None:
    """F76; and the answer repeats the credential, in one form or another."""
    for status in (401, 403):
        said = one.secret
        for body in (b"", b"<html>", f"not {said}", {"message": said, "error": {"message": said}}, [said]):
            receipt = read(one, response(status, body))
            assert {r.outcome for r in receipt.results} == {D}, (status, body)
            assert isinstance(receipt.error, AuthError)
            assert {r.scope.value for r in receipt.results} == {"account"}
    assert isinstance(read(one, response(407)).error, ConfigError)


def test_the_mail_is_refused(one: Every) -> None:
    """F77: with the provider's words, on one line."""
    for status in (400, 413, 422):
        receipt = read(one, response(status, "too\r\nlarge \x1b[2J"))
        assert {(r.outcome, r.text) for r in receipt.results} == {(R, "too large \\x1b[2J")}, status
        assert receipt.error is None


def test_an_answer_that_is_cut_is_no_success(one: Every) -> None:
    """F78: at every byte, whether the end of the connection was seen or not."""
    whole = one.answered(one.asked())
    lost = TransportError("the connection broke")
    for end in range(len(whole.content) + 1):
        part = replace(whole, content=whole.content[:end])
        receipt = read(one, replace(part, cut=lost))
        assert {r.outcome for r in receipt.results} == in_doubt(one), end
        assert receipt.error is lost
        if end < len(whole.content):
            is_taken = end == 0 and (one.scheme, whole.status) in EMPTY_IS_TAKEN
            assert outcomes(one, part) == ({A} if is_taken else in_doubt(one)), end
    # A refusal stays one, cut or not.
    assert outcomes(one, replace(response(422), cut=lost)) == {R}
    assert outcomes(one, replace(response(401), cut=lost)) == {D}


def test_junk_is_never_a_success(one: Every) -> None:
    """F79."""
    for status in (200, 201, 202, 204, 207, 299):
        repeated = json.dumps({"id": one.secret, "message": one.secret}).encode()
        for name, body in {**JUNK, "the credential": repeated}.items():
            got = outcomes(one, response(status, body))
            is_taken = not body.strip() and (one.scheme, status) in EMPTY_IS_TAKEN
            # An object that speaks of an error may refuse: "message" and "error" are what many call it.
            assert got == ({A} if is_taken else in_doubt(one)) or (got == {R} and name == "the credential"), (
                status,
                name,
            )


def test_a_success_in_another_charset_is_none(one: Every) -> None:
    """F79; but for a byte order mark, which RFC 8259 section 8.1 lets us pass over."""
    whole = one.answered(one.asked())
    if not whole.content:
        return
    text = whole.content.decode()
    for encoded in (text.encode("utf-16"), text.encode("utf-32"), whole.content + b"\0"):
        assert A not in outcomes(one, replace(whole, content=encoded))
    assert outcomes(one, replace(whole, content=text.encode("utf-8-sig"))) == {A}


def test_no_id_is_made_of_what_is_none(one: Every) -> None:
    """F79: each value of the answer in turn is something else; nobody is said to be sent to by an id that is none."""
    whole = one.answered(one.asked())
    for wrong in (*NO_TEXTS, one.secret):
        for other in spoilt(json.loads(whole.content), wrong) if whole.content else ():
            receipt = read(one, replace(whole, content=json.dumps(other).encode()))
            for result in receipt.results:
                assert result.provider_id is None or (
                    result.provider_id.isprintable() and len(result.provider_id) < 256
                )
                assert result.provider_id != "x" * 300
    for name in whole.headers:
        for value in ("", "a\0b", one.secret, "x" * 300):
            receipt = read(one, replace(whole, headers={**whole.headers, name: value}))
            assert all(r.provider_id is None or r.provider_id.isprintable() for r in receipt.results)


def test_a_redirect_is_not_followed(one: Every) -> None:
    for status in (300, 301, 302, 303, 304, 307, 308):
        receipt = read(one, response(status, b"moved", {"Location": f"https://evil.test/{one.secret}"}))
        assert {r.outcome for r in receipt.results} == {D}
        assert isinstance(receipt.error, ConfigError)


def test_one_who_is_refused_is_refused_alone(one: Every) -> None:
    """F80: where the answer tells recipients apart, only he differs; where nobody was sent to, nobody is said to be."""
    relay = FakeRelay(one.scheme, token=TOKEN)
    relay.refuse("bob@example.org")
    receipt = read(one, one._replace(relay=relay).answered(one.asked()))
    ann, bob = receipt.results
    assert bob.outcome is R
    assert bob.provider_id is None
    assert (ann.provider_id is not None) == (ann.outcome is A)


# --- on the wire ------------------------------------------------------------------------------------------------------

#: One for each way to show who asks: header, Bearer, Basic, in the body, SigV4, HMAC, an access token.
KINDS = ("postmark", "resend", "mailjet", "mandrill", "ses", "azure", "gmail")


def caught(mailer: Any) -> tuple[list[Outcome], BaseException | None]:
    cause: BaseException | None = None
    try:
        receipt = mailer.send(message_of("plain"))
    except DeliveryError as error:
        receipt, cause = error.receipt, error.__cause__
    for secret in (TOKEN, b64encode(TOKEN.encode()).decode()):
        assert secret not in repr(receipt) + repr(cause)
    return [result.outcome for result in receipt.results], cause


@pytest.mark.parametrize("scheme", KINDS)
def test_on_the_wire(world: World, scheme: str) -> None:
    """In each world, with a policy that would try again: only what cannot duplicate, with the same key."""
    more = {"tokens": lambda: TOKEN} if scheme == "gmail" else {}
    policy = RetryPolicy(wait_s=0)
    with (
        FakeRelay(scheme, token=TOKEN) as relay,
        FakeRelay(scheme, token=TOKEN) as other,
        world.mailer(relay.url, retry=policy, **more) as mailer,
    ):
        is_keyed = mailer.backend.features.idempotency_key

        def tried(*answers: Answer) -> tuple[list[Outcome], BaseException | None, int]:
            before = len(relay.requests)
            relay.next(*answers)
            told = caught(mailer)
            relay._next.clear()
            return (*told, len(relay.requests) - before)

        assert tried() == ([A], None, 1)
        assert tried(Answer(status=503), Answer(status=500)) == ([A], None, 3)
        keys = [
            [v for k, v in r.headers.items() if k in ("idempotency-key", "operation-id")] for r in relay.requests[1:]
        ]
        assert keys[0] == keys[1] == keys[2]
        assert keys[1] or not is_keyed
        whole = b'{"id": "x", "status": "Running"}'
        for answer in (
            Answer(lose=True),
            Answer(lose="reset"),
            Answer(body="<html>"),
            Answer(body=whole, length=len(whole) + 9),
            Answer(status=502),
        ):
            got, _, count = tried(answer)
            assert (got, count) == (([A], 2) if is_keyed else ([U], 1)), answer
        for status in (301, 302, 307, 308):
            away = Answer(status=status, headers={"Location": f"{other.base}{relay.requests[0].path}"})
            got, error, count = tried(away)
            assert (got, type(error), count) == ([D], ConfigError, 1)
        assert other.requests == []
        got, error, _ = tried(*[Answer(status=401, body=every(scheme).secret)] * 3)
        assert (got, type(error)) == ([D], AuthError)
        got, _, count = tried(Answer(status=429, headers={"Retry-After": "60"}))  # at the end: it holds who comes after
        assert (got, count) == ([D], 1)

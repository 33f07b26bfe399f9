"""F74-F80 of every provider's batches: in doubt for each or for none, refused as a whole, and each mail its receipt."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from every import EMPTY_IS_TAKEN, JUNK, NO_TEXTS, NOW, SCHEMES, Every, every, response, spoilt
from relay_cases import mail_of, message_of

from mailer import Mail, Outcome, TransportError
from mailer.relay.exchange import Response

A, R, D, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN
#: Who carries several mails in a request -> what of the URL and of the mails that needs.
BATCHES: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        scheme: ("", {})
        for scheme in SCHEMES
        if scheme not in ("netcore pepipost mailersend scaleway gmail msgraph postal azure ses http+json".split())
    },
    "mailersend": ("&bulk=9", {}),
    "ses": ("", {"provider_template": "welcome", "text": None, "subject": ""}),
    "http+json": ("?batch=9", {}),
}


def test_the_table_of_batches_is_whole() -> None:
    several = {scheme for scheme in SCHEMES if every(scheme).provider.batch_size > 1}
    assert set(BATCHES) == several | {"mailersend", "http+json"}  # by an option


@pytest.fixture(scope="module", params=BATCHES)
def batch(request: pytest.FixtureRequest) -> tuple[Every, list[Mail], Response]:
    """Each provider with three mails that go in one request, and what its fake answers to that."""
    options, fields = BATCHES[request.param]
    one = every(request.param, options)
    mails = [
        replace_id(mail_of(message_of("plain").with_(**{"to": f"{who}@example.org", **fields})), n)
        for n, who in enumerate(("ann", "bob", "cyd"))
    ]
    [group] = one.provider.grouped(mails)
    asked = one.provider.signed(one.provider.batch_request(group), one.credential, NOW)
    return one, list(group), one.answered(asked)


def replace_id(mail: Mail, number: int) -> Mail:
    return mail.with_(id=f"{number:032x}")


def read_all(batch: tuple[Every, list[Mail], Response], given: Response) -> list[Outcome]:
    """The outcome of each mail, whose receipts show no credential."""
    one, mails, _ = batch
    receipts = one.provider.batch_receipts(given, mails)
    assert [receipt.id for receipt in receipts] == [mail.id for mail in mails]
    for receipt in receipts:
        assert one.secret.lower() not in (repr(receipt) + repr(receipt.error)).lower()
        for result in receipt.results:
            assert result.text.isprintable()
            if one.scheme != "http+json":  # which need not give any
                assert (result.provider_id is not None) == (result.outcome is A) or result.outcome is U
    return [receipt.results[0].outcome for receipt in receipts]


def test_a_batch_is_taken(batch: tuple[Every, list[Mail], Response]) -> None:
    assert read_all(batch, batch[2]) == [A] * 3


def test_a_batch_in_doubt_stays_so_key_or_none(batch: tuple[Every, list[Mail], Response]) -> None:
    """F75, F78, F79: a batch's key is of just these mails, and whoever is sent again alone would have another."""
    one, _, whole = batch
    doubt = [U] * 3
    for status in (502, 504, 520):
        assert read_all(batch, response(status, b"<html>")) == doubt, status
    for status, (name, body) in itertools.product((200, 201, 202, 207), JUNK.items()):
        is_taken = not body.strip() and (one.scheme, status) in EMPTY_IS_TAKEN
        assert read_all(batch, response(status, body)) == ([A] * 3 if is_taken else doubt), (status, name)
    lost = TransportError("the connection broke")
    for end in range(0, len(whole.content) + 1, 3):
        part = replace(whole, content=whole.content[:end])
        assert read_all(batch, replace(part, cut=lost)) == doubt, end
        if 0 < end < len(whole.content):
            assert read_all(batch, part) == doubt, end


def test_a_batch_that_is_refused_is_so_for_each(batch: tuple[Every, list[Mail], Response]) -> None:
    """F74, F76, F77; and only what refuses the whole is parted to find who is at fault."""
    one = batch[0]
    for status, outcome in ((429, D), (500, D), (503, D), (401, D), (403, D), (400, R), (413, R), (422, R), (307, D)):
        for body in (b"", b"no", b"<html>", b"{}", b"[]"):
            given = response(status, body, {"Retry-After": "7"})
            assert read_all(batch, given) == [outcome] * 3, (status, body)
            receipts = one.provider.batch_receipts(given, batch[1])
            waits = {result.retry_after_s for receipt in receipts for result in receipt.results}
            assert waits == ({7.0} if outcome is D else {None})
            assert one.provider.refuses_whole(given) == (400 <= status <= 499)


def test_a_batch_whose_answer_is_spoilt_anywhere(batch: tuple[Every, list[Mail], Response]) -> None:
    """Each value of a good answer in turn is something else: each mail keeps a receipt, and no id is made up."""
    one, _, whole = batch
    for wrong in (*NO_TEXTS, one.secret):
        for other in spoilt(json.loads(whole.content), wrong) if whole.content else ():
            read_all(batch, replace(whole, content=json.dumps(other).encode()))


def test_a_batch_with_an_item_too_few_or_too_many(batch: tuple[Every, list[Mail], Response]) -> None:
    """It does not say whose is missing."""
    data = json.loads(batch[2].content or b"null")
    one = batch[0]
    by_name = {"mandrill", "http+json", "unisendergo", "unione"}  # their items say whose they are
    for shorter in _resized(data):
        got = read_all(batch, replace(batch[2], content=json.dumps(shorter).encode()))
        assert got == [U] * 3 or one.scheme in by_name, (got, shorter)
        assert A not in got[2:] or len(json.dumps(shorter)) > len(json.dumps(data)), (got, shorter)


def _resized(data: Any) -> list[Any]:
    """The data with each list of three in it an item shorter, and one longer."""
    if isinstance(data, dict):
        return [{**data, key: other} for key, value in data.items() for other in _resized(value)]
    return [data[:-1], [*data, data[0]]] if isinstance(data, list) and len(data) == 3 else []

"""The fake relay speaks every provider: it accepts, refuses, throttles, loses its answer and answers junk."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import new_world

from mailer import AuthError, Message, Outcome
from mailer.backends.relay import RelayBackend
from mailer.errors import DeliveryError
from mailer.relay import PROVIDERS
from mailer.testing import Answer, FakeRelay
from mailer.testing.relay import _ACCEPTING

TOKEN = "s3cret-T0ken"
A, R, D, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN
#: What a mail to Ann and Bob comes to where Bob is refused.
REFUSED = {
    scheme: outcomes
    for schemes, outcomes in (
        ("postmark mandrill sparkpost mailersend unisendergo unione smtp2go http+json", [A, R]),
        ("mailjet zeptomail", [D, R]),  # he is named, and nobody is sent to: Ann can be, without him
        ("netcore pepipost sendgrid resend brevo mailgun mailtrap scaleway postal gmail msgraph azure ses", [R, R]),
    )
    for scheme in schemes.split()
}
#: What mails to Ann, Bob and Cyd come to; one that names the bad in a batch has not sent to the others either.
EACH = {"zeptomail": [D, R, D]}
ANN, BOB = "Ann <ann@example.org>", "BOB@example.org"


def message(to: list[str], **fields: Any) -> Message:
    return Message(
        **{"from_": "Shop <shop@example.com>", "to": to, "subject": "Order 7", "text": f"not {BOB}\n", **fields}
    )


def outcomes(mailer: Any, sent: Message) -> list[Outcome]:
    try:
        receipt = mailer.send(sent)
    except DeliveryError as error:
        receipt = error.receipt
    assert TOKEN not in repr(receipt)
    return [result.outcome for result in receipt.results]


def test_the_table_is_whole() -> None:
    assert set(REFUSED) == set(_ACCEPTING)
    assert set(_ACCEPTING) == set(PROVIDERS) - {"https+json"}  # which is http+json with TLS


@pytest.mark.parametrize("scheme", REFUSED)
def test_it_speaks_the_provider(scheme: str) -> None:
    more = {"tokens": lambda: TOKEN} if scheme in ("gmail", "msgraph") else {}
    with (
        FakeRelay(scheme, token=TOKEN) as relay,
        new_world("blocking") as world,
        world.mailer(relay.url, **more) as mailer,
    ):
        assert isinstance(mailer.backend, RelayBackend)
        in_doubt = [D] if mailer.backend.features.idempotency_key else [U]
        assert outcomes(mailer, message([ANN, BOB])) == [A, A]
        relay.refuse("bob@example.org")
        assert outcomes(mailer, message([ANN, BOB])) == REFUSED[scheme]
        assert outcomes(mailer, message([ANN], cc=[BOB])) == REFUSED[scheme]
        assert outcomes(mailer, message([BOB])) == [R]
        # Who is but written about, or answered to, or has a longer name, is no recipient.
        assert outcomes(mailer, message([ANN, "abob@example.org"], reply_to=BOB)) == [A, A]
        many = mailer.send_many([message([to]) for to in (ANN, BOB, "cyd@example.org")])
        assert [receipt.results[0].outcome for receipt in many] == EACH.get(scheme, [A, R, A])
        for answer in (Answer(lose=True), Answer(lose="reset"), Answer(body="<html>hotel</html>"), Answer(body=b"\0")):
            relay.next(answer)
            assert outcomes(mailer, message([ANN])) == in_doubt, answer
        assert outcomes(mailer, message([ANN])) == [A]
        relay.throttle(7)  # at the end: it holds all who come after
        [slow] = mailer.send_many([message([ANN])])
        assert [(r.outcome, r.retry_after_s) for r in slow.results] == [(D, 7)]


BY_MIME = "mailgun mandrill sparkpost postal msgraph ses http+json".split()


@pytest.mark.parametrize("scheme", BY_MIME)
def test_it_refuses_whom_a_whole_mail_is_for(scheme: str) -> None:
    """By ``api=mime``, where the recipients stand beside the content, or in it."""
    more = {"tokens": lambda: TOKEN} if scheme in ("gmail", "msgraph") else {}
    with FakeRelay(scheme, token=TOKEN) as relay, new_world("blocking") as world:
        relay.refuse("bob@example.org")
        with world.mailer(f"{relay.url}{'&' if '?' in relay.url else '?'}api=mime", **more) as mailer:
            assert outcomes(mailer, message([ANN, BOB])) == REFUSED[scheme]
            assert outcomes(mailer, message([BOB])) == [R]
            assert outcomes(mailer, message([ANN, "abob@example.org"], reply_to=BOB)) == [A, A]


@pytest.mark.parametrize("scheme", REFUSED)
def test_another_token_is_refused_as_the_provider_does(scheme: str) -> None:
    more = {"tokens": lambda: "An0ther-token"} if scheme in ("gmail", "msgraph") else {}
    with FakeRelay(scheme, token=TOKEN) as relay, new_world("blocking") as world:
        url = relay.url
        relay.token = "An0ther-one"
        relay.refuse("ann@example.org")
        with world.mailer(url, **more) as mailer, pytest.raises(DeliveryError) as refused:
            mailer.send(message([ANN]))
    assert isinstance(refused.value.__cause__, AuthError)
    assert [result.outcome for result in refused.value.receipt.results] == [D]


def test_there_is_no_fake_of_what_is_no_provider() -> None:
    with pytest.raises(ValueError, match="no fake of 'pigeon'; there are: postmark"):
        FakeRelay("pigeon")

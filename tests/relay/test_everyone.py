"""Every relay there is, in each world and over a socket: it accepts, throttles, loses its answer, and answers junk."""

from __future__ import annotations

from typing import Any

import pytest
from relay_cases import message_of
from worlds import World

from mailer import DeliveryDeferred, DeliveryUnknown, Mailer, Outcome, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.relay import PROVIDERS
from mailer.testing import Answer, FakeRelay
from mailer.testing.relay import _ACCEPTING

TOKEN = "s3cret-T0ken"
#: Where the URL is not all that a mailer needs.
MORE: dict[str, dict[str, Any]] = {"gmail": {"tokens": lambda: TOKEN}, "msgraph": {"tokens": lambda: TOKEN}}


def test_they_are_all_there() -> None:
    """By name, so that one which a merge loses is missed."""
    names = (
        "sendgrid mailgun postmark ses resend brevo sparkpost mailjet mandrill mailersend netcore pepipost mailtrap"
        " scaleway unisendergo unione postal gmail msgraph smtp2go zeptomail azure http+json https+json"
    )
    assert set(PROVIDERS) >= set(names.split())


def test_each_has_a_fake() -> None:
    faked = {PROVIDERS[scheme] for scheme in _ACCEPTING}
    assert faked == set(PROVIDERS.values())


def test_each_does_what_is_documented(world: World, caplog: Any) -> None:
    for scheme in _ACCEPTING:
        with FakeRelay(scheme, token=TOKEN) as relay, world.mailer(relay.url, **MORE.get(scheme, {})) as mailer:
            receipt = mailer.send(message_of("names"))
            assert receipt.ok, scheme
            assert TOKEN not in repr(receipt) + repr(mailer.backend), scheme
            [each, *others] = mailer.send_many(message_of("plain") for _ in range(3))
            assert all(r.ok for r in (each, *others)), scheme
            assert len({r.id for r in (each, *others)}) == 3
            check_faults(scheme, relay, mailer)
    assert TOKEN not in caplog.text


def check_faults(scheme: str, relay: FakeRelay, mailer: Any) -> None:
    """F74, F75, F78, F79: 429 and Retry-After; a reply that is lost or junk is in doubt, but for who honours a key."""
    backend = mailer.backend
    assert isinstance(backend, RelayBackend)
    in_doubt = DeliveryDeferred if backend.features.idempotency_key else DeliveryUnknown
    for answer in (Answer(lose=True), Answer(body="<html>hotel</html>")):
        before = len(relay.requests)
        relay.next(answer)
        try:
            mailer.send(message_of("plain"))
        except in_doubt as error:
            said = [result.outcome for result in error.receipt.results]
            assert said == [Outcome.DEFERRED if in_doubt is DeliveryDeferred else Outcome.UNKNOWN], scheme
        else:
            raise AssertionError(f"{scheme}: {answer} is taken for a success")
        assert len(relay.requests) == before + 1, f"{scheme}: it was sent again"
    # At the end, for it holds all who come after.
    relay.next(Answer(status=429, headers={"Retry-After": "7"}, body="slow down"))
    [slow] = mailer.send_many([message_of("plain")])
    assert [(r.outcome, r.retry_after_s) for r in slow.results] == [(Outcome.DEFERRED, 7)], scheme


def test_what_a_stored_template_cannot_be_goes_to_who_has_it() -> None:
    """A name where they have numbers, variables where it has none: said before the request, and another's to send."""
    for scheme, field, template, context in (
        ("brevo", "provider_template", "welcome", {}),
        ("mailjet", "provider_template", "welcome", {}),
        ("netcore", "provider_template", "1" * 19, {}),
        ("sendgrid", "provider_template", "welcome", {"name": "Ann"}),
        ("resend", "context", "welcome", {"is_new": True}),
    ):
        message = message_of("template").with_(provider_template=template, context=context)
        with FakeRelay(scheme, token=TOKEN) as first, FakeRelay("postmark", token=TOKEN) as second:
            with Mailer(first.url) as mailer, pytest.raises(UnsupportedFeature) as refused:
                mailer.send(message)
            assert refused.value.field == field, scheme
            with Mailer(f"failover({first.url} {second.url})") as mailer:
                assert mailer.send(message).ok, scheme
            assert (len(first.requests), len(second.requests)) == (0, 1), scheme

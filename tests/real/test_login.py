"""Each way to log in with a password, at real servers: cyrus SASL behind Postfix, and Exim's own."""

from __future__ import annotations

import uuid

import pytest
from worlds import World

import mailer

from .peers import Peer
from .test_interoperation import _small

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("name", "mechanism"),
    [
        *(("postfix", one) for one in ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")),
        *(("exim", one) for one in ("PLAIN", "LOGIN", "CRAM-MD5")),
    ],
)
def test_each_mechanism_logs_in_and_is_refused(
    name: str, mechanism: str, world: World, request: pytest.FixtureRequest
) -> None:
    peer: Peer = request.getfixturevalue(name)
    assert peer.failed_logins is not None
    before = peer.failed_logins()
    with world.mailer(f"{peer.url}&auth={mechanism}&transcript=yes") as client:
        receipt = client.send(_small(uuid.uuid4().hex))
    assert f"AUTH {mechanism}" in "".join(map(str, receipt.transcript))
    with (
        world.mailer(f"{peer.url_with(password='wrong')}&auth={mechanism}") as client,
        pytest.raises(mailer.DeliveryDeferred) as caught,
    ):
        client.send(_small(uuid.uuid4().hex))
    assert isinstance(caught.value.__cause__, mailer.AuthError)
    assert peer.failed_logins() == before + 1


def test_the_strongest_that_postfix_offers_is_taken(postfix: Peer, world: World) -> None:
    with world.mailer(f"{postfix.url}&transcript=yes") as client:
        receipt = client.send(_small(uuid.uuid4().hex))
    assert "AUTH SCRAM-SHA-256" in "".join(map(str, receipt.transcript))

"""Pigeon Post by the contract of providers, and over HTTP. ``python tests/test_pigeon.py`` writes pigeon.json anew."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from mailwright_pigeon import Pigeon

from mailer import AuthError, Mailer, Message, Outcome
from mailer.backends.relay import RelayBackend
from mailer.testing.conformance import ProviderContract, answer

A, R, D = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED
BOB = {"who": "BOB@example.org", "why": "no such\r\nnest"}

TestPigeon = ProviderContract.of(
    Pigeon("t0ken-of-pigeon"),
    ok=answer(200, {"id": "m-1"}),
    answers={
        "one is refused": (answer(200, {"id": "m-1", "refused": [BOB]}), [A, R], None, ""),
        "refused": (answer(422, {"error": "bad_from", "why": "who?"}), [R, R], None, "bad_from who?"),
        "bad token": (answer(400, {"error": "no_such_token"}), [D, D], AuthError, "no_such_token"),
    },
    credentials=("Authorization", "Pigeon t0ken-of-pigeon"),
    golden=Path(__file__).with_name("pigeon.json"),
)


def test_a_mail_goes_out_by_its_url() -> None:
    with Mailer("pigeon://t0ken@eu?loft=south") as mailer:
        assert isinstance(mailer.backend, RelayBackend)
        assert str(mailer.backend) == "pigeon://***@eu?loft=south"
        provider = mailer.backend.provider
    requests: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"id": "m-7"})

    client = httpx.Client(transport=httpx.MockTransport(take))
    with client, Mailer(RelayBackend(provider, client=client)) as mailer:
        receipt = mailer.send(Message(from_="a@example.com", to="b@example.org", subject="Hi", text="Hello"))
    assert receipt.provider_ids == ("m-7",)
    [request] = requests
    assert str(request.url) == "https://eu.pigeon.example/v1/mails"
    assert json.loads(request.content)["loft"] == "south"


if __name__ == "__main__":
    TestPigeon.write_golden()

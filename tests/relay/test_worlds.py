"""Every case once more, in each world: by a client on ``httpx.MockTransport``, and over a loopback server."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from relay_cases import CASES, message_of
from test_providers import OK, PROVIDERS, golden
from worlds import World

from mailer import MessageError, Outcome
from mailer.backends.relay import RelayBackend
from mailer.errors import DeliveryError
from mailer.testing import Answer, FakeRelay, RelayRequest

SECRET = "s3cret-T0ken"
# A filter of recipients makes the envelope of some; merging makes plain mails, and is tested where batches are.
ORDINARY = [case for case in CASES if case != "merge" and "recipients" not in CASES[case]]
REACHED_ALONE = "local part not ASCII"  # the request goes without who cannot be reached


_OUR_ID = re.compile(r'(mailer_id\\?": \\?")[0-9a-f]{32}')


def said(mailer: Any, case: str) -> str | None:
    """The error's class and field, or None where it was sent."""
    try:
        receipt = mailer.send(message_of(case))
    except DeliveryError as error:  # seen only when it was read, to be sent
        return f"{type(error.__cause__).__name__} {getattr(error.__cause__, 'field', None)}"
    except MessageError as error:
        return f"{type(error).__name__} {error.field}"
    assert {r.outcome for r in receipt.results if r.address.local.isascii()} == {Outcome.ACCEPTED}
    return None


def wanted(name: str, case: str) -> tuple[str | None, Any]:
    gold = golden(name)[case]
    return (f"{gold['error']} {gold['field']}", None) if "error" in gold else (None, gold["body"])


def check(mailer: Any, name: str, bodies: list[Any]) -> None:
    for case in ORDINARY:
        error, body = wanted(name, case)
        bodies.clear()
        assert said(mailer, case) == error, case
        if case == REACHED_ALONE:
            assert len(bodies) == 1
            assert "björn" not in json.dumps(bodies[0], ensure_ascii=False)
        else:
            seen = json.loads(_OUR_ID.sub(r"\g<1>" + "0" * 32, json.dumps(bodies)))
            assert seen == ([] if body is None else [body]), case


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_case_by_a_mock_transport(world: World, name: str) -> None:
    bodies: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        status, body = OK[name]
        return httpx.Response(status, json=body)

    kind = httpx.Client if world.name == "blocking" else httpx.AsyncClient
    client = kind(transport=httpx.MockTransport(handler))
    with world.mailer(RelayBackend(type(PROVIDERS[name])(SECRET), client=client)) as mailer:
        check(mailer, name, bodies)


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_case_over_loopback(world: World, name: str) -> None:
    bodies: list[Any] = []

    class Recording(FakeRelay):
        def accept(self, request: RelayRequest) -> Answer:
            bodies.append(request.json)
            return super().accept(request)

    with Recording(name, token=SECRET) as relay, world.mailer(relay.url) as mailer:
        check(mailer, name, bodies)

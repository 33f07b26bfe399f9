"""What is signed when it is sent: a date, a credential that ends, and once more where the answer says that it has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from worlds import World

from mailer import AuthError, ConfigError, DeliveryError, Features, Message, Outcome, Receipt, RetryPolicy
from mailer.backends.relay import RelayBackend
from mailer.relay.exchange import Request, Response
from mailer.relay.postmark import Postmark
from mailer.relay.provider import Provider

MESSAGE = Message(from_="a@example.com", to="ann@example.org", subject="Hi", text="Hi")


class Acme(Provider):
    name = "acme"
    bases = {"default": "https://api.acme.example"}  # noqa: RUF012
    features = Features(raw=False)
    signs_with = "token"

    def __init__(self) -> None:
        super().__init__("account")
        self.dates: list[datetime] = []

    def request(self, mail: Any) -> Request:
        return Request.json(self.base, {"id": mail.id}, {"X-Id": mail.id})

    def signed(self, request: Request, credential: Any, now: datetime) -> Request:
        self.dates.append(now)
        headers = (*request.headers, ("Authorization", f"Bearer {credential}"))
        return Request(request.url, headers, request.content, request.method)

    def accepted(self, data: Any, mail: Any, response: Response) -> Receipt:
        return Receipt.for_all(mail, Outcome.ACCEPTED)


class Service:
    """Answers with what is next; remembers ids and tokens."""

    def __init__(self, world: World, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, str]] = []
        kind = httpx.Client if world.name == "blocking" else httpx.AsyncClient
        self.client = kind(transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append((request.headers["x-id"], request.headers["authorization"].removeprefix("Bearer ")))
        said = self.answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return httpx.Response(said, json={})


def tokens_of(*given: str) -> Callable[[], str]:
    left = list(given)
    return lambda: left.pop(0)


def test_a_token_that_has_ended_is_asked_for_anew_once(world: World) -> None:
    service = Service(world, 401, 200)
    provider = Acme()
    backend = RelayBackend(provider, client=service.client)
    with world.mailer(backend, tokens=tokens_of("old-one", "new-one")) as mailer:
        assert mailer.send(MESSAGE).ok
    (first, old), (second, new) = service.seen
    assert (old, new) == ("old-one", "new-one")
    assert first == second
    assert all(date.tzinfo is not None for date in provider.dates)
    assert len(provider.dates) == 2


def test_a_second_refusal_is_the_account_s_and_the_same_token_is_not_sent_twice(world: World) -> None:
    for tokens, answers, count in ((("a-1", "a-2"), (401, 401), 2), (("a-1", "a-1"), (401,), 1)):
        service = Service(world, *answers)
        backend = RelayBackend(Acme(), client=service.client)
        with world.mailer(backend, tokens=tokens_of(*tokens)) as mailer, pytest.raises(DeliveryError) as refused:
            mailer.send(MESSAGE)
        assert isinstance(refused.value.__cause__, AuthError)
        assert [r.outcome for r in refused.value.receipt.results] == [Outcome.DEFERRED]
        assert len(service.seen) == count


def test_what_is_lost_after_a_refused_token_is_counted_from_there(world: World) -> None:
    """The refused request did nothing: only what the second may have done is in doubt."""

    def gone() -> str:
        raise RuntimeError("no vault")

    for answers, tokens, outcome in (
        ((401, httpx.ReadError("gone")), tokens_of("a-1", "a-2"), Outcome.UNKNOWN),
        ((401, httpx.ConnectError("gone")), tokens_of("a-1", "a-2"), Outcome.DEFERRED),
        ((401,), iter([lambda: "a-1", gone]), Outcome.DEFERRED),
    ):
        service = Service(world, *answers)
        given = tokens if callable(tokens) else (lambda turns=tokens: next(turns)())
        with (
            world.mailer(RelayBackend(Acme(), client=service.client), tokens=given, retry=None) as mailer,
            pytest.raises(DeliveryError) as lost,
        ):
            mailer.send(MESSAGE)
        assert [r.outcome for r in lost.value.receipt.results] == [outcome], answers


def test_every_try_is_signed_anew_and_keeps_its_id(world: World) -> None:
    service = Service(world, 503, 200)
    provider = Acme()
    with world.mailer(
        RelayBackend(provider, client=service.client), tokens=lambda: "a-1", retry=RetryPolicy(wait_s=0)
    ) as mailer:
        assert mailer.send(MESSAGE).ok
    assert len(provider.dates) == 2
    assert service.seen[0] == service.seen[1]


def test_without_tokens_it_says_so_before_anything_is_sent(world: World) -> None:
    with pytest.raises(ConfigError, match="access tokens"), world.mailer(RelayBackend(Acme())):
        raise AssertionError
    with pytest.raises(ConfigError, match="no use for access tokens"):
        RelayBackend(Postmark("TOKEN")).use_tokens(None)  # type: ignore[arg-type]

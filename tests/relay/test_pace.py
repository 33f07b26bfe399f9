"""How often a relay is asked, and how long after it has asked for a pause: on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from relay_cases import mail_of, message_of

from mailer import ConfigError, Mail, Outcome, Receipt, backend_from_url
from mailer.backends.group import FailoverBackend
from mailer.backends.relay import RelayBackend
from mailer.errors import DeadlineExceeded
from mailer.relay import PROVIDERS
from mailer.relay.exchange import Response
from mailer.relay.postmark import Postmark
from mailer.relay.resend import Resend
from mailer.runtime import drive

OK = Response(200, content=b'{"id": "1", "ErrorCode": 0, "MessageID": "1", "Message": "OK"}')


class World:
    """A runtime whose sleep moves its clock, with an HTTP client that notes when it is asked."""

    is_async = False

    def __init__(self) -> None:
        self.time = 1000.0
        self.asked: list[float] = []
        self.answers: list[Response] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.on_sleep()

    def http(self, *args: Any, **keywords: Any) -> World:
        return self

    async def send(self, *args: Any, on_sent: Callable[[], None], **keywords: Any) -> Response:
        self.asked.append(self.time - 1000.0)
        on_sent()
        return self.answers.pop(0) if self.answers else OK

    async def run(self, function: Callable[[], Any], deadline: float | None = None) -> Any:
        return function()


def attached(backend: Any) -> tuple[Any, World]:
    world = World()
    backend.attach(world)
    return backend, world


def mail(name: str = "plain") -> Mail:
    return mail_of(message_of(name))


def send(backend: Any, given: Mail | None = None) -> Receipt:
    receipt: Receipt = drive(backend.send(given or mail()))
    return receipt


def busy(asked: str, status: int = 429) -> Response:
    return Response(status, {"retry-after": asked})


def test_its_own_host_is_asked_as_often_as_it_publishes() -> None:
    backend, world = attached(RelayBackend(Resend("T")))
    assert all(send(backend).ok for _ in range(5))
    assert world.asked == [0, 0, 1, 1, 2], "two in any second"


def test_another_host_is_asked_at_once() -> None:
    backend, world = attached(RelayBackend(Resend("T", base="https://gateway.example.com")))
    assert all(send(backend).ok for _ in range(4))
    assert world.asked == [0] * 4


@pytest.mark.parametrize(
    ("option", "asked"),
    [("rate=1/s", [0, 1, 2]), ("rate=2/m", [0, 0, 60]), ("rate=0.5/s", [0, 2, 4]), ("rate=off", [0, 0, 0])],
)
def test_the_url_has_the_last_word(option: str, asked: list[float]) -> None:
    for url in ("resend://T@default", "postmark://T@relay.example.com"):
        backend, world = attached(backend_from_url(f"{url}?{option}"))
        assert all(send(backend).ok for _ in range(3))
        assert world.asked == asked


@pytest.mark.parametrize("wrong", ["", "2", "0/s", "2/y", "on"])
def test_a_wrong_rate_is_known_at_once(wrong: str) -> None:
    with pytest.raises(ConfigError, match="rate"):
        backend_from_url(f"resend://T@default?rate={wrong}")
    if wrong:
        with pytest.raises(ConfigError, match="rate"):
            RelayBackend(Resend("T"), rate=wrong)


def test_what_is_published_is_a_rate() -> None:
    import importlib

    from mailer.rate import Rate

    found = [getattr(importlib.import_module(f"mailer.relay.{module}"), name) for module, name in PROVIDERS.values()]
    assert {str(Rate.parse(provider.rate)) for provider in found if provider.rate} >= {"2/s", "120/m"}


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_is_asked_for_holds_all_who_come_after(status: int) -> None:
    """F74: not before the time that it says."""
    backend, world = attached(RelayBackend(Postmark("T")))
    world.answers = [busy("7", status)]
    receipts = [send(backend) for _ in range(3)]
    assert [receipt.results[0].outcome for receipt in receipts] == [
        Outcome.DEFERRED,
        Outcome.ACCEPTED,
        Outcome.ACCEPTED,
    ]
    assert receipts[0].results[0].retry_after_s == 7
    assert world.asked == [0, 7, 7]


def test_a_pause_holds_those_who_are_waiting_already() -> None:
    backend, world = attached(RelayBackend(Resend("T")))
    send(backend)
    send(backend)

    def another_is_told_to_wait() -> None:
        world.on_sleep = lambda: None
        backend._pace.heed(busy("7"))

    world.on_sleep = another_is_told_to_wait
    send(backend)
    assert world.asked == [0, 0, 8]


def test_no_mail_waits_beyond_its_timeout_and_one_asks_again() -> None:
    backend, world = attached(RelayBackend(Postmark("T"), timeout_s=60))
    world.answers = [busy("86400")]
    send(backend)
    receipt = send(backend)
    [result] = receipt.results
    assert (result.outcome, result.retry_after_s, type(receipt.error)) == (Outcome.DEFERRED, 300, DeadlineExceeded)
    assert world.asked == [0], "nothing was sent"
    world.time += 299
    assert send(backend).ok
    assert world.asked == [0, 300]


def test_a_member_that_is_held_leaves_the_mail_to_the_next() -> None:
    first, second = RelayBackend(Postmark("T")), RelayBackend(Postmark("U"))
    backend, world = attached(FailoverBackend([first, second]))
    world.answers = [busy("30")]
    receipts = [send(backend) for _ in range(2)]
    assert all(receipt.ok for receipt in receipts)
    assert [receipt.attempts[-1].backend for receipt in receipts] == [str(second)] * 2
    assert world.asked == [0, 0, 0], "nobody waited"
    world.time += 21
    assert send(backend).attempts[-1].backend == str(first), "as long as a retry it waits"
    assert world.asked[-1] == 30


def test_it_is_requests_that_are_counted_and_not_mails() -> None:
    backend, world = attached(RelayBackend(Resend("T")))
    receipts = drive(backend.send_many([mail().with_(id=f"{n:032x}") for n in range(3)] + [mail("attachments")]))
    assert len(receipts) == 4
    assert world.asked == [0, 0]
    send(backend)
    assert world.asked[2:] == [1]

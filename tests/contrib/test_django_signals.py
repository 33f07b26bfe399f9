"""Django's signals, sent from the actions of a mailer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import django_project  # noqa: F401 - configures the settings
import pytest

from mailer import AsyncMailer, DeliveryRefused, Event, Mailer, Message, MessageError, Outcome, Receipt
from mailer.backends.memory import MemoryBackend
from mailer.contrib.django import signals
from mailer.hookspecs import ACTIONS

MESSAGE = Message(from_="shop@example.com", to=["ann@example.org", "bob@example.org"], subject="Hi", text="Hello")


class Partly(MemoryBackend):
    """Refuses Bob, or everybody."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = refused

    async def send(self, mail: Any) -> Receipt:
        receipt = await super().send(mail)
        results = [
            replace(result, outcome=Outcome.REJECTED, code=550) if result.address.local in self.refused else result
            for result in receipt.results
        ]
        return receipt.with_(results=tuple(results))


@pytest.fixture
def told() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Every signal that is sent, with its arguments."""
    told: list[tuple[str, dict[str, Any]]] = []
    receivers = []
    for action, signal in signals.SIGNALS.items():

        def receiver(action: str = action, **given: Any) -> None:
            told.append((action, given))

        signal.connect(receiver)
        receivers.append((signal, receiver))
    yield told
    for signal, receiver in receivers:
        assert signal.disconnect(receiver)


def test_each_action_of_a_mail_is_a_signal() -> None:
    assert set(signals.SIGNALS) == set(ACTIONS) - {"worker_started", "worker_stopped"}
    named = {"event" if name == "event_received" else name.removeprefix("message_") for name in signals.__all__}
    assert named - {"SIGNALS", "bridge"} == set(signals.SIGNALS)
    assert all(
        getattr(signals, f"message_{name}", signals.event_received) is one for name, one in signals.SIGNALS.items()
    )


def test_receivers_are_told_what_became_of_each_recipient(told: list[Any]) -> None:
    with Mailer(Partly("bob")) as mailer:
        signals.bridge(mailer.hooks)
        signals.bridge(mailer.hooks)  # once is enough
        receipt = mailer.send(MESSAGE)
    assert [name for name, _ in told] == ["sending", "sent", "rejected"]
    for _, given in told:
        assert given["sender"] is Mailer
        assert given["mail_id"] == given["context"].mail_id == receipt.id
        assert given["message"].subject == "Hi"
    (_, sending), (_, sent), (_, rejected) = told
    assert (sending["attempt"], bytes(sending["mail"].content)[:1] != b"") == (1, True)
    assert [str(one) for one in sent["recipients"]] == ["ann@example.org"]
    assert [str(one) for one in rejected["recipients"]] == ["bob@example.org"]
    assert sent["receipt"].id == receipt.id


def test_what_fails_is_skipped_or_comes_later_is_told_too(told: list[Any]) -> None:
    with Mailer(Partly("ann", "bob")) as mailer:
        signals.bridge(mailer.hooks)
        with pytest.raises(DeliveryRefused):
            mailer.send(MESSAGE)
        with pytest.raises(MessageError):
            mailer.send(MESSAGE.with_(from_=None))
        mailer.hooks.add_filter("recipients", lambda recipients, context: ())
        assert mailer.send(MESSAGE).skipped
        event = Event(kind="bounced", provider="postmark", mail_id="m1")
        assert mailer.publish([event]) == 0
    assert [name for name, _ in told] == ["sending", "rejected", "failed", "skipped", "event"]
    assert isinstance(told[2][1]["error"], MessageError)
    assert told[3][1]["receipt"].skipped
    assert (told[4][1]["event"], told[4][1]["mail_id"]) == (event, "m1")


def test_a_receiver_that_raises_changes_nothing(told: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    def broken(**given: Any) -> None:
        raise RuntimeError("mine")

    signals.message_sent.connect(broken)
    signals.message_sending.connect(broken)
    try:
        with Mailer(MemoryBackend()) as mailer, caplog.at_level(logging.ERROR, "django.dispatch"):
            signals.bridge(mailer.hooks)
            assert mailer.send(MESSAGE).ok
            assert len(mailer.backend.mails) == 1  # type: ignore[attr-defined]
    finally:
        signals.message_sent.disconnect(broken)
        signals.message_sending.disconnect(broken)
    assert [name for name, _ in told] == ["sending", "sent"]
    assert [record.name for record in caplog.records] == ["django.dispatch"] * 2


def test_async_receivers_are_awaited(told: list[Any]) -> None:
    seen = []

    async def receiver(receipt: Receipt, sender: type, **given: Any) -> None:
        await asyncio.sleep(0)
        seen.append((sender, receipt.ok))

    async def main() -> None:
        async with AsyncMailer(MemoryBackend()) as mailer:
            signals.bridge(mailer.hooks, is_async=True)
            await mailer.send(MESSAGE)

    signals.message_sent.connect(receiver)
    try:
        asyncio.run(main())
        assert seen == [(AsyncMailer, True)]
        with Mailer(MemoryBackend()) as mailer:  # outside of any loop Django makes one
            signals.bridge(mailer.hooks)
            mailer.send(MESSAGE)
        assert seen == [(AsyncMailer, True), (Mailer, True)]
    finally:
        signals.message_sent.disconnect(receiver)
    assert [name for name, _ in told] == ["sending", "sent"] * 2


def test_without_receivers_nothing_is_sent() -> None:
    with Mailer(MemoryBackend()) as mailer:
        signals.bridge(mailer.hooks)
        assert mailer.send(MESSAGE).ok
        assert mailer.hooks.errors.total() == 0

"""Blinker signals from a mailer's actions."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask

from mailer import DeliveryError, Event, EventKind, Message, MessageError, Outcome, Receipt
from mailer.contrib.flask import FlaskMailer, signals
from mailer.hookspecs import ACTIONS, KNOWN

HELLO = Message(from_="shop@example.com", to=["bob@example.org", "eve@example.org"], subject="Hello", text="Hello")


def app_with(name: str = "shop", **config: Any) -> Flask:
    app = Flask(name)
    app.config.update({"MAILER_URL": "memory:", **config})
    return app


@pytest.fixture(autouse=True)
def nobody_else_listens() -> Iterator[None]:
    for signal in signals.SIGNALS.values():
        signal._clear_state()
    yield
    for signal in signals.SIGNALS.values():
        signal._clear_state()


def test_there_is_one_for_each_action_of_a_mailer_and_is_called_for_it() -> None:
    assert set(signals.SIGNALS) == {name for name in ACTIONS if not name.startswith("worker_")}
    for action, signal in signals.SIGNALS.items():
        [name] = [name for name in signals.__all__ if getattr(signals, name) is signal]
        assert name == ("event_received" if action == "event" else f"message_{action}")
        assert signal.name == name.replace("_", "-")


def test_they_are_called_as_under_django() -> None:
    from mailer.contrib.django import signals as of_django

    assert list(of_django.SIGNALS) == list(signals.SIGNALS)
    for action, signal in of_django.SIGNALS.items():
        [name] = [name for name in of_django.__all__ if getattr(of_django, name) is signal]
        assert getattr(signals, name) is signals.SIGNALS[action]


def test_receivers_are_given_the_app_and_what_the_action_knows() -> None:
    app = app_with(MAILER_MAILERS={"news": {"from": "n@example.com"}})
    mail, told = FlaskMailer(app), []

    def receive(sender: Any, **more: Any) -> None:
        told.append((sender, more))

    kept_back = Receipt(id="", skipped="on holiday")
    for signal in signals.SIGNALS.values():
        signal.connect(receive)
    try:
        mail.send(HELLO)
        mail.get("news").send(HELLO)
        with suppress(MessageError):
            mail.send(HELLO.with_(from_=None))
        mail.mailer.publish([Event(kind=EventKind.BOUNCED, provider="postmark", mail_id="1")])
        mail.mailer.hooks.add_filter("short_circuit", lambda value, context: kept_back, once=True)
        mail.send(HELLO)
    finally:
        for signal in signals.SIGNALS.values():
            signal.disconnect(receive)
    mail.send(HELLO)
    keys = [set(more) - {"context", "mail_id"} for _, more in told]
    actions = ["sending", "sent", "sending", "sent", "failed", "event", "skipped"]
    assert keys == [set(KNOWN[action]) for action in actions]
    assert {sender for sender, _ in told} == {app}
    assert [str(one) for one in told[1][1]["recipients"]] == ["bob@example.org", "eve@example.org"]
    assert told[1][1]["mail_id"] == told[0][1]["mail"].id == told[1][1]["context"].mail_id
    assert isinstance(told[4][1]["error"], MessageError)


def test_outcomes_are_told_apart() -> None:
    mail, told = FlaskMailer(app_with()), []
    names = ("deferred", "rejected", "unknown")
    receivers = {name: lambda app, name=name, **more: told.append((name, more["recipients"])) for name in names}
    for name, receiver in receivers.items():
        signals.SIGNALS[name].connect(receiver)
    for name, outcome in zip(names, (Outcome.DEFERRED, Outcome.REJECTED, Outcome.UNKNOWN), strict=True):
        mail.mailer.backend.send = lambda sent, outcome=outcome: Receipt.for_all(sent, outcome)  # type: ignore[method-assign]
        with pytest.raises(DeliveryError):
            mail.mailer.send(HELLO)
        assert told.pop() == (name, HELLO.to)
    assert told == []


def test_what_nobody_listens_to_costs_nothing_and_is_heard_from_then_on() -> None:
    mail, told = FlaskMailer(app_with()), []
    assert not any(one.kind == "action" for one in mail.mailer.hooks.registered())

    def receive(app: Any, **more: Any) -> None:
        told.append(app.name)

    with signals.message_sent.connected_to(receive):
        mail.send(HELLO)
    with signals.message_sent.connected_to(receive):
        mail.send(HELLO)
        FlaskMailer(app_with("later")).send(HELLO)
    mail.send(HELLO)
    assert told == ["shop", "shop", "later"]
    assert [one.hook for one in mail.mailer.hooks.registered() if one.kind == "action"] == ["sent"]


def test_one_app_alone_may_be_listened_to() -> None:
    one, two, told = app_with("one"), app_with("two"), []
    mail = FlaskMailer()
    for app in (one, two):
        mail.init_app(app)

    def receive(sender: Any, **more: Any) -> None:
        told.append(sender.name)

    signals.message_sent.connect(receive, two)
    for app in (one, two):
        with app.app_context():
            mail.send(HELLO)
    assert told == ["two"]


def test_a_receiver_that_raises_changes_nothing_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    mail, told = FlaskMailer(app_with()), []

    def first(app: Any, **more: Any) -> None:
        told.append("first")
        raise RuntimeError("S3cr3tT0ken")

    def second(app: Any, **more: Any) -> None:
        told.append("second")
        raise ValueError

    async def third(app: Any, **more: Any) -> None:
        raise AssertionError("nobody awaits it here")

    for receiver in (first, second, third):
        signals.message_sent.connect(receiver)
    assert mail.send(HELLO).ok
    assert sorted(told) == ["first", "second"]
    assert mail.mailer.hooks.errors["sent"] == 1
    assert "mailer.contrib.flask.signals" in caplog.text
    with signals.message_sent.muted():
        mail.send(HELLO)
    assert len(told) == 2


def test_the_bridge_does_not_keep_an_app() -> None:
    app = app_with()
    mail = FlaskMailer()
    mail.init_app(app)
    with app.app_context():
        mail.send(HELLO)
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None

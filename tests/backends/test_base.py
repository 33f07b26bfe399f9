"""Carrying: whatever a backend returns or raises becomes one outcome for each recipient, and one recorded attempt."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from exchange import message, sent
from worlds import World

from mailer import (
    AsyncMailer,
    AuthError,
    Backend,
    ConfigError,
    DeliveryDeferred,
    DeliveryRefused,
    DeliveryUnknown,
    Health,
    Mail,
    Mailer,
    MailerError,
    MessageError,
    Outcome,
    ProtocolError,
    Receipt,
    TransportError,
    UnsupportedFeature,
)
from mailer.receipt import RecipientResult


class Given(Backend):
    """A plain backend that returns or raises what it was given."""

    def __init__(self, what: Any, url: str = "given:") -> None:
        self.what = what
        self.url = url
        self.threads: list[int] = []

    def send(self, mail: Mail) -> Receipt:
        self.threads.append(threading.get_ident())
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what(mail) if callable(self.what) else self.what


@pytest.mark.parametrize(
    ("raised", "outcome", "error"),
    [
        (ConfigError("x"), Outcome.DEFERRED, DeliveryDeferred),
        (AuthError("x"), Outcome.DEFERRED, DeliveryDeferred),
        (TransportError("x"), Outcome.DEFERRED, DeliveryDeferred),
        (MessageError("x"), Outcome.REJECTED, DeliveryRefused),
        (ProtocolError("x"), Outcome.UNKNOWN, DeliveryUnknown),
        (MailerError("x"), Outcome.UNKNOWN, DeliveryUnknown),
        (OSError("x"), Outcome.UNKNOWN, DeliveryUnknown),
        (KeyError("x"), Outcome.UNKNOWN, DeliveryUnknown),
    ],
)
def test_an_exception_is_an_outcome(world: World, raised: Exception, outcome: Outcome, error: type[Exception]) -> None:
    with world.mailer(Given(raised)) as mailer:
        receipt, found = sent(mailer, message("b@y.test", "c@y.test"))
    assert [result.outcome for result in receipt.results] == [outcome] * 2
    assert type(found) is error
    assert isinstance(found.__cause__, MailerError)
    if isinstance(raised, MailerError):
        assert found.__cause__ is raised
    else:
        assert found.__cause__.__cause__ is raised
        assert f"given: raised {type(raised).__name__}" in str(found.__cause__)
    assert receipt.backend == "given:"
    assert [attempt.cause for attempt in receipt.attempts] == [found.__cause__]


@pytest.mark.parametrize("wrong", [None, True, "ok", {"ok": True}])
def test_what_is_no_receipt_is_unknown(world: World, wrong: Any) -> None:
    with world.mailer(Given(wrong)) as mailer:
        receipt, error = sent(mailer)
    assert [result.outcome for result in receipt.results] == [Outcome.UNKNOWN]
    assert f"returned {type(wrong).__name__}, not a Receipt" in str(error)


def test_a_recipient_that_the_backend_forgot_is_unknown(world: World) -> None:
    def some(mail: Mail) -> Receipt:
        last = mail.envelope.recipients[-1]
        return Receipt(mail.id, results=(RecipientResult(last, Outcome.ACCEPTED),))

    with world.mailer(Given(some)) as mailer:
        receipt, _ = sent(mailer, message("b@y.test", "c@y.test"))
    assert [(r.address.addr_spec, r.outcome) for r in receipt.results] == [
        ("b@y.test", Outcome.UNKNOWN),
        ("c@y.test", Outcome.ACCEPTED),
    ]
    assert receipt.backend == "given:"


def test_an_interrupt_comes_out_as_it_is(world: World) -> None:
    with world.mailer(Given(KeyboardInterrupt())) as mailer:
        told = []
        mailer.hooks.add_action("unknown", lambda context: told.append(context.recipients))
        with pytest.raises(KeyboardInterrupt):
            sent(mailer)
    assert len(told) == 1


def test_a_plain_send_runs_in_a_thread_under_async_only(world: World) -> None:
    backend = Given(lambda mail: Receipt.for_all(mail, Outcome.ACCEPTED))
    with world.mailer(backend) as mailer:
        assert sent(mailer)[0].ok
        here = world.call(threading.get_ident)
    assert (backend.threads == [here]) is (world.name == "blocking")


def test_unsupported_features_are_found_before_send_is_called(world: World) -> None:
    backend = Given(lambda mail: Receipt.for_all(mail, Outcome.ACCEPTED))
    with world.mailer(backend) as mailer:
        with pytest.raises(UnsupportedFeature, match="send_at: is not carried by given:"):
            mailer.send(message(send_at=datetime(2099, 1, 1, tzinfo=UTC)))
        assert backend.threads == []
        receipt, _ = sent(mailer, message(tags=["a"]))
    assert receipt.notes == ("tags is not carried by given:",)
    with world.mailer(backend, unsupported="error") as mailer, pytest.raises(UnsupportedFeature, match="tags"):
        mailer.send(message(tags=["a"]))
    with world.mailer(backend, unsupported="degrade") as mailer:
        assert sent(mailer, message(reply_to="r@x.test", tags=["a"]))[0].ok


def test_a_backend_belongs_to_one_kind_of_mailer() -> None:
    backend = Given(None)
    Mailer(backend)
    Mailer(backend)
    with pytest.raises(ConfigError, match="blocking"):
        AsyncMailer(backend)


def test_health_raises_its_cause_on_request_and_is_json() -> None:
    well, ill = Health(True, "x:"), Health(False, "x:", {"a": "b"}, AuthError("no"))
    assert well.raise_unless_ok() is well
    with pytest.raises(AuthError, match="no"):
        ill.raise_unless_ok()
    with pytest.raises(MailerError, match="x: is not well"):
        Health(False, "x:").raise_unless_ok()
    assert json.loads(json.dumps(ill.to_dict())) == {
        "ok": False, "backend": "x:", "facts": {"a": "b"}, "cause": {"type": "AuthError", "text": "no"},
        "transcript": [],
    }  # fmt: skip


def test_a_backend_without_anything_is_shown_by_its_class() -> None:
    class Bare(Backend):
        pass

    assert str(Bare()) == "Bare()"
    assert Bare().check() == Health(True, "Bare()")
    with pytest.raises(NotImplementedError, match="Bare has no send"):
        Bare().send(None)  # type: ignore[arg-type]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Mute(), "given: raised Mute"),
        (KeyError("a\nb\x1b[31m\u202e"), r"given: raised KeyError: 'a\nb\x1b[31m\u202e'"),
        (ValueError("a\nb\x1b[31m\u202e ü"), r"given: raised ValueError: a\nb\x1b[31m\u202e ü"),
        (
            OSError("no answer from https://user:hush@api.test/"),
            "given: raised OSError: no answer from https://user:***@api.test/",
        ),
        (MailerError("a\nb"), r"a\nb"),
    ],
    ids=repr,
)
def test_a_foreign_error_is_one_line_without_secrets(world: World, error: Exception, text: str) -> None:
    with world.mailer(Given(error)) as mailer:
        receipt, raised = sent(mailer)
        health = mailer.check()
    assert type(raised) is DeliveryUnknown
    assert receipt.results[0].text == text
    assert health.ok


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "2", None])
def test_a_batch_size_that_is_none_is_refused_at_the_start(size: Any) -> None:
    from mailer.backends.group import FailoverBackend

    backend = Given(None)
    backend.batch_size = size
    for made in (lambda: Mailer(backend), lambda: FailoverBackend([backend])):
        with pytest.raises(ConfigError, match="given:: batch_size="):
            made()


def test_a_backend_that_fails_to_look_at_a_mail_is_not_given_it(world: World) -> None:
    class Blind(Given):
        def left_out(self, mail: Mail) -> tuple[str, ...]:
            raise KeyError("x")

    backend = Blind(lambda mail: Receipt.for_all(mail, Outcome.ACCEPTED))
    with world.mailer(backend) as mailer:
        with pytest.raises(UnsupportedFeature, match="could not look at it: KeyError") as caught:
            mailer.send(message())
        assert isinstance(caught.value.__cause__, KeyError)
        [receipt] = mailer.send_many([message()])
    assert isinstance(receipt.error, UnsupportedFeature)
    assert backend.threads == []

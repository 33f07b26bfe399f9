"""The plug-in ``alerts``: tells by each way, not too often, nothing of anybody's mail, and never about itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from worlds import World

from mailer import ConfigError, DeliveryError, Mailer, Message, MessageError, Outcome, Receipt, RecipientResult
from mailer.backends.base import Backend
from mailer.plugins.alerts import Alert, Alerts
from mailer.testing import FakeRelay, SmtpServer


def hello(**more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": "ann@example.org", "subject": "Secret plan", "text": "Hello"}
    return Message(**{**fields, **more})


@contextmanager
def webhook(status: int = 204) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that keeps the JSON it is sent; its URL has a token in its path."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/services/T0KEN", got
        finally:
            server.shutdown()
            thread.join()


class Parted(Backend):
    """Says of each recipient what the subject says."""

    url = "parted:"

    def send(self, mail: Any) -> Receipt:
        words = mail.message.subject.split()
        results = [
            RecipientResult(address, Outcome(word), 550, "5.1.1", f"no {address} here")
            for address, word in zip(mail.envelope.recipients, words, strict=True)
        ]
        return Receipt(mail.id, "parted:", tuple(results))


class Ticking(Alerts):
    """On a clock that the test sets."""

    now = 1000.0

    def monotonic(self) -> float:  # type: ignore[override]
        return self.now


def test_by_smtp_a_refusal_is_told_to_a_webhook_an_address_and_a_function(world: World) -> None:
    told: list[Alert] = []
    with SmtpServer() as server, SmtpServer() as inbox, webhook() as (url, got):
        plugin = Alerts(webhook=url, url=inbox.url, to="ops@example.com", sender="mailer@example.com", call=told.append)
        with world.mailer(server.url, plugins=[plugin]) as mailer:
            assert mailer.send(hello()).ok
            server.on("RCPT").reply("550 5.1.1 ann@example.org is unknown")
            with pytest.raises(DeliveryError) as refused:
                mailer.send(hello())
        [alert], [mail] = told, inbox.mails
        assert got == [alert.to_dict()]
        assert mail.recipients == ("ops@example.com",)
        assert (mail.message["Subject"], mail.message["Auto-Submitted"]) == ("mail rejected", "auto-generated")
        body = mail.message.get_content()
        assert refused.value.receipt.id in body
        assert (alert.what, alert.outcomes, alert.codes, alert.more) == ("rejected", {"rejected": 1}, ("550 5.1.1",), 0)
        for text in (json.dumps(got), body):  # of the mail, nothing
            assert not any(word in text for word in ("ann@", "Secret plan", "is unknown"))


def test_what_a_relay_refuses_is_told(world: World) -> None:
    told: list[Alert] = []
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[Alerts(call=told.append)]) as mailer:
        relay.refuse("ann@example.org")
        with pytest.raises(DeliveryError):
            mailer.send(hello())
    assert told[0].what == "rejected"
    assert "TOKEN" not in told[0].text


def test_one_mail_is_one_alert_of_the_worst_that_is_told() -> None:
    for on, subject, what in [
        (None, "deferred rejected unknown accepted", "unknown"),
        (None, "accepted deferred", "deferred"),
        (None, "accepted", None),
        (["deferred", "rejected"], "unknown deferred", "deferred"),
        (["failed"], "rejected", None),
    ]:
        told: list[Alert] = []
        plugin = Alerts(call=told.append, every_s=0, **({} if on is None else {"on": on}))
        with Mailer(Parted(), plugins=[plugin], retry=None) as mailer:
            to = [f"r{number}@example.org" for number in range(len(subject.split()))]
            [_] = mailer.send_many([hello(to=to, subject=subject)])
        assert [alert.what for alert in told] == ([] if what is None else [what]), subject
    with Mailer("memory:", plugins=[plugin]) as mailer, pytest.raises(MessageError):
        mailer.send(hello(from_=()))
    assert [(alert.what, alert.cause) for alert in told] == [("failed", "MessageError")]


def test_they_are_no_nearer_to_each_other_than_said_and_what_is_between_is_counted(world: World) -> None:
    told: list[Alert] = []
    plugin = Ticking(call=told.append, every_s=60)
    with world.mailer(Parted(), plugins=[plugin]) as mailer:
        for now in (1000.0, 1000.1, 1059.9, 1060.0, 1061.0, 1119.9, 1120.0, 9000.0):
            plugin.now = now
            [_] = mailer.send_many([hello(subject="rejected")])
    assert [alert.more for alert in told] == [0, 2, 2, 0]
    assert "(2 more since the last alert)" in told[1].text


def test_of_threads_at_once_one_tells() -> None:
    told: list[Alert] = []
    plugin = Alerts(call=told.append)
    with Mailer(Parted(), plugins=[plugin], retry=None) as mailer:
        receipts = list(mailer.send_many((hello(subject="rejected") for _ in range(200)), concurrency=8))
    assert len(receipts) == 200
    assert len(told) == 1


def test_an_alert_that_mails_by_the_same_mailer_is_no_loop(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Alert] = []

    def mail_it(alert: Alert) -> None:
        calls.append(alert)
        with pytest.raises(DeliveryError):
            mailer.send(hello(subject="rejected"))

    mailer = Mailer(Parted(), plugins=[Alerts(call=mail_it, every_s=0)], retry=None)
    with mailer, pytest.raises(DeliveryError):
        mailer.send(hello(subject="rejected"))
    assert len(calls) == 1
    assert "is not called from within itself" in caplog.text


def test_what_fails_in_telling_changes_nothing_and_the_other_ways_are_taken(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Alert] = []
    with webhook(500) as (url, got), SmtpServer() as gone:
        dead = gone.url
        gone.stop()
        plugin = Alerts(
            webhook=url, url=dead, to="ops@example.com", sender="m@example.com", call=told.append, every_s=0
        )
        with world.mailer(Parted(), plugins=[plugin]) as mailer:
            [receipt] = mailer.send_many([hello(subject="rejected")])
        assert receipt.results[0].outcome is Outcome.REJECTED
        assert (len(got), len(told)) == (1, 1)
    assert "alerts: the webhook answered 500" in caplog.text
    assert "T0KEN" not in caplog.text


def test_a_webhook_that_cannot_be_reached_shows_no_token(caplog: pytest.LogCaptureFixture) -> None:
    with webhook() as (url, _):
        pass
    with Mailer(Parted(), plugins=[Alerts(webhook=url)], retry=None) as mailer:
        [_] = mailer.send_many([hello(subject="rejected")])
    assert "of alerts raised ConnectError" in caplog.text
    assert "T0KEN" not in caplog.text
    assert "T0KEN" not in repr(mailer.plugins["alerts"].settings)


def test_one_that_hangs_costs_a_send_its_bound_and_the_next_nothing(world: World) -> None:
    release = threading.Event()
    plugin = Alerts(call=lambda alert: release.wait(60), every_s=0, wait_s=0.05)
    with world.mailer(Parted(), plugins=[plugin]) as mailer:
        [_] = mailer.send_many([hello(subject="rejected")])
        assert mailer.hooks.errors["rejected"] == 1
        plugin._aside.wait_s = 3600
        assert len(mailer.send_many([hello(subject="rejected") for _ in range(30)])) == 30
        assert plugin._aside.lost == 11
        release.set()


def test_a_wrong_setting_is_told_at_the_start() -> None:
    async def wait(alert: Alert) -> None: ...

    mail = {"url": "smtp://u:s3cret@mail.example", "to": "ops@example.com", "sender": "m@example.com"}
    table: list[tuple[dict[str, Any], str]] = [
        ({}, "say who is told"),
        ({"webhook": "http://example.com/s3cret"}, "https"),
        ({"webhook": "https:///s3cret"}, "https"),
        ({"webhook": "https://example.com/s3cret\r\nX: y"}, "https"),
        ({"call": wait}, "plain function"),
        ({"call": print, "to": "a@b.example"}, "needs a backend's url"),
        ({**mail, "sender": None}, "both to and sender"),
        ({**mail, "to": "nobody"}, "to, sender: "),
        ({**mail, "url": "nonsense://s3cret"}, "url: "),
        ({"call": print, "on": ["sent"]}, "plugins.alerts.on"),
        ({"call": print, "every_s": -1}, "every_s"),
    ]
    for given, said in table:
        with pytest.raises(ConfigError, match=r"plugins\.alerts") as caught:
            Alerts(given)
        assert said in str(caught.value), given
        assert "s3cret" not in str(caught.value)

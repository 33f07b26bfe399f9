"""Through Flask apps to memory:, to disk and over SMTP."""

from __future__ import annotations

import email
import email.policy
import gc
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from flask import Flask
from jinja2 import FunctionLoader

from mailer import ConfigError, Hooks, Mailer, Message, Plugin
from mailer.contrib.flask import FlaskMailer


def new_app(name: str = "shop", **config: Any) -> Flask:
    app = Flask(name)
    app.config.update({"MAILER_URL": "memory:", "MAILER_FROM": "Shop <shop@example.com>", **config})
    return app


def hello(**more: Any) -> Message:
    return Message(**{"to": "bob@example.org", "subject": "Grüße", "text": "Hello\n.\n", **more})


def parsed(content: bytes) -> Any:
    return email.message_from_bytes(content, policy=email.policy.default)


class Sink:
    """An SMTP server that remembers."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.peers: set[Any] = set()
        self.quit = threading.Semaphore(0)  # one release for each QUIT; nobody waits for its reply

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.peers.add(session.peer)
        self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 queued"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.quit.release()
        return "221 bye"


@pytest.fixture
def smtp() -> Iterator[Sink]:
    sink = Sink()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    sink.url = f"smtp://127.0.0.1:{port}?tls=none"  # type: ignore[attr-defined]
    yield sink
    controller.stop()


def test_two_requests_send_over_one_connection(smtp: Sink) -> None:
    app = new_app(MAILER_URL=smtp.url)  # type: ignore[attr-defined]
    mail = FlaskMailer(app)

    @app.post("/orders")
    def order() -> str:
        return str(mail.send(hello()).ok)

    client = app.test_client()
    assert [client.post("/orders").text for _ in range(2)] == ["True", "True"]
    mail.mailer.close()
    assert [mail[:2] for mail in smtp.mails] == [("shop@example.com", ["bob@example.org"])] * 2
    got = parsed(smtp.mails[0][2])
    assert (got["From"], got["Subject"]) == ("Shop <shop@example.com>", "Grüße")
    assert got.get_content().replace("\r\n", "\n") == "Hello\n.\n"
    assert len(smtp.peers) == 1


def test_a_file_url_writes_to_disk(tmp_path: Path) -> None:
    assert FlaskMailer(new_app(MAILER_URL=f"file://{tmp_path}?format=eml")).send(hello()).ok
    [path] = tmp_path.glob("*.eml")
    assert parsed(path.read_bytes())["Subject"] == "Grüße"


def test_send_many_yields_a_receipt_for_each_message() -> None:
    mail = FlaskMailer(new_app())
    receipts = list(mail.send_many(hello(to=f"u{number}@example.org") for number in range(3)))
    assert [receipt.message_index for receipt in receipts] == [0, 1, 2]
    assert len(mail.mailer.backend.mails) == 3  # type: ignore[attr-defined]


def test_each_app_of_a_factory_has_its_own_mailer() -> None:
    mail = FlaskMailer()
    one, two = new_app("one"), new_app("two", MAILER_FROM="two@example.com")
    for app in (one, two):
        mail.init_app(app)
    with two.app_context():
        mail.send(hello())
        with one.app_context():
            assert mail.mailer is one.extensions["mailer"]
        [sent] = mail.mailer.backend.mails  # type: ignore[attr-defined]
    assert sent.envelope.sender.addr_spec == "two@example.com"
    assert one.extensions["mailer"].backend.mails == []


def test_the_app_given_at_the_start_is_served_outside_of_any_context() -> None:
    app = new_app()
    mail = FlaskMailer(app)
    mail.send(hello())
    assert mail.mailer is app.extensions["mailer"]
    assert isinstance(mail.mailer, Mailer)
    assert len(mail.mailer.backend.mails) == 1  # type: ignore[attr-defined]


def test_the_current_app_comes_before_the_app_given_at_the_start() -> None:
    mail, other = FlaskMailer(new_app()), new_app("other")
    with other.app_context(), pytest.raises(ConfigError, match="init_app for 'other'"):
        _ = mail.mailer
    mail.init_app(other)
    with other.app_context():
        assert mail.mailer is other.extensions["mailer"]


def test_without_any_app_it_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="application context"):
        FlaskMailer().send(hello())


@pytest.mark.parametrize("url", [None, ""])
def test_a_missing_url_fails_at_init_app_whatever_the_environment_says(
    url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILER_URL", "memory:")
    with pytest.raises(ConfigError, match="MAILER_URL"):
        FlaskMailer(new_app(MAILER_URL=url))


@pytest.mark.parametrize(
    ("setting", "value"), [("MAILER_URL", "smpt://host"), ("MAILER_FROM", "nobody"), ("MAILER_FROM", "a@x, b@x")]
)
def test_a_wrong_setting_fails_at_init_app_and_is_named(setting: str, value: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        FlaskMailer().init_app(new_app(**{setting: value}))


class Closing(Plugin):  # type: ignore[type-arg]
    """A plug-in that says when it is closed."""

    name = "closing"
    closed = 0

    def register(self, hooks: Hooks) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


def selfish_app(mail: FlaskMailer, **config: Any) -> Flask:
    """An app that its own filters, loader and globals hold."""
    app = new_app(**config)
    app.jinja_loader = FunctionLoader(lambda name: "{{ name() }}" if name == "a.txt" and app.name else None)
    app.template_global("name")(lambda: app.name)
    mail.init_app(app)
    with app.app_context():
        mail.mailer.hooks.add_filter("message", lambda message, context: message.with_(subject=app.name))
    return app


def test_an_app_that_is_gone_has_closed_its_connection(smtp: Sink) -> None:
    mail, plugin = FlaskMailer(), Closing()
    app = selfish_app(mail, MAILER_URL=smtp.url, MAILER_PLUGINS=[plugin])  # type: ignore[attr-defined]
    with app.app_context():
        mail.send(hello(text=None, template="a"))
    assert plugin.closed == 0
    assert not smtp.quit.acquire(blocking=False)
    del app
    gc.collect()
    assert smtp.quit.acquire(timeout=30)
    assert plugin.closed == 1


def test_the_end_of_the_process_closes_the_connection(smtp: Sink) -> None:
    program = f"""
from flask import Flask
from mailer import Message, Plugin
from mailer.contrib.flask import FlaskMailer
class Later(Plugin):
    name = "later"
    def register(self, hooks): pass
    def close(self): print("closed")
app = Flask("shop")
app.config.update(MAILER_URL={smtp.url!r}, MAILER_FROM="shop@example.com")
mail = FlaskMailer(app)
mail.mailer.plugins.add(Later)
mail.send(Message(to="bob@example.org", text="Hello"))
"""  # type: ignore[attr-defined]
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60, capture_output=True)
    assert done.stdout.split() == [b"closed"]
    assert len(smtp.mails) == 1
    assert smtp.quit.acquire(timeout=30)

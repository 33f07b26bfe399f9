"""Quart apps: the same extension, awaited."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from quart import Blueprint, Quart, websocket

from mailer import AsyncMailer, ConfigError, Event, Message, TemplateError
from mailer.contrib.flask import FlaskMailer, QuartMailer, signals
from mailer.testing import SmtpServer

HELLO = Message(from_="shop@example.com", to="bob@example.org", subject="Hello", text="Hello")
SECRET = "0123456789abcdef0123456789abcdef"


def app_with(name: str = "shop", root: Path | None = None, **config: Any) -> Quart:
    app = Quart(name, root_path=None if root is None else str(root))
    app.config.update({"MAILER_URL": "memory:", "MAILER_FROM": "shop@example.com", **config})
    return app


def test_a_request_awaits_its_send_over_one_connection_that_the_shutdown_closes() -> None:
    quits = threading.Semaphore(0)  # nobody waits for the answer
    with SmtpServer() as server:
        server.on("QUIT").where(lambda command: quits.release() is not None)
        app = app_with(MAILER_URL=server.url, MAILER_MAILERS={"news": {"from": "news@example.com"}})
        mail = QuartMailer(app)

        @app.post("/orders")
        async def order() -> str:
            receipt = await mail.send(HELLO)
            return str(receipt.ok)

        async def serve() -> None:
            async with app.test_app() as running:
                for _ in range(2):
                    answer = await running.test_client().post("/orders")
                    assert await answer.get_data() == b"True"
                await mail.get("news").send(HELLO.with_(from_=None))

        asyncio.run(serve())
        assert [one.message["From"] for one in server.mails] == ["shop@example.com"] * 2 + ["news@example.com"]
        assert [command.partition(" ")[0] for command in server.commands].count("EHLO") == 2  # one for each mailer
        assert all(quits.acquire(timeout=30) for _ in range(2))


def test_send_many_and_raw_mail() -> None:
    mail = QuartMailer(app_with())

    async def messages() -> AsyncIterator[Message]:
        for number in range(3):
            yield HELLO.with_(to=f"u{number}@example.org")

    async def send() -> list[Any]:
        receipts = [receipt async for receipt in mail.send_many(messages())]
        return [*receipts, await mail.send_raw(b"From: a@example.com\r\nTo: b@example.org\r\n\r\nHello")]

    assert [receipt.ok for receipt in asyncio.run(send())] == [True] * 4
    assert len(mail.mailer.backend.mails) == 4  # type: ignore[attr-defined]


def test_flask_mailer_serves_a_quart_app_too_and_quart_mailer_no_flask_app() -> None:
    mail: Any = FlaskMailer(app_with())
    assert isinstance(mail.mailer, AsyncMailer)

    async def send() -> bool:
        receipt = await mail.send(HELLO)
        return bool(receipt.ok)

    assert asyncio.run(send())
    with pytest.raises(ConfigError, match="'shop': a Quart app takes QuartMailer's blueprints"):
        app_with().register_blueprint(mail.webhooks_blueprint({"postmark": "hook:a-long-secret"}))
    with pytest.raises(ConfigError, match="'shop' is no Quart app"):
        QuartMailer(Flask("shop"))  # type: ignore[arg-type]


def test_init_app_again_follows_a_changed_config() -> None:
    app = app_with()
    mail = QuartMailer(app)
    app.config["MAILER_URL"] = "null:"
    mail.init_app(app)
    assert str(mail.mailer.backend) == "null:"

    async def serve() -> None:
        async with app.test_app():
            await mail.send(HELLO)

    asyncio.run(serve())


def test_a_websocket_sees_its_blueprints_context(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "welcome.txt").write_text("{{ name }} {{ url_for('pages.socket') }}")
    app = app_with(root=tmp_path)
    mail, pages = QuartMailer(app), Blueprint("pages", "pages")
    pages.context_processor(lambda: {"name": "of pages"})

    @pages.websocket("/socket")
    async def socket() -> None:
        message = await mail.mailer.render(HELLO.with_(text=None, template="welcome"))
        await websocket.send(message.text or "")

    app.register_blueprint(pages)

    async def talk() -> Any:
        async with app.test_client().websocket("/socket") as client:
            return await client.receive()

    assert asyncio.run(talk()) == "of pages ws://localhost/socket"


def test_the_current_app_is_found_in_requests_and_background_tasks() -> None:
    one, two = app_with("one"), app_with("two")
    mail, told = QuartMailer(), []
    for app in (one, two):
        mail.init_app(app)

        @app.post("/orders")
        async def order() -> str:
            one.add_background_task(mail.send, HELLO)
            await mail.send(HELLO)
            return "ok"

    def receive(app: Quart, **more: Any) -> None:
        told.append(app.name)

    async def serve() -> None:
        async with one.test_app() as running:
            await running.test_client().post("/orders")

    signals.message_sent.connect(receive)
    asyncio.run(serve())
    signals.message_sent.disconnect(receive)
    assert told == ["one", "one"]
    with pytest.raises(ConfigError, match="there is no app"):
        _ = mail.mailer


def test_event_loops_one_after_the_other_and_at_once() -> None:
    """What one loop has opened no other uses; hooks and plug-ins are all theirs."""
    with SmtpServer() as server:
        mail = QuartMailer(app_with(MAILER_URL=server.url, MAILER_PLUGINS={"subject_prefix": {"prefix": "[shop]"}}))
        sent: list[Any] = []
        mail.mailer.hooks.add_action("sent", lambda context: sent.append(context.mailer))
        for _ in range(2):
            asyncio.run(mail.send(HELLO))
        assert sent[0] is sent[1] is mail.mailer
        gate = threading.Barrier(2)

        async def send() -> None:
            await mail.send(HELLO)
            gate.wait(30)  # both loops are alive
            await mail.send(HELLO)
            await mail.mailer.aclose()

        threads = [threading.Thread(target=asyncio.run, args=(send(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(sent[2:])) == 2
        assert [one.message["Subject"] for one in server.mails] == ["[shop] Hello"] * 6
        del sent[:]
    gc.collect()


def test_testing_keeps_mails_for_all_loops() -> None:
    app = app_with(MAILER_URL="smtp://127.0.0.1:1")
    mail = QuartMailer(app)
    app.testing = True
    for _ in range(2):
        asyncio.run(mail.send(HELLO))
    thread = threading.Thread(target=asyncio.run, args=(mail.send(HELLO),))
    thread.start()
    thread.join()
    assert len(mail.mailer.backend.mails) == 3  # type: ignore[attr-defined]


def test_templates_of_app_and_blueprints_with_async_context_processors(tmp_path: Path) -> None:
    for folder, text in (
        ("templates", "{{ name }} {{ support }} {{ url_for('order', number=7) }}"),
        ("mails", "{{ 1 }}"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.txt").write_text(text)
    app = app_with(root=tmp_path)
    mail = QuartMailer(app)

    @app.context_processor
    async def support() -> dict[str, Any]:
        return {"support": "help@example.com", "name": "hidden"}

    @app.get("/orders/<int:number>")
    async def order(number: int) -> str:
        message = await mail.mailer.render(HELLO.with_(text=None, template="templates", context={"name": "Ann"}))
        return message.text or ""

    app.register_blueprint(Blueprint("mails", "mails", root_path=str(tmp_path), template_folder="mails"))

    async def serve() -> str:
        answer = await app.test_client().get("/orders/1", headers={"Host": "shop.test"})
        return (await answer.get_data()).decode()  # type: ignore[union-attr]

    async def render(template: str) -> str | None:
        message = HELLO.with_(text=None, template=template, context={"name": "Ann"})
        return (await mail.mailer.render(message)).text

    assert asyncio.run(serve()) == "Ann help@example.com http://shop.test/orders/7"
    assert asyncio.run(render("mails")) == "1"
    with pytest.raises(TemplateError, match=r"url_for\(\) needs a request, or SERVER_NAME"):
        asyncio.run(render("templates"))
    app.config.update(SERVER_NAME="b.test", PREFER_SECURE_URLS=True)
    assert asyncio.run(render("templates")) == "Ann help@example.com https://b.test/orders/7"


def test_signals_await_async_receivers_and_call_plain_ones() -> None:
    mail, told = QuartMailer(app_with()), []

    async def waits(app: Quart, **more: Any) -> None:
        await asyncio.sleep(0)
        told.append("waits")
        raise RuntimeError

    def plain(app: Quart, **more: Any) -> None:
        told.append("plain")
        raise ValueError

    for receiver in (waits, plain):
        signals.message_sent.connect(receiver)
    try:
        receipt = asyncio.run(mail.send(HELLO))
    finally:
        for receiver in (waits, plain):
            signals.message_sent.disconnect(receiver)
    assert receipt.ok
    assert told == ["plain", "waits"]
    assert mail.mailer.hooks.errors["sent"] == 1


def test_webhooks_and_links_of_plugins() -> None:
    plugins = {"list_unsubscribe": {"url": "https://shop.example.com/unsubscribe", "secret": SECRET}}
    app = app_with(MAILER_PLUGINS=plugins, MAILER_WEBHOOKS={"postmark": "hook:a-long-secret"})
    mail, events = QuartMailer(app), list[Event]()
    app.register_blueprint(mail.webhooks_blueprint())
    app.register_blueprint(mail.unsubscribe_blueprint())

    async def learn(context: Any) -> None:
        events.append(context.event)

    mail.mailer.hooks.add_action("event", learn)
    link = mail.mailer.plugins["list_unsubscribe"].link("bob@example.org")  # type: ignore[attr-defined]
    bounce = {"RecordType": "Bounce", "Type": "HardBounce", "Email": "bob@example.org", "MessageID": "m-1"}
    known = {"Authorization": "Basic " + base64.b64encode(b"hook:a-long-secret").decode()}
    json_type = {"Content-Type": "application/json"}

    async def serve() -> list[int]:
        client, path = app.test_client(), link.removeprefix("https://shop.example.com")
        answers = [
            await client.post("/webhooks/postmark", data=json.dumps(bounce), headers={**known, **json_type}),
            await client.post("/webhooks/postmark", data=json.dumps(bounce), headers=json_type),
            await client.get("/webhooks/nobody"),
            await client.get(path),
            await client.post(path, form={"List-Unsubscribe": "One-Click"}),
            await client.delete(path),
        ]
        assert "Unsubscribe?" in (await answers[3].get_data()).decode()  # type: ignore[union-attr]
        return [answer.status_code for answer in answers]

    assert asyncio.run(serve()) == [200, 401, 404, 200, 200, 405]
    assert [event.kind.value for event in events] == ["bounced", "unsubscribed"]


def test_the_command_blocks(tmp_path: Path) -> None:
    app = app_with(MAILER_URL=f"file:{tmp_path}")
    QuartMailer(app)
    done = app.test_cli_runner().invoke(args=["mailer", "send", "--to", "bob@example.org", "--text", "Hello"])
    assert done.exit_code == 0, done.output
    assert len(list(tmp_path.glob("*.eml"))) == 1

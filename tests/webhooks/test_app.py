"""The apps: what a provider is answered, over ASGI and WSGI, with either mailer."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import hmac
import io
import json
import threading
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import anyio
import httpx
import pytest
import test_mandrill_webhook
import test_sendgrid_webhook
import test_ses_webhook
from webhook_checks import NOW
from worlds import new_world

from mailer import AsyncMailer, ConfigError, Event, EventKind, Mailer
from mailer.relay.exchange import Response
from mailer.webhooks import AsgiWebhooks, Webhook, WsgiWebhooks
from mailer.webhooks import app as webhook_app

SECRET = "hook:a-long-secret"
SECRETS = {
    "postmark": SECRET,
    "mailgun": "key-signing",
    "mandrill": "mandrill-key",
    "ses": test_ses_webhook.TOPIC,
    "pigeon": SECRET,
}
BASIC = {"Authorization": "Basic aG9vazphLWxvbmctc2VjcmV0"}
OPEN = b'{"RecordType": "Open", "MessageID": "m-1", "Recipient": "ann@example.org"}'
JSON = {"Content-Type": "application/json"}


class Pigeon(Webhook):
    """Answers with words of its own."""

    name = "pigeon"

    def event(self, item: Any, call: Any) -> Event:
        return self.made(EventKind.DELIVERED, item)

    def reply(self, call: Any) -> Any:
        return {"thanks": call.json()["from"]}


#: method, path, headers, body -> status, and how many events were told.
CALLS: list[tuple[str, str, dict[str, str], bytes, int, int]] = [
    ("POST", "/postmark", {**JSON, **BASIC}, OPEN, 200, 1),
    ("POST", "/hooks/mail/postmark/", {"content-type": "Application/JSON; charset=utf-8", **BASIC}, OPEN, 200, 1),
    ("POST", "/postmark", BASIC, OPEN, 200, 1),
    ("POST", "/postmark?a=b&secret=hook%3Aa-long-secret", JSON, OPEN, 200, 1),
    ("GET", "/postmark", {}, b"", 200, 0),
    ("HEAD", "/mandrill", {}, b"", 200, 0),
    ("POST", "/postmark", {**JSON, "Authorization": "Basic aG9vazphbnk="}, OPEN, 401, 0),
    ("POST", "/postmark", JSON, OPEN, 401, 0),
    ("POST", "/postmark?secret=", JSON, OPEN, 401, 0),
    ("POST", "/mailgun", JSON, b"{}", 401, 0),
    ("POST", "/mailgun", JSON, b"[", 401, 0),
    ("POST", "/postmark", {**JSON, **BASIC}, b"[", 403, 0),
    ("POST", "/postmark", {**JSON, **BASIC}, b"7", 403, 0),
    ("POST", "/pigeon", {**JSON, **BASIC}, b"7", 400, 0),
    ("POST", "/pigeon", {**JSON, **BASIC}, b'{"from": "ann"}', 200, 1),
    ("POST", "/sendgrid", JSON, b"[]", 404, 0),
    ("POST", "/", JSON, b"[]", 404, 0),
    ("GET", "/../secret", {}, b"", 404, 0),
    ("PUT", "/postmark", {**JSON, **BASIC}, OPEN, 405, 0),
    ("DELETE", "/postmark", BASIC, b"", 405, 0),
    ("POST", "/postmark", {"Content-Type": "text/html", **BASIC}, OPEN, 415, 0),
    ("POST", "/mandrill", JSON, OPEN, 415, 0),
    ("POST", "/postmark", {**JSON, **BASIC}, OPEN + b" " * 2000, 413, 0),
    ("POST", "/ses", {"Content-Type": "text/plain; charset=UTF-8"}, b"{}", 401, 0),
]  # fmt: skip

Answered = tuple[int, dict[str, str], bytes]


def ask_wsgi(app: WsgiWebhooks, method: str, path: str, headers: dict[str, str], body: bytes, **more: Any) -> Answered:
    path, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False, "CONTENT_LENGTH": str(len(body)),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}, **more,
    }  # fmt: skip
    if "HTTP_CONTENT_TYPE" in environ:
        environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE")
    said: list[Any] = []
    result = validator(app)(environ, lambda status, fields, exc_info=None: said.extend([status, dict(fields)]))
    content = b"".join(result)
    result.close()
    return int(said[0].split()[0]), {name.lower(): value for name, value in said[1].items()}, content


async def ask_asgi(app: AsgiWebhooks, method: str, path: str, headers: dict[str, str], body: bytes) -> Answered:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://hooks.example.com") as client:
        response = await client.request(method, path, headers=headers, content=body)
        return response.status_code, dict(response.headers), response.content


def make(kind: type, mailer: Any, **more: Any) -> Any:
    return kind(mailer, SECRETS, providers=[Pigeon()], clock=lambda: NOW, **more)


def listen(mailer: Any) -> list[Event]:
    seen: list[Event] = []
    mailer.hooks.add_action("event", lambda context: seen.append(context.event))
    return seen


@pytest.mark.parametrize("way", ["wsgi", "asgi", "asgi with a blocking mailer"])
def test_what_each_call_is_answered(way: str) -> None:
    mailer = AsyncMailer("null:") if way == "asgi" else Mailer("null:")
    seen = listen(mailer)
    app = make(WsgiWebhooks if way == "wsgi" else AsgiWebhooks, mailer, max_bytes=1000)

    def check(ask: Callable[..., Answered]) -> None:
        for method, path, headers, body, status, told in CALLS:
            seen.clear()
            answered, fields, content = ask(app, method, path, headers, body)
            assert (answered, len(seen)) == (status, told), (method, path, body)
            assert content == (b'{"thanks": "ann"}' if path == "/pigeon" and status == 200 else b"")
            assert fields["content-length"] == str(len(content))
            assert ("allow" in fields, "www-authenticate" in fields) == (status == 405, status == 401)

    if way == "wsgi":
        check(ask_wsgi)
        return
    with new_world("asyncio") as world:
        check(lambda *call: world.run(ask_asgi, *call))


@pytest.mark.parametrize("world_name", ["blocking", "asyncio", "trio"])
def test_a_large_body_is_read_as_a_small_one(world_name: Any) -> None:
    items = [{"event": "open", "sg_event_id": f"e{number}", "email": "ann@example.org"} for number in range(1200)]
    body = json.dumps(items).encode()
    signed = test_sendgrid_webhook.TestSendGrid().sign(body, test_sendgrid_webhook.TestSendGrid.secret, NOW)
    secrets = {"sendgrid": test_sendgrid_webhook.TestSendGrid.secret}
    with new_world(world_name) as world:
        is_async = world_name != "blocking"
        mailer = AsyncMailer("null:") if is_async else Mailer("null:")
        seen = listen(mailer)
        app: Any = (AsgiWebhooks if is_async else WsgiWebhooks)(mailer, secrets, clock=lambda: NOW)
        call = ("POST", "/sendgrid", {**JSON, **signed.headers})
        for content, status in ((body, 200), (body + b" ", 401)):
            answered = world.run(ask_asgi, app, *call, content) if is_async else ask_wsgi(app, *call, content)
            assert answered[0] == status
        assert [event.event_id for event in seen] == [item["sg_event_id"] for item in items]


def test_who_did_not_get_it_told_is_told_again() -> None:
    """A callback that raised: the others have been told, and the provider shall try again."""
    with Mailer("null:") as mailer:
        mailer.hooks.add_action("event", lambda context: 1 / 0, priority=1)
        seen = listen(mailer)
        assert ask_wsgi(make(WsgiWebhooks, mailer), "POST", "/postmark", {**JSON, **BASIC}, OPEN)[0] == 500
        assert len(seen) == 1


def test_a_call_that_comes_again_is_told_once() -> None:
    """With another body too, where the signature is not over it (Mailgun); but again where a callback had raised."""
    clock = NOW.timestamp()
    token = {"timestamp": str(int(clock)), "token": "a" * 50}
    digest = hmac.new(b"key-signing", (token["timestamp"] + token["token"]).encode(), "sha256").hexdigest()
    fails = [True]
    with Mailer("null:") as mailer:
        seen = listen(mailer)
        mailer.hooks.add_action("event", lambda context: 1 / 0 if fails else None)
        app = make(WsgiWebhooks, mailer)
        for kind, status, told in (("opened", 500, 1), ("opened", 200, 2), ("opened", 200, 2), ("complained", 200, 2)):
            body = json.dumps({"signature": {**token, "signature": digest}, "event-data": {"event": kind}}).encode()
            assert (ask_wsgi(app, "POST", "/mailgun", JSON, body)[0], len(seen)) == (status, told)
            fails.clear()
        for _ in range(2):  # who has no such thing is told each time
            assert ask_wsgi(app, "POST", "/postmark", {**JSON, **BASIC}, OPEN)[0] == 200
        assert len(seen) == 4
        for number in range(webhook_app._MAX_SEEN + 5):
            app._remember(("x", str(number)))
        assert len(app._seen) == webhook_app._MAX_SEEN


def test_a_call_that_comes_again_while_it_is_told_is_told_once() -> None:
    """Its provider had no answer in time: it is to ask again, as what is at work may fail yet."""
    stamp, answers = str(int(NOW.timestamp())), []
    digest = hmac.new(b"key-signing", (stamp + "a" * 50).encode(), "sha256").hexdigest()
    signature = {"timestamp": stamp, "token": "a" * 50, "signature": digest}
    body = json.dumps({"signature": signature, "event-data": {"event": "opened"}}).encode()
    with Mailer("null:") as mailer:
        app = make(WsgiWebhooks, mailer)

        def ask(context: Any = None) -> None:
            answers.append(ask_wsgi(app, "POST", "/mailgun", JSON, body)[0])

        mailer.hooks.add_action("event", ask)
        ask()
        ask()
    assert answers == [503, 200, 200]


def test_a_refusal_is_logged_without_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    with Mailer("null:") as mailer:
        ask_wsgi(make(WsgiWebhooks, mailer), "POST", "/postmark", {**JSON, "Authorization": "Basic aG9vazphbnk="}, OPEN)
    assert "webhook.refused: a call of postmark is answered 401" in caplog.text
    assert "a-long-secret" not in caplog.text
    assert "a-long-secret" not in repr(make(WsgiWebhooks, mailer))


def test_mandrills_url_is_what_the_app_was_told() -> None:
    items = '[{"event": "send", "_id": "abc", "msg": {"email": "ann@example.org"}}]'
    body = test_mandrill_webhook.urlencode({"mandrill_events": items}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with Mailer("null:") as mailer:
        for base, path, url in (
            ("https://shop.example.com/hooks/", "/mandrill?x=1", "https://shop.example.com/hooks/mandrill?x=1"),
            ("", "/mandrill?x=1", "http://inner.example/mandrill?x=1"),
        ):
            signature = test_mandrill_webhook.signature_of("mandrill-key", f"{url}mandrill_events{items}".encode())
            headers = {**form, "X-Mandrill-Signature": signature, "Host": "inner.example"}
            assert ask_wsgi(make(WsgiWebhooks, mailer, base_url=base), "POST", path, headers, body)[0] == 200
            other = make(WsgiWebhooks, mailer, base_url="https://other.example.com")
            assert ask_wsgi(other, "POST", path, headers, body)[0] == 401


class Amazon:
    """In the place of a runtime's HTTP client: what is asked for, and what is answered."""

    def __init__(self, status: int = 200, content: bytes = test_ses_webhook.PEM) -> None:
        self.asked: list[str] = []
        self.answer = Response(status, {}, content, datetime.now(UTC))

    async def send(self, method: str, url: str, *, deadline: float) -> Response:
        self.asked.append(url)
        return self.answer

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("world_name", ["blocking", "trio"])
def test_amazons_certificate_is_fetched_once_and_only_for_who_may_be_amazon(world_name: Any, monkeypatch: Any) -> None:
    amazon = Amazon()
    for runtime in ("AsyncRuntime", "BlockingRuntime"):
        monkeypatch.setattr(getattr(webhook_app, runtime), "http", lambda self: amazon)
    text = {"Content-Type": "text/plain"}
    good = test_ses_webhook.signed(test_ses_webhook.envelope(test_ses_webhook.sample("Send")))
    other = test_ses_webhook.signed(test_ses_webhook.envelope(test_ses_webhook.sample("Send"), MessageId="sns-2"))
    kind = "SubscriptionConfirmation"
    confirmation = test_ses_webhook.signed(test_ses_webhook.envelope("You have chosen", kind=kind, MessageId="sns-3"))
    another = test_ses_webhook.signed(test_ses_webhook.envelope("You have chosen", kind=kind, MessageId="sns-4"))
    foreign = json.loads(good)
    with new_world(world_name) as world:
        is_async = world_name != "blocking"
        mailer = AsyncMailer("null:") if is_async else Mailer("null:")
        seen = listen(mailer)
        app, confirming = (
            make(AsgiWebhooks if is_async else WsgiWebhooks, mailer, confirm_subscriptions=flag)
            for flag in (False, True)
        )

        def ask(body: bytes, app: Any = app) -> int:
            return (
                world.run(ask_asgi, app, "POST", "/ses", text, body)
                if is_async
                else ask_wsgi(app, "POST", "/ses", text, body)
            )[0]

        for wrong in (
            {"TopicArn": "arn:aws:sns:eu-west-1:1:other"},
            {"Timestamp": "2025-01-01T00:00:00Z"},
            {"SigningCertURL": "https://evil.example/x.pem"},
            {"Signature": ""},
        ):
            assert ask(json.dumps({**foreign, **wrong}).encode()) == 401, wrong
        assert amazon.asked == []
        amazon.answer = Response(503, {}, b"", datetime.now(UTC))
        assert ask(good) == 503
        amazon.answer = Response(200, {}, b"junk", datetime.now(UTC))
        assert ask(good) == 401
        amazon.answer = Response(200, {}, test_ses_webhook.PEM, datetime.now(UTC))
        assert amazon.asked == [test_ses_webhook.URL] * 2
        assert (ask(good), ask(other), ask(confirmation)) == (200, 200, 200)
        assert ask(json.dumps({**foreign, "MessageId": "x"}).encode()) == 401
        assert amazon.asked == [test_ses_webhook.URL] * 3, (
            "kept once it has verified something; a confirmation is not followed"
        )
        assert [event.kind.value for event in seen] == ["sent", "sent", "unknown"]
        assert ask(confirmation, confirming) == 200
        assert amazon.asked[3:] == [test_ses_webhook.URL, json.loads(confirmation)["SubscribeURL"]]
        amazon.answer = Response(403, {}, b"", datetime.now(UTC))
        assert (ask(confirmation, confirming), ask(another, confirming)) == (200, 503)


def test_what_cannot_be_fetched_is_tried_again(monkeypatch: Any) -> None:
    from mailer import ConnectError

    class Gone(Amazon):
        async def send(self, method: str, url: str, *, deadline: float) -> Response:
            raise ConnectError("no route")

    monkeypatch.setattr(webhook_app.BlockingRuntime, "http", lambda self: Gone())
    with Mailer("null:") as mailer:
        body = test_ses_webhook.signed(test_ses_webhook.envelope(test_ses_webhook.sample("Send")))
        assert ask_wsgi(make(WsgiWebhooks, mailer), "POST", "/ses", {}, body)[0] == 503


def test_a_wrong_app_cannot_be_made() -> None:
    with Mailer("null:") as mailer:
        for secrets, more, text in (
            ({}, {}, "nobody could tell"),
            ({"postmark": ""}, {}, "secret is empty"),
            ({"postmrak": "x"}, {}, "did you mean 'postmark'"),
            ({"postmark": "x"}, {"base_url": "shop.example.com"}, "base_url"),
            ({"postmark": "x"}, {"base_url": "https://shop.example.com/?a=b"}, "base_url"),
        ):
            for kind in (AsgiWebhooks, WsgiWebhooks):
                with pytest.raises(ConfigError, match=text):
                    kind(mailer, secrets, **more)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="use AsgiWebhooks"):
        WsgiWebhooks(AsyncMailer("null:"), {"postmark": "x"})  # type: ignore[arg-type]


def test_a_body_without_a_length_is_read_where_the_server_ends_it() -> None:
    with Mailer("null:") as mailer:
        app = make(WsgiWebhooks, mailer, max_bytes=1000)
        for terminated, body, status in ((True, OPEN, 200), (False, OPEN, 411), (True, OPEN * 50, 413)):
            more = {"CONTENT_LENGTH": "", "wsgi.input_terminated": terminated}
            environ_is_valid = ask_wsgi_raw(app, body, more)
            assert environ_is_valid == status
        assert ask_wsgi_raw(app, OPEN, {"CONTENT_LENGTH": "²"}) == 400
        # It broke off: Postmark would not send it again after a 403.
        assert ask_wsgi_raw(app, OPEN[:-1], {"CONTENT_LENGTH": str(len(OPEN))}) == 400


def ask_wsgi_raw(app: WsgiWebhooks, body: bytes, more: dict[str, Any]) -> int:
    """Without the validator, which does not know of a missing length."""
    said: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/postmark", "HTTP_AUTHORIZATION": BASIC["Authorization"],
        "wsgi.input": io.BytesIO(body), "CONTENT_TYPE": "application/json", **more,
    }  # fmt: skip
    app(environ, lambda status, fields: said.append(status))
    return int(said[0].split()[0])


def test_asgi_by_the_letter() -> None:
    """What a server may send beside a whole request: a body in parts, a caller who is gone, its start and end."""
    mailer = AsyncMailer("null:")
    seen = listen(mailer)
    app = make(AsgiWebhooks, mailer, max_bytes=100)
    scope = {
        "type": "http", "method": "POST", "path": "/postmark", "query_string": b"",
        "headers": [(b"authorization", BASIC["Authorization"].encode())],
    }  # fmt: skip

    def serve(scope: dict[str, Any], *messages: dict[str, Any]) -> list[Any]:
        waiting, sent = list(messages), []

        async def receive() -> dict[str, Any]:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(message.get("status", message["type"]))

        anyio.run(app, scope, receive, send)
        assert not waiting or sent[:1] == [413]
        return sent

    parts = [
        {"type": "http.request", "body": OPEN[n : n + 20], "more_body": n + 20 < len(OPEN)}
        for n in range(0, len(OPEN), 20)
    ]
    assert serve(scope, *parts) == [200, "http.response.body"]
    assert len(seen) == 1
    assert serve(scope, {"type": "http.disconnect"}) == []
    assert serve(scope, *[{"type": "http.request", "body": b"x" * 60, "more_body": True}] * 9)[0] == 413
    assert serve({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    with pytest.raises(ConfigError, match="websocket"):
        serve({"type": "websocket"})


def test_mounted_in_flask() -> None:
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.test import Client

    with Mailer("null:") as mailer:
        seen = listen(mailer)
        app = DispatcherMiddleware(Flask(__name__).wsgi_app, {"/webhooks": make(WsgiWebhooks, mailer)})
        client = Client(app)
        assert (
            client.post("/webhooks/postmark", data=OPEN, headers=BASIC, content_type="application/json").status_code
            == 200
        )
        assert client.post("/webhooks/postmark?token=hook%3Aa-long-secret", data=OPEN).status_code == 200
        assert client.post("/webhooks/nobody", data=OPEN).status_code == 404
        assert client.post("/postmark", data=OPEN, headers=BASIC).status_code == 404
    assert len(seen) == 2


def test_over_a_socket() -> None:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_args: Any) -> None:
            pass

    with Mailer("null:") as mailer:
        seen = listen(mailer)
        with make_server("127.0.0.1", 0, make(WsgiWebhooks, mailer), handler_class=Quiet) as server:  # type: ignore[arg-type]
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/postmark", OPEN, {**JSON, **BASIC})
            with urllib.request.urlopen(request, timeout=20) as response:
                assert response.status == 200
            thread.join(20)
    assert [str(event.recipient) for event in seen] == ["ann@example.org"]

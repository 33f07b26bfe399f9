"""Starlette, FastAPI and Litestar: their own apps and test clients, in asyncio and trio."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import subprocess
import sys
from typing import Annotated, Any

import anyio
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket
from litestar import Litestar, asgi, post
from litestar.di import NamedDependency, Provide
from litestar.testing import TestClient as LitestarClient
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

import mailer.contrib.starlette as shim
from mailer import AsyncMailer, ConfigError, Message, Settings
from mailer.backends.base import Backend
from mailer.background import Background
from mailer.contrib.starlette import (
    MailerApp,
    StarletteMailer,
    background_named,
    get_background,
    get_mailer,
    mailer_named,
    mailers_of,
    provide_background,
    provide_mailer,
    webhooks,
)
from mailer.tracking import TrackingLinks
from mailer.tracking_app import TrackingApp

HELLO = Message(from_="shop@example.com", to="ann@example.org", subject="Hi", text="Hello")
SECRET = "hook:a-long-secret"
TOLD = {"RecordType": "Bounce", "Type": "HardBounce", "Email": "ann@example.org", "MessageID": "m-1"}
TOLD |= {"Details": "smtp;550 5.1.1 gone", "BouncedAt": "2026-01-02T03:04:05Z"}
CALL: dict[str, Any] = {
    "content": json.dumps(TOLD),
    "headers": {
        "Content-Type": "application/json",
        "Authorization": "Basic " + base64.b64encode(SECRET.encode()).decode(),
    },
}
WORLDS = ("asyncio", "trio")


def sent(app, name="default"):
    return [str(mail.envelope.recipients[0]) for mail in app.state.mailers[name].backend.mails]


# --- Starlette --------------------------------------------------------------------------------------------------------


async def order(request):
    receipt = await request.app.state.mailer.send(HELLO)
    return JSONResponse({"accepted": len(receipt.accepted), "same": await get_mailer(request) is request.state.mailer})


async def later(request):
    background = await get_background(request)
    return JSONResponse({}, background=BackgroundTask(background.send, HELLO.with_(to="bob@example.org")))


@pytest.mark.parametrize("world", WORLDS)
def test_starlette(world):
    app = Starlette(
        routes=[Route("/order", order, methods=["POST"]), Route("/later", later, methods=["POST"])],
        lifespan=StarletteMailer("memory:").lifespan,
    )
    with TestClient(app, backend=world) as client:
        assert client.post("/order").json() == {"accepted": 1, "same": True}
        client.post("/later")
        client.portal.call(app.state.mailers.drained)
        assert sent(app) == ["ann@example.org", "bob@example.org"]
        assert repr(app.state.mailer) == "<AsyncMailer memory:>"
    first = app.state.mailer
    with TestClient(app, backend=world):
        assert app.state.mailer is not first, "each life has its own"


def test_the_apps_own_lifespan_is_within(caplog):
    """It sends from its first line to its last, keeps its state, and what it raises comes out as it is."""
    ran = []

    @contextlib.asynccontextmanager
    async def own(app):
        app.state.mailer.hooks.add_action("sent", lambda context: ran.append(str(context.recipients[0])))
        await app.state.mailer.send(HELLO)
        yield {"own": 7}
        await app.state.mailers.background().send(HELLO.with_(to="last@example.org"))

    async def state(request):
        return JSONResponse({"own": request.state.own, "mailer": isinstance(request.state.mailer, AsyncMailer)})

    app = Starlette(routes=[Route("/", state)], lifespan=StarletteMailer("memory:").around(own))
    with TestClient(app) as client:
        assert client.get("/").json() == {"own": 7, "mailer": True}
    assert ran == ["ann@example.org", "last@example.org"]

    @contextlib.asynccontextmanager
    async def wrong(app):
        raise KeyError("no database")
        yield

    with (
        pytest.raises(KeyError, match="no database"),
        TestClient(Starlette(lifespan=StarletteMailer("null:").around(wrong))),
    ):
        raise AssertionError


def test_a_wrong_setting_keeps_the_app_from_starting(monkeypatch):
    monkeypatch.delenv("MAILER_URL", raising=False)
    for source, text in (
        (None, "set MAILER_URL"),
        ("smtp:/x", "names no host"),
        ({"url": "memory:", "fron": "a@x.test"}, "fron"),
    ):
        with pytest.raises(ConfigError, match=text), TestClient(Starlette(lifespan=StarletteMailer(source).lifespan)):
            raise AssertionError


def test_wrong_limits_are_told_when_it_is_made():
    for wrong in ({"room": 0}, {"grace_s": -1}, {"concurrency": 1.5}, {"wait_s": "x"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            StarletteMailer("memory:", **wrong)


def test_sources_and_names(monkeypatch, tmp_path):
    """Environment, mapping, Settings, mailers made by hand: the names that there are, each with its background."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAILER_URL", "memory:")
    both = {"url": "memory:", "from": "shop@example.com", "mailers": {"news": {"url": "null:"}}}
    hand = AsyncMailer("memory:", from_="shop@example.com")
    for source, names in (
        (None, ["default"]),
        (both, ["default", "news"]),
        (Settings({"url": None, "mailers": {"news": {"url": "null:"}}}), ["news"]),
        (lambda: {"news": hand}, ["news"]),
        (lambda: hand, ["default"]),
        (lambda: Settings(both), ["default", "news"]),
        (lambda: both, ["default", "news"]),
        (lambda: "memory:", ["default"]),
    ):
        app = Starlette(lifespan=StarletteMailer(source).lifespan)
        with TestClient(app):
            mailers = app.state.mailers
            assert list(mailers) == names
            assert hasattr(app.state, "mailer") == ("default" in names)
            for name in names:
                assert mailers.background(name).mailer is mailers[name]
            with pytest.raises(ConfigError, match=f"no mailer 'nwes'; there are: {', '.join(names)}"):
                mailers["nwes"]


def test_without_a_lifespan_the_error_says_what_to_do():
    async def asks(request):
        return await get_mailer(request)

    app = Starlette(routes=[Route("/", asks)])
    with pytest.raises(ConfigError, match=r"lifespan=StarletteMailer\(...\).lifespan.*with TestClient\(app\)"):
        TestClient(app).get("/")


def test_a_mounted_app_finds_the_outer_ones_mailers():
    async def inner(request):
        return JSONResponse(str((await get_mailer(request)).backend))

    sub = Starlette(routes=[Route("/x", inner)])
    app = Starlette(routes=[Mount("/sub", sub)], lifespan=StarletteMailer("null:").lifespan)
    with TestClient(app) as client:
        assert client.get("/sub/x").json() == "null:"


# --- FastAPI ----------------------------------------------------------------------------------------------------------

MailerOf = Annotated[AsyncMailer, Depends(get_mailer)]
News = Annotated[AsyncMailer, Depends(mailer_named("news"))]
BackgroundOf = Annotated[Background, Depends(get_background)]
NewsBackground = Annotated[Background, Depends(background_named("news"))]


def fastapi_app(mail):
    app = FastAPI(lifespan=mail.lifespan)
    app.mount("/webhooks", webhooks({"postmark": SECRET}))

    @app.post("/signup")
    async def signup(mailer: MailerOf, background: BackgroundOf, tasks: BackgroundTasks) -> dict[str, Any]:
        receipt = await mailer.send(HELLO)
        ids = await background.send(HELLO.with_(to="bob@example.org"))
        tasks.add_task(background.send, HELLO.with_(to="cid@example.org"))
        return {"ok": receipt.ok, "ids": len(ids)}

    @app.post("/news")
    async def news(mailer: News, background: NewsBackground) -> str:
        await background.send(HELLO)
        return str(mailer.backend)

    @app.websocket("/chat")
    async def chat(socket: WebSocket, mailer: MailerOf) -> None:
        await socket.accept()
        await socket.send_json((await mailer.send(HELLO)).ok)
        await socket.close()

    return app


@pytest.mark.parametrize("world", WORLDS)
def test_fastapi(world):
    app = fastapi_app(StarletteMailer({"url": "memory:", "mailers": {"news": {"url": "memory:"}}}))
    with TestClient(app, backend=world) as client:
        assert client.post("/signup").json() == {"ok": True, "ids": 1}
        assert client.post("/news").json() == "memory:"
        with client.websocket_connect("/chat") as socket:
            assert socket.receive_json() is True
        client.portal.call(app.state.mailers.drained)
        assert sorted(sent(app)) == ["ann@example.org", "ann@example.org", "bob@example.org", "cid@example.org"]
        assert sent(app, "news") == ["ann@example.org"]


def test_what_is_left_at_the_end_is_told_within_one_time_for_all(caplog):
    """Two mailers whose server is slow, and one grace for both."""
    gates = []

    class Never(Backend):
        url = "never:"

        async def send(self, mail):
            gates.append(mail)
            await anyio.sleep_forever()

    made = StarletteMailer(lambda: {name: AsyncMailer(Never()) for name in ("default", "news")}, grace_s=0.05)
    app = fastapi_app(made)
    with caplog.at_level(logging.WARNING, "mailer"), TestClient(app) as client:
        client.post("/news")
        client.portal.call(app.state.mailers.background().send, HELLO)
    assert caplog.text.count("background.left: 1 mails") == 2
    for name in ("default", "news"):
        assert len(app.state.mailers.background(name).left) == 1


def test_override():
    """Apps that start within have other mailers; a fake for one dependency is FastAPI's own."""
    mail = StarletteMailer("smtp://mail.invalid")
    app = fastapi_app(mail)
    with mail.override({"url": "memory:", "mailers": {"news": {"url": "memory:"}}}), TestClient(app) as client:
        assert client.post("/signup").json() == {"ok": True, "ids": 1}
    assert sent(app)[0] == "ann@example.org"
    with pytest.raises(KeyError), mail.override("memory:"):
        raise KeyError
    with TestClient(app):
        assert str(app.state.mailer.backend).startswith("smtp://mail.invalid")


@pytest.mark.parametrize("world", WORLDS)
def test_webhooks_and_other_apps_are_mounted(world):
    links = TrackingLinks("https://shop.example.com/t", ["0123456789abcdef" * 2])
    app = fastapi_app(StarletteMailer("memory:"))
    app.mount("/t", MailerApp(lambda mailer: TrackingApp(links, mailer).asgi))
    heard = []
    with TestClient(app, backend=world) as client:

        async def listen(context):
            heard.append((context.event.kind, str(context.event.recipient)))

        app.state.mailer.hooks.add_action("event", listen)
        assert client.post("/webhooks/postmark", **CALL).status_code == 200
        assert (
            client.post("/webhooks/postmark", content="{}", headers={"Content-Type": "application/json"}).status_code
            == 401
        )
        assert client.get("/webhooks/sendgrid").status_code == 404
        assert client.get("/t/forged").status_code == 404
    assert heard == [("bounced", "ann@example.org")]


def test_wrong_webhooks_are_told_before_the_app_starts():
    for secrets, text in (({"postmrak": "x"}, "postmark"), ({}, "secret"), ({"postmark": ""}, "postmark")):
        with pytest.raises(ConfigError, match=text):
            webhooks(secrets)
    with pytest.raises(TypeError, match="tolerance"):
        webhooks({"postmark": SECRET}, tolerance=1)


# --- Litestar ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_litestar(world):
    @post("/signup")
    async def signup(mailer: NamedDependency[AsyncMailer], background: NamedDependency[Background]) -> dict[str, bool]:
        await background.send(HELLO.with_(to="bob@example.org"))
        return {"ok": (await mailer.send(HELLO)).ok}

    hooks = webhooks({"postmark": SECRET})

    @asgi("/webhooks", is_mount=True, copy_scope=True)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await hooks(scope, receive, send)

    app = Litestar(
        route_handlers=[signup, mounted],
        lifespan=[StarletteMailer("memory:").lifespan],
        logging_config=None,  # else it sets up the root logger
        dependencies={
            "mailer": Provide(provide_mailer, sync_to_thread=False),
            "background": Provide(provide_background, sync_to_thread=False),
        },
    )
    with LitestarClient(app, backend=world) as client:
        assert client.post("/signup").json() == {"ok": True}
        assert client.post("/webhooks/postmark", **CALL).status_code == 200
    assert sorted(sent(app)) == ["ann@example.org", "bob@example.org"]
    assert mailers_of({"litestar_app": app})["default"] is app.state.mailer


def test_without_the_framework_the_error_names_the_install_line():
    """The shim is there without Starlette, as Litestar's users have it; what needs it says so."""
    code = """
import sys
sys.modules["starlette"] = sys.modules["litestar"] = None
import mailer.contrib.starlette as shim
assert shim.StarletteMailer and shim.webhooks
for name in ("get_mailer", "provide_mailer"):
    try:
        getattr(shim, name)
    except shim.ConfigError as error:
        print(error)
import mailer.testing
print(sorted({"starlette", "litestar", "fastapi"} & {name for name in sys.modules if sys.modules[name]}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "get_mailer needs starlette: pip install 'mailwright[starlette]'",
        "provide_mailer needs litestar: pip install litestar",
        "[]",
    ]


def test_names():
    for name in shim.__all__:
        assert getattr(shim, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        shim.nonsense  # noqa: B018

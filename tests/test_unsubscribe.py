"""Unsubscribe links: only we write them, and they say who and what list; and the endpoint that they lead to."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
from typing import Any
from wsgiref.validate import validator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer import Address, AsyncMailer, ConfigError, Mailer, MailerError, ProtocolError
from mailer.event import Event, EventKind
from mailer.plugins.suppression import Suppression
from mailer.suppression import MemorySuppressionList, SuppressionList
from mailer.testing.secret_sweep import SecretSweep
from mailer.unsubscribe import UnsubscribeLinks, Unsubscription
from mailer.unsubscribe_app import UnsubscribeApp

SECRET = "s3cret-" * 6
OTHER = "0ther-" * 6
SHORT = "short-S3cret"
NOW = 1_796_068_734
ANN = Address.parse("Ann@example.org")
LINKS = UnsubscribeLinks("https://example.com/u/", SECRET)
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"


# --- links ------------------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(
        ["ann@example.org", '"a b"@example.org', "jösé@bücher.example", "a+b@x.test", "x" * 64 + "@d.test"]
    ),
    st.text(max_size=100).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)),
    st.integers(0, 2**40),
)
@settings(max_examples=50, deadline=None)
def test_a_token_says_what_it_was_made_of(address, list_name, now):
    who = Address.parse(address)
    if len((address + list_name).encode()) > 300:  # then it may be
        with contextlib.suppress(MailerError):
            LINKS.token(who, list_name, now_s=now)
        return
    token = LINKS.token(who, list_name, now_s=now)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,600}", token)
    assert LINKS.read(token, now_s=now + 1e9) == Unsubscription(who, list_name, now)


def test_a_link_is_the_url_and_the_token():
    assert LINKS.link(ANN, now_s=NOW) == f"https://example.com/u/{LINKS.token(ANN, now_s=NOW)}"
    named = Address.parse("Ann <ann@example.org>")
    assert LINKS.read(LINKS.token(named, now_s=NOW), now_s=NOW).address == Address.parse("ann@example.org")


def test_a_token_that_is_changed_anywhere_is_none_of_ours():
    token = LINKS.token(ANN, "news", now_s=NOW)
    wrong = {token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))}
    wrong |= {token[:-1], token + "A", token + "=", f" {token}", token + "\n", "", "...", "1...", token.upper()}
    wrong |= {"1." + token.partition(".")[2].partition(".")[2], "é" + token, "1.00000000.e30.AAAAAAAAAAAAAAAAAAAAAA"}
    # The last characters of base64 have spare bits: one that decodes alike is another token all the same.
    for text in wrong - {token}:
        with pytest.raises(ProtocolError, match="no link of ours"):
            LINKS.read(text, now_s=NOW)


def test_the_mac_covers_the_key_and_is_of_this_use_alone():
    other = UnsubscribeLinks("https://example.com/u", OTHER)
    with pytest.raises(ProtocolError):
        LINKS.read(other.token(ANN, now_s=NOW), now_s=NOW)
    version, key_id, payload, mac = LINKS.token(ANN, now_s=NOW).split(".")
    other_id = other.token(ANN, now_s=NOW).split(".")[1]
    both = UnsubscribeLinks("https://example.com/u", SECRET, old_secrets=[OTHER])
    with pytest.raises(ProtocolError):
        both.read(".".join((version, other_id, payload, mac)), now_s=NOW)
    assert key_id != other_id


def test_links_outlive_their_secret():
    old = LINKS.token(ANN, now_s=NOW)
    rotated = UnsubscribeLinks("https://example.com/u", OTHER, old_secrets=[SECRET])
    assert rotated.read(old, now_s=NOW).address == ANN
    assert rotated.token(ANN, now_s=NOW).split(".")[1] != old.split(".")[1]
    with pytest.raises(ProtocolError):
        UnsubscribeLinks("https://example.com/u", OTHER).read(old, now_s=NOW)


def test_a_link_may_be_too_old():
    links = UnsubscribeLinks("https://example.com/u", SECRET, expires_days=60)
    token = links.token(ANN, now_s=NOW)
    assert not links.read(token, now_s=NOW + 60 * 86_400).is_expired
    assert links.read(token, now_s=NOW + 60 * 86_400 + 1).is_expired


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/u",
        "example.com/u",
        "//example.com",
        "https://",
        "https://example.com/u?x=1",
        "https://example.com/u#x",
        "https://me:pw@example.com/u",
        "https://example.com/a b",
        "https://example.com/a>b",
        "https://example.com/\r\nX: y",
        "https://bücher.example/",
        "javascript:alert(1)",
        "https://example.com/" + "x" * 200,
        "https://[::1/u",
        None,
    ],
)
def test_a_url_that_links_cannot_have_is_refused(url):
    with pytest.raises(ConfigError, match="no URL for links"):
        UnsubscribeLinks(url, SECRET)


def test_other_wrong_values_are_refused_and_secrets_shown_nowhere():
    sweep = SecretSweep([SECRET, SHORT])
    with sweep.listening():
        for make, said in (
            (lambda: UnsubscribeLinks("https://a.example", SHORT), "at least 32 characters"),
            (lambda: UnsubscribeLinks("https://a.example", SECRET, old_secrets=[SHORT]), "at least 32"),
            (lambda: UnsubscribeLinks("https://a.example", SECRET, expires_days=0), "expires_days=0"),
            (lambda: UnsubscribeLinks("nonsense", SECRET), "no URL"),
        ):
            with pytest.raises(ConfigError, match=said) as caught:
                make()
            sweep.show(caught.value)
        sweep.show(LINKS)
    sweep.check()
    with pytest.raises(MailerError, match="longer than 100"):
        LINKS.token(ANN, "x" * 101, now_s=NOW)


# --- the endpoint -----------------------------------------------------------------------------------------------------


class Told:
    """A function for the endpoint that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)


def wsgi(app: UnsubscribeApp, method: str, path: str, body: bytes = b"", kind: str = FORM) -> tuple[int, dict, str]:
    """What the WSGI app answers, held to PEP 3333 by the standard library."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "/u",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    said: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        said.extend((int(status.split()[0]), dict(headers)))
        return lambda data: None

    answer = validator(app.wsgi)(environ, start)
    try:
        text = b"".join(answer).decode()
    finally:
        answer.close()
    return said[0], said[1], text


def asgi(app: UnsubscribeApp, method: str, path: str, body: bytes = b"", kind: str = FORM) -> tuple[int, dict, str]:
    """What the ASGI app answers; the body comes in pieces."""
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)] or [b""]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"content-type", kind.encode())]}
    asyncio.run(app.asgi(scope, receive, send))
    start, end = sent
    headers = {name.decode().title(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, end["body"].decode()


MOUNTED = pytest.mark.parametrize("call", [wsgi, asgi])


def path_of(address: Address = ANN, list_name: str = "", links: UnsubscribeLinks = LINKS) -> str:
    return "/" + links.token(address, list_name, now_s=NOW)


@MOUNTED
def test_a_get_shows_a_button_and_changes_nothing(call):
    told = Told()
    app = UnsubscribeApp(LINKS, told, clock=lambda: NOW)
    for method in ("GET", "HEAD"):
        status, headers, text = call(app, method, path_of(list_name="<News>"))
        assert status == 200
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert int(headers["Content-Length"]) > 100
        assert bool(text) == (method == "GET")
        if text:
            assert '<form method="post">' in text
            assert "Ann@example.org will get no more mail from the list &lt;News&gt;." in text
            assert "<News>" not in text
    assert told.events == []


@MOUNTED
def test_one_click_unsubscribes(call):
    told = Told()
    app = UnsubscribeApp(LINKS, told, clock=lambda: NOW)
    multipart = (
        b'--xyz\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--xyz--\r\n',
        "multipart/form-data; boundary=xyz",
    )
    forms = ((ONE_CLICK, FORM), (ONE_CLICK, f"{FORM}; charset=utf-8"), (ONE_CLICK + b"\r\n", FORM), multipart)
    for body, kind in forms:
        status, headers, text = call(app, "POST", path_of(list_name="news"), body, kind)
        assert status == 200
        assert "You are unsubscribed" in text
        assert "Location" not in headers
        assert "Set-Cookie" not in headers
    assert len(told.events) == 4
    event = told.events[0]
    assert (event.kind, event.recipient, event.tags) == (EventKind.UNSUBSCRIBED, ANN, ("news",))
    assert event.time is not None
    assert event.time.timestamp() == NOW


@pytest.mark.parametrize(("ends_it", "status"), [(True, 200), (False, 400)])
def test_a_body_whose_length_nobody_says_is_read_where_the_server_ends_it(ends_it: bool, status: int) -> None:
    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 7))

    told, said = Told(), []
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path_of(), "CONTENT_TYPE": FORM}
    environ |= {"wsgi.input": Dripping(ONE_CLICK), "wsgi.input_terminated": ends_it}
    app = UnsubscribeApp(LINKS, told, clock=lambda: NOW)
    b"".join(app.wsgi(environ, lambda status, headers: said.append(status)))
    assert said[0].startswith(str(status))
    assert len(told.events) == (status == 200)


@MOUNTED
def test_what_is_no_one_click_changes_nothing(call):
    told = Told()
    links = UnsubscribeLinks("https://example.com/u", SECRET, expires_days=1)
    app = UnsubscribeApp(links, told, clock=lambda: NOW)
    late = UnsubscribeApp(links, told, clock=lambda: NOW + 3 * 86_400)
    good = path_of(links=links)
    for one, method, path, body, kind, wanted in (
        (app, "POST", good, b"", FORM, 400),
        (app, "POST", good, b"List-Unsubscribe=yes", FORM, 400),
        (app, "POST", good, b"x=One-Click&List-Unsubscribe=", FORM, 400),
        (app, "POST", good, b"\xff\xfe=", FORM, 400),
        (app, "POST", good, ONE_CLICK, "application/json", 400),
        (app, "POST", good, b"--x\r\nnonsense", "multipart/form-data; boundary=x", 400),
        (app, "POST", good, b"--x", "multipart/form-data; boundary=\xe9".encode().decode("latin-1"), 400),
        (app, "POST", good, b"&".join([b"a=b"] * 50 + [ONE_CLICK]), FORM, 400),
        (app, "POST", good, b"x" * 40_000, FORM, 413),
        (app, "POST", "/nonsense", ONE_CLICK, FORM, 404),
        (app, "POST", "/", ONE_CLICK, FORM, 404),
        (app, "POST", good[:-3], ONE_CLICK, FORM, 404),
        (app, "GET", "/../../etc/passwd", b"", FORM, 404),
        (app, "GET", "/é", b"", FORM, 404),
        (app, "PUT", good, ONE_CLICK, FORM, 405),
        (app, "DELETE", good, b"", FORM, 405),
        (app, "OPTIONS", good, b"", FORM, 405),
        (late, "POST", good, ONE_CLICK, FORM, 410),
        (late, "GET", good, b"", FORM, 410),
    ):
        status, headers, _ = call(one, method, path, body, kind)
        assert status == wanted, (method, path, body[:40])
        assert ("Allow" in headers) == (wanted == 405)
    assert told.events == []


@MOUNTED
def test_it_feeds_a_suppression_list(call):
    suppressed = MemorySuppressionList()
    assert (
        call(UnsubscribeApp(LINKS, suppressed, clock=lambda: NOW), "POST", path_of(list_name="news"), ONE_CLICK)[0]
        == 200
    )
    [entry] = suppressed
    assert (entry.address, entry.kind, entry.provider, entry.text) == (ANN, "unsubscribed", "list_unsubscribe", "news")


@MOUNTED
def test_it_feeds_the_plug_in_suppression_by_its_mailer(call):
    kept = MemorySuppressionList()
    with Mailer("memory:", plugins=[Suppression(list=kept)]) as made:
        assert call(UnsubscribeApp(LINKS, made), "POST", path_of(), ONE_CLICK)[0] == 200
    assert [entry.kind for entry in kept] == ["unsubscribed"]


def test_an_async_mailer_is_told_under_asgi_and_refused_under_wsgi(caplog):
    kept = MemorySuppressionList()
    made = AsyncMailer("memory:", plugins=[Suppression(list=kept)])
    app = UnsubscribeApp(LINKS, made)
    assert asgi(app, "POST", path_of(), ONE_CLICK)[0] == 200
    assert len(kept) == 1
    assert wsgi(app, "POST", path_of(), ONE_CLICK)[0] == 500
    assert "mount app.asgi, or give a Mailer" in caplog.text


def test_an_async_list_and_an_async_function_are_awaited():
    class Remote(SuppressionList):
        entries: list[Any] = []  # noqa: RUF012

        async def add(self, entry: Any) -> None:
            await asyncio.sleep(0)
            self.entries.append(entry)

    async def noted(event: Event) -> None:
        await asyncio.sleep(0)
        Remote.entries.append(event)

    for then in (Remote(), noted, lambda event: noted(event)):
        assert asgi(UnsubscribeApp(LINKS, then), "POST", path_of(), ONE_CLICK)[0] == 200
    assert len(Remote.entries) == 3


@MOUNTED
def test_what_fails_is_logged_and_answered_so_that_it_is_tried_again(call, caplog):
    def broken(event: Event) -> None:
        raise OSError("disk full at /var/secret")

    with Mailer("memory:") as failing:
        failing.hooks.add_action("event", lambda context: 1 / 0)
        for then in (broken, failing):
            with caplog.at_level(logging.ERROR):
                status, _, text = call(UnsubscribeApp(LINKS, then), "POST", path_of(), ONE_CLICK)
            assert status == 500
            assert "try again" in text
            assert "secret" not in text
            assert "hook.failed" in caplog.text


@MOUNTED
def test_pages_may_be_ones_own(call):
    def page(name: str, about: Unsubscription | None) -> str:
        return f"{name} {about.address if about else None}"

    app = UnsubscribeApp(LINKS, Told(), render=page)
    assert call(app, "GET", path_of())[2] == "ask Ann@example.org"
    assert call(app, "GET", "/x")[2] == "unknown None"


def test_it_serves_http_alone_and_takes_no_nonsense():
    with pytest.raises(RuntimeError, match="not lifespan"):
        asyncio.run(UnsubscribeApp(LINKS, Told()).asgi({"type": "lifespan"}, None, None))
    with pytest.raises(ConfigError, match="not int"):
        UnsubscribeApp(LINKS, 7)


def test_who_hangs_up_in_the_middle_unsubscribes_nobody():
    told = Told()
    messages = [{"type": "http.request", "body": ONE_CLICK, "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there")

    scope = {"type": "http", "method": "POST", "path": path_of(), "headers": [(b"content-type", FORM.encode())]}
    asyncio.run(UnsubscribeApp(LINKS, told).asgi(scope, receive, send))
    assert told.events == []

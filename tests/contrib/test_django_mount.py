"""WSGI and ASGI apps as Django views, called by Django's own clients."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import django_project  # noqa: F401 - configures the settings
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from mailer import Event, Mailer
from mailer.contrib.django.mount import view_of
from mailer.webhooks import AsgiWebhooks, WsgiWebhooks

SECRET = "hook:a-long-secret"
BASIC = "Basic aG9vazphLWxvbmctc2VjcmV0"
BOUNCE = {
    "RecordType": "Bounce",
    "Type": "HardBounce",
    "Email": "ann@example.org",
    "MessageID": "883953f4",
    "BouncedAt": "2026-01-02T03:04:05Z",
}

told: list[Event] = []
mailer = Mailer("null:")
mailer.hooks.add_action("event", lambda context: told.append(context.event))
#: What the apps below were called with.
called: list[Any] = []


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    called.append(environ)
    body = environ["wsgi.input"].read()
    start_response("202 Accepted", [("Content-Type", "text/x-own"), ("X-Own", "1")])
    return [b"<", body, b">"]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    called.append(scope)
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    headers = [(b"content-type", b"text/x-own"), (b"x-own", b"1")]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": b"<" + body, "more_body": True})
    await send({"type": "http.response.body", "body": b">"})


class Urls:
    urlpatterns = [  # noqa: RUF012 - as Django reads it
        path("wsgi/<path:rest>", view_of(wsgi)),
        path("asgi/<path:rest>", view_of(asgi)),
        path("bare/", view_of(wsgi)),
        path("hooks/<path:rest>", view_of(WsgiWebhooks(mailer, {"postmark": SECRET}))),
        path("ahooks/<path:rest>", view_of(AsgiWebhooks(mailer, {"postmark": SECRET}))),
    ]


@pytest.fixture(autouse=True)
def _urls() -> Any:
    told.clear()
    called.clear()
    with override_settings(ROOT_URLCONF=Urls):
        yield


class Caller:
    """Either of Django's clients; both check CSRF tokens."""

    def __init__(self, is_async: bool) -> None:
        self.client: Any = (AsyncClient if is_async else Client)(enforce_csrf_checks=True)

    def __call__(self, method: str, where: str, **options: Any) -> Any:
        answer = getattr(self.client, method)(where, **options)
        return asyncio.run(_awaited(answer)) if asyncio.iscoroutine(answer) else answer


async def _awaited(answer: Any) -> Any:
    return await answer


CALLERS = pytest.mark.parametrize("call", [Caller(False), Caller(True)], ids=["wsgi client", "asgi client"])


@CALLERS
def test_an_app_sees_the_request_and_its_answer_is_given(call: Caller) -> None:
    for where in ("/wsgi/a/b%20c?x=1", "/asgi/a/b%20c?x=1"):
        answer = call("post", where, data=b"body", content_type="text/plain")
        assert (answer.status_code, answer.content) == (202, b"<body>"), where
        assert (answer["Content-Type"], answer["X-Own"]) == ("text/x-own", "1")
    environ, scope = called
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/wsgi", "/a/b c")
    assert (environ["REQUEST_METHOD"], environ["QUERY_STRING"], environ["CONTENT_TYPE"]) == (
        "POST",
        "x=1",
        "text/plain",
    )
    assert environ["wsgi.url_scheme"] == "http"
    assert (scope["root_path"], scope["path"], scope["query_string"]) == ("/asgi", "/asgi/a/b c", b"x=1")
    assert (b"content-type", b"text/plain") in scope["headers"]
    assert call("get", "/bare/").content == b"<>"
    assert (called[-1]["SCRIPT_NAME"], called[-1]["PATH_INFO"]) == ("/bare", "/")


@CALLERS
def test_webhooks_need_no_csrf_token_and_no_login(call: Caller) -> None:
    body = json.dumps(BOUNCE)
    given = {"data": body, "content_type": "application/json"}
    for place in ("/hooks/postmark", "/ahooks/postmark"):
        refused = call("post", place, **given)
        assert refused.status_code == 401
        assert call("post", place, headers={"authorization": BASIC}, **given).status_code == 200
        assert call("get", place).status_code == 200
        assert call("put", place).status_code == 405
        assert call("post", f"{place}x", **given).status_code == 404
    assert [(event.kind, str(event.recipient)) for event in told] == [("bounced", "ann@example.org")] * 2


def test_a_path_is_octets_to_wsgi() -> None:
    Caller(False)("get", "/wsgi/%C3%A4")
    assert called[0]["PATH_INFO"] == "/\xc3\xa4"


def test_a_body_larger_than_django_takes_for_a_form_is_read() -> None:
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        answers = [
            Caller(False)("post", f"/{app}/x", data=b"x" * 100, content_type="text/plain") for app in ("wsgi", "asgi")
        ]
    assert [len(answer.content) for answer in answers] == [102, 102]


def test_a_body_whose_length_nobody_says_is_not_taken_for_none() -> None:
    """As a WSGI server gives it, by chunks: Django reads nothing of it."""
    for place in ("/hooks/postmark", "/ahooks/postmark"):
        said: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": place,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "HTTP_AUTHORIZATION": BASIC,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_TYPE": "application/json",
            "wsgi.input": io.BytesIO(json.dumps(BOUNCE).encode()),
            "wsgi.url_scheme": "http",
            "wsgi.errors": io.StringIO(),
        }
        WSGIHandler()(environ, lambda status, fields, said=said: said.append(status))
        assert said == ["411 Length Required"], place
    assert told == []

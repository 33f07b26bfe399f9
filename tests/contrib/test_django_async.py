"""Sending from async views: Django's messages by a mailer of the event loop's own, over real sockets."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import django
import django_project  # noqa: F401 - configures the settings
import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from mailer import ConfigError, DeliveryRefused, MessageError
from mailer.contrib.django import asend_mail, asend_messages, get_async_mailer, signals
from mailer.testing import SmtpServer

BACKEND = "mailer.contrib.django.EmailBackend"
LOCMEM = "mailer.contrib.django.LocMemBackend"
HAS_MAILERS = django.VERSION >= (6, 1)


@contextmanager
def sending_by(url: str, backend: str = BACKEND, **named: str) -> Iterator[None]:
    mailers = {name: {"url": one} for name, one in named.items()}
    if HAS_MAILERS:
        options = {"OPTIONS": {"url": url}} if backend == BACKEND else {}
        own = {name: {"BACKEND": BACKEND, "OPTIONS": one} for name, one in mailers.items()}
        with override_settings(MAILERS={"default": {"BACKEND": backend, **options}, **own}):
            yield
    else:
        with override_settings(EMAIL_BACKEND=backend, MAILER={"url": url, "mailers": mailers}):
            yield


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        server.on("RCPT", "gone@*").reply("550 5.1.1 no such user")
        yield server


@pytest.fixture
def sink(server: SmtpServer) -> Iterator[SmtpServer]:
    """Where mails go, but those of the mailer news."""
    with sending_by(server.url, news="memory:"):
        yield server


def recipients(sink: SmtpServer) -> list[tuple[str, ...]]:
    return [tuple(one.recipients) for one in sink.mails]


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    result = asyncio.run(main())
    gc.collect()  # a connection that was left open would warn now
    return result


def test_calls_share_the_loops_connection_which_is_closed_with_it(sink: SmtpServer) -> None:
    async def main() -> None:
        assert await asend_mail("one", "Hello", None, ["ann@example.org"], html_message="<p>Hello") == 1
        assert await asend_mail("two", "Hello", "me@example.com", ["bob@example.org"]) == 1
        assert await get_async_mailer() is await get_async_mailer()
        assert "QUIT" not in sink.commands

    run(main)
    assert recipients(sink) == [("ann@example.org",), ("bob@example.org",)]
    assert [one.sender for one in sink.mails] == ["shop@example.com", "me@example.com"]
    assert b"multipart/alternative" in sink.mails[0].content
    assert len(sink.sessions) == 1
    with sending_by(sink.url):
        run(lambda: asend_mail("three", "Hello", None, ["ann@example.org"]))
    assert (len(sink.mails), len(sink.sessions)) == (3, 2)


def test_tasks_send_at_once(sink: SmtpServer) -> None:
    async def main() -> list[int]:
        sends = [asend_mail(f"s{n}", "t", None, [f"u{n}@example.org"]) for n in range(8)]
        return list(await asyncio.gather(*sends))

    assert run(main) == [1] * 8
    assert sorted(recipients(sink)) == [(f"u{n}@example.org",) for n in range(8)]


def test_outcomes_are_as_by_the_backend(sink: SmtpServer) -> None:
    class Own(EmailMessage):
        def message(self, **keywords: Any) -> Any:
            made = super().message(**keywords)
            made["X-Own"] = "1"
            return made

    async def main() -> None:
        partly = EmailMessage("s", "t", to=["ann@example.org", "gone@example.org"])
        nobody, built = EmailMessage("s", "t"), Own("s", "t", to=["bob@example.org"])
        assert await asend_messages(iter([nobody, partly, built])) == 2
        assert [result.outcome.value for result in partly.mailer_receipt.results] == ["accepted", "rejected"]
        assert built.mailer_receipt.ok
        gone = EmailMessage("s", "t", to=["gone@example.org"])
        with pytest.raises(DeliveryRefused):
            await asend_messages([gone, built])
        assert gone.mailer_receipt.results[0].code == 550
        assert await asend_messages([gone, built], fail_silently=True) == 1
        with pytest.raises(ValueError):
            await asend_mail("a\nBcc: x@example.org", "t", None, ["ann@example.org"], fail_silently=True)
        with pytest.raises(MessageError):
            await asend_mail("s", "t", None, ["no address"])
        with pytest.raises(ConfigError):
            await asend_mail("s", "t", None, ["ann@example.org"], using="nothing")

    run(main)
    assert [b"X-Own: 1" in one.content for one in sink.mails] == [False, True, True]


def test_another_mailer_by_its_name(sink: SmtpServer) -> None:
    async def main() -> list[Any]:
        await asend_mail("s", "t", None, ["ann@example.org"], using="news")
        return list((await get_async_mailer("news")).backend.mails)  # type: ignore[attr-defined]

    [kept] = run(main)
    assert (kept.message.subject, list(sink.mails)) == ("s", [])


def test_signals_are_sent_and_async_receivers_awaited(sink: SmtpServer) -> None:
    seen: list[Any] = []

    async def receiver(recipients: Any, sender: type, **given: Any) -> None:
        await asyncio.sleep(0)
        seen.append((sender.__name__, [one.addr_spec for one in recipients]))

    signals.message_sent.connect(receiver)
    try:
        run(lambda: asend_mail("s", "t", None, ["ann@example.org"]))
    finally:
        signals.message_sent.disconnect(receiver)
    assert seen == [("AsyncMailer", ["ann@example.org"])]


@pytest.mark.parametrize("backend", ["django.core.mail.backends.locmem.EmailBackend", LOCMEM])
def test_in_tests_it_is_in_djangos_outbox(backend: str, server: SmtpServer) -> None:
    with sending_by(server.url, backend):
        mail.outbox = []
        assert run(lambda: asend_mail("s", "t", None, ["ann@example.org"])) == 1
        assert [message.subject for message in mail.outbox] == ["s"]
        del mail.outbox
    assert list(server.mails) == []


def test_async_views_send(sink: SmtpServer) -> None:
    async def order(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(await asend_mail("s", "t", None, ["ann@example.org"])))

    class Urls:
        urlpatterns = [path("order/", order)]  # noqa: RUF012 - as Django reads it

    async def main() -> list[bytes]:
        client = AsyncClient()
        return [(await client.get("/order/")).content for _ in range(2)]

    order.login_required = False  # type: ignore[attr-defined]
    with override_settings(ROOT_URLCONF=Urls):
        assert run(main) == [b"1", b"1"]
        assert len(sink.sessions) == 1
        assert [Client().get("/order/").content for _ in range(2)] == [b"1", b"1"]  # a loop for each
    gc.collect()
    assert (len(sink.mails), len(sink.sessions)) == (4, 3)

"""What is mounted by ``include("mailer.contrib.django.urls")``: webhooks, tracking, unsubscribing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import django
import django_project  # noqa: F401 - configures the settings
import pytest
from django.test import Client, override_settings
from django.urls import reverse

from mailer import ConfigError, Message
from mailer.contrib.django import get_mailer, signals

BACKEND = "mailer.contrib.django.EmailBackend"
SECRET = "s" * 40
BASE = "https://shop.example.com/mail"
BASIC = "Basic aG9vazphLWxvbmctc2VjcmV0"
BOUNCE = {
    "RecordType": "Bounce",
    "Type": "HardBounce",
    "Email": "ann@example.org",
    "MessageID": "883953f4",
    "BouncedAt": "2026-01-02T03:04:05Z",
}


@pytest.fixture
def client() -> Iterator[Client]:
    plugins = {
        "tracking": {"url": f"{BASE}/tracking", "secret": SECRET, "clicks": True},
        "list_unsubscribe": {"url": f"{BASE}/unsubscribe", "secret": SECRET},
    }
    settings: dict[str, Any] = {
        "MAILER": {"url": "memory:", "plugins": plugins, "mailers": {"news": {"url": "memory:", "plugins": []}}},
        "MAILER_WEBHOOKS": {"secrets": {"postmark": "hook:a-long-secret"}},
    }
    if django.VERSION >= (6, 1):
        settings["MAILERS"] = {name: {"BACKEND": BACKEND} for name in ("default", "news")}
    with override_settings(**settings):
        yield Client(enforce_csrf_checks=True)


@pytest.fixture
def told() -> Iterator[list[Any]]:
    told: list[Any] = []

    def receiver(event: Any, **given: Any) -> None:
        told.append(event)

    signals.event_received.connect(receiver)
    yield told
    signals.event_received.disconnect(receiver)


def post(client: Client, where: str, **event: Any) -> int:
    body = json.dumps({**BOUNCE, **event})
    headers = {"authorization": BASIC}
    return int(client.post(where, body, content_type="application/json", headers=headers).status_code)


def test_a_provider_tells_by_a_signal(client: Client, told: list[Any]) -> None:
    assert reverse("mailwright:webhooks", args=["postmark"]) == "/mail/webhooks/postmark"
    assert post(client, "/mail/webhooks/postmark") == 200
    [event] = told
    assert (event.kind, str(event.recipient), event.provider) == ("bounced", "ann@example.org", "postmark")
    assert post(client, "/news/webhooks/postmark") == 200  # another mailer's app remembers nothing of it
    assert client.post("/mail/webhooks/postmark", "{}", content_type="application/json").status_code == 401
    assert post(client, "/mail/webhooks/mailgun") == 404


def test_without_secrets_there_are_no_webhooks(client: Client) -> None:
    with override_settings(MAILER_WEBHOOKS=None):
        assert post(client, "/mail/webhooks/postmark") == 404
    with override_settings(MAILER_WEBHOOKS={"secrets": {"postmark": "hook:other"}}):  # read anew
        assert post(client, "/mail/webhooks/postmark") == 401
    with override_settings(MAILER_WEBHOOKS={"secret": {}}), pytest.raises(ConfigError, match="did you mean 'secrets'"):
        post(client, "/mail/webhooks/postmark")


def test_links_in_a_mail_lead_here(client: Client, told: list[Any]) -> None:
    message = Message(
        from_="shop@example.com", to="ann@example.org", html='<a href="https://example.com/sale">Sale</a>'
    )
    get_mailer().send(message)
    [mail] = get_mailer().backend.mails  # type: ignore[attr-defined]
    [link] = [part.partition('"')[0] for part in mail.message.html.split('href="')[1:]]
    assert link.startswith(f"{BASE}/tracking/")
    answer = client.get(link.removeprefix("https://shop.example.com"), HTTP_USER_AGENT="Reader/1")
    assert (answer.status_code, answer["Location"]) == (302, "https://example.com/sale")
    assert [(event.kind, event.user_agent) for event in told] == [("clicked", "Reader/1")]

    [leave] = [value.strip("<>") for name, value in mail.message.headers if name == "List-Unsubscribe"]
    path = leave.removeprefix("https://shop.example.com")
    assert b"Unsubscribe?" in client.get(path).content
    assert len(told) == 1
    form = "List-Unsubscribe=One-Click"
    done = client.post(path, form, content_type="application/x-www-form-urlencoded")
    assert (done.status_code, b"You are unsubscribed" in done.content) == (200, True)
    assert (told[1].kind, str(told[1].recipient)) == ("unsubscribed", "ann@example.org")


def test_what_is_off_or_no_link_is_not_found(client: Client) -> None:
    assert client.get("/mail/tracking/nonsense").status_code == 404
    assert client.get("/mail/unsubscribe/nonsense").status_code == 404
    assert client.get("/news/tracking/nonsense").status_code == 404
    assert client.get("/news/unsubscribe/nonsense").status_code == 404

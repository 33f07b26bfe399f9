"""The backend for tests: Django's outbox, filled by a mailer that runs everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import django
import django_project  # noqa: F401 - configures the settings
import pytest
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail
from django.test import override_settings

from mailer import DeliveryError, HookError, MessageError, Outcome, Receipt
from mailer.contrib.django import LocMemBackend

BACKEND = "mailer.contrib.django.LocMemBackend"
MAILERS = {"MAILERS": {"default": {"BACKEND": BACKEND}, "news": {"BACKEND": BACKEND}}}
SETTINGS: dict[str, Any] = MAILERS if django.VERSION >= (6, 1) else {"EMAIL_BACKEND": BACKEND}


def connection(alias: str = "default") -> Any:
    return mail.mailers[alias] if django.VERSION >= (6, 1) else mail.get_connection()


@pytest.fixture
def outbox() -> Iterator[list[Any]]:
    with override_settings(**SETTINGS):
        mail.outbox = []
        yield mail.outbox
        del mail.outbox


def test_what_is_sent_is_in_djangos_outbox(outbox: list[Any]) -> None:
    assert send_mail("Hi", "Hello", None, ["ann@example.org"], html_message="<p>Hello") == 1
    [message] = outbox
    assert (message.subject, message.to, message.from_email) == ("Hi", ["ann@example.org"], "Shop <shop@example.com>")
    assert [(one[0], one[1]) for one in message.alternatives] == [("<p>Hello", "text/html")]
    assert message.mailer_receipt.ok


def test_the_outbox_has_copies(outbox: list[Any]) -> None:
    backend = connection()
    message = EmailMultiAlternatives("Hi", "Hello", to=["ann@example.org"], connection=backend)
    assert backend.send_messages([message]) == 1
    message.subject = "Other"
    message.to.append("bob@example.org")
    assert (outbox[0].subject, outbox[0].to) == ("Hi", ["ann@example.org"])
    assert outbox[0].message()["Subject"] == "Hi"
    assert message.mailer_receipt.results[0].outcome is Outcome.ACCEPTED


def test_wrong_headers_raise_and_nothing_is_kept(outbox: list[Any]) -> None:
    for wrong in ({"subject": "a\nBcc: b@example.org"}, {"to": ["a@example.org\nBcc: b@example.org"]}):
        with pytest.raises(ValueError):
            EmailMessage(**{"subject": "s", "body": "b", "to": ["ann@example.org"], **wrong}).send()
    with pytest.raises((ValueError, MessageError)):
        EmailMessage("s", "b", to=["no address at all"]).send()
    assert outbox == []


def test_filters_and_actions_run(outbox: list[Any]) -> None:
    backend = connection()
    seen = []
    hooks = backend.mailer.hooks
    hooks.add_filter("message", lambda message, context: seen.append(message.subject) or message, owner="test")
    hooks.add_action("sent", lambda context: seen.append(bytes(context.mail.content)), owner="test")
    try:
        send_mail("Hi", "Hello", None, ["ann@example.org"])
        assert seen[0] == "Hi"
        assert b"Subject: Hi\r\n" in seen[1]
        hooks.add_filter("recipients", lambda recipients, context: (), owner="test")
        assert send_mail("Hi", "Hello", None, ["ann@example.org"]) == 0
        hooks.add_filter("message", lambda message, context: None, owner="test")
        with pytest.raises(HookError):
            send_mail("Hi", "Hello", None, ["ann@example.org"])
    finally:
        hooks.remove(owner="test")
    assert [message.subject for message in outbox] == ["Hi"]


def test_what_nobody_accepted_is_not_in_the_outbox(outbox: list[Any]) -> None:
    backend = connection()

    class Refusing(type(backend.mailer.backend)):  # type: ignore[misc]
        async def send(self, sealed: Any) -> Any:
            return Receipt.for_all(sealed, Outcome.REJECTED, code=550)

    add = backend.mailer.hooks.add_filter
    add("backend", lambda value, context: Refusing(), owner="test")
    try:
        with pytest.raises(DeliveryError):
            send_mail("Hi", "Hello", None, ["ann@example.org"])
    finally:
        backend.mailer.hooks.remove(owner="test")
    assert outbox == []


def test_a_one_shot_iterator_and_a_message_without_recipients(outbox: list[Any]) -> None:
    messages = (EmailMessage(f"s{number}", "b", to=["ann@example.org"]) for number in range(3))
    assert connection().send_messages(messages) == 3
    assert connection().send_messages([EmailMessage("nobody", "b")]) == 1  # as Django's own
    assert [message.subject for message in outbox] == ["s0", "s1", "s2", "nobody"]


@pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with Django 6.1")
def test_it_is_said_which_mailer_it_was(outbox: list[Any]) -> None:
    send_mail("Hi", "Hello", None, ["ann@example.org"], using="news")
    assert outbox[0].sent_using == "news"


def test_it_is_made_where_there_is_no_outbox_yet() -> None:
    with override_settings(**SETTINGS):
        assert isinstance(connection(), LocMemBackend)
        assert mail.outbox == []
        del mail.outbox

"""The mixin for Django's test cases, and the outbox under Django's own test environment."""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from typing import Any

import django
import django_project  # noqa: F401 - configures the settings
import pytest
from django.core import mail
from django.core.mail import mail_admins, send_mail
from django.db import connection, transaction
from django.test import SimpleTestCase, TestCase, override_settings
from django.test.utils import setup_test_environment, teardown_test_environment

from mailer.testing import MailOutbox
from mailer.testing.django import DjangoMailerTestMixin, own_backends, waiting_for_commit

OURS = "mailer.contrib.django.EmailBackend"
URL = "smtp://user:secret@nowhere.invalid"
DJANGOS = "django.core.mail.backends.smtp.EmailBackend"


def settings_of(path: str) -> dict[str, Any]:
    if django.VERSION < (6, 1):
        return {"EMAIL_BACKEND": path, "MAILER_URL": URL}
    options = {"url": URL} if path == OURS else {}
    return {"MAILERS": {"default": {"BACKEND": path, "OPTIONS": options}, "news": {"BACKEND": DJANGOS}}}


@pytest.fixture(params=[OURS, DJANGOS])
def runner(request: pytest.FixtureRequest) -> Iterator[str]:
    """A project of this backend, in the hands of Django's test runner."""
    with override_settings(**settings_of(request.param)):
        setup_test_environment()
        try:
            yield request.param
        finally:
            teardown_test_environment()


def test_send_mail_is_caught_where_the_project_s_backend_is_ours(runner: str) -> None:
    with own_backends(), MailOutbox() as outbox:
        assert send_mail("Hi", "Hello", None, ["ann@example.org"]) == 1
        mail_admins("Broken", "text")
    is_ours = runner == OURS
    assert [one.subject for one in outbox] == (["Hi", "[shop] Broken"] if is_ours else [])
    assert len(mail.outbox) == (0 if is_ours else 2)
    send_mail("later", "Hello", None, ["ann@example.org"])
    assert mail.outbox[-1].subject == "later"


@pytest.mark.parametrize("runner", [OURS], indirect=True)
def test_the_fixture_does_so_too(runner: str, mailer_outbox: MailOutbox) -> None:
    send_mail("Hi", "Hello", "shop@example.com", ["ann@example.org"])
    assert mailer_outbox.assert_sent(subject="Hi", to="ann@example.org").backend == "smtp://user:***@nowhere.invalid"


class Simple(DjangoMailerTestMixin, SimpleTestCase):
    def test_it_is_caught(self) -> None:
        for name in ("ann", "bob"):
            with self.subTest(name=name):
                send_mail("Hi", "Hello", None, [f"{name}@example.org"])
                self.assertMailSent(to=f"{name}@example.org", text="Hello")
        self.assertMailSent(count=2)


class InTransaction(DjangoMailerTestMixin, TestCase):
    def test_it_waits_for_the_commit(self) -> None:
        transaction.on_commit(lambda: send_mail("Hi", "Hello", None, ["ann@example.org"]))
        self.assertNoMailSent()
        with pytest.raises(AssertionError, match=r"1 functions given to transaction\.on_commit.*captureOnCommit"):
            self.assertMailSent(subject="Hi")
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: send_mail("Hi", "Hello", None, ["ann@example.org"]))
        self.assertMailSent(subject="Hi", count=1)


for kind in (Simple, InTransaction):
    kind.__test__ = False  # they are run below


@pytest.mark.parametrize("runner", [OURS], indirect=True)
def test_the_mixin(runner: str) -> None:
    result = unittest.TestResult()
    for kind in (Simple, InTransaction):
        unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(result)
    assert result.testsRun == 2
    assert result.errors == result.failures == []
    assert waiting_for_commit() == []
    connection.close()

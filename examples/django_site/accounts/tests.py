"""The site's own tests, with the testing kit: ``python manage.py test``."""

# ruff: noqa: PT009 - of Django's TestCase

from __future__ import annotations

import json
import tempfile
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core import checks, mail
from django.test import TestCase, override_settings

from mailer import Outcome
from mailer.testing import MailOutbox

ADDRESS = "ann@example.org"


class MailTestCase(TestCase):
    """Django's test runner puts its own backend in the place of the project's; here the project's is back."""

    def setUp(self) -> None:
        """Catch what is sent, by whatever mailer."""
        self.enterContext(override_settings(**settings.MAIL_BACKENDS))
        self.outbox = self.enterContext(MailOutbox())


class SigningUp(MailTestCase):
    """The confirmation mail."""

    def test_the_link_in_the_mail_lets_its_reader_in(self) -> None:
        answer = self.client.post("/signup/", {"email": ADDRESS, "password": "a password"})
        self.assertContains(answer, "you have mail")
        sent = self.outbox.assert_sent(to=ADDRESS, subject="Is this your address?", template="accounts/mail/confirm")
        self.assertEqual(str(sent.from_[0]), "Club <club@example.com>")
        self.assertIn("Yes, it is mine", sent.text or "")
        link = sent.link("/confirm/")
        self.assertContains(self.client.get(link), "yours?")
        self.assertFalse(self.client.login(username=ADDRESS, password="a password"))
        self.assertRedirects(self.client.post(link), "/accounts/login/")
        self.assertTrue(self.client.login(username=ADDRESS, password="a password"))

    def test_nobody_is_told_that_there_is_an_account(self) -> None:
        for _ in range(2):
            answer = self.client.post("/signup/", {"email": ADDRESS.upper(), "password": "a password"})
            self.assertContains(answer, "you have mail")
        self.outbox.assert_sent(count=1)

    def test_a_form_brings_no_second_recipient_in(self) -> None:
        for address in ("ann@example.org, eve@example.net", "ann@example.org\r\nBcc: eve@example.net", "nobody"):
            answer = self.client.post("/signup/", {"email": address, "password": "x"})
            self.assertEqual(answer.status_code, 400)
        self.outbox.assert_nothing_sent()

    def test_a_link_of_ones_own_making_is_wrong(self) -> None:
        self.assertEqual(self.client.get("/confirm/nonsense/").status_code, 404)

    def test_where_the_mail_is_refused_the_form_says_no_success(self) -> None:
        self.outbox.fail_with(Outcome.REJECTED, to=ADDRESS, code=550)
        self.client.raise_request_exception = False
        answer = self.client.post("/signup/", {"email": ADDRESS, "password": "x"})
        self.assertEqual(answer.status_code, 500)


class PasswordReset(MailTestCase):
    """By Django's own views, through the same mailer."""

    def test_it_is_mailed(self) -> None:
        User.objects.create_user(ADDRESS, ADDRESS, "old")
        self.client.post("/accounts/password_reset/", {"email": ADDRESS})
        link = self.outbox.assert_sent(to=ADDRESS).link("/accounts/reset/")
        self.assertContains(self.client.get(link, follow=True), "new password")


class Telling(MailTestCase):
    """The provider's webhook."""

    def test_an_address_that_is_none_cannot_log_in(self) -> None:
        user = User.objects.create_user(ADDRESS, ADDRESS, "x")
        told = {"RecordType": "Bounce", "Type": "HardBounce", "Email": ADDRESS, "MessageID": "1"}
        told["BouncedAt"] = "2026-01-02T03:04:05Z"
        with override_settings(MAILER_WEBHOOKS={"secrets": {"postmark": "hook:a-long-secret"}}):
            answer = self.client.post(
                "/mail/webhooks/postmark",
                json.dumps(told),
                content_type="application/json",
                headers={"authorization": "Basic aG9vazphLWxvbmctc2VjcmV0"},
            )
        self.assertEqual(answer.status_code, 200)
        user.refresh_from_db()
        self.assertFalse(user.is_active)


class TheAdmin(MailTestCase):
    """The mail log, as the site's staff sees it."""

    def test_a_mail_is_found_and_shown(self) -> None:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        log = {"log": {"path": f"{folder}/log.db", "bodies": True}}
        table: dict[str, Any] = {**settings.MAILER, "testing": {"url": "memory:", "plugins": log}}
        with override_settings(MAILER=table):
            self.client.post("/signup/", {"email": ADDRESS, "password": "x"})
            self.client.force_login(User.objects.create_superuser("kim"))
            page = self.client.get("/admin/mailwright/loggedmail/", {"recipient": ADDRESS})
            self.assertContains(page, "Is this your address?")
            sent = self.outbox.assert_sent(to=ADDRESS)
            self.assertContains(self.client.get(f"/admin/mailwright/loggedmail/{sent.id}/change/"), "<iframe")


class TheSettings(TestCase):
    """Each environment's."""

    def test_the_checks_have_nothing_to_say(self) -> None:
        with override_settings(**settings.MAIL_BACKENDS):
            self.assertEqual([one for one in checks.run_checks() if one.id.startswith("mailwright")], [])

    def test_djangos_own_outbox_works_as_ever(self) -> None:
        User.objects.create_user(ADDRESS, ADDRESS, "old")
        self.client.post("/accounts/password_reset/", {"email": ADDRESS})
        self.assertEqual([message.to for message in mail.outbox], [[ADDRESS]])

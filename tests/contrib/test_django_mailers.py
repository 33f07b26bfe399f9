"""Which mailer Django's settings mean, on every Django: see test_django_versions.py."""

from __future__ import annotations

import os
import pickle
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
import django_project  # noqa: F401 - configures Django
import pytest
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.test import override_settings

from mailer import ConfigError, DeliveryDeferred, DeliveryRefused, Mailer, RetryPolicy
from mailer.contrib.django import EmailBackend, InvalidMailerError, get_mailer
from mailer.contrib.django.mailers import on_made
from mailer.contrib.django.project import OPTIONS
from mailer.settings import MailerSettings
from mailer.testing import SmtpServer

BACKEND = "mailer.contrib.django.EmailBackend"
HAS_MAILERS = django.VERSION >= (6, 1)
needs_mailers = pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)  # no .env, no mailer.toml
    for name in os.environ:
        if name.startswith("MAILER_"):
            monkeypatch.delenv(name)


@contextmanager
def configured(**more: Any) -> Iterator[None]:
    """Our backend is Django's, with no options of its own."""
    base = {"MAILERS": {"default": {"BACKEND": BACKEND}}} if HAS_MAILERS else {"EMAIL_BACKEND": BACKEND}
    with override_settings(**{**base, **more}):
        yield


def default_backend() -> EmailBackend:
    return mail.mailers.default if HAS_MAILERS else mail.get_connection()


def test_the_options_of_a_mailer_are_all_known() -> None:
    known = {name.rstrip("_") for name in MailerSettings.model_fields}
    assert known <= {name.rstrip("_") for name in OPTIONS}


def test_mailer_says_all_that_configure_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    table: dict[str, Any] = {
        "url": "null:",
        "plugins": ["text_part"],
        "retry": {"tries": 1},
        "mailers": {"news": {"url": "memory:"}},
        "production": {"url": "console:"},
    }
    with configured(MAILER=table):
        assert get_mailer() is default_backend().mailer
        assert str(get_mailer().backend) == "null:"
        assert [plugin.name for plugin in get_mailer().plugins.loaded] == ["text_part"]
        if not HAS_MAILERS:
            assert str(get_mailer("news").backend) == "memory:"
            with pytest.raises(ConfigError, match=r"no mailer 'nwes'; did you mean 'news'"):
                get_mailer("nwes")
        monkeypatch.setenv("MAILER_ENV", "production")
        assert str(get_mailer().backend) == "console:"
    wrong = {"url": "null:", "plugin": ["text_part"]}
    text = r"MAILER: plugin: .*did you mean 'plugins'"
    with configured(MAILER=wrong), pytest.raises(ImproperlyConfigured, match=text):
        default_backend()
    with configured(MAILER={"url": "null:"}, MAILER_URL="null:"), pytest.raises(ConfigError, match="say the same"):
        get_mailer()


def test_a_mailers_own_mails_are_from_djangos_address_unless_something_says_another() -> None:
    def senders(**settings: Any) -> list[str]:
        with configured(**settings):
            return [str(one) for one in get_mailer().from_]

    assert (
        senders(MAILER_URL="null:") == senders(MAILER={"url": "null:", "retry": "none"}) == ["Shop <shop@example.com>"]
    )
    assert senders(MAILER={"url": "null:", "from": "me@example.com"}) == ["me@example.com"]
    assert senders(MAILER_URL="null:", DEFAULT_FROM_EMAIL="no address") == []
    with (
        configured(MAILER_URL="null:", DEFAULT_FROM_EMAIL="a@example.com"),
        override_settings(DEFAULT_FROM_EMAIL="b@example.com"),
    ):
        assert [str(one) for one in get_mailer().from_] == ["b@example.com"]


def test_a_named_mailer_without_a_url_of_its_own_takes_that_of_all() -> None:
    with configured(MAILER={"url": "null:", "mailers": {"news": {"plugins": ["text_part"]}}}):
        if HAS_MAILERS:
            config = {"BACKEND": BACKEND, "OPTIONS": {"retry": "none"}}
            with override_settings(MAILERS={"news": config, "other": {"BACKEND": BACKEND}}):
                assert get_mailer("news") is mail.mailers["news"].mailer
                assert [plugin.name for plugin in get_mailer("news").plugins.loaded] == ["text_part"]
                assert not list(get_mailer("other").plugins.loaded)
                assert str(get_mailer("other").backend) == "null:"
        else:
            assert str(get_mailer("news").backend) == "null:"
            assert mail.get_connection(alias="news").mailer is get_mailer("news")


@needs_mailers
def test_each_alias_is_made_of_its_options() -> None:
    table: dict[str, Any] = {
        "default": {
            "BACKEND": BACKEND,
            "OPTIONS": {"url": "null:", "plugins": ["text_part"], "from_": "a@example.com"},
        },
        "smtp": {"BACKEND": BACKEND, "OPTIONS": {"host": "smtp.example.com", "use_tls": True, "retry": "none"}},
        "plain": {"BACKEND": BACKEND, "OPTIONS": {"host": "smtp.example.com", "timeout": 3, "fail_silently": True}},
        "theirs": {"BACKEND": "django.core.mail.backends.dummy.EmailBackend"},
    }
    with override_settings(MAILERS=table):
        for alias in ("default", "smtp", "plain"):
            assert get_mailer(alias) is mail.mailers[alias].mailer is get_mailer(alias)
        assert str(get_mailer().from_[0]) == "a@example.com"
        assert [plugin.name for plugin in get_mailer().plugins.loaded] == ["text_part"]
        assert str(get_mailer("smtp").backend) == "smtp://smtp.example.com:587?tls=required"
        assert mail.mailers["plain"].fail_silently is True
        with pytest.raises(InvalidMailerError, match=r"MAILERS\['theirs'\]: its BACKEND is django.*dummy"):
            get_mailer("theirs")
        with pytest.raises(InvalidMailerError, match=r"no mailer 'nosuch' in MAILERS; there are: 'default', 'smtp'"):
            get_mailer("nosuch")


@needs_mailers
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"url": "smpt://x"}, r"MAILERS\['x'\]: url: .*smtp"),
        ({"url": "null:", "host": "h"}, r"say the same"),
        ({"url": "null:", "password": "hush"}, r"password cannot stand beside a URL"),
        ({"port": 25}, r"MAILERS\['x'\]: OPTIONS must define 'host'"),
        ({"host": "h", "port": "smtp"}, r"MAILERS\['x'\]: port: must be a whole number"),
        ({"host": "h", "plugins": ["no_such"]}, r"MAILERS\['x'\]: .*no_such"),
    ],
)
def test_what_is_wrong_in_options_is_an_invalid_mailer(options: dict[str, Any], text: str) -> None:
    with override_settings(MAILERS={"x": {"BACKEND": BACKEND, "OPTIONS": options}}):
        for made in (lambda: mail.mailers["x"], lambda: get_mailer("x")):
            with pytest.raises(mail.InvalidMailer, match=text) as caught:
                made()
            assert "hush" not in str(caught.value)


@needs_mailers
def test_under_mailers_no_email_setting_is_read() -> None:
    config = {"BACKEND": BACKEND, "OPTIONS": {"host": "localhost"}}
    with override_settings(MAILERS={"default": config}):
        backend = mail.mailers.default
        assert (backend.port, backend.use_tls, backend.username) == (25, False, None)
        assert str(backend.mailer.backend) == "smtp://localhost:25?tls=none"
        with pytest.raises(AttributeError):
            _ = settings.EMAIL_HOST


@pytest.mark.skipif(HAS_MAILERS, reason="get_connection is deprecated since Django 6.1")
def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with configured(), pytest.raises(ConfigError, match=r"'usename'; did you mean 'username'"):
        mail.get_connection(usename="u")


def test_djangos_test_runner_keeps_all_mail_here() -> None:
    locmem = "django.core.mail.backends.locmem.EmailBackend"
    base: dict[str, Any] = {"MAILERS": {"default": {"BACKEND": locmem}}} if HAS_MAILERS else {"EMAIL_BACKEND": locmem}
    with override_settings(MAILER_URL="smtp://smtp.example.com", **base):
        assert str(get_mailer().backend) == "memory:"


def test_whoever_asks_hears_of_each_mailer() -> None:
    heard: list[tuple[str, Mailer]] = []
    on_made(lambda name, made: heard.append((name, made)))
    heard.clear()  # those there were
    with configured(MAILER_URL="memory:?x=1"), pytest.raises(ConfigError):
        get_mailer()
    with configured(MAILER={"url": "null:", "retry": RetryPolicy(tries=2)}):
        made = get_mailer()
        get_mailer()
    assert heard == [("default", made)]


def test_a_mailer_that_a_test_made_ends_with_it() -> None:
    table = {"url": "null:", "retry": {"tries": 3}}
    with configured(MAILER=table):
        first = get_mailer()
        with override_settings(MAILER={"url": "memory:"}):
            assert get_mailer() is not first
        assert get_mailer() is first
    with configured(MAILER=table):
        assert get_mailer() is not first


# --- errors -----------------------------------------------------------------------------------------------------------


def failure_of(url: str) -> Exception:
    with configured(MAILER={"url": url, "retry": "none"}), pytest.raises(Exception) as caught:
        default_backend().send_messages([EmailMessage("s", "t", "a@example.com", ["b@example.org"])])
    return caught.value


def test_errors_are_what_apps_for_djangos_backend_catch() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # not listening: refused
        error = failure_of(f"smtp://127.0.0.1:{bound.getsockname()[1]}?tls=none")
        for kind in (DeliveryDeferred, smtplib.SMTPException, ConnectionRefusedError):
            assert isinstance(error, kind)
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.receipt.results == error.receipt.results  # type: ignore[attr-defined]
    error = failure_of("smtp://nowhere.invalid:25?tls=none")
    assert isinstance(error, socket.gaierror)
    assert isinstance(error, smtplib.SMTPException)


def test_what_the_open_connection_sends_fails_as_smtplib_would() -> None:
    with SmtpServer() as server, configured(MAILER={"url": server.url, "retry": "none"}), default_backend() as backend:
        server.on("RCPT", "gone@*").reply("550 5.1.1 no such user")
        assert backend.connection is not None
        send = backend.connection.sendmail
        assert send("a@example.com", ["b@example.org", "gone@example.org"], b"From: a@example.com\r\n\r\nx") == {
            "gone@example.org": (550, b"no such user")
        }
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            send("a@example.com", "gone@example.org", "From: a@example.com\r\n\r\nx")
    assert caught.value.recipients == {"gone@example.org": (550, b"no such user")}
    assert isinstance(caught.value, DeliveryRefused)


def test_tls_to_a_server_that_has_none_is_an_ssl_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with server.accept()[0] as peer:
                peer.sendall(b"220 in clear\r\n")
                peer.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        error = failure_of(f"smtps://127.0.0.1:{server.getsockname()[1]}")
        thread.join(30)
    assert isinstance(error, ssl.SSLError)
    assert isinstance(error, smtplib.SMTPException)
    assert isinstance(error, DeliveryDeferred)
    assert not isinstance(error, DeliveryRefused)

"""What the MAIL_ keys of an app's config become: tables of keys and URLs."""

from __future__ import annotations

from typing import Any

import pytest
from cases import each

from mailer import ConfigError, backend_from_url
from mailer.backends.options import BackendURL
from mailer.contrib.flask_keys import MailKeys, flag_of

LOGIN = {"MAIL_USERNAME": "app@example.com", "MAIL_PASSWORD": "S3cr3t/@+:x"}
FAR = {"MAIL_SERVER": "smtp.example.com"}


def endpoint_of(config: dict[str, Any]) -> Any:
    return backend_from_url(MailKeys.of(config).url).endpoint  # type: ignore[attr-defined]


@each(
    ("config", "where"),
    [
        ({}, ("127.0.0.1", 25, False)),
        ({"MAIL_SERVER": "mail.example.com", "MAIL_PORT": 2525}, ("mail.example.com", 2525, False)),
        ({"MAIL_PORT": "587"}, ("127.0.0.1", 587, False)),
        ({"MAIL_SERVER": "::1", "MAIL_PORT": None}, ("::1", 25, False)),
        ({"MAIL_USE_SSL": True, "MAIL_PORT": 465}, ("127.0.0.1", 465, True)),
        ({"MAIL_USE_SSL": "false", "MAIL_USE_TLS": "0"}, ("127.0.0.1", 25, False)),
    ],
)
def test_where_it_goes(config: dict[str, Any], where: tuple[str, int, bool]) -> None:
    endpoint = endpoint_of(config)
    assert (endpoint.host, endpoint.port, endpoint.implicit_tls) == where


@each("config", [{"MAIL_USE_TLS": True}, {"MAIL_USE_TLS": "True"}, {"MAIL_USE_SSL": 1}, FAR | LOGIN])
def test_tls_is_required_and_verified_where_it_is_asked_for_or_a_password_goes(config: dict[str, Any]) -> None:
    endpoint = endpoint_of(config)
    assert endpoint.tls == "required" or endpoint.implicit_tls
    assert endpoint.verify


def test_the_login_survives_any_characters_and_needs_both_halves() -> None:
    endpoint = endpoint_of(FAR | LOGIN)
    assert (endpoint.username, endpoint.password) == ("app@example.com", "S3cr3t/@+:x")
    for half in LOGIN:
        assert endpoint_of({half: LOGIN[half]}).username is None


def test_limits_and_the_certificate_are_the_backends() -> None:
    url = MailKeys.of({"MAIL_TIMEOUT": "7.5", "MAIL_MAX_EMAILS": 20, "MAIL_DEBUG": True} | FAR).url
    options = dict(BackendURL.parse(url).query)
    assert (options["command_timeout"], options["max_messages"], options["transcript"]) == ("7.5", "20", "yes")
    assert endpoint_of({"MAIL_TIMEOUT": 7.5}).timeouts.connect_s == 7.5
    mine = {"MAIL_USE_TLS": True, "MAIL_SSL_CERTFILE": "/x/cert.pem", "MAIL_SSL_KEYFILE": "/x/key.pem"}
    options = dict(BackendURL.parse(MailKeys.of(mine).url).query)
    assert (options["cert_file"], options["key_file"]) == ("/x/cert.pem", "/x/key.pem")


@each(
    ("config", "url"),
    [
        ({"MAIL_BACKEND": "console"}, "console:"),
        ({"MAIL_BACKEND": "flask_mailman.backends.locmem"}, "memory:"),
        ({"MAIL_BACKEND": "flask_mailman.backends.dummy.EmailBackend"}, "null:"),
        ({"MAIL_BACKEND": "file", "MAIL_FILE_PATH": "/tmp/a b"}, "file:/tmp/a%20b"),
    ],
)
def test_the_development_backends_are_urls(config: dict[str, Any], url: str) -> None:
    assert MailKeys.of(config).url == url
    backend_from_url(url)


def test_what_is_suppressed_and_who_sends() -> None:
    assert not MailKeys.of({}).is_suppressed
    assert MailKeys.of({}, testing=True).is_suppressed
    assert not MailKeys.of({"MAIL_SUPPRESS_SEND": "no"}, testing=True).is_suppressed
    assert MailKeys.of({"MAIL_DEFAULT_SENDER": ("Shop", "shop@example.com")}).default_sender[0] == "Shop"


@each(
    ("config", "named"),
    [
        ({"MAIL_USE_SSL": True, "MAIL_USE_TLS": True}, "MAIL_USE_SSL"),
        ({"MAIL_USE_TLS": "maybe"}, "MAIL_USE_TLS"),
        ({"MAIL_SUPPRESS_SEND": "maybe"}, "MAIL_SUPPRESS_SEND"),
        ({"MAIL_PORT": "smtp"}, "MAIL_PORT"),
        ({"MAIL_PORT": True}, "MAIL_PORT"),
        ({"MAIL_TIMEOUT": 0}, "MAIL_TIMEOUT"),
        ({"MAIL_MAX_EMAILS": -1}, "MAIL_MAX_EMAILS"),
        ({"MAIL_BACKEND": "file"}, "MAIL_FILE_PATH"),
        ({"MAIL_BACKEND": "shop.mail.Backend"}, "MAIL_BACKEND"),
        ({"MAIL_BACKEND": object}, "MAIL_BACKEND"),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        MailKeys.of(config | LOGIN)
    assert LOGIN["MAIL_PASSWORD"] not in str(caught.value)


def test_keys_that_say_where_mail_goes_are_told_from_those_that_do_not() -> None:
    assert MailKeys.stand_in({"MAIL_SERVER": "smtp.example.com"})
    assert MailKeys.stand_in({"MAIL_BACKEND": "console"})
    assert not MailKeys.stand_in({"MAIL_DEFAULT_SENDER": "shop@example.com", "MAIL_SERVER": None})
    assert not MailKeys.stand_in({"MAIL_SERVER": ""})


def test_nothing_shows_the_password() -> None:
    assert LOGIN["MAIL_PASSWORD"] not in repr(MailKeys.of(FAR | LOGIN))
    assert [flag_of({"X": word}, "X") for word in ("Yes", " on ", "", "OFF", 1, 0)] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]

"""What frameworks call an SMTP server's options, as URLs: read back by the backend itself."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from cases import each

from mailer import ConfigError, backend_from_url
from mailer.smtp_options import SMTP_OPTIONS, SmtpOptions

LOGIN = {"username": "u@x/?#", "password": "p:@%/ß"}


def endpoint(given: dict[str, Any]) -> Any:
    return backend_from_url(SmtpOptions.of(given).url).endpoint  # type: ignore[attr-defined]


@each(
    ("given", "expected"),
    [
        ({"host": "mx.example.com"}, {"port": 25, "tls": "none", "username": None}),
        ({"host": "mx.example.com", "port": ""}, {"port": 25}),
        ({"host": "mx.example.com", "port": 0}, {"port": 25}),
        ({"host": "mx.example.com", "port": "2525"}, {"port": 2525, "tls": "none"}),
        ({"host": "mx.example.com", "use_tls": True}, {"port": 587, "tls": "required", "implicit_tls": False}),
        ({"host": "mx.example.com", "use_ssl": "yes"}, {"port": 465, "tls": "required", "implicit_tls": True}),
        ({"host": "mx.example.com", "use_ssl": True, "port": 4465}, {"port": 4465, "implicit_tls": True}),
        ({"host": "::1", "port": 25}, {"host": "::1"}),
        ({"host": "[::1]", "port": 25}, {"host": "::1"}),
        ({"host": "mx.example.com", "local_hostname": "me.example.com"}, {"helo": "me.example.com"}),
        # a login goes under TLS, or stays on this machine, or the option says otherwise in words
        ({"host": "mx.example.com", **LOGIN}, {"tls": "required", "auth_in_clear": False, **LOGIN}),
        ({"host": "mx.example.com", "use_tls": "False", **LOGIN}, {"tls": "required", "port": 25}),
        ({"host": "localhost", **LOGIN}, {"tls": "none", "auth_in_clear": True, **LOGIN}),
        ({"host": "127.0.0.9", **LOGIN}, {"tls": "none", "auth_in_clear": True}),
        ({"host": "::1", **LOGIN}, {"tls": "none", "auth_in_clear": True}),
        ({"host": "localhost", "use_tls": True, **LOGIN}, {"tls": "required", "auth_in_clear": False}),
        ({"host": "localhost.example.com", **LOGIN}, {"tls": "required"}),
        ({"host": "127.0.0.1.example.com", **LOGIN}, {"tls": "required"}),
        ({"host": "mx.example.com", "auth_in_clear": True, **LOGIN}, {"tls": "none", "auth_in_clear": True}),
        # half a login is none, as in smtplib's callers
        ({"host": "mx.example.com", "username": "u"}, {"username": None, "tls": "none"}),
        ({"host": "mx.example.com", "username": "", "password": "secret"}, {"username": None, "password": None}),
    ],
)
def test_an_option_means_what_the_frameworks_say(given: dict[str, Any], expected: dict[str, Any]) -> None:
    read = endpoint(given)
    assert {name: getattr(read, name) for name in expected} == expected


def test_a_timeout_is_that_of_each_step() -> None:
    steps = {"connect_s": 2.5, "command_s": 2.5, "final_s": 2.5, "total_s": 180.0}
    timeouts = endpoint({"host": "mx.example.com", "timeout": "2.5"}).timeouts
    assert {name: getattr(timeouts, name) for name in steps} == steps
    assert endpoint({"host": "mx.example.com", "timeout": 100}).timeouts.total_s == 300.0
    assert endpoint({"host": "mx.example.com", "timeout": 86_400}).timeouts.total_s == 86_400.0
    assert endpoint({"host": "mx.example.com"}).timeouts.connect_s == 10.0


def test_a_certificate_goes_with_tls_alone() -> None:
    files = {"ssl_certfile": "/etc/a b.pem", "ssl_keyfile": "/etc/k?y.pem"}
    options = SmtpOptions.of({"host": "mx.example.com", "use_tls": True, **files})
    assert "cert_file=%2Fetc%2Fa%20b.pem&key_file=%2Fetc%2Fk%3Fy.pem" in options.url
    assert "file" not in SmtpOptions.of({"host": "mx.example.com", **files}).url


@each(
    ("given", "text"),
    [
        ({}, "EMAIL_HOST: is missing"),
        ({"host": "  "}, "EMAIL_HOST: is missing"),
        ({"host": "mx.example.com:587"}, "EMAIL_HOST: .*the port has an option of its own"),
        ({"host": "a:b:c"}, "EMAIL_HOST: .*no IPv6"),
        ({"host": "h", "port": "smtp"}, "port: must be a whole number from 1 to 65535"),
        ({"host": "h", "port": True}, "port: must be a whole number"),
        ({"host": "h", "port": -1}, "port: must be a whole number"),
        ({"host": "h", "port": 65536}, "not 65536"),
        ({"host": "h", "timeout": 0}, "timeout: must be seconds"),
        ({"host": "h", "timeout": float("nan")}, "timeout: must be seconds"),
        ({"host": "h", "timeout": "soon"}, "timeout: must be seconds"),
        ({"host": "h", "timeout": True}, "timeout: must be seconds"),
        ({"host": "h", "use_tls": "maybe"}, "EMAIL_USE_TLS: must be True or False"),
        ({"host": "h", "use_tls": 1, "use_ssl": "on"}, "EMAIL_USE_TLS and use_ssl exclude each other"),
        ({"host": "h", "usename": "u"}, "there is no option 'usename'; did you mean 'username'"),
    ],
)
def test_what_is_wrong_is_named_as_its_user_calls_it(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        SmtpOptions.of(given, called={"host": "EMAIL_HOST", "use_tls": "EMAIL_USE_TLS"})
    if set(given) <= set(SMTP_OPTIONS):
        with pytest.raises(ConfigError):
            SmtpOptions(**{"host": "", **given})


def test_a_line_break_is_no_way_into_the_url() -> None:
    with pytest.raises(ConfigError, match="line break"):
        endpoint({"host": "mx.example.com", "use_tls": True, **LOGIN, "username": "u\r\nRSET"})
    with pytest.raises(ConfigError):
        endpoint({"host": "mx.example.com?tls=none&x=@y"})


def test_the_password_is_not_shown() -> None:
    options = SmtpOptions.of({"host": "mx.example.com", "use_tls": True, "username": "u", "password": "hush-hush"})
    assert "hush" not in repr(options) + str(options)
    assert str(options) == "smtp://u:***@mx.example.com:587?tls=required"
    with pytest.raises(TypeError):
        pickle.dumps(options)
    with pytest.raises(ConfigError) as caught:
        SmtpOptions.of({"host": "", "password": "hush-hush"})
    assert "hush" not in repr([frame.frame.f_locals for frame in caught.traceback[1:]])

"""Presets: the table's form, what a URL means by it, and that a login gets to no other host."""

from __future__ import annotations

import dataclasses
import re
import ssl
from pathlib import Path

import pytest
import trustme
from cases import each
from exchange import message, sent
from worlds import World

from mailer import ConfigError, Mailer, backend_from_url, register_backend
from mailer.backends.smtp import SmtpBackend
from mailer.runtime import address_literal
from mailer.smtp.auth import MECHANISMS
from mailer.smtp.presets import PRESETS, preset_of
from mailer.testing import ScriptedServer

HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}", re.ASCII)
PAGE = Path(__file__).parents[2] / "docs/reference/presets.md"


def endpoint(url: str):
    backend = backend_from_url(url)
    assert isinstance(backend, SmtpBackend)
    return backend.endpoint


def test_the_table_has_its_form() -> None:
    assert len(PRESETS) >= 40
    hosts = []
    for name, preset in PRESETS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name), name
        served = [preset.host.format(region="eu-west-1"), *preset.regions.values()]
        assert all(HOST.fullmatch(host) for host in served), name
        assert len(set(served)) == len(served), name
        assert preset.port in (465, 587), name
        assert preset.implicit_tls is (preset.port == 465), name
        assert preset.oauth2 in ("", *MECHANISMS), name
        assert not (preset.login and preset.oauth2), name
        if name != "pepipost":  # Netcore's former name
            hosts += served
    assert len(hosts) == len(set(hosts))


def test_every_preset_makes_a_backend_with_verified_tls() -> None:
    for name, preset in PRESETS.items():
        region = "?region=eu-west-1" if "{region}" in preset.host else ""
        login = "KEY-4711" if preset.login else "me%40x.test:pw-4711"
        url = f"smtp+{name}://{login}@default{region}"
        made = endpoint(url)
        assert (made.host, made.port) == (preset.host.format(region="eu-west-1"), preset.port)
        assert (made.implicit_tls, made.tls, made.verify) == (preset.port == 465, "required", True)
        user = {"": "me@x.test", "=": "KEY-4711"}.get(preset.login, preset.login)
        assert (made.username, made.password) == (user, "KEY-4711" if preset.login else "pw-4711")
        shown = str(backend_from_url(url))
        assert "4711" not in shown
        assert shown.startswith(f"smtp+{name}://")
        both = endpoint(f"smtp+{name}://user:pw-4711@default{region}")
        assert (both.host, both.username, both.password) == (made.host, "user", "pw-4711")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp+gmail://u:p@default", ("smtp.gmail.com", 465, True, "u", "p", "")),
        ("smtp+gmail://u:p@default:587", ("smtp.gmail.com", 587, False, "u", "p", "")),
        ("smtp+gmail://u:p@default?auth=plain", ("smtp.gmail.com", 465, True, "u", "p", "PLAIN")),
        ("smtp+gmail://u@default", ("smtp.gmail.com", 465, True, "u", None, "XOAUTH2")),
        ("smtp+gmail://u@default?auth=oauthbearer", ("smtp.gmail.com", 465, True, "u", None, "OAUTHBEARER")),
        ("smtp+outlook://u@default", ("smtp-mail.outlook.com", 587, False, "u", None, "XOAUTH2")),
        ("smtp+office365://u@default", ("smtp.office365.com", 587, False, "u", None, "XOAUTH2")),
        ("smtp+yahoo://u:p@default", ("smtp.mail.yahoo.com", 465, True, "u", "p", "")),
        ("smtp+sendgrid://KEY@default", ("smtp.sendgrid.net", 587, False, "apikey", "KEY", "")),
        ("smtp+sendgrid://apikey:KEY@default:465", ("smtp.sendgrid.net", 465, True, "apikey", "KEY", "")),
        ("smtp+sendgrid://KEY@default?region=eu", ("smtp.eu.sendgrid.net", 587, False, "apikey", "KEY", "")),
        ("smtp+resend://KEY@default", ("smtp.resend.com", 465, True, "resend", "KEY", "")),
        ("smtp+postmark://KEY@default", ("smtp.postmarkapp.com", 587, False, "KEY", "KEY", "")),
        ("smtp+postmark://KEY:KEY@default:2525", ("smtp.postmarkapp.com", 2525, False, "KEY", "KEY", "")),
        ("smtp+postmark://ACCESS:KEY@default", ("smtp.postmarkapp.com", 587, False, "ACCESS", "KEY", "")),
        ("smtp+sparkpost://SMTP_Injection%3AX-MSYS-SUBACCOUNT=7:KEY@default",
         ("smtp.sparkpostmail.com", 587, False, "SMTP_Injection:X-MSYS-SUBACCOUNT=7", "KEY", "")),
        ("smtp+mailgun://u:p@default?region=eu", ("smtp.eu.mailgun.org", 587, False, "u", "p", "")),
        ("smtp+ses://u:p@default?region=eu-west-1", ("email-smtp.eu-west-1.amazonaws.com", 587, False, "u", "p", "")),
        ("smtp://u@h.test?auth=xoauth2", ("h.test", 587, False, "u", None, "XOAUTH2")),
    ],
)  # fmt: skip
def test_what_a_url_means(url: str, expected: tuple[object, ...]) -> None:
    made = endpoint(url)
    assert (made.host, made.port, made.implicit_tls, made.username, made.password, made.auth) == expected
    assert made.tls == "required"


@each(
    ("url", "says"),
    [
        ("smtp+gmial://u:s3cret-pw@default", "did you mean 'smtp+gmail'"),
        ("smtp+mail.ru://u:s3cret-pw@default", "'smtp+mailru'"),
        ("smtp+web.de://u:s3cret-pw@default", "'smtp+webde'"),
        ("smtp+hotmail://u:s3cret-pw@default", "did you mean 'smtp+outlook'?"),
        ("smtp+sendgird://s3cret-pw@default", "'smtp+sendgrid'"),
        ("smtp+zzzz://u:s3cret-pw@default", "there are: 163, aol"),
        ("smtp+://u:s3cret-pw@default", "there is no preset"),
        ("smtp+gmail://u:s3cret-pw@evil.test", "the host is the service's own"),
        ("smtp+gmail://u:s3cret-pw@smtp.gmail.com", "write smtp+gmail://...@default"),
        ("smtp+gmail://u:s3cret-pw@", "the host is the service's own"),
        ("smtp+gmail:", "the host is the service's own"),
        ("smtp+gmail://default", "a login is needed"),
        ("smtp+gmail://u:@default", "a login is needed"),
        ("smtp+gmail://:s3cret-pw@default", "a login is needed"),
        ("smtp+gmx://s3cret-pw@default", "user and password"),
        ("smtp+gmail://s3cret-pw@default?auth=plain", "user and password"),
        ("smtp+gmail://u:s3cret-pw@default?tls=none", "required"),
        ("smtp+gmail://u:s3cret-pw@default?tls=opportunistic", "required"),
        ("smtp+gmail://u:s3cret-pw@default?region=eu", "no region 'eu'"),
        ("smtp+mailgun://u:s3cret-pw@default?region=us", "there are: eu"),
        ("smtp+ses://u:s3cret-pw@default", "say which region"),
        ("smtp+ses://u:s3cret-pw@default?region=evil.test/x", "must be a region's name"),
        ("smtp+ses://u:s3cret-pw@default?region=eu-west-1.evil-1", "must be a region's name"),
        ("smtp+gmail://u:s3cret-pw@default/path", "no path"),
        ("smtp+gmail://u:s3cret-pw@default?tiemout=3", "'timeout'"),
    ],
)
def test_what_cannot_be_is_refused_and_shows_no_secret(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        backend_from_url(url)
    assert "s3cret" not in str(caught.value)


def test_other_schemes_are_no_presets_and_a_plug_in_may_have_them() -> None:
    with pytest.raises(ConfigError, match="built in"):
        register_backend("smtp+gmail", lambda url, runtime: backend_from_url("null:"))
    assert [preset_of(scheme) for scheme in ("smtp", "smtps", "lmtp", "gmail")] == [None] * 4


GMAIL = """\
S: tls
S: 220 mx.google.com
C: EHLO [127.0.0.1]
S: 250-mx.google.com
S: 250 AUTH LOGIN PLAIN XOAUTH2
C: AUTH PLAIN AHUAcHctNDcxMQ==
S: 235 ok
C: MAIL FROM:<a@x.test>
S: 250 ok
C: RCPT TO:<b@y.test>
S: 250 ok
C: DATA
S: 354 go
C: <data>
S: 250 ok
C: QUIT
"""


def at(server: ScriptedServer, url: str, ca_file: str = "") -> SmtpBackend:
    """The backend of a preset whose host is on this machine, this once."""
    backend = backend_from_url(url)
    assert isinstance(backend, SmtpBackend)
    addresses = tuple(address_literal(server.host, server.port))
    backend.endpoint = dataclasses.replace(backend.endpoint, addresses=addresses, ca_file=ca_file or None)
    return backend


def test_a_preset_sends_to_its_host_by_its_name(world: World, ca: trustme.CA, ca_file: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("smtp.gmail.com").configure_cert(tls)
    with ScriptedServer(GMAIL, tls=tls) as server:
        with world.mailer(at(server, "smtp+gmail://u:pw-4711@default", ca_file)) as mailer:
            receipt, error = sent(mailer, message())
        assert error is None
        assert receipt.ok
        assert server.wait_idle()
        server.assert_clean()


def test_whoever_is_not_the_host_gets_no_login(ca_file: str, server_tls: ssl.SSLContext) -> None:
    with ScriptedServer(GMAIL, tls=server_tls) as server:  # its certificate is for localhost
        with Mailer(at(server, "smtp+gmail://u:pw-4711@default", ca_file)) as mailer:
            health = mailer.check()
        assert "smtp.gmail.com" in str(health.cause)
        assert server.wait_idle()
        assert not any("AUTH" in line for line in server.log)


def test_a_user_without_a_password_needs_tokens() -> None:
    with pytest.raises(ConfigError, match=r"no password.*tokens=TokenProvider"):
        Mailer("smtp+gmail://me%40x.test@default")
    with pytest.raises(ConfigError, match="no password"):
        Mailer("failover(null: smtp+gmail://me%40x.test@default)")
    with pytest.raises(ConfigError, match="has a password"):
        Mailer("smtp+gmail://me%40x.test:pw@default", tokens=lambda: "t")
    with pytest.raises(ConfigError, match="names no user"):
        Mailer("smtp://h.test", tokens=lambda: "t")
    for url in ("memory:", "postmark://KEY@default", "sendmail:"):
        with pytest.raises(ConfigError, match="no use for access tokens"):
            Mailer(url, tokens=lambda: "t")
    with pytest.raises(ConfigError, match="2 log in with them"):
        Mailer("failover(smtp+gmail://a@default smtp+outlook://a@default)", tokens=lambda: "t")
    with pytest.raises(ConfigError, match="not str"):
        Mailer("smtp+gmail://me@default", tokens="ya29.token")  # type: ignore[arg-type]
    mailer = Mailer("failover(smtp+gmail://a@default postmark://KEY@default)", tokens=lambda: "t")
    assert not mailer.backend.wants_tokens


def test_b44_a_plain_smtp_url_with_a_forgotten_password_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="user and password") as caught:
        backend_from_url("smtp://s3cret-pw@h.test")
    assert "s3cret" not in str(caught.value)


def test_the_page_is_the_table() -> None:
    rows = []
    for name, preset in PRESETS.items():
        login = {"": "user:password", "=": "KEY"}.get(preset.login, "KEY")
        region = "?region=NAME" if "{region}" in preset.host else ""
        hosts = f"`{preset.host.replace('{region}', 'NAME')}`"
        hosts += "".join(f", `region={region}`: `{host}`" for region, host in preset.regions.items())
        tls = "from the first byte" if preset.implicit_tls else "STARTTLS"
        fixed = {"": "", "=": "the key, twice"}.get(preset.login, f"`{preset.login}`")
        url = f"`smtp+{name}://{login}@default{region}`"
        rows.append(f"| {url} | {hosts} | {preset.port}, {tls} | {fixed} | {'yes' if preset.oauth2 else ''} |")
    found = [re.sub(r" +", " ", row) for row in re.findall(r"^\| `.*", PAGE.read_text(), re.M)]
    assert found == [re.sub(r" +", " ", row) for row in rows]

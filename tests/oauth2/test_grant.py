"""Grants and answers: what is posted, what is believed, and what is said when it is not. No socket."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any
from urllib.parse import quote

import pytest
from cases import each
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer import AuthError, ConfigError, TokenProvider, TransportError
from mailer.oauth2.answer import Refused, Tokens, answered, life_s
from mailer.oauth2.grant import ClientCredentialsGrant, Grant, RefreshTokenGrant, ServiceAccountGrant
from mailer.relay.exchange import Response

NOW = 1_764_000_000.5
URL = "https://tokens.test/token"
CONSENT = RefreshTokenGrant(
    token_url=URL, client_id="app", client_secret="s3cret-client", refresh_token="s3cret-refresh"
)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account(**changes: Any) -> dict[str, Any]:
    """A service account's key, as Google's console gives it out."""
    return {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k-1",
        "private_key": pem(KEY),
        "client_email": "robot@p.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        **changes,
    }


# --- what is posted ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "url", "form"),
    [
        (
            TokenProvider.refresh_token("google", client_id="app", client_secret="cs", refresh_token="rt"),
            "https://oauth2.googleapis.com/token",
            {"grant_type": "refresh_token", "refresh_token": "rt", "client_id": "app", "client_secret": "cs"},
        ),
        (
            TokenProvider.refresh_token("microsoft", client_id="app", refresh_token="rt", scope="a b"),
            "https://login.microsoftonline.com/common/oauth2/v2.0/token",
            {"grant_type": "refresh_token", "refresh_token": "rt", "client_id": "app", "scope": "a b"},
        ),
        (
            TokenProvider.client_credentials("microsoft", tenant="x.test", client_id="app", client_secret="cs"),
            "https://login.microsoftonline.com/x.test/oauth2/v2.0/token",
            {
                "grant_type": "client_credentials",
                "client_id": "app",
                "client_secret": "cs",
                "scope": "https://outlook.office365.com/.default",
            },
        ),
        (
            TokenProvider.client_credentials(URL, client_id="app", client_secret="cs", scope="mail"),
            URL,
            {"grant_type": "client_credentials", "client_id": "app", "client_secret": "cs", "scope": "mail"},
        ),
    ],
)
def test_the_form_of_each_grant(provider: TokenProvider, url: str, form: dict[str, str]) -> None:
    grant = provider._source
    assert isinstance(grant, Grant)
    assert (grant.token_url, grant.form(NOW, None)) == (url, form)
    if "refresh_token" in form:
        assert grant.form(NOW, "rt-2") == {**form, "refresh_token": "rt-2"}


def test_a_service_accounts_assertion_is_a_signed_jwt() -> None:
    """RFC 7523 section 2.1 and 3, RFC 7515 section 3.1; the signature is verified by the public key alone."""
    grant = ServiceAccountGrant.of(account(), subject="me@x.test")
    form = grant.form(NOW, None)
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert set(form) == {"grant_type", "assertion"}
    parts = form["assertion"].split(".")
    header, claims, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
    KEY.public_key().verify(signature, ".".join(parts[:2]).encode(), padding.PKCS1v15(), SHA256())
    assert "=" not in form["assertion"]
    assert json.loads(header) == {"alg": "RS256", "typ": "JWT", "kid": "k-1"}
    assert json.loads(claims) == {
        "iss": "robot@p.iam.gserviceaccount.com",
        "sub": "me@x.test",
        "scope": "https://mail.google.com/",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": 1_764_000_000,
        "exp": 1_764_003_600,
    }


def test_a_service_account_by_file_text_or_mapping(tmp_path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(account()))
    for key in (path, str(path), path.read_text(), account()):
        assert TokenProvider.service_account(key)._source.shown == {
            "service_account": "robot@p.iam.gserviceaccount.com"
        }


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://tokens.test/token",
        "http://127.0.0.1.evil.test/token",
        "http://localhost@evil.test/token",
        "https://user:s3cret-pw@tokens.test/",
        "https://tokens.test/#s3cret-frag",
        "https:///token",
        "https://tokens.test:0/",
        "https://tokens.test:99999/",
        "https://[::1/",
        "https://tokens.test/a b",
        "https://tokens.test/\r\nX: y",
        "https://tökens.test/",
        "ftp://tokens.test/",
    ],
)
def test_a_token_url_is_https_and_nothing_else(url: str) -> None:
    with pytest.raises(ConfigError, match="token server's URL must be") as caught:
        TokenProvider.refresh_token(url, client_id="app", refresh_token="s3cret-rt")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/t", "http://localhost/t", "http://[::1]:8/t", URL])
def test_http_is_for_this_machine(url: str) -> None:
    assert TokenProvider.refresh_token(url, client_id="app", refresh_token="rt")._source.shown["client_id"] == "app"


@each(
    ("make", "says"),
    [
        (lambda: TokenProvider.refresh_token("gogle", client_id="a", refresh_token="r"), "'google' or 'microsoft'"),
        (lambda: TokenProvider.refresh_token("google", client_id="a", refresh_token="r", tenant="t"), "no tenants"),
        (lambda: TokenProvider.refresh_token(URL, client_id="a", refresh_token="r", tenant="t"), "holds its own"),
        (lambda: TokenProvider.refresh_token("microsoft", client_id="a", refresh_token="r", tenant="a/b"), "tenant"),
        (lambda: TokenProvider.refresh_token("google", client_id="", refresh_token="r"), "client_id"),
        (lambda: TokenProvider.refresh_token("google", client_id="a", refresh_token=""), "refresh_token"),
        (lambda: TokenProvider.refresh_token("google", client_id="a", refresh_token="r\n"), "line break"),
        (lambda: TokenProvider.client_credentials("google", client_id="a", client_secret="s"), "service account"),
        (lambda: TokenProvider.client_credentials("microsoft", client_id="a", client_secret="s"), "one tenant"),
        (
            lambda: TokenProvider.client_credentials("microsoft", tenant="common", client_id="a", client_secret="s"),
            "one tenant",
        ),
        (lambda: TokenProvider("ya29.token"), "a callable or a grant"),  # type: ignore[arg-type]
        (lambda: TokenProvider(lambda: "t", cache="x"), "cache file is for grants"),
        (lambda: TokenProvider(lambda: "t", timeout_s=0), "timeout_s"),
        (lambda: TokenProvider.service_account("/no/such/file"), "cannot be read"),
        (lambda: TokenProvider.service_account("{"), "neither JSON"),
        (lambda: TokenProvider.service_account("[" * 100_000), "cannot be read"),
        (lambda: TokenProvider.service_account("{}"), "type 'service_account'"),
        (lambda: TokenProvider.service_account(account(type="authorized_user")), "type 'service_account'"),
        (lambda: TokenProvider.service_account(account(client_email=None)), "no client_email"),
        (lambda: TokenProvider.service_account(account(private_key="s3cret")), "not an RSA key"),
        (
            lambda: TokenProvider.service_account(account(private_key=pem(ec.generate_private_key(ec.SECP256R1())))),
            "not an RSA key",
        ),
        (lambda: TokenProvider.service_account(account(token_uri="http://evil.test")), "must be https"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        make()
    assert "s3cret" not in str(caught.value)


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigError, match=r"pip install 'mailwright\[crypto\]'"):
        TokenProvider.service_account(account())


# --- what is answered -------------------------------------------------------------------------------------------------


def response(status: int, body: Any, **headers: str) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


@pytest.mark.parametrize(
    ("body", "lifetime", "refresh"),
    [
        ({"access_token": "at", "token_type": "Bearer", "expires_in": 3599}, 3599, None),
        ({"access_token": "at", "token_type": "bearer", "expires_in": "3599"}, 3599, None),
        ({"access_token": "at"}, 300, None),
        ({"access_token": "at", "expires_in": True}, 300, None),
        ({"access_token": "at", "expires_in": "soon"}, 300, None),
        ({"access_token": "at", "expires_in": 10**400}, 300, None),
        ({"access_token": "at", "expires_in": -5}, 0, None),
        ({"access_token": "at", "expires_in": 1e300}, 31_536_000, None),
        ({"access_token": "at", "expires_in": 60, "refresh_token": "rt-2"}, 60, "rt-2"),
        ({"access_token": "at", "expires_in": 60, "refresh_token": ""}, 60, None),
        ({"access_token": "at", "expires_in": 60, "refresh_token": ["x"]}, 60, None),
    ],
)
def test_a_token_that_came(body: dict[str, Any], lifetime: float, refresh: str | None) -> None:
    got = answered(CONSENT, response(200, body), NOW)
    assert isinstance(got, Tokens)
    assert (got.access.value, got.access.expires_at, got.refresh_token) == ("at", NOW + lifetime, refresh)


def test_a_life_that_is_no_number() -> None:
    assert [life_s(said) for said in (float("nan"), float("inf"), "1e999", None, [], {})] == [300.0] * 6


@each(
    ("answer", "kind", "code", "says"),
    [
        (response(400, {"error": "invalid_grant"}), AuthError, "invalid_grant", "let the user consent again"),
        (
            response(400, {"error": "invalid_grant", "error_description": "AADSTS700082: expired.\r\nTrace ID: 1"}),
            AuthError,
            "invalid_grant",
            "400 invalid_grant (AADSTS700082: expired.); the refresh token has ended",
        ),
        (response(401, {"error": "invalid_client"}), AuthError, "invalid_client", "check client_id and client_secret"),
        (response(401, {"error": "unauthorized_client"}), AuthError, "unauthorized_client", "domain-wide delegation"),
        (response(400, {"error": "invalid_scope"}), AuthError, "invalid_scope", "check scope"),
        (response(400, {"error": "my_own"}), AuthError, "my_own", "400 my_own"),
        (response(200, {"error": "invalid_grant"}), AuthError, "invalid_grant", "200 invalid_grant"),
        (response(403, {"error": "\x1b[31m"}), AuthError, "", "403; that is no OAuth 2 answer"),
        (response(404, b"<html>"), AuthError, "", "404; that is no OAuth 2 answer: check the token server's URL"),
        (response(302, b"", location="https://evil.test/"), AuthError, "", "302; that is no OAuth 2 answer"),
        (response(400, [1]), AuthError, "", "no OAuth 2 answer"),
        (response(429, {"error": "slow"}, retry_after="30"), TransportError, "slow", "asks to wait 30 s"),
        (response(500, b"oops"), TransportError, "", "500; try later"),
        (response(503, {"error": "temporarily_unavailable"}), TransportError, "temporarily_unavailable", "try later"),
        (response(400, {"error": "temporarily_unavailable"}), TransportError, "temporarily_unavailable", "try later"),
        (response(200, b"<html>log in to the hotel"), TransportError, "", "holds none: check the token server's URL"),
        (response(200, {"access_token": ""}), TransportError, "", "holds none"),
        (response(200, {"access_token": "a b"}), TransportError, "", "holds none"),
        (response(200, {"access_token": "a\r\nQUIT"}), TransportError, "", "holds none"),
        (response(200, {"access_token": "a" * 20_000}), TransportError, "", "holds none"),
        (response(200, {"access_token": 7}), TransportError, "", "holds none"),
        (response(200, {"access_token": "a", "token_type": "mac"}), TransportError, "", "another kind than Bearer"),
        (response(200, b"[" * 100_000), TransportError, "", "holds none"),
    ],
)
def test_a_token_that_did_not_come(answer: Response, kind: type[Exception], code: str, says: str) -> None:
    got = answered(CONSENT, answer, NOW)
    assert isinstance(got, Refused)
    assert (type(got.error), got.code) == (kind, code)
    assert str(got.error).startswith("tokens.test gave no access token")
    assert says in str(got.error)
    assert str(got.error).isprintable()
    assert len(str(got.error)) < 500


@pytest.mark.parametrize("secret", ["s3cret-client", "s3cret-refresh", "s3cret-assertion"])
@pytest.mark.parametrize("echo", [str, quote, lambda text: base64.b64encode(text.encode()).decode(), str.upper])
def test_b45_what_the_server_says_back_is_hidden(secret: str, echo: Any) -> None:
    for body in ({"error": echo(secret)}, {"error": "e", "error_description": f"bad {echo(secret)} here"}):
        got = answered(CONSENT, response(400, body), NOW, ("s3cret-assertion",))
        assert isinstance(got, Refused)
        assert "cret" not in str(got.error).lower().replace("client_secret", "")
        assert echo(secret) not in str(got.error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
NAMES = ("access_token", "token_type", "expires_in", "refresh_token", "error", "error_description")


@settings(deadline=None)
@given(
    status=st.integers(100, 999),
    body=st.dictionaries(st.sampled_from(NAMES), JSON) | JSON,
    headers=st.dictionaries(st.just("retry-after"), st.text(max_size=9)),
)
def test_whatever_is_answered_is_a_token_or_one_of_two_errors(status: int, body: Any, headers: dict[str, str]) -> None:
    got = answered(CONSENT, Response(status, headers, json.dumps(body).encode()), NOW)
    if isinstance(got, Tokens):
        assert 200 <= status <= 299
        assert got.access.value.isascii()
        assert NOW <= (got.access.expires_at or 0) <= NOW + 31_536_000
    else:
        assert type(got.error) in (AuthError, TransportError)
        assert str(got.error).isprintable()


def test_no_grant_shows_its_secrets() -> None:
    robot = ServiceAccountGrant.of(account(), subject="me@x.test")
    app = ClientCredentialsGrant(token_url=URL, client_id="app", client_secret="s3cret-client")
    for grant in (CONSENT, robot, app):
        text = f"{grant!r} {grant} {grant.shown} {TokenProvider(grant)!r}"
        assert "s3cret" not in text
        assert "BEGIN" not in text
        with pytest.raises(TypeError, match="not pickled"):
            grant.__reduce__()
    assert repr(TokenProvider(CONSENT)) == (
        "<TokenProvider tokens.test client_id=app client_secret=*** refresh_token=***>"
    )

"""Access tokens for mailboxes behind an API: as the how-to has it, against a token server on loopback."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode

import pytest
from token_server import token_server

from mailer import Mailer, Message, TokenProvider
from mailer.testing import FakeRelay

MESSAGE = Message(from_="me@example.com", to="ann@example.org", subject="Hi", text="Hi")


def test_an_applications_token_by_settings_opens_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    with token_server() as server, FakeRelay("msgraph", token="at-1") as relay:
        for name, value in {
            "MAILER_URL": relay.url,
            "MAILER_OAUTH2__SERVICE": server.url,
            "MAILER_OAUTH2__CLIENT_ID": "app",
            "MAILER_OAUTH2__CLIENT_SECRET": "s3cret-of-app",
            "MAILER_OAUTH2__SCOPE": "https://graph.microsoft.com/.default",
        }.items():
            monkeypatch.setenv(name, value)
        with Mailer() as mailer:
            assert mailer.send(MESSAGE).ok
            assert mailer.check().ok
    [form] = server.forms
    assert (form["grant_type"], form["scope"]) == ("client_credentials", "https://graph.microsoft.com/.default")
    assert [request.headers["authorization"] for request in relay.requests] == ["Bearer at-1"] * 2


def test_a_service_accounts_token_opens_its_users_mailbox_in_gmail() -> None:
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(65537, 2048)
    private = made.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()).decode()
    with token_server() as server, FakeRelay("gmail", token="at-2") as relay:
        key = {
            "type": "service_account",
            "client_email": "robot@x.test",
            "private_key": private,
            "token_uri": server.url,
        }
        scope = "https://www.googleapis.com/auth/gmail.send"
        tokens = TokenProvider.service_account(key, subject="me@example.com", scope=scope)
        with Mailer(relay.url, tokens=tokens) as mailer:
            assert mailer.send(MESSAGE).ok  # the first token is refused
    for form in server.forms:
        claims = json.loads(urlsafe_b64decode(form["assertion"].split(".")[1] + "=="))
        assert (claims["sub"], claims["scope"], claims["iss"]) == ("me@example.com", scope, "robot@x.test")
    assert [request.headers["authorization"] for request in relay.requests] == ["Bearer at-1", "Bearer at-2"]
    assert {request.path for request in relay.requests} == {"/gmail/v1/users/me%40example.com/messages/send"}

"""The app's own tests, with the testing kit: ``python -m pytest`` in ``examples/flask_app`` runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from members import create_app
from members.mails import mail, news_mail

from mailer import ConfigError, Outcome
from mailer.testing import MailOutbox

ADDRESS = "ann@example.org"


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return create_app("testing", DATABASE=str(tmp_path / "members.sqlite"))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def member(client: FlaskClient, outbox: MailOutbox, address: str = ADDRESS) -> None:
    """Sign up, and follow the mail's link as its reader does."""
    client.post("/signup", data={"email": address, "password": "a password"})
    link = outbox.assert_sent(to=address, template="accounts/mail/confirm").link("/confirm/")
    assert b"your address?" in client.get(link).data
    assert b"Welcome!" in client.post(link).data


def test_signing_up_asks_the_owner_of_the_address(client: FlaskClient, mailer_outbox: MailOutbox) -> None:
    member(client, mailer_outbox)
    sent = mailer_outbox.assert_sent(subject="Confirm your address", from_="members@example.com", count=1)[0]
    assert sent.link("/confirm/").startswith("http://members.test/confirm/")
    client.post("/signup", data={"email": ADDRESS.upper(), "password": "another one"})  # tells nobody that there is one
    assert len(mailer_outbox) == 1


def test_a_link_confirms_its_own_password_alone(client: FlaskClient, mailer_outbox: MailOutbox) -> None:
    links = []
    for password in ("of a stranger", "of its owner"):  # who may sign up again, as the mail may have been lost
        client.post("/signup", data={"email": f"Ann <{ADDRESS}>", "password": password})
        links.append(mailer_outbox[-1].link("/confirm/"))
    assert [client.post(link).status_code for link in links] == [404, 200]
    assert client.post("/signup", data={"email": "bob@example.org", "password": "short"}).status_code == 400


def test_a_form_brings_no_second_recipient_in(client: FlaskClient, mailer_outbox: MailOutbox) -> None:
    for address in ("ann@example.org, eve@example.net", "ann@example.org\r\nBcc: eve@example.net", "nobody"):
        assert client.post("/signup", data={"email": address, "password": "a password"}).status_code == 400
    mailer_outbox.assert_nothing_sent()


def test_a_password_is_changed_once_by_its_mail(client: FlaskClient, mailer_outbox: MailOutbox) -> None:
    member(client, mailer_outbox)
    said = client.post("/forgot", data={"email": ADDRESS}).data
    link = mailer_outbox.assert_sent(to=ADDRESS, template="accounts/mail/reset", tags="reset").link("/reset/")
    assert client.post(link, data={"password": ""}).status_code == 400
    assert b"changed" in client.post(link, data={"password": "a new password"}).data
    assert client.post(link, data={"password": "a thief's"}).status_code == 404
    mailer_outbox.clear()
    assert client.post("/forgot", data={"email": "nobody@example.org"}).data == said
    mailer_outbox.assert_nothing_sent()


def test_news_go_to_readers_until_they_unsubscribe(app: Flask, client: FlaskClient, mailer_outbox: MailOutbox) -> None:
    member(client, mailer_outbox)
    member(client, mailer_outbox, "bob@example.org")
    client.post("/signup", data={"email": "not-yet@example.org", "password": "a password"})
    mailer_outbox.clear()
    mailer_outbox.fail_with(Outcome.REJECTED, to="bob@example.org", text="no such user")
    done = app.test_cli_runner().invoke(args=["news", "send", "May", "It is spring."])
    assert "1 sent" in done.output
    assert "bob@example.org: rejected no such user" in done.output
    letter = mailer_outbox.assert_sent(to=ADDRESS, subject="May", from_="news@example.com", text="It is spring.")
    unsubscribe = str(letter.parsed["List-Unsubscribe"]).strip("<>")
    assert client.post(unsubscribe, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    done = app.test_cli_runner().invoke(args=["news", "send", "June", "It is summer."])
    assert "0 sent" in done.output


def test_a_hard_bounce_stops_the_news(tmp_path: Path, mailer_outbox: MailOutbox) -> None:
    secret = "hook:a-long-secret"
    app = create_app("testing", DATABASE=str(tmp_path / "members.sqlite"), MAILER_WEBHOOKS={"postmark": secret})
    client = app.test_client()
    member(client, mailer_outbox)
    assert list(app.extensions["store"].readers()) == [ADDRESS]
    bounce = {"RecordType": "Bounce", "Type": "HardBounce", "Email": ADDRESS, "MessageID": "1"}
    answer = client.post(
        "/webhooks/postmark", data=json.dumps(bounce), auth=("hook", "a-long-secret"), content_type="application/json"
    )
    assert answer.status_code == 200
    assert list(app.extensions["store"].readers()) == []


def test_each_environment_has_its_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    database = {"DATABASE": str(tmp_path / "members.sqlite")}
    for name, backend in (("development", "console:"), ("testing", "memory:")):
        monkeypatch.setenv("APP_ENV", name)
        with create_app(**database).app_context():
            assert str(mail.mailer.backend) == str(news_mail.mailer.backend) == backend
    monkeypatch.setenv("APP_ENV", "prod")
    with pytest.raises(RuntimeError, match="there are development, testing, production"):
        create_app(**database)
    monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(ConfigError, match="MAILER_URL"):
        create_app(**database)
    for variable, value in {
        "MAILER_URL": "smtp://user:secret@smtp.example.com",
        "MAILER_MAILERS__NEWS__URL": "postmark://token@default",
        "MAILER_MAILERS__NEWS__PLUGINS__LIST_UNSUBSCRIBE__URL": "https://members.example.com/unsubscribe",
        "MAILER_MAILERS__NEWS__PLUGINS__LIST_UNSUBSCRIBE__SECRET": "0123456789abcdef0123456789abcdef",
        "SERVER_NAME": "members.example.com",
    }.items():
        monkeypatch.setenv(f"FLASK_{variable}", value)
    with pytest.raises(RuntimeError, match="FLASK_SECRET_KEY"):
        create_app(**database)
    monkeypatch.setenv("FLASK_SECRET_KEY", "a secret")
    with create_app(**database).app_context():
        assert str(mail.mailer.backend) == "smtp://user:***@smtp.example.com"
        assert str(news_mail.mailer.backend) == "postmark://***@default"

"""What an app serves and runs by the extension: webhooks, unsubscribe pages, tracking; ``flask mailer``."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request

from mailer import Address, ConfigError, Event, Message
from mailer.contrib.flask import FlaskMailer, signals

SECRET = "0123456789abcdef0123456789abcdef"
HOOK = "hook:a-long-secret"
BOUNCE = json.dumps({"RecordType": "Bounce", "Type": "HardBounce", "Email": "bob@example.org", "MessageID": "m-1"})
HEADERS = {"Authorization": "Basic " + base64.b64encode(HOOK.encode()).decode()}


def app_with(name: str = "shop", **config: Any) -> Flask:
    app = Flask(name)
    app.config.update({"MAILER_URL": "memory:", "MAILER_FROM": "shop@example.com", **config})
    return app


def listening(mail: FlaskMailer) -> list[Event]:
    events: list[Event] = []
    mail.mailer.hooks.add_action("event", lambda context: events.append(context.event))
    return events


class TestWebhooks:
    def test_a_provider_tells_the_apps_mailer(self) -> None:
        app = app_with()
        mail = FlaskMailer(app)
        app.register_blueprint(mail.webhooks_blueprint({"postmark": HOOK}, url_prefix="/hooks"))
        events, client = listening(mail), app.test_client()
        post = {"data": BOUNCE, "content_type": "application/json"}
        assert client.post("/hooks/postmark", headers=HEADERS, **post).status_code == 200
        [event] = events
        assert (event.kind, event.provider, str(event.recipient)) == ("bounced", "postmark", "bob@example.org")
        answers = {
            client.post("/hooks/postmark", **post).status_code: 401,
            client.post("/hooks/sendgrid", headers=HEADERS, **post).status_code: 404,
            client.put("/hooks/postmark", headers=HEADERS, **post).status_code: 405,
            client.post(
                "/hooks/postmark/", headers=HEADERS, data="{", content_type="application/json"
            ).status_code: 403,
            client.post("/hooks/postmark", headers=HEADERS, data="x", content_type="text/csv").status_code: 415,
        }
        assert all(given == wanted for given, wanted in answers.items())
        assert client.get("/hooks/postmark").status_code == client.head("/hooks/postmark").status_code == 200
        assert len(events) == 1

    def test_a_body_that_the_app_has_read_before_is_told_all_the_same(self) -> None:
        for name in ("get_data", "get_json"):
            app = app_with()
            app.before_request(lambda name=name: getattr(request, name)() and None)
            mail = FlaskMailer(app)
            app.register_blueprint(mail.webhooks_blueprint({"postmark": HOOK}))
            events = listening(mail)
            answer = app.test_client().post("/webhooks/postmark", headers=HEADERS, json=json.loads(BOUNCE))
            assert (answer.status_code, len(events)) == (200, 1)

    def test_a_form_that_the_app_has_read_before_is_told_all_the_same(self) -> None:
        app = app_with(MAILER_PLUGINS={"list_unsubscribe": {"url": "https://x.example/unsubscribe", "secret": SECRET}})
        app.before_request(lambda: request.form and None)
        mail = FlaskMailer(app)
        app.register_blueprint(mail.unsubscribe_blueprint())
        events = listening(mail)
        plugin: Any = mail.mailer.plugins["list_unsubscribe"]
        token = plugin.links.token(Address.parse("bob@example.org"), now_s=time.time())
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
            form = {"List-Unsubscribe": "One-Click"}
            answer = app.test_client().post(f"/unsubscribe/{token}", data=form, content_type=kind)
            assert answer.status_code == 200
        assert len(events) == 2

    def test_each_app_of_a_factory_has_its_own_secrets_and_mailer(self) -> None:
        mail, told = FlaskMailer(), []
        blueprint = mail.webhooks_blueprint()
        apps = [app_with(name, MAILER_WEBHOOKS={"POSTMARK": f"hook:{name}-secret-long"}) for name in ("one", "two")]
        for app in apps:
            mail.init_app(app)
            app.register_blueprint(blueprint)

        def receive(app: Flask, event: Event, **more: Any) -> None:
            told.append(app.name)

        signals.event_received.connect(receive)
        for app in apps:
            for name in ("one", "two"):
                headers = {"Authorization": "Basic " + base64.b64encode(f"hook:{name}-secret-long".encode()).decode()}
                app.test_client().post("/webhooks/postmark", json=json.loads(BOUNCE), headers=headers)
        signals.event_received.disconnect(receive)
        assert told == ["one", "two"]

    def test_what_is_wrong_is_known_at_the_start(self) -> None:
        mail = FlaskMailer(app := app_with())
        with pytest.raises(ConfigError, match="no webhooks of 'postmrk'; did you mean 'postmark'"):
            mail.webhooks_blueprint({"postmrk": HOOK})
        with pytest.raises(ConfigError, match="'shop': MAILER_WEBHOOKS must be a table"):
            app.register_blueprint(mail.webhooks_blueprint())
        with pytest.raises(ConfigError, match=r"'shop': this mailer has no plug-in 'tracking'"):
            app.register_blueprint(mail.tracking_blueprint())

    def test_a_named_mailer_may_be_told(self) -> None:
        app = app_with(MAILER_MAILERS={"news": {"from": "news@example.com"}})
        news = FlaskMailer(app, name="news")
        app.register_blueprint(news.webhooks_blueprint({"postmark": HOOK}))
        events, others = listening(news), listening(FlaskMailer(app))
        app.test_client().post("/webhooks/postmark", json=json.loads(BOUNCE), headers=HEADERS)
        assert (len(events), others) == (1, [])


def test_links_of_plugins_lead_to_their_blueprints() -> None:
    url = "https://shop.example.com"
    plugins = {
        "list_unsubscribe": {"url": f"{url}/unsubscribe", "secret": SECRET},
        "tracking": {"url": f"{url}/t", "secret": SECRET, "clicks": True},
    }
    app = app_with(MAILER_PLUGINS=plugins)
    mail = FlaskMailer(app)
    app.register_blueprint(mail.unsubscribe_blueprint())
    app.register_blueprint(mail.tracking_blueprint())
    events, client = listening(mail), app.test_client()
    mail.send(Message(to="bob@example.org", subject="News", text="x", html="<a href='https://example.org/x'>x</a>"))
    [sent] = mail.mailer.backend.mails  # type: ignore[attr-defined]
    html = sent.message.html
    link = html.partition("href=")[2][1:].partition(html.partition("href=")[2][0])[0]
    answer = client.get(link.removeprefix(url))
    assert (answer.status_code, answer.location) == (302, "https://example.org/x")
    unsubscribe = plugins["list_unsubscribe"]["url"]
    header = dict(sent.message.headers).get("List-Unsubscribe") or bytes(sent.content).decode()
    token = header.replace("\r\n ", "").partition(f"{unsubscribe}/")[2].partition(">")[0]
    assert b"Unsubscribe?" in client.get(f"/unsubscribe/{token}").data
    assert client.post(f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert [event.kind.value for event in events] == ["clicked", "unsubscribed"]
    assert client.get("/unsubscribe/nonsense").status_code == 404


class TestCommand:
    def run(self, app: Flask, *arguments: str) -> Any:
        return app.test_cli_runner().invoke(args=["mailer", *arguments])

    def test_it_sends_by_the_apps_mailer_with_its_hooks_and_templates(self, tmp_path: Path) -> None:
        (tmp_path / "templates").mkdir()
        (tmp_path / "templates" / "welcome.txt").write_text("Hello from {{ config.MAILER_FROM }}")
        app = Flask("shop", root_path=str(tmp_path))
        app.config.update(MAILER_URL="memory:", MAILER_FROM="shop@example.com", MAILER_MAILERS__NEWS__URL="null:")
        mail = FlaskMailer(app)
        mail.mailer.hooks.add_filter("message", lambda message, context: message.with_(subject="Changed by the app"))
        done = self.run(app, "send", "--to", "bob@example.org", "--template", "welcome")
        assert done.exit_code == 0, done.output
        [sent] = mail.mailer.backend.mails  # type: ignore[attr-defined]
        assert (sent.message.subject, sent.message.text) == ("Changed by the app", "Hello from shop@example.com")
        assert "null:" in self.run(app, "check", "--mailer", "news").output
        assert "message" in self.run(app, "hooks").output

    def test_it_shows_the_apps_config(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAILER_FROM", "environment@example.com")
        app = app_with(MAILER_URL=f"smtp://user:{SECRET}@smtp.example.com")
        FlaskMailer(app)
        shown = json.loads(self.run(app, "config", "--json").output)
        assert shown["url"] == {"value": "smtp://user:***@smtp.example.com", "source": "MAILER_URL"}
        assert shown["from"] == {"value": "shop@example.com", "source": "MAILER_FROM"}
        app.testing = True
        shown = json.loads(self.run(app, "config", "--json").output)
        assert shown["url"] == {"value": "memory:", "source": "TESTING, or MAILER_SUPPRESS_SEND"}

    def test_exit_codes_help_and_usage_are_the_commands_own(self) -> None:
        app = app_with()
        FlaskMailer(app)
        assert self.run(app, "send", "--to", "nobody", "--text", "x").exit_code == 65
        assert self.run(app, "check", "--mailer", "nobody").exit_code == 78
        assert self.run(app, "check", "smtp://127.0.0.1:1?tls=none").exit_code == 75
        assert self.run(app, "nonsense").exit_code == 64
        done = self.run(app, "--help")
        assert done.exit_code == 0
        assert "mailer [OPTIONS] COMMAND" in done.output
        assert "mailer" in app.test_cli_runner().invoke(args=["--help"]).output

    def test_a_command_of_the_app_is_left_alone(self) -> None:
        app = app_with()
        app.cli.command("mailer")(lambda: print("mine"))
        FlaskMailer(app)
        assert self.run(app).output == "mine\n"


def test_a_request_that_sends_sees_its_own_app() -> None:
    app = app_with()
    mail = FlaskMailer(app)

    @app.post("/orders")
    def order() -> str:
        mail.send(Message(to=request.form["to"], text="Hello"))
        return "ok"

    app.test_client().post("/orders", data={"to": "bob@example.org"})
    assert len(mail.mailer.backend.mails) == 1  # type: ignore[attr-defined]

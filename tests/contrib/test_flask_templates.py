"""Messages' templates where the app's own are."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from jinja2 import ChoiceLoader, DictLoader, FunctionLoader

from mailer import HookError, Message, TemplateError, Templates
from mailer.contrib.flask import FlaskMailer

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def folder_with(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, "utf-8")
    return path


def app_in(folder: Path, **config: Any) -> Flask:
    app = Flask("shop", root_path=str(folder))
    app.config.update({"MAILER_URL": "memory:", "MAILER_FROM": "shop@example.com", **config})
    return app


def rendered(mail: FlaskMailer, template: str = "welcome", **more: Any) -> Message:
    return mail.mailer.render(Message(to="bob@example.org", template=template, **more))


def test_the_apps_folder_with_parts_escaped_as_ever(tmp_path: Path) -> None:
    files = {
        "mails/welcome.subject.txt": "Hello {{ name }}",
        "mails/welcome.txt": "{% include 'mails/_name.html' %} & so on",
        "mails/welcome.html": "{% extends 'base.html' %}{% block body %}{% include 'mails/_name.html' %}{% endblock %}",
        "mails/welcome.de.html": "<p>Hallo {{ name }}</p>",
        "mails/_name.html": "{{ name }}",
        "base.html": "<b>{% block body %}{% endblock %}</b>",
    }
    app = app_in(folder_with(tmp_path / "templates", files).parent)
    message = rendered(FlaskMailer(app), "mails/welcome", context={"name": "Ann & <Bob>"})
    assert (message.subject, message.text) == ("Hello Ann & <Bob>", "Ann & <Bob> & so on")
    assert message.html == "<b>Ann &amp; &lt;Bob&gt;</b>"
    german = rendered(FlaskMailer(app), "mails/welcome", context={"name": "Ann"}, locale="de_AT")
    assert german.html == "<p>Hallo Ann</p>"


def test_blueprints_bring_theirs_also_when_registered_later_and_the_app_hides_them(tmp_path: Path) -> None:
    folder_with(tmp_path / "auth" / "mails", {"reset.txt": "from auth", "welcome.txt": "hidden {{ 1 }}"})
    folder_with(tmp_path / "shop" / "mails", {"reset.txt": "from shop", "order.txt": "your order"})
    app = app_in(tmp_path)
    mail = FlaskMailer(app)
    _ = mail.mailer
    with pytest.raises(TemplateError, match="no template 'reset': 'shop' has no folder 'templates', nor a blueprint"):
        rendered(mail, "reset")
    for name in ("auth", "shop"):
        app.register_blueprint(Blueprint(name, name, root_path=str(tmp_path / name), template_folder="mails"))
    assert rendered(mail, "reset").text == "from auth"
    assert rendered(mail, "order").text == "your order"
    app.jinja_env.auto_reload = True
    folder_with(tmp_path / "templates", {"welcome.txt": "{% extends 'welcome.txt' %}", "reset.txt": "from the app"})
    assert rendered(mail, "reset").text == "from the app"
    assert rendered(mail, "welcome").text == "hidden 1"
    with pytest.raises(TemplateError, match=r"no ordr.subject.txt.*did you mean 'order'"):
        rendered(mail, "ordr")


def test_places_of_the_setting_go_first_and_templates_made_by_hand_are_alone(tmp_path: Path) -> None:
    folder_with(tmp_path / "templates", {"welcome.txt": "app", "order.txt": "app"})
    folder_with(tmp_path / "mails", {"welcome.txt": "mails"})
    mail = FlaskMailer(app_in(tmp_path, MAILER_TEMPLATES=[tmp_path / "mails"]))
    assert (rendered(mail).text, rendered(mail, "order").text) == ("mails", "app")
    alone = FlaskMailer(app_in(tmp_path, MAILER_TEMPLATES=Templates(tmp_path / "mails")))
    with pytest.raises(TemplateError, match="there is no order"):
        rendered(alone, "order")


def test_loaders_of_any_kind(tmp_path: Path) -> None:
    files = {"welcome.txt": "first {{ 1 + 1 }}"}
    calls: list[str] = []

    def load(name: str) -> str | None:
        calls.append(name)
        return "<p>{{ who }}</p>" if name == "order.html" else None

    app = app_in(tmp_path)
    app.jinja_loader = ChoiceLoader([DictLoader(files), FunctionLoader(load)])
    mail = FlaskMailer(app)
    assert rendered(mail).text == "first 2"
    assert rendered(mail, "order", context={"who": "<Ann>"}).html == "<p>&lt;Ann&gt;</p>"
    app.config["TEMPLATES_AUTO_RELOAD"] = app.jinja_env.auto_reload = True
    mail = FlaskMailer(app)
    assert rendered(mail, "welcome").text == "first 2"
    with pytest.raises(TemplateError, match="DictLoader, FunctionLoader; did you mean 'welcome'"):
        rendered(mail, "welcom")


def test_a_changed_source_is_noticed_where_the_app_reloads(tmp_path: Path) -> None:
    for is_reloading in (True, False):
        files = {"welcome.txt": "first"}
        app = app_in(tmp_path, TEMPLATES_AUTO_RELOAD=is_reloading)
        app.jinja_loader = DictLoader(files)
        mail = FlaskMailer(app)
        assert rendered(mail).text == "first"
        files["welcome.txt"] = "second"
        assert rendered(mail).text == ("second" if is_reloading else "first")


def test_filters_globals_and_context_processors_are_the_apps(tmp_path: Path) -> None:
    text = "{{ name | shout }} {{ shop() }} {{ support }} {{ config.MAILER_FROM }} {{ of_blueprint | default('-') }}"
    text += "{% do 1 %}{{ '' if name is loud }}"
    app = app_in(folder_with(tmp_path / "templates", {"welcome.txt": text}).parent, SERVER_NAME="shop.example.com")
    mail, calls = FlaskMailer(app), []
    app.jinja_env.add_extension("jinja2.ext.do")
    app.jinja_env.add_extension("jinja2.ext.i18n")
    orders = Blueprint("orders", "orders")

    with pytest.raises(TemplateError, match="shout"):
        rendered(mail, context={"name": "ann"})

    @app.template_filter()
    def shout(value: str) -> str:
        return value.upper()

    @app.template_test()
    def loud(value: str) -> bool:
        return True

    @app.template_global()
    def shop() -> str:
        return "Shop"

    @app.context_processor
    def support() -> dict[str, Any]:
        calls.append(1)
        return {"support": "help@example.com", "name": "hidden"}

    @orders.context_processor
    def more() -> dict[str, Any]:
        return {"of_blueprint": "orders"}

    @orders.get("/order")
    def order() -> str:
        return rendered(mail, context={"name": "ann"}).text or ""

    app.register_blueprint(orders)
    assert rendered(mail, context={"name": "ann"}).text == "ANN Shop help@example.com shop@example.com -"
    assert app.test_client().get("/order").text == "ANN Shop help@example.com shop@example.com orders"
    assert rendered(mail, context={"name": "x", "support": "y"}).text == "X Shop y shop@example.com -"
    assert len(calls) == 3


def test_a_context_processor_that_needs_a_request_is_named(tmp_path: Path) -> None:
    app = app_in(folder_with(tmp_path / "templates", {"welcome.txt": "x"}).parent)
    mail = FlaskMailer(app)

    @app.context_processor
    def user() -> dict[str, Any]:
        return {"agent": request.user_agent}

    with pytest.raises(HookError, match=r"context processor .*user raised RuntimeError; there is no request here"):
        rendered(mail)


def test_a_mail_of_one_app_in_a_request_of_another_is_the_first_ones(tmp_path: Path) -> None:
    template = "{{ config.MAILER_FROM }} {{ name | default('-') }}"
    one = app_in(
        folder_with(tmp_path / "one" / "templates", {"welcome.txt": template}).parent, MAILER_FROM="one@b.test"
    )
    two = app_in(
        folder_with(tmp_path / "two" / "templates", {"welcome.txt": template}).parent, MAILER_FROM="two@b.test"
    )
    pages = [Blueprint("pages", "pages") for _ in range(2)]
    pages[0].context_processor(lambda: {"name": "of one"})
    pages[1].context_processor(lambda: {"name": "of two"})
    mail = FlaskMailer()
    for app in (one, two):
        mail.init_app(app)
    with one.app_context():
        ours = mail.mailer

    @pages[1].get("/")
    def page() -> list[str | None]:
        message = Message(to="bob@example.org", template="welcome")
        return [ours.render(message).text, mail.mailer.render(message).text]

    one.register_blueprint(pages[0])
    two.register_blueprint(pages[1])
    assert two.test_client().get("/").json == ["one@b.test -", "two@b.test of two"]


def test_apps_in_threads_do_not_mix(tmp_path: Path) -> None:
    """Requests of several apps at once, each of which also mails by the next app's named mailer."""
    folder_with(tmp_path / "templates", {"welcome.txt": "{{ name }} {{ url_for('order', number=number) }}"})
    mail, apps = FlaskMailer(), list[Flask]()
    named = {"MAILER_MAILERS": {"news": {"from": "news@example.com"}}}

    def order(number: int) -> str:
        message = Message(to="bob@example.org", template="welcome", context={"number": number})
        mail.send(message)
        here = apps.index(mail.app_mailers.app)  # type: ignore[arg-type]
        with apps[here - 1].app_context():
            mail.get("news").send(message)
        return str(here)

    for index in range(3):
        app = app_in(tmp_path, SERVER_NAME=f"shop{index}.test", **named)
        app.add_url_rule("/orders/<int:number>", "order", order)
        app.context_processor(lambda index=index: {"name": f"shop{index}"})
        mail.init_app(app)
        apps.append(app)
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda n: apps[n % 3].test_client().get(f"/orders/{n}").text, range(60))
        assert list(answers) == [str(number % 3) for number in range(60)]
    for index, app in enumerate(apps):
        for name, senders in (("default", {index}), ("news", {(index + 1) % 3})):
            mailer: Any = app.extensions["mailer.contrib.flask"].get(name)
            texts = [sent.message.text.split() for sent in mailer.backend.mails]
            assert len(texts) == 20
            assert {text[0] for text in texts} == {f"shop{index}"}
            assert {int(text[1].rpartition("/")[2]) % 3 for text in texts} == senders


class TestUrlFor:
    def app(self, tmp_path: Path, template: str, **config: Any) -> tuple[Flask, FlaskMailer]:
        app = app_in(folder_with(tmp_path / "templates", {"welcome.txt": template}).parent, **config)
        mail = FlaskMailer(app)
        app.add_url_rule("/confirm/<token>", "confirm", lambda token: rendered(mail).text)
        return app, mail

    def test_it_gives_whole_urls(self, tmp_path: Path) -> None:
        app, mail = self.app(
            tmp_path, "{{ url_for('confirm', token='t') }} {{ url_for('confirm', token=1, _external=0) }}"
        )
        assert app.test_client().get("/confirm/x", base_url="https://a.test").text == (
            "https://a.test/confirm/t /confirm/1"
        )
        with pytest.raises(TemplateError, match=r"line 1: url_for\(\) needs a request, or SERVER_NAME"):
            rendered(mail)
        app, mail = self.app(
            tmp_path, "{{ url_for('confirm', token='t') }}", SERVER_NAME="b.test", PREFERRED_URL_SCHEME="https"
        )
        texts: list[str | None] = []
        thread = threading.Thread(target=lambda: texts.append(rendered(mail).text))
        thread.start()
        thread.join()
        assert texts == ["https://b.test/confirm/t"]

    @pytest.mark.filterwarnings("ignore:Current server name")  # of older Werkzeugs
    def test_a_host_header_does_not_lead_mails_astray_where_the_config_names_the_host(self, tmp_path: Path) -> None:
        app, _ = self.app(tmp_path, "{{ url_for('confirm', token='t') }}", SERVER_NAME="b.test")
        answer = app.test_client().get("/confirm/x", base_url="http://evil.test")
        assert answer.status_code == 404 or answer.text == "http://b.test/confirm/t"

    def test_what_cannot_be_built_names_no_value(self, tmp_path: Path) -> None:
        _, mail = self.app(tmp_path, "{{ url_for('confrim', token=secret) }}", SERVER_NAME="b.test")
        with pytest.raises(TemplateError) as caught:
            rendered(mail, context={"secret": "S3cr3tT0ken"})
        assert "welcome.txt, line 1: url_for(): no route" in str(caught.value)
        assert "S3cr3tT0ken" not in str(caught.value)


def test_images_lie_beside_the_templates(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "templates", {"mails/welcome.html": "<img src=\"{{ image('dot.gif') }}\">"})
    (folder / "mails" / "dot.gif").write_bytes(PIXEL)
    mail = FlaskMailer(app_in(tmp_path))
    message = rendered(mail, "mails/welcome")
    [image] = message.attachments
    assert message.html == f'<img src="cid:{image.content_id}">'


def test_templates_check_and_tell_their_sources(tmp_path: Path) -> None:
    mail = FlaskMailer(app_in(folder_with(tmp_path / "templates", {"welcome.txt": "Hello", "page.html": "x"}).parent))
    templates = mail.mailer.templates
    assert templates is not None
    assert templates.check() == ("page.html", "welcome.txt")
    assert templates.sources("welcome") == {"welcome.txt": b"Hello"}
    folder_with(tmp_path / "templates", {"wrong.txt": "{% if %}"})
    with pytest.raises(TemplateError, match=r"wrong\.txt"):
        templates.check()

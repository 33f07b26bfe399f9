"""What app.config says: MAILER_ and MAIL_ keys, named mailers, TESTING."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
from flask import Flask

from mailer import ConfigError, DeliveryRefused, Hooks, Message, Settings
from mailer.contrib.flask import FlaskMailer
from mailer.plugin import Plugin
from mailer.testing import SecretSweep, SmtpServer

HELLO = Message(from_="shop@example.com", to="bob@example.org", subject="Hello", text="Hello")
SECRET = "S3cr3tT0ken"


def app_with(name: str = "shop", **config: Any) -> Flask:
    app = Flask(name)
    app.config.update(config)
    return app


def settings_with(**config: Any) -> Settings:
    settings = FlaskMailer(app_with(**config)).app_mailers.settings
    assert isinstance(settings, Settings)
    return settings


@pytest.fixture(autouse=True)
def an_environment_that_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("MAILER_FROM", "environment@example.com")
    monkeypatch.setenv("MAILER_PLUGINS", "nonsense")
    (tmp_path / "mailer.toml").write_text("nonsense = 1")
    monkeypatch.chdir(tmp_path)


class TestKeys:
    def test_each_setting_is_called_as_in_the_environment(self, tmp_path: Any) -> None:
        (tmp_path / "url").write_text("null:\n")
        settings = settings_with(
            MAILER_URL_FILE=str(tmp_path / "url"),
            MAILER_FROM=("Shop", "shop@example.com"),
            MAILER_RETRY__TRIES="5",
            MAILER_RETRY={"WITHIN_S": 3},
            MAILER_TEMPLATES=[tmp_path],
            MAILER_UNSUPPORTED="error",
            MAILER_PLUGINS={"footer": {"text": "The end"}, "text_part": None},
            MAILER_MAILERS={"NEWS": {"URL": "memory:"}, "bills": {"retry": "none"}},
            MAILER_MAILERS__BILLS__FROM="bills@example.com",
            MAILER_TRACE_HOOKS=True,
            SECRET_KEY="not ours",
        )
        assert settings.from_ == ["Shop <shop@example.com>"]
        assert settings.retry is not None
        assert (settings.retry.tries, settings.retry.within_s) == (5, 3.0)
        assert (str(settings.url), settings.unsupported, settings.trace_hooks) == ("null:", "error", True)
        assert settings.plugins.names == ("footer", "text_part")
        assert set(settings.names) == {"default", "bills", "news"}
        assert str(settings.of("news").url) == "memory:"
        assert (settings.of("bills").retry, settings.of("bills").from_) == (None, "bills@example.com")
        assert settings.origins["mailers.news.url"] == "MAILER_MAILERS.news.url"

    def test_what_from_prefixed_env_makes_is_understood(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {
            "FLASK_MAILER_URL": "memory:",
            "FLASK_MAILER_RETRY__TRIES": "4",
            "FLASK_MAILER_MAILERS__NEWS__FROM": "news@example.com",
            "FLASK_MAILER_PLUGINS__FOOTER__TEXT": "The end",
            "FLASK_MAILER_TRACE_HOOKS": "true",
        }.items():
            monkeypatch.setenv(name, value)
        app = Flask("shop")
        app.config.from_prefixed_env()
        settings = FlaskMailer(app).app_mailers.settings
        assert settings.retry is not None
        assert (settings.retry.tries, settings.of("news").from_, settings.trace_hooks) == (4, "news@example.com", True)
        assert settings.plugins.tables == {"footer": {"text": "The end"}}

    def test_variables_go_before_the_tables_that_they_lead_into(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = app_with(MAILER_URL="null:", MAILER_MAILERS={"news": {"url": "null:", "from": "n@example.com"}})
        app.config["MAILER_RETRY"] = {"tries": 3, "within_s": 9}
        monkeypatch.setenv("FLASK_MAILER_MAILERS__NEWS__URL", "console:")
        monkeypatch.setenv("FLASK_MAILER_RETRY__TRIES", "4")
        app.config.from_prefixed_env()
        settings = FlaskMailer(app).app_mailers.settings
        assert (str(settings.of("news").url), settings.of("news").from_) == ("console:", "n@example.com")
        assert settings.retry is not None
        assert (settings.retry.tries, settings.retry.within_s) == (4, 9.0)

    def test_none_and_empty_strings_are_not_given(self) -> None:
        settings = settings_with(MAILER_URL="memory:", MAILER_FROM=None, MAILER_TEMPLATES="", MAILER_RETRY=None)
        assert (settings.from_, settings.templates) == (None, None)
        assert settings.retry is not None

    def test_one_table_has_sections_and_single_keys_go_before_it(self) -> None:
        table = {"url": "null:", "from": "a@example.com", "live": {"url": "console:", "mailers": {"news": {}}}}
        assert str(settings_with(MAILER=table).url) == "null:"
        settings = settings_with(MAILER=table, MAILER_ENV="live", MAILER_FROM="b@example.com")
        assert (str(settings.url), settings.from_) == ("console:", "b@example.com")

    def test_settings_read_elsewhere_are_taken_whole(self) -> None:
        settings = Settings({"url": "memory:", "plugins": None}, _toml_file=None)
        app = app_with(MAILER=settings, MAILER_SUPPRESS_SEND=False)
        assert FlaskMailer(app).app_mailers.settings is settings
        with pytest.raises(ConfigError, match=r"'shop': MAILER is Settings, .*: leave out MAILER_URL"):
            FlaskMailer(app_with(MAILER=settings, MAILER_URL="null:"))

    @pytest.mark.parametrize(
        ("config", "text"),
        [
            ({"MAILER_ULR": "null:"}, "MAILER_ULR: there is no such setting; did you mean MAILER_URL"),
            ({"MAILER_SUPRESS_SEND": True}, "did you mean MAILER_SUPPRESS_SEND"),
            ({"MAILER_RETRY__TRY": 1}, "MAILER_RETRY__TRY: there is no such setting; did you mean MAILER_RETRY__TRIES"),
            ({"MAILER_RETRY": {"trys": 1}}, "MAILER_RETRY.trys: there is no such setting; did you mean 'tries'"),
            ({"MAILER_RETRY__TRIES": 0}, "MAILER_RETRY__TRIES: "),
            ({"MAILER_MAILERS": {"news": {"uri": "null:"}}}, "MAILER_MAILERS.news.uri: "),
            ({"MAILER_MAILERS": "news"}, "MAILER_MAILERS: must be a table, not str"),
            ({"MAILER_MAILERS": {"news": {"url": "null:"}}, "MAILER_MAILERS__NEWS__URL": "null:"}, "say the same"),
            ({"MAILER": {"urll": "null:"}}, "MAILER.urll: there is no such setting; did you mean 'url'"),
            ({"MAILER": "null:"}, "MAILER: must be a table or Settings, not str"),
            ({"MAILER_ENV": "live", "MAILER": {"url": "null:"}}, "MAILER_ENV: there is no section 'live'"),
            ({"MAILER_URL": "", "MAILER_URL_FILE": "/nowhere"}, "MAILER_URL_FILE: the file cannot be read"),
            ({"MAILER_URL": None, "MAILER_URL_FILE": 7}, "MAILER_URL_FILE: must be a file's name, not int"),
            ({"MAILER_URL": 7}, "MAILER_URL: must be a URL, not int"),
            ({"MAILER_PLUGINS": "fooder"}, "no plug-in 'fooder'"),
            ({"MAILER_PLUGINS": {"footer": {"text": "x", "txt": 1}}}, "MAILER_PLUGINS.footer.txt: there is no such"),
            ({"MAILER_SUPPRESS_SEND": "perhaps", "TESTING": True}, "MAILER_SUPPRESS_SEND='perhaps'"),
            ({"MAIL_USE_TLS": True, "MAIL_USE_SSL": True, "MAIL_SERVER": "h", "MAILER_URL": ""}, "MAIL_USE_SSL"),
            ({"MAIL_DEFAULT_SENDER": "nobody"}, "MAIL_DEFAULT_SENDER: "),
            ({"MAILER_URL": None, "MAILER_MAILERS__NEWS__FROM": "n@example.com"}, "set MAILER_URL"),
            (
                {"MAILER_URL": None, "MAILER_MAILERS": {"a": {"url": "null:"}, "b": {"from": "b@example.com"}}},
                "mailer 'b' has no url",
            ),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_what_is_wrong_fails_at_init_app_with_its_key_and_the_app(self, config: dict[str, Any], text: str) -> None:
        with pytest.raises(ConfigError) as caught:
            FlaskMailer(app_with(**{"MAILER_URL": "null:", **config}))
        assert "'shop'" in str(caught.value)
        assert text in str(caught.value)

    def test_no_secret_is_shown(self) -> None:
        app = app_with(MAILER_URL=f"smtp://user:{SECRET}@smtp.example.com", MAIL_PASSWORD=SECRET)
        mail = FlaskMailer(app)
        shown = [repr(mail), repr(mail.app_mailers), repr(mail.mailer), repr(mail.app_mailers.settings)]
        assert SECRET not in "".join(shown)
        for thing in (mail, mail.app_mailers):
            assert copy.deepcopy(thing) is thing
            with pytest.raises(TypeError):
                pickle.dumps(thing)
        with pytest.raises(ConfigError) as caught:
            FlaskMailer(app_with(MAILER_URL=f"smtp://user:{SECRET}@smtp.example.com?tsl=none"))
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize(
        "config",
        [
            {"MAILER_URL": f"smtp://user:{SECRET}@smtp.example.com?tsl=none"},
            {"MAILER_URL": f"smtp://user:{SECRET}@smtp.example.com", "MAILER_PLUGINS": {"nosuch": {"key": SECRET}}},
            {"MAILER_URL": "null:", "MAILER_MAILERS": {"news": {"url": f"nosuch://{SECRET}@default"}}},
            {"MAIL_SERVER": "h", "MAIL_USERNAME": "u", "MAIL_PASSWORD": SECRET, "MAIL_PORT": "none"},
            {"MAILER_URL": "null:", "MAILER_WEBHOOKS": {"postmark": "hook:a", "nosuch": SECRET}},
        ],
    )
    def test_no_secret_is_in_an_error_nor_in_our_frames(self, config: dict[str, Any]) -> None:
        sweep = SecretSweep([SECRET])
        with pytest.raises(ConfigError) as caught:
            app = Flask("shop")
            app.config.update(config)
            app.register_blueprint(FlaskMailer(app).webhooks_blueprint())
        sweep.show(caught.value)
        assert [leak for leak in sweep.leaks if "test_flask_config.py" not in leak] == []  # our own frame has it


class TestKeysOfFlaskMail:
    def test_they_count_where_no_key_of_ours_says_it(self) -> None:
        theirs = {"MAIL_SERVER": "smtp.example.com", "MAIL_DEFAULT_SENDER": ("Shop", "shop@example.com")}
        settings = settings_with(**theirs, MAIL_USE_TLS=True, MAIL_PORT=587, MAIL_USERNAME="u", MAIL_PASSWORD=SECRET)
        assert settings.url is not None
        assert settings.url.get_secret_value().startswith(f"smtp://u:{SECRET}@smtp.example.com:587?tls=required")
        assert settings.from_ == ["Shop <shop@example.com>"]
        ours = settings_with(**theirs, MAILER_URL="null:", MAILER_FROM="ours@example.com")
        assert (str(ours.url), ours.from_) == ("null:", "ours@example.com")
        mixed = settings_with(**theirs, MAILER_URL="null:", MAIL_PORT="nonsense")
        assert (str(mixed.url), mixed.from_) == ("null:", ["Shop <shop@example.com>"])
        pair = settings_with(MAIL_BACKEND="dummy", MAIL_DEFAULT_SENDER=["Shop", "shop@example.com"])  # of a variable
        assert pair.from_ == mixed.from_

    def test_they_lead_to_the_server(self) -> None:
        with SmtpServer(tls=None, users={"user": "secret"}) as server:
            config = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": server.port, "MAIL_DEFAULT_SENDER": "shop@example.com"}
            login = {"MAIL_USERNAME": "user", "MAIL_PASSWORD": "secret"}
            mail = FlaskMailer(app_with(**config, **login, MAIL_MAX_EMAILS=1))
            assert all([mail.send(HELLO.with_(from_=None)).ok for _ in range(2)])
            assert [one.message["From"] for one in server.mails] == ["shop@example.com"] * 2
            assert len([line for line in server.commands if line.startswith("EHLO")]) == 2
            mail.mailer.close()

    def test_named_mailers_take_their_server_too(self) -> None:
        settings = settings_with(MAIL_BACKEND="dummy", MAILER_MAILERS={"news": {"from": "news@example.com"}})
        assert str(settings.of("news").url) == "null:"

    def test_other_keys_alone_say_no_server(self) -> None:
        with pytest.raises(ConfigError, match="MAILER_URL"):
            FlaskMailer(app_with(MAIL_DEFAULT_SENDER="shop@example.com"))


class TestNamedMailers:
    CONFIG: dict[str, Any] = {  # noqa: RUF012
        "MAILER_URL": "memory:",
        "MAILER_FROM": "shop@example.com",
        "MAILER_MAILERS": {"news": {"from": "news@example.com"}, "bills": {"url": "null:"}},
    }

    def test_each_has_its_settings_and_hooks(self) -> None:
        app = app_with(**self.CONFIG)
        mail, news = FlaskMailer(app), FlaskMailer(app, name="news")
        assert mail.app_mailers is news.app_mailers
        assert set(mail.app_mailers.names) == {"default", "bills", "news"}
        assert news.mailer is mail.get("news") is mail.get("NEWS")
        assert len({id(mail.get(name).hooks) for name in mail.app_mailers.names}) == 3
        news.send(HELLO.with_(from_=None))
        [sent] = news.mailer.backend.mails  # type: ignore[attr-defined]
        assert str(sent.message.from_[0]) == "news@example.com"
        assert mail.mailer.backend.mails == []  # type: ignore[attr-defined]

    def test_unknown_names_are_refused_with_what_there_is(self) -> None:
        app = app_with(**self.CONFIG)
        with pytest.raises(ConfigError, match=r"'shop'.* no mailer 'mews'; did you mean 'news'"):
            FlaskMailer(app, name="mews")
        with pytest.raises(ConfigError, match="no mailer 'mews'"):
            FlaskMailer(app).get("mews")

    def test_there_may_be_named_ones_alone(self) -> None:
        app = app_with(MAILER_MAILERS={"news": {"url": "memory:"}})
        assert FlaskMailer(app, name="news").send(HELLO).ok
        with pytest.raises(ConfigError, match="no mailer 'default'; there are: news"):
            FlaskMailer(app)


class TestSeveral:
    def test_init_app_again_keeps_mailers_unless_the_config_has_changed(self) -> None:
        app = app_with(MAILER_URL="memory:")
        mail = FlaskMailer(app)
        first = mail.mailer
        first.hooks.add_action("sent", print, owner="kept")
        mail.init_app(app)
        FlaskMailer(app)
        assert mail.mailer is first
        app.config["MAILER_URL"] = "null:"
        mail.init_app(app)
        assert str(mail.mailer.backend) == "null:"
        assert app.extensions["mailer"] is mail.mailer

    def test_the_one_app_there_is_is_meant_in_threads_without_a_context(self) -> None:
        mail = FlaskMailer()
        one = app_with("one", MAILER_URL="memory:")
        mail.init_app(one)
        receipts: list[Any] = []
        thread = threading.Thread(target=lambda: receipts.append(mail.send(HELLO)))
        thread.start()
        thread.join()
        assert receipts[0].ok
        two = app_with("two", MAILER_URL="memory:")
        mail.init_app(two)
        with pytest.raises(ConfigError, match="push an application context"):
            mail.send(HELLO)
        with two.app_context():
            assert mail.send(HELLO).ok

    def test_a_burst_of_threads_shares_one_mailer(self) -> None:
        app = app_with(MAILER_URL="memory:", MAILER_MAILERS={"news": {"from": "n@example.com"}})
        mail = FlaskMailer(app)
        start, found = threading.Barrier(8), []

        def send() -> None:
            start.wait(30)
            with app.app_context():
                found.append(mail.get("news"))
                mail.send(HELLO)

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(mail.mailer.backend.mails) == 8  # type: ignore[attr-defined]

    def test_an_app_without_the_extension_is_told_to_have_it(self) -> None:
        mail = FlaskMailer(app_with(MAILER_URL="memory:"))
        with Flask("other").app_context(), pytest.raises(ConfigError, match="init_app for 'other'"):
            mail.get("news")


class Elsewhere(Plugin):  # type: ignore[type-arg]
    """A plug-in that leads to another backend."""

    name = "elsewhere"

    def register(self, hooks: Hooks) -> None:
        from mailer.backends.url import backend_from_url

        hooks.add_filter("backend", lambda backend, context: backend_from_url("smtp://127.0.0.1:1"))


class TestTesting:
    @pytest.mark.parametrize(
        ("config", "backend"),
        [
            ({"TESTING": True, "MAILER_URL": "smtp://127.0.0.1:1"}, "memory:"),
            ({"TESTING": True}, "memory:"),
            ({"TESTING": True, "MAIL_SERVER": "127.0.0.1"}, "memory:"),
            ({"TESTING": True, "MAILER_URL": "console:"}, "console:"),
            ({"TESTING": True, "MAILER_URL": "null:"}, "null:"),
            ({"TESTING": True, "MAILER_URL": "failover(null: null:)"}, "memory:"),
            ({"TESTING": True, "MAILER_SUPPRESS_SEND": False, "MAILER_URL": "smtp://h:1"}, "smtp://h:1"),
            ({"TESTING": True, "MAIL_SUPPRESS_SEND": "no", "MAILER_URL": "smtp://h:1"}, "smtp://h:1"),
            ({"MAILER_SUPPRESS_SEND": "yes", "MAILER_URL": "smtp://h:1"}, "memory:"),
            ({"MAILER_SUPPRESS_SEND": True, "MAILER_URL": "console:"}, "memory:"),
            ({"MAIL_SUPPRESS_SEND": True, "MAILER_SUPPRESS_SEND": False, "MAILER_URL": "smtp://h:1"}, "smtp://h:1"),
            ({"MAILER_URL": "smtp://h:1"}, "smtp://h:1"),
        ],
    )
    def test_nothing_leaves_unless_the_config_says_so(self, config: dict[str, Any], backend: str) -> None:
        assert str(FlaskMailer(app_with(**config)).mailer.backend) == backend

    def test_it_may_be_set_and_unset_later_and_hooks_stay(self) -> None:
        app = app_with(MAILER_URL="smtp://127.0.0.1:1", MAILER_PLUGINS=[Elsewhere, "text_part"])
        mail = FlaskMailer(app)
        sent: list[str] = []
        mail.mailer.hooks.add_action("sent", lambda context: sent.append(str(context.backend)))
        app.testing = True
        assert mail.send(HELLO).ok
        assert [str(one.envelope.recipients[0]) for one in mail.mailer.backend.mails] == ["bob@example.org"]  # type: ignore[attr-defined]
        assert sent == ["memory:"]
        assert "text_part" in mail.mailer.plugins
        app.testing = False
        assert str(mail.mailer.backend) == "smtp://127.0.0.1:1"

    def test_plugins_that_came_later_are_there_too(self) -> None:
        app = app_with(MAILER_URL="smtp://127.0.0.1:1")
        mail = FlaskMailer(app)
        mail.mailer.plugins.add(Elsewhere)
        app.testing = True
        assert mail.send(HELLO).ok
        assert "elsewhere" in mail.mailer.plugins

    def test_a_plugin_leads_nowhere_without_a_url_either(self) -> None:
        mail = FlaskMailer(app_with(TESTING=True, MAILER_PLUGINS=[Elsewhere]))
        assert mail.send(HELLO).ok
        assert len(mail.mailer.backend.mails) == 1  # type: ignore[attr-defined]

    def test_no_way_out_of_a_plugin_is_open(self) -> None:
        limit = {"rate": "1/h", "over": "overflow", "overflow": "smtp://127.0.0.1:1", "max_wait_s": 0}
        mail = FlaskMailer(
            app_with(MAILER_URL="smtp://127.0.0.1:1", TESTING=True, MAILER_PLUGINS={"rate_limit": limit})
        )
        assert [mail.send(HELLO).ok for _ in range(3)] == [True] * 3
        assert len(mail.mailer.backend.mails) == 3  # type: ignore[attr-defined]

    def test_plugins_before_the_backend_are_at_work(self) -> None:
        plugins = {"allow_list": {"allow": ["*@example.com"]}}
        mail = FlaskMailer(app_with(MAILER_URL="smtp://127.0.0.1:1", TESTING=True, MAILER_PLUGINS=plugins))
        with pytest.raises(DeliveryRefused, match="not on the allow list"):
            mail.send(HELLO)
        assert mail.mailer.backend.mails == []  # type: ignore[attr-defined]

    def test_without_a_url_it_is_silent_only_as_long_as_it_is_testing(self) -> None:
        app = app_with(TESTING=True, MAILER_MAILERS__NEWS__FROM="news@example.com")
        mail = FlaskMailer(app)
        assert mail.send(HELLO).ok
        assert mail.get("news").send(HELLO).ok
        app.testing = False
        with pytest.raises(ConfigError, match="MAILER_URL"):
            mail.send(HELLO)

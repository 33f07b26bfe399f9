"""Plug-ins: where they are found, settings, order, what becomes of those that fail, and taking them away."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

import mailer
from mailer import AsyncMailer, ConfigError, Hooks, Mailer, Message, Plugin, PluginSettings, Settings
from mailer.plugin_settings import PluginChoice
from mailer.plugins import BUILT_IN

SECRET = "S3cr3tT0ken"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("MAILER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class MarkSettings(PluginSettings):
    text: str = "!"
    places: tuple[str, ...] = ()
    extra: dict[str, int] = {}  # noqa: RUF012 - pydantic copies it
    key: SecretStr | None = None


class Mark(Plugin[MarkSettings]):
    """Writes its mark behind the subject."""

    name = "mark"
    version = "1.2"

    def register(self, hooks: Hooks) -> None:
        hooks.add_filter("message", self.marked)
        hooks.add_action("sent", self.seen)

    def marked(self, message: Message, context: Any) -> Message:
        return message.with_(subject=f"{message.subject}{self.settings.text}")

    def seen(self, context: Any) -> None:
        pass


def plugin(name: str, *requires: str, log: list[str] | None = None, **body: Any) -> type[Plugin]:
    """A class of this name, that notes when it is registered."""

    def register(self, hooks):
        if log is not None:
            log.append(name)
        hooks.add_filter("message", lambda message, context: message)

    return type(name, (Plugin,), {"name": name, "requires": requires, "register": register, **body})


async def waits(*args: Any) -> None:
    raise AssertionError


def subject(made: Mailer) -> str | None:
    return made.render(Message(from_="a@b.test", to="c@d.test", subject="s", text="t")).subject


def names(made: Mailer) -> list[str]:
    return [one.name for one in made.plugins]


@contextlib.contextmanager
def package(folder: Path, name: str, group: str, entry: str, source: str):
    """A package as pip installs it: a module, and metadata with an entry point."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    metadata = folder / f"{name}-3.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.1\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(name, None)


FOOTER = """
from mailer import Plugin, PluginSettings

class FooterSettings(PluginSettings):
    text: str

class Footer(Plugin[FooterSettings]):
    name = "ending"

    def register(self, hooks):
        hooks.add_filter("message", self.with_footer)

    def with_footer(self, message, context):
        return message.with_(subject=message.subject + self.settings.text)
"""


# --- where they come from ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [Mark, Mark(), [Mark], [Mark()], (Mark({"text": "!"}),), iter([Mark(MarkSettings(text="!"))])]
)
def test_classes_and_objects_are_taken(given):
    with Mailer("null:", plugins=given) as made:
        assert subject(made) == "s!"
        assert names(made) == ["mark"]
        assert made.plugins["mark"].settings == MarkSettings()


def test_an_installed_package_offers_one_and_both_faces_take_it(tmp_path):
    with package(tmp_path / "site", "shop_footer", "mailer.plugins", "ending = shop_footer:Footer", FOOTER):
        with Mailer("null:") as made:
            assert names(made) == []
            assert "shop_footer" not in sys.modules, "what is only installed is not run"
        for given in ({"ending": {"text": "?"}}, {"Ending": {"text": "?"}}):
            with Mailer("null:", plugins=given) as made:
                assert subject(made) == "s?"
        assert [one.name for one in AsyncMailer("null:", plugins={"ending": {"text": "?"}}).plugins] == ["ending"]
        with pytest.raises(ConfigError, match=r"no plug-in 'endng'; did you mean 'ending'\?"):
            Mailer("null:", plugins=["endng"])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("other = shop_footer:Footer", "'other': its entry point shop_footer:Footer leads to plug-in 'ending'"),
        ("other = shop_footer:FooterSettings", "leads to no Plugin"),
        ("other = shop_footer:Nothing", "'other' cannot be loaded: it raised AttributeError"),
        ("other = nowhere_at_all", "'other' cannot be loaded: it raised ModuleNotFoundError: .*nowhere_at_all"),
    ],
)
def test_an_entry_point_that_leads_astray_is_named(tmp_path, entry, said):
    with (
        package(tmp_path / "site", "shop_footer", "mailer.plugins", entry, FOOTER),
        pytest.raises(ConfigError, match=said),
    ):
        Mailer("null:", plugins="other")


def test_two_packages_that_offer_one_name_are_named(tmp_path):
    entry = "ending = shop_footer:Footer"
    with (
        package(tmp_path / "a", "shop_footer", "mailer.plugins", entry, FOOTER),
        package(tmp_path / "b", "other_footer", "mailer.plugins", entry, FOOTER),
        pytest.raises(ConfigError, match="offered by other_footer and shop_footer"),
    ):
        Mailer("null:", plugins="ending")


def test_a_package_neither_replaces_what_is_built_in_nor_is_passed_over(tmp_path):
    entry = "suppression = shop_footer:Footer"
    with (
        package(tmp_path, "shop_footer", "mailer.plugins", entry, FOOTER.replace("ending", "suppression")),
        pytest.raises(ConfigError, match="'suppression' is built in, and shop_footer offers another"),
    ):
        Mailer("null:", plugins="suppression")


def test_every_built_in_is_what_the_table_says():
    for name, kind in BUILT_IN.items():
        found = getattr(importlib.import_module(f"mailer.plugins.{name}"), kind)
        assert issubclass(found, Plugin)
        assert found.name == name


def test_a_backend_comes_by_an_entry_point(tmp_path, monkeypatch):
    monkeypatch.setattr("mailer.backends.url._registered", {})
    source = """
from mailer.backends.memory import MemoryBackend
def factory(url, runtime):
    return MemoryBackend()
number = 5
"""
    entries = "pigeon = loft:factory\nbad = loft:number\ngone = loft:nothing\nsmtp = loft:factory"
    with package(tmp_path / "site", "loft", "mailer.backends", entries, source):
        with Mailer("failover(pigeon://loft null:)") as made:
            assert made.send(Message(from_="a@b.test", to="c@d.test", text="t")).ok
        assert Settings(url="pigeon://loft").url is not None
        for url, said in (
            ("pigeno://x", "did you mean 'pigeon'"),
            ("bad://x", "bad: its entry point loft:number leads to no factory"),
            ("gone://x", "gone: loft:nothing cannot be loaded: AttributeError"),
        ):
            with pytest.raises(ConfigError, match=said):
                Mailer(url)
        assert type(Mailer("smtp://localhost").backend).__name__ == "SmtpBackend", "what is built in is not replaced"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([5], "not int"),
        ([int], "not int"),
        (b"x", "not bytes"),
        (5, "not int"),
        ({5: {}}, "a plug-in's name is a string"),
        ({"mark": 5}, r"plugins\.mark: must be a table of settings, not int"),
        ([Mark, Mark()], "'mark' is there twice"),
        (["dkmi"], "there is no plug-in 'dkmi'"),
        ([type("NoName", (Plugin,), {})], "a plug-in's name is of lower-case letters"),
        ([type("Bad", (Plugin,), {"name": "A-b"})], "name='A-b'"),
        ([type("Bad", (Plugin,), {"name": "bad", "requires": "mark"})], "requires must be a tuple of names"),
        ([type("Bad", (Plugin,), {"name": "bad", "version": 1})], "version must be a string"),
        ([type("Bad", (Plugin,), {"name": "bad", "settings_model": dict})], "settings_model must be a pydantic model"),
        ([plugin("late", register=waits)], "'late': register must be a plain function"),
        (
            [plugin("slip", register=lambda self, hooks: hooks.add_action("snet", print))],
            "'slip': there is no action hook",
        ),
        ([type("Bad", (Plugin,), {"name": "bad"})], "'bad': Bad has no register"),
    ],
)
def test_what_is_no_plugin_is_refused_with_the_reason(given, said):
    with pytest.raises(ConfigError, match=said):
        Mailer("null:", plugins=given)
    with pytest.raises(ConfigError, match="on_plugin_error='ignore'"):
        Mailer("null:", on_plugin_error="ignore")


# --- a folder ---------------------------------------------------------------------------------------------------------


def test_the_files_of_a_folder_are_plugins_before_the_others_and_leave_no_trace(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "b_footer.py").write_text(FOOTER.replace("text: str", "text: str = 'B'"))
    (folder / "a_head.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom mailer import Plugin as Base\n"
        "@dataclass\nclass Value:\n    x: int = 1\n"
        "class Head(Base):\n    name = 'head'\n    def register(self, hooks):\n"
        "        hooks.add_filter('message', lambda m, c: m.with_(subject=m.subject + 'A'))\n"
    )
    (folder / "_left_out.py").write_text("1 / 0")
    (folder / "notes.txt").write_text("1 / 0")
    before = list(sys.path)
    for _ in range(2):
        with Mailer("null:", plugin_folder=folder, plugins=[Mark]) as made:
            assert names(made) == ["head", "ending", "mark"]
            assert subject(made) == "sAB!"
    assert sys.path == before
    assert not (folder / "__pycache__").exists()
    with Mailer(settings={"url": "null:", "plugin_folder": str(folder), "plugins": {"ending": {"text": "?"}}}) as made:
        assert subject(made) == "sA?", "a table for a plug-in of the folder is its settings"


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_a_folder_or_file_that_anybody_may_write_is_refused(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    file = folder / "ending.py"
    file.write_text(FOOTER.replace("text: str", "text: str = ''"))
    (tmp_path / "link").symlink_to(folder)
    for open_to_all in (folder, tmp_path, file):
        mode = open_to_all.stat().st_mode
        open_to_all.chmod(mode | 0o002)
        for way in (folder, tmp_path / "link"):
            with pytest.raises(ConfigError, match=f"anybody may write.*{open_to_all.name}|{file}: anybody may write"):
                Mailer("null:", plugin_folder=way)
        made = Mailer("null:", plugin_folder=folder, on_plugin_error="disable")
        assert names(made) == []
        assert len(made.plugins.disabled) == 1
        open_to_all.chmod(mode)
    assert names(Mailer("null:", plugin_folder=tmp_path / "link")) == ["ending"]
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    file.rename(open_to_all / "ending.py")
    file.symlink_to(open_to_all / "ending.py")
    assert names(Mailer("null:", plugin_folder=folder)) == ["ending"]
    open_to_all.chmod(0o777)  # where a file of the folder leads to counts too
    with pytest.raises(ConfigError, match=rf"{file}: anybody may write in {open_to_all}"):
        Mailer("null:", plugin_folder=folder)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 5", r"must define one Plugin with a name, not 0"),
        (FOOTER + FOOTER.replace("Footer", "Other"), "not 2"),
        ("import nowhere_at_all", "nowhere_at_all"),
        ("def", "SyntaxError"),
        (f"raise ValueError('{SECRET}')", "raised ValueError$"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_a_file_that_is_no_plugin_is_named(tmp_path, source, said):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "bad.py").write_text(source)
    if said == "SystemExit":
        with pytest.raises(SystemExit):
            Mailer("null:", plugin_folder=folder)
        return
    with pytest.raises(ConfigError, match=said) as caught:
        Mailer("null:", plugin_folder=folder)
    assert "bad.py" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert any(name.startswith("mailer_plugin_bad") for name in sys.modules) is ("not" in said)
    for name in [name for name in sys.modules if name.startswith("mailer_plugin_bad")]:
        del sys.modules[name]


def test_a_folder_that_is_not_there_is_named():
    for folder in ("nowhere", "a\0b", ""):
        with pytest.raises(ConfigError, match=r"plugin_folder .* cannot be read"):
            Mailer("null:", plugin_folder=folder)


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugins", "wanted", "tables"),
    [
        ("a, b-c,", ["a", "b_c"], {}),
        (' ["a", "b-c"]', ["a", "b_c"], {}),
        (["a", "b"], ["a", "b"], {}),
        ({"a": {}, "b": {"x": 1}}, ["a", "b"], {"a": {}, "b": {"x": 1}}),
        ({"a": None, "b": True}, ["a", "b"], {"a": {}, "b": {}}),
    ],
)
def test_the_setting_is_names_or_tables(plugins, wanted, tables):
    choice = Settings({"plugins": plugins}).plugins
    assert list(choice.names) == wanted
    assert choice.tables == tables


@pytest.mark.parametrize("text", ['{"ending": {"text": "%s"}}', '{"ending": "%s"', '["%s"'])
def test_a_string_of_json_that_is_no_list_of_names_is_told_without_it(text, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAILER_URL", "null:")
    monkeypatch.setenv("MAILER_PLUGINS", text % SECRET)
    with pytest.raises(ConfigError) as caught:
        Mailer()
    assert "MAILER_PLUGINS__NAME__SETTING" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_names_and_tables_of_all_sources_come_together(monkeypatch, tmp_path):
    (tmp_path / "mailer.toml").write_text(
        "url = 'null:'\n[plugins.ending]\ntext = 'toml'\n[plugins.empty]\n[mailers.news.plugins.ending]\ntext = 'news'"
    )
    assert Settings().plugins.names == ("ending", "empty")
    monkeypatch.setenv("MAILER_PLUGINS__ENDING__TEXT", "variable")
    settings = Settings()
    assert settings.plugins.tables == {"ending": {"text": "variable"}, "empty": {}}
    assert settings.origins["plugins.ending.text"] == "MAILER_PLUGINS__ENDING__TEXT"
    assert settings.of("news").plugins.tables["ending"] == {"text": "news"}
    monkeypatch.setenv("MAILER_PLUGINS", "empty")
    monkeypatch.setenv("MAILER_ON_PLUGIN_ERROR", "disable")
    monkeypatch.setenv("MAILER_PLUGIN_FOLDER", "/somewhere")
    assert Settings(plugins="None").plugins.names == (), "none at all"
    settings = Settings()
    assert settings.plugins.names == ("empty",), "a list says which, and tables how"
    assert settings.plugins.tables["ending"] == {"text": "variable"}
    assert (settings.on_plugin_error, settings.plugin_folder) == ("disable", "/somewhere")
    rows = {name: (value, source) for name, value, source in settings.rows()}
    assert rows["plugins"] == (["empty"], "MAILER_PLUGINS")
    assert rows["plugins.ending.text"] == ("***", "MAILER_PLUGINS__ENDING__TEXT")


def test_a_mailer_takes_its_plugins_from_the_settings_and_its_own_count_more(tmp_path, monkeypatch):
    monkeypatch.setenv("MAILER_URL", "null:")
    monkeypatch.setenv("MAILER_PLUGINS", "ending")
    monkeypatch.setenv("MAILER_PLUGINS__ENDING__TEXT", "?")
    with package(tmp_path / "site", "shop_footer", "mailer.plugins", "ending = shop_footer:Footer", FOOTER):
        assert subject(Mailer()) == "s?"
        assert names(Mailer(plugins=[])) == []
        assert subject(Mailer(plugins=["ending", Mark])) == "s?!"
        assert subject(Mailer(plugins={"ending": {"text": "own"}})) == "sown"
        assert names(Mailer("null:")) == [], "a mailer with a URL reads nothing"
        mailer.configure()
        assert subject(mailer.get()) == "s?"
        monkeypatch.setenv("MAILER_PLUGINS__ENDING__TXET", "?")
        with pytest.raises(ConfigError, match=r"MAILER_PLUGINS__ENDING__TXET: .* did you mean 'text'"):
            mailer.configure()
        mailer.close()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"txet": "x"}, r"plugins\.mark\.txet: there is no such setting; did you mean 'text'\?"),
        ({"text": [SECRET]}, r"plugins\.mark\.text: must be a valid string"),
        ({"places": f"[{SECRET}"}, r"plugins\.mark\.places: is not JSON"),
        ({"extra": SECRET}, r"plugins\.mark\.extra: must be a valid dictionary"),
        ({"extra": '{"a": "' + SECRET + '"}'}, r"plugins\.mark\.extra\.a: must be a valid integer"),
        ({"key_file": "gone"}, r"plugins\.mark\.key_file: the file cannot be read"),
        ({"key_file": "k", "key": SECRET}, "say the same setting"),
        ({"key_file_file": "k"}, "there is no such setting"),
    ],
)
def test_wrong_settings_are_named_and_no_value_shown(table, said):
    for make in (lambda: Mark(table), lambda: Mark(**table), lambda: Mailer("null:", plugins=[Mark(table)])):
        with pytest.raises(ConfigError, match=said) as caught:
            make()
        assert SECRET not in str(caught.value)
        assert caught.value.__context__ is None


def test_a_wrong_setting_is_named_with_where_it_stood(tmp_path, monkeypatch):
    (tmp_path / "mailer.toml").write_text(
        "url = 'null:'\nplugins = 'mark'\n[mailers.news.plugins.mark]\nextra = {a = 'x'}\n"
    )
    monkeypatch.setenv("MAILER_PLUGINS__MARK__PLACES", "[x")
    monkeypatch.setattr("mailer.plugin_places.BUILT_IN", {"mark": "Mark"})
    monkeypatch.setitem(sys.modules, "mailer.plugins.mark", sys.modules[__name__])
    with pytest.raises(ConfigError, match=r"^MAILER_PLUGINS__MARK__PLACES: is not JSON"):
        Mailer()
    monkeypatch.setenv("MAILER_PLUGINS__MARK__PLACES", "x")
    assert names(Mailer()) == ["mark"]
    with pytest.raises(ConfigError, match=r"^mailer\.toml: mailers\.news\.plugins\.mark\.extra\.a: must be"):
        Mailer(name="news")
    (tmp_path / "key").write_text("k")
    monkeypatch.setenv("MAILER_PLUGINS__MARK__KEY_FILE", "key")
    monkeypatch.setenv("MAILER_PLUGINS__MARK__KEY", "k")
    with pytest.raises(ConfigError, match="MAILER_PLUGINS__MARK__KEY_FILE and MAILER_PLUGINS__MARK__KEY say the same"):
        Mailer()
    with pytest.raises(ConfigError, match=r"^plugins\.mark\.text: "):
        Mailer(plugins={"mark": {"text": 5}})


def test_unknown_settings_are_refused_whatever_the_model_ignores():
    class Lax(BaseModel):
        port: int = 1

    kind = plugin("lax", settings_model=Lax)
    with pytest.raises(ConfigError, match=r"plugins\.lax\.prot: .* did you mean 'port'"):
        kind(prot=1)
    with pytest.raises(ConfigError, match="takes a mapping of settings, not str"):
        kind("port")
    with pytest.raises(ConfigError, match=r"plugins\.bare\.x: there is no such setting; there are: none"):
        plugin("bare")(x=1)


def test_strings_of_variables_are_read_as_the_model_has_them(tmp_path):
    (tmp_path / "key").write_text(f"{SECRET}\n")
    made = Mark({"places": "a, b", "extra": '{"x": "1"}', "key_file": str(tmp_path / "key")})
    assert made.settings.places == ("a", "b")
    assert made.settings.extra == {"x": 1}
    assert made.settings.key is not None
    assert made.settings.key.get_secret_value() == SECRET
    assert Mark(places='["a,b"]').settings.places == ("a,b",)
    assert Mark(made.settings, text="?").settings.text == "?"
    assert Mark(made.settings).settings is made.settings


def test_a_table_for_a_plugin_that_there_is_not_is_a_slip():
    with pytest.raises(ConfigError, match="there is no plug-in 'dkmi'"):
        Mailer(settings={"url": "null:", "plugins": {"dkmi": {"x": 1}}})
    with pytest.raises(ConfigError, match=r"plugins\.\(no name\): a name here is of letters"):
        Settings({"plugins": {"+": "mark"}})
    with pytest.raises(ConfigError, match=r"plugins\.marc: there is no such plug-in; did you mean 'mark'"):
        Mailer(settings=Settings({"url": "null:", "plugins": {"marc": {}}}), plugins=[Mark])


def test_b43_nothing_shows_a_setting_of_a_plugin(caplog):
    settings = Settings({"url": "null:", "plugins": {"mark": {"key": SECRET, "text": SECRET}}})
    made = Mark(key=SECRET)
    shown = [repr(settings), settings.model_dump_json(), f"{settings.model_dump()}", repr(settings.rows()), repr(made)]
    assert SECRET not in "".join(shown)
    for value in (settings, made):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(value)
    assert pickle.loads(pickle.dumps(Settings({"plugins": "mark"}))).plugins == PluginChoice(("mark",))
    with pytest.raises(ConfigError) as caught:
        Mailer("null:", plugins=[Mark(key=SECRET), Mark])
    frames = [trace.tb_frame for trace in [caught.value.__traceback__] if trace]
    assert SECRET not in repr([frame.f_locals for frame in frames[1:]]) + caplog.text


# --- order and failure ------------------------------------------------------------------------------------------------


def test_what_is_required_is_registered_before_and_the_rest_as_given():
    log: list[str] = []
    kinds = [plugin(name, *needs, log=log) for name, *needs in (["c", "b"], ["x"], ["b", "a"], ["a"])]
    made = Mailer("null:", plugins=kinds)
    assert names(made) == log == ["a", "b", "c", "x"]


@pytest.mark.parametrize(
    ("kinds", "said", "left"),
    [
        ([("a", "b"), ("b", "a"), ("x",)], "requires itself: a -> b -> a", ["x"]),
        ([("a", "a"), ("x",)], "requires itself: a -> a", ["x"]),
        ([("a", "gone"), ("x", "y"), ("y",)], "'a' requires 'gone', which is not on: add it to plugins", ["y", "x"]),
        ([("a", "b"), ("b", "gone"), ("x",)], "'b' requires 'gone'", ["x"]),
    ],
)
def test_a_requirement_that_is_not_met_is_an_error_or_disables(kinds, said, left):
    made = [plugin(*one) for one in kinds]
    with pytest.raises(ConfigError, match=said):
        Mailer("null:", plugins=made)
    tolerant = Mailer("null:", plugins=made, on_plugin_error="disable")
    assert names(tolerant) == left
    assert tolerant.plugins.disabled.keys() == {name for name, *_ in kinds} - set(left)
    assert said in "; ".join(map(str, tolerant.plugins.disabled.values())).replace("\\", "") or "->" in said


def test_disable_reports_leaves_nothing_behind_and_goes_on(caplog):
    class Half(Plugin):
        name = "half"

        def register(self, hooks):
            hooks.add_filter("message", lambda message, context: message.with_(subject="half"))
            raise RuntimeError(SECRET)

    with pytest.raises(ConfigError, match=r"'half' cannot be loaded: it raised RuntimeError$"):
        Mailer("null:", plugins=[Half])
    with caplog.at_level(logging.ERROR, "mailer.plugins"):
        made = Mailer("null:", plugins=[Half, "gone", Mark, plugin("after", "half")], on_plugin_error="disable")
    hooks = Hooks()
    with pytest.raises(ConfigError):
        Mailer("null:", hooks=hooks, plugins=[Mark, Half])
    assert not hooks.has("message")
    assert subject(made) == "s!"
    assert names(made) == ["mark"]
    assert list(made.plugins.disabled) == ["gone", "half", "after"]
    assert "plug-in half is not on: plug-in 'half' cannot be loaded" in caplog.text
    assert {record.mailer_event for record in caplog.records} == {"plugin.disabled"}
    assert SECRET not in caplog.text


def test_an_async_hook_of_a_plugin_is_refused_by_a_blocking_mailer():
    async def waits(value, context):
        return value

    kind = plugin("waits", register=lambda self, hooks: hooks.add_filter("message", waits))
    with pytest.raises(ConfigError, match="AsyncMailer"):
        Mailer("null:", plugins=[kind])
    assert [one.name for one in AsyncMailer("null:", plugins=[kind]).plugins] == ["waits"]


# --- using ------------------------------------------------------------------------------------------------------------


def test_deactivation_removes_all_that_a_plugin_added_also_later_and_activation_brings_it_back():
    made = Mailer("null:", plugins=[Mark, plugin("needs", "mark")])
    own = made.hooks.add_filter("message", lambda message, context: message.with_(subject=message.subject + "."))
    kept = []
    made.plugins["mark"].register = lambda hooks: (kept.append(hooks), Mark.register(made.plugins["mark"], hooks))
    with pytest.raises(ConfigError, match="'mark' is required by needs"):
        made.plugins.deactivate("mark")
    made.plugins.deactivate("needs")
    made.plugins.deactivate("mark")
    assert subject(made) == "s."
    assert not made.hooks.has("sent")
    assert len(made.plugins) == 0
    with pytest.raises(ConfigError, match="'needs' requires 'mark': activate that first"):
        made.plugins.activate("needs")
    made.plugins.activate("mark")
    made.plugins.activate("mark")
    assert subject(made) == "s.!"
    kept[0].add_filter("headers", lambda headers, context: headers)
    made.plugins.deactivate("mark")
    assert not made.hooks.has("headers")
    assert made.hooks.has("message", own)
    with pytest.raises(ConfigError, match="no plug-in 'marc'; did you mean 'mark'"):
        made.plugins.deactivate("marc")
    assert "mark" in made.plugins
    assert not made.plugins.is_active("mark")


def test_two_mailers_of_one_registry_have_what_they_share_once_and_a_failure_takes_nothing_of_the_other():
    calls: list[str] = []
    shared = plugin("shared", register=lambda self, hooks: hooks.add_action("sent", lambda c: calls.append("shared")))()
    hooks = Hooks()
    first = Mailer("null:", hooks=hooks, plugins=[shared])
    for broken in (plugin("broken", register=waits), plugin("needs", "nothing")):
        with pytest.raises(ConfigError):
            Mailer("null:", hooks=hooks, plugins=[shared, plugin("own"), broken])
        assert {one.owner for one in hooks.registered()} == {"shared"}
    Mailer("null:", hooks=hooks, plugins=[shared])
    first.send(Message(from_="a@example.com", to="b@example.org", text="Hi"))
    assert calls == ["shared"]


def test_two_of_one_name_do_not_share_a_registry():
    hooks, mark = Hooks(), Mark()
    one = Mailer("null:", hooks=hooks, plugins=[mark])
    other = Mailer("null:", hooks=hooks, plugins=[mark])
    assert subject(other) == "s!", "the same one counts once"
    with pytest.raises(ConfigError, match="another 'mark' has hooks in this registry"):
        Mailer("null:", hooks=hooks, plugins=[Mark(text="?")])
    assert subject(one) == "s!"
    with pytest.raises(ConfigError, match="'bad' cannot be loaded"):
        Mailer("null:", hooks=hooks, plugins=[mark, plugin("new"), plugin("bad", register=lambda self, hooks: 1 / 0)])
    assert {entry.owner for entry in hooks.registered()} == {"mark"}
    assert subject(one) == "s!", "a mailer that was not made takes nothing from it"
    one.plugins.deactivate("mark")
    assert subject(Mailer("null:", hooks=hooks, plugins=[Mark(text="?")])) == "s?"


def test_an_object_may_say_its_name_itself():
    class Tag(Plugin):
        def __init__(self, name: str) -> None:
            self.name = name  # type: ignore[misc]

        def register(self, hooks: Hooks) -> None:
            hooks.add_filter("message", lambda m, c: m.with_(subject=m.subject + self.name))

    made = Mailer("null:", plugins=[Tag("a"), Tag("b")])
    assert subject(made) == "sab"
    made.plugins.deactivate("a")
    assert subject(made) == "sb"


def test_plugins_are_closed_with_their_mailer(world):
    closed = []

    class Plain(Plugin):
        name = "plain"

        def register(self, hooks):
            pass

        def close(self):
            closed.append(self.name)

    class Late(Plain):
        name = "late"
        requires = ("plain",)

        def close(self):
            super().close()
            raise RuntimeError("cannot be closed")

    class Waits(Plain):
        name = "waits"

        async def close(self):
            closed.append(self.name)

    with pytest.raises(RuntimeError), world.mailer("null:", plugins=[Late, Waits, Plain]) as made:
        assert made.send(Message(from_="a@b.test", to="c@d.test", text="t")).ok
        made.plugins.deactivate("waits")
    assert closed == ["waits", "late", "plain"], "all, and those that require others first"


def test_a_mailer_without_plugins_has_none():
    made = Mailer("null:")
    assert (list(made.plugins), repr(made.plugins)) == ([], "<Plugins none>")
    assert repr(Mailer("null:", plugins=[Mark]).plugins) == "<Plugins mark>"

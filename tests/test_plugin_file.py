"""The files of a plug-in folder, read before they are run, and switched on while the mailer is in use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mailer import ConfigError, Mailer, Message
from mailer.plugin_file import PluginFile, plugin_files

MARK = '''"""The module."""
from mailer import Plugin
RUN = []

class Mark(Plugin):
    """Writes its mark
    behind the subject.

    And more about it.
    """

    name: str = "mark"
    version = "1.2"
    requires = ["ending"]

    def register(self, hooks):
        hooks.add_filter("message", lambda message, context: message.with_(subject=message.subject + "!"))
'''
ENDING = MARK.replace("mark", "ending").replace("[]", "1 / 0").replace('["ending"]', "()").replace('"!"', '"."')


@pytest.fixture
def folder(tmp_path: Path):
    made = tmp_path / "plugins"
    made.mkdir()
    yield made
    for name in [name for name in sys.modules if name.startswith("mailer_plugin_")]:
        del sys.modules[name]


def subject(mailer: Mailer) -> str | None:
    return mailer.render(Message(from_="a@b.test", to="c@d.test", subject="s", text="t")).subject


def read(folder: Path, source: str | bytes) -> PluginFile:
    (folder / "one.py").write_bytes(source if isinstance(source, bytes) else source.encode())
    [file] = plugin_files(folder)
    return file


def test_a_file_says_who_it_is_and_nothing_of_it_is_run(folder):
    file = read(folder, "raise SystemExit\n" + MARK.replace('"""The module."""', ""))
    assert (file.name, file.version, file.requires, file.problem) == ("mark", "1.2", ("ending",), None)
    assert file.description == "Writes its mark behind the subject."
    assert file.path == folder / "one.py"
    with pytest.raises(ConfigError, match=r"one.py cannot be loaded: it raised SystemExit"):
        file.load()


def test_what_cannot_be_a_plugin_is_shown_with_its_problem_beside_the_others(folder):
    (folder / "ok.py").write_text(ENDING)
    for source, said in [
        ("def", "SyntaxError"),
        (b"\xff = 1", "SyntaxError"),
        (b"x = 1\0", "one.py cannot be loaded: (SyntaxError|ValueError)"),
        ("x = " + "(" * 5000, "one.py cannot be loaded: "),
        ("x = 5", "must define one Plugin with a name that is written out, not 0"),
        (MARK.replace('"mark"', '"ma" + "rk"'), "not 0"),
        (MARK + MARK, "not 2"),
        (ENDING, r"'ending' is there twice: ok.py has it too"),
    ]:
        (folder / "one.py").write_bytes(source if isinstance(source, bytes) else source.encode())
        with pytest.raises(ConfigError, match=said):
            plugin_files(folder)[1].load()
        assert [file.name for file in plugin_files(folder)] == ["ending", ""]
    (folder / "one.py").write_text(MARK)
    (folder / "one.py").chmod(0o666)
    assert "anybody may write to it" in (plugin_files(folder)[1].problem or "")
    with pytest.raises(ConfigError, match="cannot be read"):
        plugin_files(folder / "nowhere")


def test_what_a_file_raises_is_an_error_that_names_it_and_what_it_became_meanwhile(folder):
    for source, said in [
        (MARK.replace("[]", "1 / 0"), "one.py.* it raised ZeroDivisionError$"),
        ("import nowhere_at_all\n" + MARK, "one.py cannot be loaded: ModuleNotFoundError"),
        (MARK.replace("(Plugin)", ""), "must define one Plugin"),
    ]:
        with pytest.raises(ConfigError, match=said):
            read(folder, source).load()
    file = read(folder, MARK)
    read(folder, MARK.replace('"mark"', '"other"'))
    with pytest.raises(ConfigError, match="is the plug-in 'other' now, no more 'mark'"):
        file.load()


def test_plugins_come_and_go_while_the_mailer_is_in_use(folder):
    made = Mailer("null:")
    (folder / "b.py").write_text(MARK)
    [mark] = plugin_files(folder)
    with pytest.raises(ConfigError, match="'mark' requires 'ending': add or activate that first"):
        made.plugins.add(mark.load())
    with pytest.raises(ConfigError, match=r"a.py cannot be loaded: it raised ZeroDivisionError"):
        (folder / "a.py").write_text(ENDING)
        made.plugins.add(plugin_files(folder)[0].load())
    assert (len(made.plugins.loaded), subject(made)) == (0, "s")

    (folder / "a.py").write_text(ENDING.replace("1 / 0", "[]"))
    for file in plugin_files(folder):
        assert made.plugins.add(file.load()).name == file.name
    assert subject(made) == "s.!"
    with pytest.raises(ConfigError, match="has a plug-in 'mark': remove it first, or activate it"):
        made.plugins.add(mark.load())
    with pytest.raises(ConfigError, match="'ending' is required by mark"):
        made.plugins.remove("ending")
    assert made.plugins.remove("mark").version == "1.2"
    made.plugins.deactivate("ending")
    assert made.plugins.remove("ending").name == "ending"
    assert ("mark" in made.plugins, subject(made)) == (False, "s")
    with pytest.raises(ConfigError, match="no plug-in 'mark'"):
        made.plugins.remove("mark")

    (folder / "a.py").write_text(ENDING.replace("1 / 0", "[]").replace('"."', '"?"'))  # what it says by now
    made.plugins.add(plugin_files(folder)[0].load())
    assert subject(made) == "s?"


def test_one_is_added_by_name_with_settings_or_as_an_object_that_has_them():
    made = Mailer("null:")
    prefix = made.plugins.add("subject_prefix", {"prefix": "[test]"})
    assert subject(made) == "[test] s"
    made.plugins.remove("subject_prefix")
    with pytest.raises(ConfigError, match="'subject_prefix' has its settings already"):
        made.plugins.add(prefix, {"prefix": "[x]"})
    made.plugins.add(prefix)
    assert subject(made) == "[test] s"
    for given, settings, said in [
        ("nonsense", None, "no plug-in 'nonsense'"),
        ("footer", {"txt": "x"}, "did you mean 'text'"),
        (5, None, "must be names and Plugins"),
    ]:
        with pytest.raises(ConfigError, match=said):
            made.plugins.add(given, settings)
    assert [plugin.name for plugin in made.plugins.loaded] == ["subject_prefix"]

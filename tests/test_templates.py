"""Templates: parts, search path, locales, translations, images; and what an error must never say."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
import zipfile
from email import message_from_bytes, policy

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.attachment import Attachment
from mailer.errors import ConfigError, HookError, MessageError, TemplateError
from mailer.mailer import Mailer
from mailer.message import Message
from mailer.search_path import locale_tags, localised
from mailer.templates import Templates

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
SECRET = "s3cr3t-VALUE"


@pytest.fixture
def folder(tmp_path):
    """Write files: ``folder({"a.txt": "text"})`` gives the folder."""

    def write(files, root=tmp_path):
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return write


def said_by(error: BaseException) -> str:
    """Everything that the error, its chain and its traceback say."""
    texts, seen = ["".join(traceback.format_exception(error))], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        texts += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


# --- parts ------------------------------------------------------------------------------------------------------------


def test_b39_html_is_escaped_and_the_other_parts_are_not(folder, world):
    files = {"a.subject.txt": "{{ x }}", "a.txt": "{{ x }}", "a.html": "<p>{{ x }}</p>"}
    with world.mailer("memory:", from_="a@b.test", templates=folder(files)) as mailer:
        mailer.send(Message(to="c@d.test", template="a", context={"x": "<script>&"}))
        mail = message_from_bytes(bytes(mailer.backend.mails[0].content), policy=policy.default)
    assert mail["Subject"] == "<script>&"
    assert mail.get_body(("plain",)).get_content().strip() == "<script>&"
    assert mail.get_body(("html",)).get_content().strip() == "<p>&lt;script&gt;&amp;</p>"


def test_what_is_included_is_escaped_as_the_part_is(folder):
    files = {
        "a.html": '{% extends "base.txt" %}{% block b %}{% include "part.txt" %}{{ m.say(x) }}{% endblock %}',
        "base.txt": '{% import "macros.jinja" as m %}[{% block b scoped %}{% endblock %}]',
        "part.txt": "{{ x }}",
        "macros.jinja": "{% macro say(x) %}{{ x }}{% endmacro %}",
        "a.txt": '{% include "part.html" %}{% include "part.txt" %}',
        "part.html": "{{ x }}",
    }
    rendered = Templates(folder(files)).render(Message(template="a", context={"x": "<"}))
    assert rendered.html == "[&lt;&lt;]"
    assert rendered.text == "<<"


def test_the_rendered_message_is_ready(folder):
    templates = Templates(folder({"a.subject.txt": "\n  Hi {{ x }}\n", "a.html": "<b>{{ x }}</b>"}))
    message = Message(to="a@b.test", template="a", context={"x": "é"}, tags="t", locale="de")
    rendered = templates.render(message)
    assert rendered == Message(to="a@b.test", subject="Hi é", html="<b>é</b>", text="é", tags="t", locale="de")
    assert templates.render(rendered) == rendered
    assert templates.render(message, {"x": "other"}).subject == "Hi other"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ("S", "T", "H")),
        ({"subject": "own"}, ("own", "T", "H")),
        ({"text": "own"}, ("S", "own", "H")),
        ({"text": ""}, ("S", "", "H")),
        ({"text": False}, ("S", None, "H")),
        ({"html": "own"}, ("S", "T", "own")),
        ({"subject": "1", "text": "2", "html": "3"}, ("1", "2", "3")),
    ],
)
def test_what_the_message_gives_itself_wins(folder, given, wanted):
    templates = Templates(folder({"a.subject.txt": "S", "a.txt": "T", "a.html": "H"}))
    rendered = templates.render(Message(template="a", **given))
    assert (rendered.subject, rendered.text, rendered.html) == wanted


def test_a_part_that_the_message_gives_is_not_rendered(folder):
    templates = Templates(folder({"a.subject.txt": "S", "a.html": "{{ undefined }}"}))
    assert templates.render(Message(template="a", html="own")).html == "own"


def test_b42_the_text_is_derived_unless_there_is_one_or_it_is_turned_off(folder):
    root = folder({"a.html": "<p>Hello <a href='https://x.test'>you</a></p>", "b.subject.txt": "S"})
    message = Message(template="a")
    assert Templates(root).render(message).text == "Hello you [https://x.test]"
    assert Templates(root, text=False).render(message).text is None
    assert Templates(root).render(message.with_(text=False)).text is None
    assert Templates(root).render(Message(template="b", html="<i>own</i>")).text == "own"
    assert Templates(root).render(Message(template="b")).text is None


def test_text_false_survives_json_and_pickle_and_is_none_on_the_wire(world):
    message = Message(from_="a@b.test", to="c@d.test", text=False, html="<p>x")
    for copy in (
        Message.from_dict(json.loads(json.dumps(message.to_dict()))),
        pickle.loads(pickle.dumps(message)),
        message.with_(subject=""),
    ):
        assert copy == message
        assert copy.text is False
    with world.mailer("memory:") as mailer:
        mailer.send(message)
        [mail] = mailer.backend.mails
    assert mail.message.text is None
    assert b"Content-Type: text/html" in bytes(mail.content)
    assert b"text/plain" not in bytes(mail.content)


def test_a_line_with_only_a_tag_leaves_no_line_in_text(folder):
    source = (
        "Items:\n{% for i in items %}\n- {{ i }}{% if loop.last %}.{% endif %}\n{% endfor %}\n"
        "  {% set x = 1 %}  \n{# note #}Total {{ x }}\n{% raw %}\n{% if %}\n{% endraw %}end\n"
    )
    templates = Templates(folder({"a.txt": source, "a.html": "{% if 1 %}\n<p>\n{% endif %}"}))
    rendered = templates.render(Message(template="a", context={"items": ["a", "b"]}))
    assert rendered.text == "Items:\n- a\n- b.\nTotal 1\n\n{% if %}\nend\n"
    assert rendered.html == "\n<p>\n"


def test_line_numbers_count_the_lines_that_vanish(folder):
    source = "{% for i in [1] %}\r\n{% if true %}\n\n{{ nope }}\n{% endif %}\n{% endfor %}\n"
    with pytest.raises(TemplateError, match=r"a\.txt, line 4: 'nope'"):
        Templates(folder({"a.txt": source})).render(Message(template="a"))


# --- subject ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a\nb", "a\r\nBcc: x@y.test", "a\rb"])
def test_b40_a_subject_of_two_lines_is_an_error_that_names_the_template(folder, value):
    templates = Templates(folder({"a.subject.txt": "Hi {{ x }}", "b.subject.txt": "Hi {{ x | replace('\\n', ' ') }}"}))
    with pytest.raises(TemplateError, match=r"a\.subject\.txt: the subject is more than one line") as caught:
        templates.render(Message(template="a", context={"x": value}))
    assert "Bcc" not in said_by(caught.value)
    assert templates.render(Message(template="b", context={"x": "a\nb\n"})).subject == "Hi a b"


@pytest.mark.parametrize("part", ["subject.txt", "txt", "html"])
@pytest.mark.parametrize("bad", ["\0", "\ud800"])
def test_what_no_message_can_hold_is_an_error_that_names_the_template(folder, part, bad):
    templates = Templates(folder({f"a.{part}": "{{ x }}"}))
    with pytest.raises(TemplateError, match=rf"a\.{part}: ") as caught:
        templates.render(Message(template="a", context={"x": SECRET + bad}))
    assert SECRET not in said_by(caught.value)


# --- errors -----------------------------------------------------------------------------------------------------------


class Spiteful:
    """Says the secret wherever it can."""

    def __str__(self):
        raise ValueError(SECRET)

    __repr__ = __str__

    @property
    def attribute(self):
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise RuntimeError(SECRET) from error

    def __getitem__(self, key):
        raise LookupError(SECRET + str(key))


def broken_filter(value):
    raise ValueError(f"cannot use {value}")


def out_of_memory():
    raise MemoryError(SECRET)


RAISING = {
    # what the template does: what the error says
    "{{ nmae }}": r"a\.html, line 2: 'nmae' is undefined; did you mean 'name'\?",
    "{{ item.nothing }}": r"a\.html, line 2: 'nothing' is undefined in what is a dict",
    "{{ item[name] }}": r"a\.html, line 2: an item is undefined in what is a dict",
    "{% if nope %}{% endif %}": r"line 2: 'nope' is undefined",
    "{{ nope + 1 }}": r"line 2: 'nope' is undefined",
    "{{ name | broken }}": r"line 2: ValueError was raised in broken_filter \(test_templates.py, line \d+\)",
    "{{ name | int(base=99) + none }}": r"line 2: TypeError was raised",
    "{{ name + 1 }}": r"line 2: TypeError was raised",
    "{{ spiteful }}": r"line 2: ValueError was raised in __str__ \(test_templates.py",
    "{{ spiteful.attribute }}": r"line 2: RuntimeError was raised in attribute",
    "{{ spiteful['x'] }}": r"'x' is undefined in what is a Spiteful",
    "{{ memory() }}": r"line 2: MemoryError was raised in out_of_memory",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": r"line 2: goes too deep",
    "{% include 'a.html' %}": r"goes too deep",
    "{% include name %}": r"line 2: there is no template of the name it asks for",
    "{% include 'missing.html' %}": r"line 2: there is no template 'missing.html'",
    "{% from 'macros.html' import nope %}{{ nope() }}": r"line 2: 'nope' is undefined",
    "{{ name | format(1, 2) }}": r"line 2: TypeError was raised",
    "{{ 1 / 0 }}": r"line 2: ZeroDivisionError was raised",
    "{{ image(name) }}": r"line 2: image\(\): there is no such file",
    "{{ image('../' ~ name) }}": r"line 2: image\(\): the name is not relative",
    "{{ image(5) }}": r"line 2: image\(\) takes a file name, not int",
    "{{ image('a.html') }}": r"line 2: image\(\): text/html is no image",
    "{% trans n=name %}%(q)s{% endtrans %}{{ _('%(q)s') }}": r"line 2: KeyError was raised",
}


@pytest.mark.parametrize(("source", "wanted"), RAISING.items())
def test_b38_errors_name_template_line_and_variable_never_a_value(folder, source, wanted):
    templates = Templates(
        folder({"a.html": f"<p>\n{source}", "macros.html": ""}),
        filters={"broken": broken_filter},
        variables={"memory": out_of_memory},
    )
    context = {"name": SECRET, "item": {"x": SECRET}, "spiteful": Spiteful()}
    with pytest.raises(TemplateError, match=wanted) as caught:
        templates.render(Message(template="a", context=context))
    assert caught.value.field == "template"
    assert SECRET not in said_by(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_names_may_be_asked_for(folder):
    templates = Templates(folder({"a.txt": "{{ x is defined }} {{ x | default('none') }} {{ y.z is defined }}"}))
    assert templates.render(Message(template="a", context={"y": {}})).text == "False none False"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (b"{% if %}", r"a\.txt, line 1: Expected an expression"),
        (b"\n\n{{ x | nope }}", r"a\.txt, line 3: No filter named 'nope'"),
        (b"{% for %}", r"a\.txt, line 1: "),
        (b"ok\nGr\xfc\xdfe", r"a\.txt, line 2: is not UTF-8"),
        (b"{{ '" + b"(" * 9 + b"' }", r"a\.txt, line 1: "),
        (b"{{ " + b"(" * 5000, r"a\.txt: goes too deep"),
    ],
)
def test_b41_a_wrong_template_is_an_error_with_file_and_line(folder, source, wanted):
    templates = Templates(folder({"a.txt": source, "b.txt": "{% include 'a.txt' %}"}))
    for call in (lambda: templates.render(Message(template="a")), templates.check):
        with pytest.raises(TemplateError, match=wanted):
            call()
    with pytest.raises(
        TemplateError, match=wanted.replace(": goes", "(, line 1)?: goes").replace("a\\.txt", "[ab]\\.txt")
    ):
        templates.render(Message(template="b"))


def test_b41_a_missing_template_says_what_was_looked_for_and_what_is_near(folder):
    templates = Templates(folder({"welcome.de.html": "x", "welcome.txt": "y", "sub/bye.subject.txt": "z"}))
    assert templates.check() == ("sub/bye.subject.txt", "welcome.de.html", "welcome.txt")
    with pytest.raises(TemplateError, match=r"there is no welcmoe\.subject\.txt, .* or .*'welcome'\?") as caught:
        templates.render(Message(template="welcmoe", locale="de_AT"))
    assert "de_AT" in str(caught.value)
    with pytest.raises(TemplateError, match="'sub/bye'"):
        templates.render(Message(template="sub/buy"))
    with pytest.raises(TemplateError, match="without its ending: 'welcome'"):
        templates.render(Message(template="welcome.txt"))


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "a//b", "./a", "C:a", "a\\b", "a/", "..", "x\u0000y"])
def test_a_name_leads_nowhere_else(folder, name):
    root = folder({"a.txt": SECRET, "b.txt": SECRET, "in/x.txt": "ok"})
    with pytest.raises(MessageError) as caught:
        Templates(root / "in").render(Message(template=name))
    assert SECRET not in said_by(caught.value)


def test_byte_order_marks_are_dropped(folder):
    assert Templates(folder({"a.txt": b"\xef\xbb\xbfx"})).render(Message(template="a")).text == "x"


# --- search path ------------------------------------------------------------------------------------------------------


@pytest.fixture
def package(folder, tmp_path, monkeypatch):
    """An importable package with mails."""
    folder(
        {
            "templates_plugin/__init__.py": "",
            "templates_plugin/mails/a.subject.txt": "plug-in",
            "templates_plugin/mails/a.html": "<p>{% block body %}plug-in {{ 1 }}{% endblock %}</p>",
            "templates_plugin/mails/sub/logo.png": PNG,
            "templates_plugin/mails/sub/b.html": "{{ image('logo.png') }}",
        },
        tmp_path / "site",
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield "templates_plugin:mails"
    sys.modules.pop("templates_plugin", None)


@pytest.fixture
def zipped(package, tmp_path, monkeypatch):
    """The same in a zip file, with another name."""
    path = tmp_path / "zipped.zip"
    site = tmp_path / "site"
    with zipfile.ZipFile(path, "w") as file:
        for source in site.rglob("*"):
            if source.is_file():
                file.write(source, source.relative_to(site).as_posix().replace("templates_plugin", "templates_zipped"))
    monkeypatch.syspath_prepend(str(path))
    yield "templates_zipped:mails"
    sys.modules.pop("templates_zipped", None)


@pytest.mark.parametrize("kind", ["package", "zipped"])
def test_an_app_overrides_a_plug_in_part_by_part(folder, request, kind):
    plugin = request.getfixturevalue(kind)
    own = folder({"own/a.html": "{% extends 'a.html' %}{% block body %}own {{ super() }}{% endblock %}"}) / "own"
    for places in ([own, plugin], (str(own), plugin)):
        rendered = Templates.of(places).render(Message(template="a"))
        assert (rendered.subject, rendered.html) == ("plug-in", "<p>own plug-in 1</p>")
    assert Templates.of([plugin, own]).render(Message(template="a")).html == "<p>plug-in 1</p>"
    rendered = Templates(plugin).render(Message(template="sub/b"))
    assert rendered.html == "cid:logo.png"
    assert bytes(rendered.attachments[0]) == PNG
    with pytest.raises(TemplateError, match="did you mean 'sub/b'"):
        Templates(plugin).render(Message(template="sub/c"))


def test_with_several_places_an_error_says_which(folder, package):
    own = folder({"own/a.html": "{{ x }}"}) / "own"
    with pytest.raises(TemplateError, match=r"a\.html \(in .*own\), line 1: 'x'"):
        Templates([own, package]).render(Message(template="a"))


@pytest.mark.parametrize(
    ("places", "wanted"),
    [
        ("nowhere", "templates: there is no folder '.*nowhere'"),
        ("templates_plugin:nothing", "package 'templates_plugin' has no folder 'nothing'"),
        ("no_such_package:mails", "there is no package 'no_such_package'"),
        ("templates_plugin:../x", "must name a folder inside"),
        ([], "give at least one"),
        ([5], "a place is a path or 'package:folder', not int"),
        (b"x", "not int|not bytes"),
    ],
)
def test_a_place_that_is_not_there_is_an_error_at_once(package, world, places, wanted):
    with pytest.raises(ConfigError, match=wanted), world.mailer("memory:", templates=places):
        pass
    if places:
        with pytest.raises(ConfigError, match="translations: "):
            Templates(".", translations=places)


def test_a_link_inside_is_followed_and_one_that_leads_out_is_refused(folder, tmp_path):
    root = folder({"in/..data/a.txt": "inside", "out.txt": SECRET, "out.png": PNG, "in/c.html": "{{ image('b.png') }}"})
    root = root / "in"
    os.symlink("..data/a.txt", root / "a.txt")
    os.symlink("../out.txt", root / "b.txt")
    os.symlink("../out.png", root / "b.png")
    templates = Templates(root)
    assert templates.render(Message(template="a")).text == "inside"
    with pytest.raises(TemplateError, match=r"b\.txt cannot be read: it is a symbolic link out") as caught:
        templates.render(Message(template="b"))
    assert SECRET not in said_by(caught.value)
    with pytest.raises(TemplateError, match="leads out of"):
        templates.render(Message(template="c"))


@pytest.mark.parametrize("reload", [True, False])
def test_changes_are_seen_with_reload_only(folder, reload):
    root = folder({"a.txt": "one {% include 'b.txt' %}", "b.txt": "two"})
    templates = Templates(root, reload=reload)
    assert templates.render(Message(template="a", locale="de")).text == "one two"
    folder({"b.txt": "changed", "a.de.txt": "German {% include 'b.txt' %}"})
    expected = "German changed" if reload else "one two"
    assert templates.render(Message(template="a", locale="de")).text == expected


def test_a_template_is_compiled_once_whatever_the_locale(folder, monkeypatch):
    from jinja2 import Environment

    compiled = []
    original = Environment.compile

    def counted(self, source, *args, **keywords):
        compiled.append(source)
        return original(self, source, *args, **keywords)

    monkeypatch.setattr(Environment, "compile", counted)
    templates = Templates(folder({"a.html": "x{% include 'b.html' %}", "b.html": "y", "a.de.html": "z"}))
    for locale in [None, "de", "de_AT", "fr", None, "de"] * 3:
        templates.render(Message(template="a", locale=locale))
    assert sorted(compiled) == ["x{% include 'b.html' %}", "y", "z"]


# --- locales ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "tags"),
    [
        (None, ()),
        ("", ()),
        ("de", ("de",)),
        ("de_AT", ("de_AT", "de")),
        ("DE-at", ("de_AT", "de")),
        ("zh-hant-TW", ("zh_Hant_TW", "zh_Hant", "zh")),
        ("es_419", ("es_419", "es")),
    ],
)
def test_locales_are_read_in_any_spelling(locale, tags):
    assert locale_tags(locale) == tags


@pytest.mark.parametrize("locale", ["../de", "de_AT.UTF-8", "d", "de_", "english", "de,en;q=0.5", "dé", "de_AT\u2028"])
def test_what_is_no_locale_is_an_error(folder, locale):
    with pytest.raises(TemplateError, match="is not a locale") as caught:
        Templates(folder({"a.txt": "x"})).render(Message(template="a", locale=locale))
    assert caught.value.field == "locale"


def test_names_by_locale():
    assert localised("x/a.b.html", ("de_AT", "de")) == ("x/a.b.de_AT.html", "x/a.b.de.html", "x/a.b.html")
    assert localised("a.subject.txt", ("de",)) == ("a.de.subject.txt", "a.subject.txt")
    assert localised("plain", ("de",)) == ("plain.de", "plain")


def test_each_part_falls_back_by_itself(folder):
    templates = Templates(
        folder(
            {
                "a.subject.txt": "S",
                "a.de.subject.txt": "S de",
                "a.de_AT.txt": "T de_AT",
                "a.txt": "T",
                "a.html": "{% extends 'base.html' %}{% block b %}H {% include 'foot.html' %}{% endblock %}",
                "base.html": "<{% block b %}{% endblock %}>",
                "base.de.html": "<de {{ self.b() }}>",
                "foot.html": "foot",
                "foot.de_AT.html": "foot de_AT",
            }
        )
    )

    def parts(locale):
        rendered = templates.render(Message(template="a", locale=locale))
        return rendered.subject, rendered.text, rendered.html

    assert parts(None) == ("S", "T", "<H foot>")
    assert parts("fr") == ("S", "T", "<H foot>")
    assert parts("de") == ("S de", "T", "<de H foot>")
    assert parts("de-AT") == ("S de", "T de_AT", "<de H foot de_AT>")


def test_a_template_may_extend_the_one_that_it_hides(folder):
    root = folder(
        {
            "a.html": "[{% block b %}default{% endblock %}]",
            "a.de.html": "{% extends 'a.html' %}{% block b %}deutsch {{ super() }}{% endblock %}",
            "a.de_AT.html": "{% extends 'a.html' %}{% block b %}Servus {{ super() }}{% endblock %}",
        }
    )
    assert Templates(root).render(Message(template="a", locale="de_AT")).html == "[Servus deutsch default]"


def mo_file(messages):
    """A gettext catalogue; the format's own description: gettext.info, "MO Files"."""
    entries = sorted((key.encode(), value.encode()) for key, value in messages.items())
    keys = b"".join(key + b"\0" for key, _ in entries)
    start = 28 + 16 * len(entries)
    tables, values, at_key, at_value = [b"", b""], b"", start, start + len(keys)
    for key, value in entries:
        tables[0] += len(key).to_bytes(4, "little") + at_key.to_bytes(4, "little")
        tables[1] += len(value).to_bytes(4, "little") + at_value.to_bytes(4, "little")
        at_key, at_value, values = at_key + len(key) + 1, at_value + len(value) + 1, values + value + b"\0"
    numbers = (0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, start)
    return b"".join(n.to_bytes(4, "little") for n in numbers) + b"".join(tables) + keys + values


PLURALS = {"": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=n != 1;\n"}


def test_gettext_by_locale_with_fall_back(folder):
    root = folder(
        {
            "t/a.html": "{% trans name=name %}Hello {{ name }}{% endtrans %} {{ _('Bye') }} "
            "{% trans n=n %}{{ n }} item{% pluralize %}{{ n }} items{% endtrans %}",
            "t/a.txt": "{{ gettext('Bye') }}",
            "l/de/LC_MESSAGES/messages.mo": mo_file(
                {**PLURALS, "Hello %(name)s": "Grüß Gott <b>%(name)s</b>", "Bye": "Tschüß"}
                | {"%(n)s item\0%(n)s items": "%(n)s Stück\0%(n)s Stücke"}
            ),
            "l/de_AT/LC_MESSAGES/messages.mo": mo_file({**PLURALS, "Bye": "Baba"}),
            "l/fr/LC_MESSAGES/messages.mo": b"no catalogue",
        }
    )
    templates = Templates(root / "t", translations=root / "l")

    def parts(locale):
        rendered = templates.render(Message(template="a", locale=locale, context={"name": "<A>", "n": 2}))
        return rendered.html, rendered.text

    assert parts(None) == ("Hello &lt;A&gt; Bye 2 items", "Bye")
    assert parts("de") == ("Grüß Gott <b>&lt;A&gt;</b> Tschüß 2 Stücke", "Tschüß")
    assert parts("de_AT") == ("Grüß Gott <b>&lt;A&gt;</b> Baba 2 Stücke", "Baba")
    assert parts("it") == parts(None)
    with pytest.raises(ConfigError, match=r"fr/LC_MESSAGES/messages\.mo is not a gettext catalogue"):
        parts("fr")


def test_locales_do_not_mix_between_threads(folder):
    root = folder(
        {
            "t/a.txt": "{% for i in range(200) %}{{ _('Bye') }} {% include 'l.txt' %} {% endfor %}",
            "t/l.txt": "en",
            "t/l.de.txt": "de",
            "l/de/LC_MESSAGES/messages.mo": mo_file({**PLURALS, "Bye": "Tschüß"}),
        }
    )
    templates = Templates(root / "t", translations=root / "l")
    wrong, start = [], threading.Barrier(6)

    def work(locale, expected):
        start.wait()
        for _ in range(10):
            if set(templates.render(Message(template="a", locale=locale)).text.split()) != expected:
                wrong.append(locale)

    cases = [("de", {"Tschüß", "de"}), ("en", {"Bye", "en"}), (None, {"Bye", "en"})] * 2
    threads = [threading.Thread(target=work, args=case) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- images -----------------------------------------------------------------------------------------------------------


def test_an_image_is_attached_once_with_its_file_name_as_content_id(folder, world):
    root = folder(
        {
            "a.html": "{% from 'm.html' import logo %}<img src='{{ logo() }}'><img src=\"{{ image('img/ä b.png') }}\">"
            "{{ image('logo.png') }}",
            "m.html": "{% macro logo() %}{{ image('logo.png') }}{% endmacro %}",
            "logo.png": PNG,
            "img/ä b.png": PNG + b"2",
        }
    )
    with world.mailer("memory:", from_="a@b.test", templates=root) as mailer:
        message = Message(to="c@d.test", template="a", attachments=[Attachment.from_bytes("Logo.png", b"other")])
        mailer.send(message)
        mailer.send(message)
        mails = [mail.message for mail in mailer.backend.mails]
    [first, second] = mails
    assert first == second, "the same bytes each time"
    assert first.html == "<img src='cid:logo-2.png'><img src=\"cid:__b.png\">cid:logo-2.png"
    shown = [(a.name, a.content_id, a.inline, bytes(a)) for a in first.attachments[1:]]
    assert shown == [("logo-2.png", "logo-2.png", True, PNG), ("__b.png", "__b.png", True, PNG + b"2")]
    assert shown[0][1].isascii()


def test_images_follow_folder_and_locale(folder):
    templates = Templates(
        folder(
            {
                "shop/a.html": "{{ image('logo.png') }} {{ image('foot.png') }}",
                "shop/logo.de.png": b"shop de",
                "shop/logo.png": b"shop",
                "logo.png": b"root",
                "foot.png": b"foot",
            }
        )
    )

    def contents(locale):
        return [bytes(a) for a in templates.render(Message(template="shop/a", locale=locale)).attachments]

    assert contents(None) == [b"shop", b"foot"]
    assert contents("de_AT") == [b"shop de", b"foot"]


def test_an_image_elsewhere_than_in_html_is_an_error(folder):
    with pytest.raises(TemplateError, match="image\\(\\) is for the html part"):
        Templates(folder({"a.txt": "{{ image('a.png') }}", "a.png": PNG})).render(Message(template="a"))


def test_the_context_goes_before_what_every_template_sees(folder):
    templates = Templates(
        folder({"a.html": "{{ image }} {{ site }} {{ other }}"}), variables={"site": "S", "other": "O"}
    )
    assert templates.render(Message(template="a", context={"image": "x", "other": 1})).html == "x S 1"


# --- in a mailer ------------------------------------------------------------------------------------------------------


def test_render_runs_the_filters_and_sends_nothing(folder, world):
    with world.mailer("memory:", from_="a@b.test", templates=folder({"a.subject.txt": "{{ x }}{{ y }}"})) as mailer:
        seen = []
        mailer.hooks.add_filter("template_context", lambda value, context: {**value, "y": context.message.locale})
        mailer.hooks.add_filter("message", lambda message, context: message.with_(subject=message.subject + "!"))
        mailer.hooks.add_filter("recipients", lambda value, context: seen.append("recipients") or value)
        for name in ("sending", "sent", "failed"):
            mailer.hooks.add_action(name, lambda context: seen.append(context))
        rendered = mailer.render(Message(to="c@d.test", template="a", context={"x": 1}, locale="de"))
        assert (rendered.subject, str(rendered.from_[0])) == ("1de!", "a@b.test")
        assert mailer.render(Message(subject="plain")).subject == "plain!"
        assert seen == []
        assert mailer.backend.mails == []
        mailer.hooks.add_filter("template_context", lambda value, context: [1])
        with pytest.raises(HookError, match="template_context"):
            mailer.render(Message(template="a"))
        with pytest.raises(MessageError, match="Message"):
            mailer.render("a")


def test_without_templates_the_error_says_what_to_give(world):
    wanted = r"'welcome' in: give Mailer\(templates=\.\.\.\)"
    with world.mailer("memory:", from_="a@b.test") as mailer, pytest.raises(TemplateError, match=wanted):
        mailer.send(Message(to="c@d.test", template="welcome"))


class Huge:
    """Runs out of memory when it is shown."""

    def __str__(self):
        raise MemoryError(SECRET)


def endless():
    return endless()


POISON = {
    "a renderer that raises": {"x": 1, "do": lambda: 1 / 0},
    "an object that raises in __str__": {"x": Spiteful(), "do": str},
    "no memory": {"x": Huge(), "do": str},
    "recursion": {"x": 1, "do": endless},
    "an undefined name": {"x": 1},
}


@pytest.mark.parametrize("poison", POISON)
def test_f89_one_poisoned_message_among_a_hundred(folder, world, poison):
    templates = folder({"a.subject.txt": "{{ x }}{{ do() }}"})
    context = {"x": "fine", "do": str}
    messages = [
        Message(to=f"u{i}@d.test", template="a", context=POISON[poison] if i == 41 else context) for i in range(100)
    ]
    with world.mailer("memory:", from_="a@b.test", templates=templates) as mailer:
        receipts = mailer.send_many(messages)
        assert len(mailer.backend.mails) == 99
        assert [r.ok for r in receipts] == [i != 41 for i in range(100)]
        error = receipts[41].error
        assert isinstance(error, TemplateError)
        assert SECRET not in said_by(error)
        with pytest.raises(TemplateError):
            mailer.send(messages[41])


def test_a_long_render_does_not_block_the_loop(folder, async_world):
    """The template waits for what only the loop can do."""
    ticked = threading.Event()

    async def go(mailer):
        async def tick():
            ticked.set()

        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            return await mailer.wrapped.render(Message(template="a", context={"wait": lambda: ticked.wait(30)}))

    with async_world.mailer("memory:", templates=folder({"a.txt": "{{ wait() }}"})) as mailer:
        assert async_world.run(go, mailer).text == "True"


def test_merge_renders_once_for_each_recipient(folder, world):
    with world.mailer("memory:", from_="a@b.test", templates=folder({"a.subject.txt": "{{ x }} {{ y }}"})) as mailer:
        data = {f"u{i}@d.test": {"x": i} for i in range(3)}
        message = Message(to=list(data), template="a", context={"y": "same"}, merge_data=data)
        assert mailer.send(message).ok
        assert [mail.message.subject for mail in mailer.backend.mails] == ["0 same", "1 same", "2 same"]


def test_jinja2_is_loaded_with_the_first_template(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    code = (
        "import sys; from mailer import Mailer, Message, Templates\n"
        f"mailer = Mailer('memory:', from_='a@b.test', templates={str(tmp_path)!r})\n"
        "mailer.send(Message(to='c@d.test', text='x')); before = 'jinja2' in sys.modules\n"
        "mailer.send(Message(to='c@d.test', template='a')); print(before, 'jinja2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_one_templates_object_serves_several_mailers_and_threads(folder):
    templates = Templates(folder({"a.html": "{{ x }}{% include 'b.html' %}", "b.html": "{{ x }}"}))
    failures = []

    def work(number):
        with Mailer("memory:", from_="a@b.test", templates=templates) as mailer:
            for i in range(20):
                html = mailer.render(Message(template="a", context={"x": f"{number}.{i}"})).html
                if html != f"{number}.{i}" * 2:
                    failures.append(html)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_rendering_again_costs_a_small_part_of_the_first_time(folder):
    """Loading and compiling are done once: a ratio of CPU time, with room."""
    source = "".join(f"<p>{{{{ x{i} }}}} {{% if x{i} %}}yes{{% endif %}}</p>" for i in range(300))
    templates = Templates(folder({"a.html": source}))
    message = Message(template="a", context={f"x{i}": i for i in range(300)}, text=False)
    start = time.process_time()
    templates.render(message)
    first = time.process_time() - start
    start = time.process_time()
    for _ in range(10):
        templates.render(message)
    assert (time.process_time() - start) / 10 < first / 5


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.fixed_dictionaries({"x": TEXTS, "y": TEXTS}))
def test_any_value_is_escaped_in_html(tmp_path_factory, context):
    root = tmp_path_factory.getbasetemp() / "any-value"
    if not root.exists():
        root.mkdir()
        (root / "a.html").write_text("<p>{{ x }}</p>{{ y }}")
    html = Templates(root, text=False).render(Message(template="a", context=context)).html
    assert html.count("<") == html.count(">") == 2

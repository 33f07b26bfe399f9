"""Messages rendered by Django's engine: the same files and parts as by ours, and Django's own tags and languages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django_project
import pytest
from django.template import engines
from django.test import override_settings
from django.utils import translation

from mailer import ConfigError, Mailer, Message, TemplateError
from mailer.contrib.django.engine import DjangoTemplates

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Write a template into the folder that Django looks in."""
    engine = engines["django"].engine
    [own] = engine.dirs
    assert own == django_project.TEMPLATES
    engine.dirs[:] = [tmp_path]

    def write(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    yield write
    engine.dirs[:] = [own]


def rendered(**fields: Any) -> Message:
    with Mailer("null:", templates=DjangoTemplates()) as mailer:
        return mailer.render(Message(**fields))


def test_each_part_is_escaped_as_it_must_be(write: Callable[..., Path]) -> None:
    write("shop/row.inc", "[{{ name }}]")
    for ending in ("subject.txt", "txt", "html"):
        write(f"shop/welcome.{ending}", "Hi {{ name }} {% include 'shop/row.inc' %}\n")
    message = rendered(template="shop/welcome", context={"name": "<Ann & Bob>"})
    assert message.subject == "Hi <Ann & Bob> [<Ann & Bob>]"
    assert message.text == "Hi <Ann & Bob> [<Ann & Bob>]\n"
    assert message.html == "Hi &lt;Ann &amp; Bob&gt; [&lt;Ann &amp; Bob&gt;]\n"
    assert message.template is None


def test_the_text_part_is_derived_and_what_the_message_gives_wins(write: Callable[..., Path]) -> None:
    write("news.html", "<p>Hi <b>{{ name }}</b></p>")
    write("news.subject.txt", "{% broken")
    message = rendered(template="news", subject="News", context={"name": "Ann"})
    assert (message.subject, message.text.strip()) == ("News", "Hi Ann")
    assert rendered(template="news", subject="News", text=False).text is None


def test_a_locale_chooses_files_and_is_active_while_they_are_rendered(write: Callable[..., Path]) -> None:
    write("hi.txt", "{% load i18n %}{% get_current_language as now %}{{ now }} {{ locale }} {{ number|floatformat:1 }}")
    write("hi.de.subject.txt", "Hallo")
    write("hi.subject.txt", "Hello")
    with translation.override("de"):
        plain = rendered(template="hi", context={"number": 1.5})
    german = rendered(template="hi", locale="de_AT", context={"number": 1.5})
    foreign = rendered(template="hi", locale="zu", context={"number": 1.5})
    assert (plain.subject, plain.text) == ("Hello", "de None 1,5")
    assert (german.subject, german.text) == ("Hallo", "de-at de_AT 1,5")
    assert (foreign.subject, foreign.text) == ("Hello", "en-us zu 1.5")
    assert translation.get_language() == "en-us"


def test_images_lie_beside_the_templates(write: Callable[..., Path], tmp_path: Path) -> None:
    write("shop/logo.png", PNG)
    shown = '{% load mailwright %}<img src="{% image name %}"><img src="{% image name %}">'
    write("shop/pic.html", shown)
    write("shop/pic2.txt", shown)
    (tmp_path.parent / "outside.png").write_bytes(PNG)
    message = rendered(template="shop/pic", context={"name": "logo.png"})
    assert message.html == '<img src="cid:logo.png"><img src="cid:logo.png">'
    [attachment] = message.attachments
    assert (attachment.content_id, attachment.inline, bytes(attachment.content)) == ("logo.png", True, PNG)
    for name in ("none.png", "pic.html", "../outside.png", "../../outside.png", "/etc/passwd"):
        with pytest.raises(TemplateError, match=r"shop/pic.html, line 1: image\(\)"):
            rendered(template="shop/pic", context={"name": name})
    with pytest.raises(TemplateError, match="is for the html part"):
        rendered(template="shop/pic2", context={"name": "logo.png"})


class Secret:
    @property
    def boom(self) -> str:
        raise ValueError("s3cret")

    def __str__(self) -> str:
        raise ValueError("s3cret")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n{{ value }}", "bad.txt, line 2: ValueError was raised"),
        ("a\n{{ value.boom }}", "bad.txt, line 2: ValueError was raised"),
        ("a\n\n{% if %}", "bad.txt, line 3: Unexpected end of expression in if tag."),
        ("{{ name|nofilter }}", "bad.txt, line 1: Invalid filter: 'nofilter'"),
        ("{% load cache %}{% cache name x %}{% endcache %}", "bad.txt, line 1: django.template.exceptions."),
        ("{% include 'gone.txt' %}", "bad.txt, line 1: there is no template 'gone.txt'"),
        ("{% include name %}", "bad.txt, line 1: there is no template of the name it asks for"),
        ("{% include 'deep.inc' %}", "deep.inc, line 2: ValueError was raised"),
        ("{% include 'bad.txt' %}", "bad.txt, line 1: goes too deep"),
        (b"\xff", "bad.txt: is not UTF-8"),
    ],
    ids=str,
)
def test_an_error_names_template_and_line_and_no_value(text: Any, said: str, write: Callable[..., Path]) -> None:
    write("deep.inc", "\n{{ value }}")
    write("bad.txt", text)
    with pytest.raises(TemplateError, match=re.escape(f"template: {said}")) as caught:
        rendered(template="bad", context={"value": Secret(), "name": "s3cret.txt"})
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_name_without_files_is_told(write: Callable[..., Path]) -> None:
    write("welcome.html", "Hi")
    with pytest.raises(TemplateError, match=r"find no welcome\.html\.subject\.txt, .*; give the name .*: 'welcome'"):
        rendered(template="welcome.html")
    with pytest.raises(TemplateError, match=r"or nothing\.html \(nor for the locale de\)"):
        rendered(template="nothing", locale="de")
    with pytest.raises(TemplateError, match="is not a name"):
        rendered(template="../welcome")


def test_sources_are_those_of_all_parts_and_languages(write: Callable[..., Path]) -> None:
    write("hi.html", "Hi")
    write("hi.de.html", "Hallo")
    assert DjangoTemplates().sources("hi") == {"hi.html": b"Hi", "hi.de.html": b"Hallo"}
    with pytest.raises(TemplateError, match="find no other"):
        DjangoTemplates().sources("other")


def test_an_engine_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="no DjangoTemplates engine of the NAME 'jinja2'"):
        DjangoTemplates("jinja2").has("x", ())
    with override_settings(TEMPLATES=[]), pytest.raises(ConfigError, match="no DjangoTemplates engine"):
        DjangoTemplates().has("x", ())

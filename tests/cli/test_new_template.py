"""The starter: what the command writes, and that mails made from it are well-formed, small and readable anywhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailer.cli import cli
from mailer.cli.new_template import starter_files
from mailer.mailer import Mailer
from mailer.message import Message
from mailer.templates import Templates

CONTEXT = {"name": "Ann & Bob", "url": "https://shop.example.com/?a=1&b=2"}


def run(folder: Path, *arguments: str):
    return CliRunner().invoke(cli, ["new-template", "--dir", str(folder), *arguments])


@pytest.fixture
def rendered(tmp_path):
    assert run(tmp_path, "welcome").exit_code == 0
    with Mailer("memory:", templates=tmp_path) as mailer:
        return mailer.render(Message(template="welcome", context=CONTEXT, locale="de_AT"))


def test_it_writes_a_mail_and_once_the_layout(tmp_path):
    folder = tmp_path / "new" / "mails"
    first = run(folder, "welcome")
    assert (first.exit_code, first.output.splitlines()) == (
        0,
        [f"wrote  {folder / name}" for name in ("base.html", "pieces.html", "welcome.subject.txt", "welcome.html")],
    )
    (folder / "base.html").write_text("own {% block body %}{% endblock %}")
    second = run(folder, "shop/order", "--text", "--force")
    assert second.output.splitlines()[:2] == [f"kept   {folder / name}" for name in ("base.html", "pieces.html")]
    assert (folder / "base.html").read_text().startswith("own")
    assert Templates(folder).check() == (
        *("base.html", "pieces.html", "shop/order.html", "shop/order.subject.txt", "shop/order.txt"),
        *("welcome.html", "welcome.subject.txt"),
    )


def test_nothing_is_overwritten_without_force(tmp_path):
    (tmp_path / "welcome.html").write_text("mine")
    refused = run(tmp_path, "welcome")
    assert refused.exit_code != 0
    assert f"{tmp_path / 'welcome.html'} is there already; --force" in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["welcome.html"], "not even the rest is written"
    assert run(tmp_path, "welcome", "--force").exit_code == 0
    assert (tmp_path / "welcome.html").read_text() != "mine"


@pytest.mark.parametrize("name", ["../out", "/out", "a//b", "base", "pieces", "a.html", "a.txt", "a\\b", ""])
def test_a_name_that_cannot_be_used_is_refused(tmp_path, name):
    assert run(tmp_path / "in", name).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_the_text_part_written_and_the_derived_one_say_the_same(rendered, tmp_path):
    assert rendered.subject == "Welcome, Ann & Bob"
    run(tmp_path, "with_text", "--text")
    written = Templates(tmp_path).render(Message(template="with_text", context=CONTEXT)).text
    for text in (written, rendered.text):
        assert text.count("Welcome, Ann & Bob") == 1
        assert CONTEXT["url"] in text
        assert "Example Shop, 1 Example Street, Vienna" in text
        assert max(map(len, text.split("\n"))) <= 110
    assert "Green tea         2   7.80 €" in rendered.text
    assert "One click" not in rendered.text, "the preheader"


class Structure(HTMLParser):
    """What the html is made of: each tag closed in order, and its attributes."""

    VOID = frozenset(("meta", "img", "br", "hr"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"{tag} at {self.getpos()}")


def test_the_html_is_what_mail_programs_want(rendered):
    structure = Structure()
    structure.feed(rendered.html)
    structure.close()
    assert (structure.open, structure.faults) == ([], [])
    tags = structure.tags
    assert len(rendered.html.encode()) < 20_000, "Gmail clips at 102 kB"
    assert rendered.html.startswith('<!doctype html>\n<html lang="de-AT"')
    used = {tag for tag, _ in tags}
    assert not used & {"script", "link", "form", "svg", "section", "button"}
    metas = {attributes.get("name"): attributes.get("content") for tag, attributes in tags if tag == "meta"}
    assert (metas["color-scheme"], metas["supported-color-schemes"]) == ("light dark", "light dark")
    assert "@media (prefers-color-scheme: dark)" in rendered.html
    assert "<!--[if mso]>" in rendered.html
    layout = [attributes for tag, attributes in tags if tag == "table" and attributes.get("role") == "presentation"]
    assert {"600", "100%"} <= {attributes.get("width") for attributes in layout}
    for tag, attributes in tags:
        if tag == "table":
            assert {"cellpadding", "cellspacing", "border"} <= attributes.keys()
        if tag in ("h1", "p", "a"):
            assert "color" in (attributes["style"] or ""), "styles stand on the elements, for who drops <style>"
    assert "http" not in re.sub(r'href="[^"]*"|xmlns:o="[^"]*"', "", rendered.html), "nothing is loaded"
    assert rendered.attachments == ()


def test_every_class_is_used_and_has_a_rule():
    sources = starter_files("x")
    lists = re.findall(r'class="([^"]*)"', "".join(sources.values()))
    classes = {name for names in lists for name in names.split()}
    styles = " ".join(re.findall(r"<style>(.*?)</style>", sources["base.html"], re.S))
    rules = set(re.findall(r"\.([a-z]+)", re.sub(r"/\*.*?\*/", "", styles)))
    assert classes - rules == {"preheader"}
    assert rules - classes == set()


def test_the_colours_can_be_read():
    """WCAG 2.2 section 1.4.3: text has at least 4.5 times the luminance of its ground, or the other way round."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    pairs = [
        *(("#1d2129", "#ffffff"), ("#5f6670", "#f2f4f7"), ("#1a5fb4", "#ffffff"), ("#ffffff", "#1a5fb4")),
        *(("#e8eaed", "#22252b"), ("#9aa0a8", "#14161a"), ("#8ab4f8", "#22252b"), ("#10131a", "#8ab4f8")),
    ]
    source = "".join(starter_files("x").values())
    for text, ground in pairs:
        assert text in source
        assert ground in source
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)

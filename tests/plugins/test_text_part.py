"""The plug-in ``text_part``: what has html alone gets a text, and what wants none has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from worlds import World

from mailer import ConfigError, Mailer, Message
from mailer.html_to_text import html_to_text
from mailer.plugins.css_inline import CssInline
from mailer.plugins.footer import Footer
from mailer.plugins.text_part import TextPart
from mailer.testing import FakeRelay, SmtpServer

HTML = '<h1>Hi</h1><p>Go <a href="https://x.test/o">there</a>'


def hello(**more: object) -> Message:
    return Message(**{"from_": "a@example.com", "to": "b@example.org", "subject": "s", **more})


def test_by_smtp_and_by_a_relay(world: World) -> None:
    with SmtpServer() as server, world.mailer(server.url, plugins=["text_part"]) as mailer:
        assert mailer.send(hello(html=HTML)).ok
        sent = server.mails[0].message
        assert sent.get_content_type() == "multipart/alternative"
        lines = sent.get_body(("plain",)).get_content().splitlines()
        assert lines == html_to_text(HTML).splitlines() == ["Hi", "==", "", "Go there [https://x.test/o]"]
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=["text_part"]) as mailer:
        assert mailer.send(hello(html=HTML)).ok
        assert relay.requests[0].json["TextBody"] == html_to_text(HTML)
    with world.mailer("memory:", plugins=["text_part"]) as mailer:  # in a thread, where there is a loop
        mailer.send(hello(html="<p>x" * 20_000))
        assert mailer.backend.mails[0].message.text.count("x") == 20_000


def test_what_has_a_text_or_wants_none_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>x")
    (tmp_path / "a.subject.txt").write_text("s")
    with Mailer("memory:", plugins=[TextPart], templates=tmp_path) as mailer:
        for given, text in (
            (hello(html=HTML, text="mine"), "mine"),
            (hello(html=HTML, text=""), ""),
            (hello(html=HTML, text=False), None),
            (hello(template="a", text=False), None),
            (hello(template="a"), "x"),
            (hello(), None),
        ):
            assert mailer.render(given).text == text
            mailer.send(given)
            assert mailer.backend.mails[-1].message.text == text
        merged = hello(html="<p>{{ n }}", text=False, merge_data={"b@example.org": {"n": "1"}})
        mailer.send(merged)
        mailer.send(merged.with_(text=None))
        assert [mail.message.text for mail in mailer.backend.mails[-2:]] == [None, "1"]


def test_it_reads_what_other_plug_ins_wrote() -> None:
    html = "<style>.no{display:none}</style><p class=no>hidden</p><p>seen</p>"
    with Mailer("memory:", plugins=[TextPart, CssInline, Footer(text="The shop")]) as mailer:
        assert mailer.render(hello(html=html)).text == "seen\n\nThe shop"


def test_the_width() -> None:
    with Mailer("memory:", plugins={"text_part": {"width": "20"}}) as mailer:
        lines = str(mailer.render(hello(html="<p>" + "word " * 40)).text).splitlines()
        assert max(map(len, lines)) == 19
    for width in (19, 999, "x"):
        with pytest.raises(ConfigError, match=r"plugins\.text_part\.width"):
            TextPart(width=width)

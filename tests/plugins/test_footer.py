"""The plug-in ``footer``: below each part that there is, and in no other."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import World

from mailer import ConfigError, Mailer, Message
from mailer.plugins.footer import Footer
from mailer.testing import FakeRelay, SmtpServer


def hello(**more: object) -> Message:
    return Message(**{"from_": "a@example.com", "to": "b@example.org", "subject": "s", **more})


def test_by_smtp_and_by_a_relay(world: World) -> None:
    plugin, message = (
        Footer(text="Shop & Sons\n1 High Street"),
        hello(text="Hi\n", html="<html><body><p>Hi</body></html>"),
    )
    text, html = (
        "Hi\n\n-- \nShop & Sons\n1 High Street\n",
        "<html><body><p>Hi\n<p>Shop &amp; Sons<br>1 High Street</p>\n</body></html>",
    )
    with SmtpServer() as server, world.mailer(server.url, plugins=[plugin]) as mailer:
        assert mailer.send(message).ok
        sent = server.mails[0].message
        assert sent.get_body(("plain",)).get_content().splitlines() == text.splitlines()
        assert sent.get_body(("html",)).get_content().splitlines() == html.splitlines()
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[plugin]) as mailer:
        assert mailer.send(message).ok
        assert (relay.requests[0].json["TextBody"], relay.requests[0].json["HtmlBody"]) == (text, html)


def test_each_part_that_there_is() -> None:
    plugin = Footer(html="<p><b>Shop</b></p>", separator="")
    with Mailer("memory:", plugins=[plugin]) as mailer:
        for given, text, html in (
            (hello(text="x"), "x\n\nShop\n", None),
            (hello(text=""), "\n\nShop\n", None),
            (hello(html="<p>x"), None, "<p>x<p><b>Shop</b></p>"),
            (hello(), None, None),
            (hello(html="<p>x</BODY ></html>"), None, "<p>x<p><b>Shop</b></p></BODY ></html>"),
            (hello(html="<p>x</html>\n"), None, "<p>x<p><b>Shop</b></p></html>\n"),
            (hello(html="<p>İİİ</body>x</body>"), None, "<p>İİİ</body>x<p><b>Shop</b></p></body>"),
        ):
            done = mailer.render(given)
            assert (done.text, done.html) == (text, html)
        amp = "<html amp4email><body></body></html>"
        assert mailer.render(hello(html="x", amp_html=amp)).amp_html == amp


def test_tags_and_a_footer_once_for_each_recipient() -> None:
    plugin = Footer(text="Shop", tags="news")
    data = {"b@example.org": {"n": "1"}, "c@example.org": {"n": "2"}}
    with Mailer("memory:", plugins=[plugin]) as mailer:
        assert mailer.render(hello(text="x", tags="order")).text == "x"
        mailer.send(hello(text="{{ n }}", to=list(data), merge_data=data, tags=["a", "news"]))
        assert [mail.message.text for mail in mailer.backend.mails] == ["1\n\n-- \nShop\n", "2\n\n-- \nShop\n"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "give text or html"),
        ({"text": "", "html": ""}, "give text or html"),
        ({"text": " \n"}, "give text or html"),
        ({"html": "a\ud800"}, "html: holds a lone surrogate"),
        ({"text": "a {{ b }}"}, "text: has {{ in it"),
        ({"html": "a\0"}, "html: has a NUL"),
        ({"text": "a", "separator": "a\nb"}, "separator: must be one line"),
        ({"text": "a", "seperator": ""}, "did you mean 'separator'"),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.footer") as caught:
        Footer(table)
    assert said in str(caught.value)

"""The plug-in ``mjml``: html out of MJML; nothing is loaded, and nothing ends the process."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from counting_server import counting
from worlds import World

from mailer import ConfigError, HookError, Mailer, Message
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.html_to_text import html_to_text
from mailer.html_tokens import Tag, tokens
from mailer.plugins.css_inline import CssInline
from mailer.plugins.mjml import Mjml
from mailer.plugins.text_part import TextPart
from mailer.testing import FakeRelay, SmtpServer


def mjml(inner: str, head: str = "") -> str:
    return (
        f"<mjml>{head}<mj-body><mj-section><mj-column>\n<mj-text>{inner}</mj-text>"
        '<mj-button href="https://x.test/?a=1&amp;b=2">Go</mj-button></mj-column></mj-section></mj-body></mjml>'
    )


def hello(html: str, **more: object) -> Message:
    return Message(**{"from_": "a@example.com", "to": "b@example.org", "subject": "s", "html": html, **more})


def made(html: str, **settings: object) -> str:
    with Mailer("memory:", plugins=[Mjml(**settings)]) as mailer:
        return str(mailer.render(hello(html)).html)


def links(html: str) -> list[str | None]:
    return [t.attributes.get("href") for t in tokens(html) if isinstance(t, Tag) and t.name == "a" and not t.is_end]


def test_by_smtp_and_by_a_relay(world: World) -> None:
    message, plugins = hello(mjml("Hellö")), [TextPart, Mjml]
    with SmtpServer() as server, world.mailer(server.url, plugins=plugins) as mailer:
        assert mailer.send(message).ok
        sent = server.mails[0].message
        html = sent.get_body(("html",)).get_content()
        assert html.startswith("<!doctype html>")
        assert "mj-" not in html.replace("mj-column-per-100", "").replace("mj-outlook-group-fix", "")
        assert links(html) == ["https://x.test/?a=1&b=2"]
        assert sent.get_body(("plain",)).get_content().split() == ["Hellö", "Go", "[https://x.test/?a=1&b=2]"]
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=plugins) as mailer:
        assert mailer.send(message).ok
        assert relay.requests[0].json["HtmlBody"].split() == html.split()
    with world.mailer("memory:", plugins=[Mjml]) as mailer:  # in a thread, where there is a loop
        mailer.send(hello(mjml("<p>x</p>" * 10_000)))
        assert mailer.backend.mails[0].message.html.count("<p>x</p>") == 10_000


def test_what_is_mjml() -> None:
    with Mailer("memory:", plugins=[Mjml]) as mailer:
        for kept in (
            "<p>x",
            "",
            "<mjmlx>",
            "text <mjml></mjml>",
            "<html><mjml></mjml>",
            "<!-- <mjml></mjml> -->",
            "<!--" * 9,
        ):
            assert mailer.render(hello(kept)).html == kept
        for source in (
            "\ufeff \r\n<!-- a --><!-- b -->\n" + mjml("x"),
            mjml("x").replace("<mjml>", '<mjml\nlang="de">'),
        ):
            assert str(mailer.render(hello(source)).html).startswith("<!doctype html>")
        assert mailer.render(hello(mjml("x"), amp_html=mjml("y"))).amp_html == mjml("y")


def test_nothing_is_loaded_from_the_network_or_from_disk(tmp_path: Path) -> None:
    (tmp_path / "x.mjml").write_text("<mj-text>loaded</mj-text>")
    with counting(b"<mj-text>loaded</mj-text>") as (url, hits):
        for path in (f"{url}/x.mjml", url, str(tmp_path / "x.mjml"), f"file://{tmp_path}/x.mjml", "x.mjml"):
            for kind in ("", ' type="html"', ' type="css"'):
                for text in (
                    f'</mj-text><mj-include path="{path}"{kind} /><mj-text>',
                    f'<mj-include path="{path}"{kind}>',
                ):
                    with pytest.raises(HookError, match="line 2 has mj-include, and nothing is loaded"):
                        made(mjml(text))
        head = f'<mj-head><mj-font name="F" href="{url}/f" /><mj-style>@import url("{url}/s");</mj-style></mj-head>'
        html = made(mjml(f'<img src="{url}/i" />', head), fonts={"G": f"{url}/g"}, social_icons=url)
        assert f"{url}/s" in html
        assert hits == []


def test_the_settings() -> None:
    head = '<mj-head><mj-attributes><mj-all font-family="Roboto" /></mj-attributes></mj-head>'
    social = '</mj-text><mj-social><mj-social-element name="github" href="https://x.test">g</mj-social-element></mj-social><mj-text>'
    source = mjml(f"<!-- note -->x{social}", head)
    assert "fonts.googleapis.com" not in made(source)
    assert 'href="https://f.test/r"' in made(source, fonts={"Roboto": "https://f.test/r"})
    assert 'src="https://i.test/github.png"' in made(source, social_icons="https://i.test/")
    assert "note" not in made(source)
    assert "<!-- note -->" in made(source, comments=True)
    assert "<!--[if mso | IE]>" in made(source)
    with pytest.raises(ConfigError, match="did you mean 'fonts'"):
        Mjml(font={})


def test_a_template_and_its_text(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(mjml("Dear {{ name }}", "<mj-head><mj-style>.a{b:c}</mj-style></mj-head>"))
    (tmp_path / "a.subject.txt").write_text("s")
    message = Message(
        from_="a@b.test", to="c@d.test", template="a", context={"name": "<mj-include path='/x'/> & \"B\""}
    )
    with Mailer("memory:", plugins=[Mjml], templates=tmp_path) as mailer:
        done = mailer.render(message)
        assert done.text == html_to_text(str(done.html))
        assert str(done.text).split("\n")[0] == "Dear <mj-include path='/x'/> & \"B\""
        assert ".a" not in str(done.text)
        assert mailer.render(message.with_(text="mine")).text == "mine"
        assert mailer.render(message.with_(text=False)).text is None


def test_css_is_inlined_behind_it_and_a_merge_of_the_provider_stays() -> None:
    class Merging(MemoryBackend):
        features = Features(merge=True)

    source = mjml("<b>{{ name }}</b><a href='https://x.test/{{ t }}'>y</a>")
    with Mailer(Merging(), plugins=[CssInline(css="b{color:red}"), Mjml]) as mailer:
        mailer.send(hello(source, merge_data={"b@example.org": {"name": "B", "t": "1"}}))
        html = mailer.backend.mails[0].message.html
        assert '<b style="color: red;">{{ name }}</b>' in html
        assert "https://x.test/{{ t }}" in links(html)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("<mjml>", "mjml: unexpected end of stream"),
        (mjml("</b>\n"), "mjml: unexpected token in line 3"),
        (mjml("a < b"), "mjml: line 2 has a < that begins no element: write &lt;"),
        (mjml("\n<![CDATA[x]]>"), "mjml: line 3 has a <"),
        (mjml("<b title='x>y</b>"), "mjml: line 2 has a <"),
        (mjml("<b>" * 100_000), "mjml: more than 100 elements are open within each other"),
        (mjml("<b title='</b>'>" * 100_000), "mjml: more than 100 elements"),
        (mjml("<b><!-- </b> -->" * 100_000), "mjml: more than 100 elements"),
        (mjml("<b></i>" * 100_000), "mjml: more than 100 elements"),
        ("<mjml><mj-body>" + "<mj-wrapper>" * 100_000, "mjml: more than 100 elements"),
        (mjml('<a "' * 20_000), "mjml: "),
        (mjml("<!--" * 20_000), "mjml: line 2 has a <"),
    ],
)
def test_what_cannot_be_read_or_would_end_the_process(source: str, said: str) -> None:
    with pytest.raises(HookError) as caught:
        made(source)
    assert said in str(caught.value)


def test_what_is_deep_but_safe_and_what_is_long_are_made() -> None:
    deep = "<mjml><mj-body>" + "<mj-wrapper>" * 98 + "</mj-wrapper>" * 98 + "</mj-body></mjml>"
    long = mjml("<p>x<br>y<img src='/x'></p>" * 3000)
    found: list[str] = []
    before = threading.stack_size(512 * 1024)  # as little as any system gives a thread that Python runs in
    try:
        thread = threading.Thread(target=lambda: found.extend([made(deep), made(long)]))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert [html.count("<p>") for html in found] == [0, 3000]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mrml", None)
    with pytest.raises(ConfigError, match=r"pip install 'mailwright\[mjml\]'"):
        Mjml()

"""The plug-in ``css_inline``: what css-inline writes is sent; it fetches nothing and ends no process."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest
from counting_server import counting
from worlds import World

from mailer import ConfigError, HookError, Mailer, Message
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.html_tokens import Tag, tokens
from mailer.plugins.css_inline import CssInline
from mailer.testing import FakeRelay, SmtpServer

SHEET = "<style>p{margin:0} @media (max-width:9em){p{color:blue}} p:hover{color:red}</style>"


def hello(html: str | None, **more: object) -> Message:
    return Message(**{"from_": "a@example.com", "to": "b@example.org", "subject": "s", "html": html, **more})


def inlined(html: str, **settings: object) -> str:
    with Mailer("memory:", plugins=[CssInline(**settings)]) as mailer:
        return str(mailer.render(hello(html)).html)


def styles(html: str, name: str) -> list[str | None]:
    return [t.attributes.get("style") for t in tokens(html) if isinstance(t, Tag) and t.name == name and not t.is_end]


def test_by_smtp_and_by_a_relay(world: World) -> None:
    message = hello(f"{SHEET}<p>Hi</p>", text="Hi")
    with SmtpServer() as server, world.mailer(server.url, plugins=[CssInline()]) as mailer:
        assert mailer.send(message).ok
        html = server.mails[0].message.get_body(("html",)).get_content()
        text = server.mails[0].message.get_body(("plain",)).get_content()
        assert styles(html, "p") == ["margin: 0;"]
        assert "@media (max-width:9em){p{color:blue}}" in html
        assert text.strip() == "Hi"
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[CssInline()]) as mailer:
        assert mailer.send(message).ok
        assert relay.requests[0].json["HtmlBody"].strip() == html.strip()


def test_a_long_one_is_done_in_a_thread_and_is_the_same(world: World) -> None:
    seen: list[str] = []
    plugin = CssInline()
    with world.mailer("memory:", plugins=[plugin]) as mailer:
        work = plugin._inlined
        plugin._inlined = lambda html: (seen.append(threading.current_thread().name), work(html))[1]  # type: ignore[method-assign]
        mailer.hooks.add_filter("message", lambda m, _: (seen.append(threading.current_thread().name), m)[1], 1)
        mailer.send(hello(f"{SHEET}<p>Hi</p>"))
        mailer.send(hello(SHEET + "<p>Hi</p>" * 9000))
        assert [set(styles(mail.message.html, "p")) for mail in mailer.backend.mails] == [{"margin: 0;"}] * 2
    loop, short, again, long = seen
    assert loop == short == again
    assert (long == loop) is (world.name == "blocking")


def test_nothing_is_fetched_from_the_network_or_from_disk(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("p{color:teal}")
    with counting(b"p{color:teal}") as (url, hits):
        for href in (
            url,
            f"{url}/a.css",
            url.removeprefix("http:"),
            str(tmp_path / "x.css"),
            f"file://{tmp_path}/x.css",
        ):
            html = inlined(
                f'<head><base href="{url}"><link rel="stylesheet" href="{href}"><link rel=STYLESHEET href={href}>'
                f'<style>@import url("{href}"); @import "{href}"; p{{margin:0;background:url({href})}}</style><p>x'
                f"<style>@font-face{{font-family:x;src:url({href})}}</style>",
                css=f'@import "{href}"; b{{color:red}}',
            )
            assert "teal" not in html
            assert html.count("<link") == 2
        assert hits == []
        urlopen(f"{url}/a.css").close()
        assert hits == ["/a.css"]  # it would have been seen


def test_the_settings() -> None:
    html = f"{SHEET}<p>x</p><table style='width:50%'></table>"
    assert styles(inlined("<p>x</p>", css="p{color:red}"), "p") == ["color: red;"]
    assert styles(inlined('<p style="color:blue">x</p>', css="p{color:red}"), "p") == ["color: blue"]
    assert "margin" not in inlined(html).partition("</style>")[0]
    assert "p{margin:0}" in inlined(html, keep_style_tags=True)
    assert 'width="50%"' in inlined(html)
    assert 'width="50%"' not in inlined(html, size_attributes=False)
    assert styles(inlined("<style>:root{--c:red} p{color:var(--c)}</style><p>x"), "p") == ["color: red;"]
    with pytest.raises(ConfigError, match="css: has an end tag"):
        CssInline(css="p{}</STYLE ><script>")
    with pytest.raises(ConfigError, match="did you mean 'css'"):
        CssInline(cs="p{}")


def test_what_has_no_style_sheet_is_left_to_the_byte() -> None:
    with Mailer("memory:", plugins=[CssInline]) as mailer:
        odd = "<P>unclosed <b>&nbsp; &#233; <!--[if mso]>x<![endif]--> \r\n"
        assert mailer.render(hello(odd)).html == odd
        assert mailer.render(hello(None, text="<style>p{}</style>")).text == "<style>p{}</style>"
        amp = f"<html amp4email>{SHEET}"
        assert mailer.render(hello(f"{SHEET}<p>x", amp_html=amp)).amp_html == amp


def test_placeholders_and_comments_for_outlook_stay() -> None:
    html = inlined(f'{SHEET}<!--[if mso]><b>1</b><![endif]--><p title="{{{{ a.b }}}}">{{{{ name }}}}</p>')
    assert "<!--[if mso]><b>1</b><![endif]-->" in html
    assert 'title="{{ a.b }}"' in html
    assert ">{{ name }}</p>" in html


def test_a_merge_of_the_provider_is_inlined_once() -> None:
    class Merging(MemoryBackend):
        features = Features(merge=True)

    data = {"b@example.org": {"name": "B"}, "c@example.org": {"name": "C"}}
    message = hello(f"{SHEET}<p>{{{{ name }}}}", to=list(data), merge_data=data)
    with Mailer(Merging(), plugins=[CssInline]) as mailer:
        mailer.send(message)
        [mail] = mailer.backend.mails
        assert '<p style="margin: 0;">{{ name }}</p>' in mail.message.html


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000,
        "<div><!--</div>-->" * 100_000,
        "<div></x>" * 100_000,
        "<svg>" + "<br>" * 100_000,
        "<svg><style>" + "<x>" * 100_000,
        "<math><title>" + "<x>" * 100_000,
    ],
)
def test_what_would_end_the_process_is_refused(html: str) -> None:
    with pytest.raises(HookError, match="more than 250 elements are open within each other"):
        inlined(SHEET + html)


def test_what_is_deep_but_safe_and_what_is_long_are_inlined() -> None:
    # Five elements a turn in html's rules: a </div> in a cell closes nothing outside of it.
    deep = SHEET + "<div><table><tr><td></div>" * 60 + "<p>x"
    long = SHEET + "<table><tr><td><p>x<br></table><ul><li>y</ul>" * 2000
    found: list[str] = []

    def both() -> None:
        found.extend([inlined(deep), inlined(long)])

    before = threading.stack_size(512 * 1024)  # as little as any system gives a thread that Python runs in
    try:
        thread = threading.Thread(target=both)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert [len(styles(html, "p")) for html in found] == [1, 2000]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "css_inline", None)
    with pytest.raises(ConfigError, match=r"pip install 'mailwright\[css\]'"):
        CssInline()


def test_broken_style_sheets_send_what_can_be_read() -> None:
    for sheet in ("p{color:", "}}}{{ p{color:red}", "@media{", "p:::x{a:b}", ".a[{}", "\\", "/*"):
        assert ">Hello</p>" in inlined(f"<style>{sheet}</style><p>Hello</p>")

"""The plug-in ``markdown``: both parts of one source, and links only where the settings say."""

from __future__ import annotations

import sys
import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import World

from mailer import ConfigError, Mailer, Message
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.html_tokens import Tag, tokens
from mailer.plugins.markdown import Markdown, escaped
from mailer.testing import FakeRelay, SmtpServer

SHOP = Markdown(link_hosts=["shop.example.com", "*.cdn.example"], images=True)


def hello(text: str | None, **more: object) -> Message:
    return Message(**{"from_": "a@example.com", "to": "b@example.org", "subject": "s", "text": text, **more})


def html_of(text: str, plugin: Markdown = SHOP) -> str:
    with Mailer("memory:", plugins=[plugin]) as mailer:
        return str(mailer.render(hello(text)).html)


def body_tags(html: str) -> list[Tag]:
    return [t for t in tokens(html.partition("<body>")[2].rpartition("</body>")[0]) if isinstance(t, Tag)]


def test_by_smtp_and_by_a_relay(world: World) -> None:
    message = hello("# Hi\n\n*Ann*, [go](https://shop.example.com/o?a=1&b=2)")
    with SmtpServer() as server, world.mailer(server.url, plugins=[SHOP]) as mailer:
        assert mailer.send(message).ok
        sent = server.mails[0].message
        html = sent.get_body(("html",)).get_content()
        text = sent.get_body(("plain",)).get_content()
        assert "<h1>Hi</h1>" in html
        assert '<p><em>Ann</em>, <a href="https://shop.example.com/o?a=1&amp;b=2">go</a></p>' in html
        assert text.split() == ["Hi", "==", "Ann,", "go", "[https://shop.example.com/o?a=1&b=2]"]
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[SHOP]) as mailer:
        assert mailer.send(message).ok
        assert relay.requests[0].json["HtmlBody"].split() == html.split()
        assert relay.requests[0].json["TextBody"].split() == text.split()
    with world.mailer("memory:", plugins=[SHOP]) as mailer:  # in a thread, where there is a loop
        mailer.send(hello("*x*\n\n" * 5000))
        assert mailer.backend.mails[0].message.html.count("<em>x</em>") == 5000


def test_what_is_markdown_and_what_is_not() -> None:
    plugin = Markdown(tags="md", text="source")
    with Mailer("memory:", plugins=[plugin]) as mailer:
        assert mailer.render(hello("*x*")).html is None
        done = mailer.render(hello("*x*", tags=["a", "md"]))
        assert (done.text, "<em>x</em>" in str(done.html)) == ("*x*", True)
        for kept in (hello("*x*", html="<p>", tags="md"), hello("", tags="md"), hello(None, tags="md")):
            assert mailer.render(kept) == kept


LED_ASTRAY = """
 https://evil.test https://shop.example.com@evil.test/ https://shop.example.com:x@evil.test
https://shop.example.com\\@evil.test https://shop.example.com.evil.test https://evilshop.example.com
https://cdn.example //shop.example.com /path ?q #f javascript:alert(1) JaVaScRiPt:alert(1) data:text/html,x
data:image/png;base64,AA vbscript:x file:///etc/passwd https:shop.example.com https:///shop.example.com
https:/\\shop.example.com https://shop.example.com%2eevil.test https://shop.example.com%00.evil.test
https://shop%E3%80%82example.com mailto:a@evil.test mailto:a@shop.example.com,b@evil.test
mailto:a%40evil.test,b@shop.example.com cid: https://shop.example.com{{x}} https://{{x}} {{x}}
ftp://shop.example.com https://shop.example.com&#64;evil.test java&#x0A;script:alert(1)
&#106;avascript:alert(1) https://shop.example.com&bsol;@evil.test
mailto:a@shop.example.com?bcc=b@evil.test mailto:a@shop.example.com?subject=x&CC=b@evil.test
mailto:a@shop.example.com?subject=x&amp;to=b@evil.test mailto:a@shop.example.com?%62cc=b@evil.test
mailto:a@shop.example.com?attach=/etc/passwd mailto:a@shop.example.com?subject=x;bcc=b@evil.test
""".split()


def test_a_link_that_leads_elsewhere_is_none_and_is_shown_as_it_is_written() -> None:
    for url in LED_ASTRAY:
        for text in (
            f"[a]({url})",
            f"[a](<{url}>)",
            f"<{url}>",
            f"![a]({url})",
            f"[a]\n\n[a]: {url}",
            f"[![a]({url})]({url})",
        ):
            assert {tag.name for tag in body_tags(html_of(text))} <= {"p", "br"}, text


def test_links_and_images_to_the_hosts_that_are_named() -> None:
    for url, host in {
        "https://shop.example.com": "shop.example.com",
        "HTTP://SHOP.example.com.:8080/a(b)": "shop.example.com.",
        "https://a.b.cdn.example/x?y=@z#q": "a.b.cdn.example",
    }.items():
        [start, _] = [tag for tag in body_tags(html_of(f"[a](<{url}>)")) if tag.name == "a"]
        assert urlsplit(start.attributes["href"]).hostname == host
        [image] = [tag for tag in body_tags(html_of(f"![a](<{url}>)")) if tag.name == "img"]
        assert urlsplit(image.attributes["src"]).hostname == host
    written = "mailto:a@shop.example.com?subject=Hi%20you&body=x%26bcc=y"
    [start, _] = [tag for tag in body_tags(html_of(f"[a]({written})")) if tag.name == "a"]
    assert start.attributes["href"] == written
    assert '<img src="cid:logo.png" alt="a">' in html_of("![a](cid:logo.png)")
    assert "<img" not in html_of("![a](cid:logo.png) ![b](https://x.test/)", Markdown(link_hosts="*"))
    assert '<a href="https://anything.test/x">' in html_of("[b](https://anything.test/x)", Markdown(link_hosts="*"))
    assert "<a" not in html_of("[b](javascript:x) [c](//x.test) [d](https://x@y.test)", Markdown(link_hosts="*"))
    assert "<a" not in html_of("[b](https://shop.example.com) <https://x.test>", Markdown())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*"[]()<>!*_`~&#;:\\/\"'|{}= \n\t-", "[a](", "https://", "evil.test", "javascript:", "<script>"]
        )
        | st.sampled_from(["shop.example.com", "@", "[x]: ", "onerror=", "cid:", "&#10;", "<img src=x>", "```", "a"]),
        max_size=40,
    )
)
def test_whatever_stands_there_only_known_tags_come_out_and_lead_nowhere_else(parts: list[str]) -> None:
    text = "".join(parts)
    known = set(
        "p br h1 h2 h3 h4 h5 h6 hr em strong s a img ul ol li blockquote pre code table thead tbody tr th td".split()
    )
    html = html_of(text) if text else ""
    for tag in body_tags(html):
        assert tag.name in known
        assert set(tag.attributes) <= {"href", "src", "alt", "title", "class", "start", "style"}
        for name in ("href", "src"):
            if url := tag.attributes.get(name):
                assert url.startswith("cid:") or urlsplit(url).hostname == "shop.example.com" or "@shop.ex" in url


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from("ab1 \n#*_[]()!<>&`~|{}\\-+.:=\"'"), max_size=30))
def test_what_is_escaped_is_shown_as_it_was(data: str) -> None:
    html = html_of(f"x{escaped(data)}x", Markdown(link_hosts="*", images=True))
    assert {tag.name for tag in body_tags(html)} == {"p"}
    shown = "".join(t for t in tokens(html.partition("<body>")[2]) if isinstance(t, str))
    assert shown.split() == f"x{' '.join(data.splitlines())}x".split()


def test_data_of_a_template_and_of_a_merge_makes_no_link(tmp_path: object) -> None:
    name = "[x](https://evil.test) <img src=https://evil.test> ![y](https://evil.test)"
    (tmp_path / "hi.txt").write_text("# Hi\n\nDear {{ name }}")  # type: ignore[operator]
    (tmp_path / "hi.subject.txt").write_text("s")  # type: ignore[operator]
    message = Message(from_="a@example.com", to="b@example.org", template="hi", context={"name": name})
    with Mailer("memory:", plugins=[SHOP], templates=tmp_path) as mailer:
        mailer.send(message)
        mailer.send(hello("# Hi\n\nDear {{ name }}", merge_data={"b@example.org": {"name": name}}))
        for mail in mailer.backend.mails:
            assert {tag.name for tag in body_tags(mail.message.html)} == {"h1", "p"}
            assert "[x](https://evil.test)" in mail.message.html


def test_where_the_provider_merges_placeholders_stay() -> None:
    class Merging(MemoryBackend):
        features = Features(merge=True)

    text = "Dear *{{ name }}* [go](<https://shop.example.com/{{ a.token }}?x={{y}}>)"
    with Mailer(Merging(), plugins=[SHOP]) as mailer:
        mailer.send(hello(text, merge_data={"b@example.org": {"name": "B"}}))
        [mail] = mailer.backend.mails
        assert '<em>{{ name }}</em> <a href="https://shop.example.com/{{a.token}}?x={{y}}">go</a>' in mail.message.html
        assert "[https://shop.example.com/{{a.token}}?x={{y}}]" in mail.message.text


def test_a_wrong_setting_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("https://shop.example.com", "shop.example.com/x", "a:80", "", "*x.test", "a b", "*.", "**"):
        with pytest.raises(ConfigError, match="link_hosts: must be host names"):
            Markdown(link_hosts=[host])
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    with pytest.raises(ConfigError, match=r"pip install 'mailwright\[markdown\]'"):
        Markdown()


def test_time_is_about_linear_in_the_source() -> None:
    def seconds(text: str) -> float:
        begun = time.process_time()
        html_of(text)
        return time.process_time() - begun

    for piece in ("[", "*a_", "![[", "[a](", "<", "> ", "|a"):
        assert seconds(piece * 6000) < 16 * max(seconds(piece * 1500), 0.005)

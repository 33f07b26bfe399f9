"""Tracking links: only links to the web are changed, nothing else of the html; nobody but us writes one."""

from __future__ import annotations

import base64
import json
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer import Address, ConfigError, ProtocolError
from mailer.signed_token import SignedTokens
from mailer.tracking import Tracked, TrackingLinks, target_of, with_links, with_pixel
from mailer.unsubscribe import UnsubscribeLinks

SECRET = "s3cret-" * 6
ANN = Address.parse("ann@example.org")
LINKS = TrackingLinks("https://example.com/t/", [SECRET])

WEB = {
    "https://example.com/a?b=c&d=e#f": None,
    "HTTP://EXAMPLE.com": None,
    " https://example.com/ \n": "https://example.com/",
    "https://example.com/ä?ö=ü": "https://example.com/%C3%A4?%C3%B6=%C3%BC",
    "https://example.com/100%25": None,
    "https://example.com:8443/x": None,
    "https://[::1]/": None,
}
NOT_WEB = """
mailto:a@b.example tel:+49 #top /relative //example.com/x javascript:alert(1) JaVaScRiPt:alert(1) data:text/html,x
vbscript:x file:///etc/passwd ftp://example.com cid:logo https:/example.com https:example.com http:// https://
https://user@example.com https://user:pw@example.com https://bank.example\\@evil.example https://bücher.example/
https://example.com:port/ https://[bad/ {{unsubscribe_url}} about:blank
""".split()


def test_what_is_tracked_and_what_is_not() -> None:
    for href, target in WEB.items():
        assert target_of(href) == (target or href), href
        assert target_of(target or href) == (target or href)
    for href in (
        *NOT_WEB,
        "",
        "java\tscript:alert(1)",
        "https://example.com/a b",
        "https://exa\nmple.com",
        "\x01https://a.b",
    ):
        assert target_of(href) is None, href


def read(url: str | None) -> Tracked:
    assert url is not None
    assert url.startswith("https://example.com/t/1.")
    return LINKS.read(url.rpartition("/")[2])


def test_a_link_says_which_mail_whose_and_where_to() -> None:
    for recipient in (ANN, Address.parse("jörg@bücher.example"), None):
        for url in ("", *[target or href for href, target in WEB.items()]):
            assert read(LINKS.link("ab" * 16, recipient, url, now_s=17.9)) == Tracked("ab" * 16, recipient, url, 17)
    for href in NOT_WEB:
        assert LINKS.link("ab", ANN, href, now_s=0) is None
    assert LINKS.link("ab", ANN, "https://example.com/" + "x" * 1500, now_s=0) is None


def test_nobody_else_writes_one() -> None:
    link = LINKS.link("ab" * 16, ANN, "https://example.com/", now_s=0)
    assert link is not None
    token = link.rpartition("/")[2]
    version, key, payload, mac = token.split(".")
    evil = base64.urlsafe_b64encode(json.dumps([0, "ab", "", "https://evil.example"]).encode()).decode().rstrip("=")
    flipped = "A" if mac[0] != "A" else "B"
    forged = [
        "",
        "x",
        "https://evil.example",
        f"{version}.{key}.{evil}.{mac}",
        f"{version}.{key}.{payload}.{flipped}{mac[1:]}",
        f"{version}.{'0' * 8}.{payload}.{mac}",
        f"{version}.{key}.{payload}",
        f"{token}x",
        f"2.{token[2:]}",
        "1." + "a" * 100_000,
    ]
    other = SignedTokens("x", b"another purpose", [SECRET], longest=1700)
    forged.append(str(other.write([0, "ab", "", "https://evil.example"])))
    forged.append(UnsubscribeLinks("https://example.com/t", SECRET).token(ANN, now_s=0))
    forged.append(str(TrackingLinks("https://example.com/t", ["x" * 32]).link("ab", ANN, now_s=0)).rpartition("/")[2])
    for one in forged:
        with pytest.raises(ProtocolError, match="no link of ours"):
            LINKS.read(one)


def test_a_token_of_ours_with_an_unsafe_target_leads_nowhere() -> None:
    """As if an older version had written it."""
    token = LINKS._tokens.write([0, "ab", "", "javascript:alert(1)"])
    with pytest.raises(ProtocolError):
        LINKS.read(str(token))


def test_links_outlive_a_change_of_secrets() -> None:
    link = str(LINKS.link("ab", ANN, now_s=0))
    newer = TrackingLinks("https://example.com/t", ["n" * 32, SECRET])
    assert newer.read(link.rpartition("/")[2]).recipient == ANN
    assert "s3cret" not in repr(LINKS) + repr(LINKS._tokens)
    for url, secret in [
        ("http://example.com", SECRET),
        ("https://example.com?x", SECRET),
        ("https://a.example", "short"),
    ]:
        with pytest.raises(ConfigError, match=r"^tracking: ") as caught:
            TrackingLinks(url, [secret])
        assert "short" not in str(caught.value)


def test_links_alone_are_changed() -> None:
    def own(url: str) -> str:
        return f"T({url})"

    for html, wanted in {
        '<a href="https://a.example/?x=1&amp;y=2">x</a>': '<a href="T(https://a.example/?x=1&amp;y=2)">x</a>',
        "<A class=b HREF='https://a.example'\n>x": '<A class=b HREF="T(https://a.example)"\n>x',
        "<a href=https://a.example/x>x": '<a href="T(https://a.example/x)">x',
        '<a href = "https://a.example" href="https://b.example">': '<a href = "T(https://a.example)" href="https://b.example">',
        '<map><area shape="rect" href="https://a.example"></map>': '<map><area shape="rect" href="T(https://a.example)"></map>',
        '<!--[if mso]><a href="https://a.example"><![endif]-->': '<!--[if mso]><a href="T(https://a.example)"><![endif]-->',
        '<a title="href=https://a.example" href="https://b.example">': '<a title="href=https://a.example" href="T(https://b.example)">',
        '<a href="&#106;avascript:alert(1)">': None,
        '<a href="mailto:a@b.example">': None,
        '<a data-href="https://a.example">': None,
        '<link href="https://a.example/x.css">': None,
        '<img src="https://a.example/x.png">': None,
        '<abbr href="https://a.example">': None,
        'see https://a.example or &lt;a href="https://a.example">': None,
        '<a href="https://left.example/x">': None,
        '<a href="https://a.example/leave?u=1">': None,
        '<a href="https://a.example': None,
        "": None,
    }.items():
        left_alone = {"left.example", "https://a.example/leave?u=1"}
        assert with_links(html, own, left_alone) == (html if wanted is None else wanted)
        assert with_links(html, lambda url: None) == html


class _Tags(HTMLParser):
    """Every tag, with its attributes as the standard library reads them, and every text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[object] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)

    def handle_data(self, data: str) -> None:
        self.found.append(data.encode())


_PIECES = st.sampled_from(
    [
        "<a href=",
        "<a ",
        "<p>",
        "</a>",
        ">",
        '"',
        "https://a.example/?x=1&amp;y=%22",
        "javascript:x",
        " title=",
        "text",
        "</p>",
    ]
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "area", "b"]),
            st.sampled_from([*WEB, *NOT_WEB]),
            st.sampled_from("\"'"),
            st.text("<>&\"' x", max_size=6),
        )
    )
)
def test_another_parser_sees_other_hrefs_and_nothing_else(tags: list[tuple[str, str, str, str]]) -> None:
    from html import escape

    html = "".join(
        f"<{name} title={quote}{escape(title)}{quote} href={quote}{escape(href)}{quote}>{escape(title)}</{name}>"
        for name, href, quote, title in tags
    )
    after = _Tags(with_links(html, lambda url: f"https://t.example/{url.encode().hex()}")).found
    for old, new in zip(_Tags(html).found, after, strict=True):
        if isinstance(old, tuple) and old[0] in ("a", "area"):
            target = target_of(dict(old[1])["href"] or "")
            if target is not None:
                old = (
                    old[0],
                    [
                        (key, f"https://t.example/{target.encode().hex()}" if key == "href" else value)
                        for key, value in old[1]
                    ],
                )
        assert new == old


@settings(max_examples=50, deadline=None)
@given(st.lists(_PIECES, max_size=12).map("".join))
def test_whatever_is_broken_in_html_no_script_comes_of_it(html: str) -> None:
    after = with_links(html, lambda url: "https://t.example/x")
    assert after.count("<") == html.count("<")
    assert after.count("javascript") == html.count("javascript")


def test_broken_html_is_read_in_linear_time() -> None:
    for piece in ("<a ", '<a "', "<a href=", "<a href='", "<a x", "<a\t/"):
        took = []
        for count in (2_000, 20_000):
            began = time.perf_counter()
            with_links(piece * count + ">", lambda url: "x")
            with_links("<a " + piece[2:] * count, lambda url: "x")
            took.append(time.perf_counter() - began)
        assert took[1] < 100 * took[0] + 0.5, piece


def test_the_image_stands_at_the_end_of_the_body() -> None:
    image = '<img src="https://t.example/x" alt="" width="1" height="1" style="border:0;width:1px;height:1px">'
    assert with_pixel("<body>x</body></html>", "https://t.example/x") == f"<body>x{image}</body></html>"
    assert with_pixel("<p>a</BODY ></p></body>", "https://t.example/x") == f"<p>a</BODY ></p>{image}</body>"
    assert with_pixel("x", "https://t.example/x") == f"x{image}"

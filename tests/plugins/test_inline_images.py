"""The plug-in ``inline_images``: allowed images go along; all else stays as it is, and nobody is asked for it."""

from __future__ import annotations

import time
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_server import Site
from worlds import World

from mailer import ConfigError, HookError, Mailer, Message
from mailer.gate import Gate
from mailer.plugins.inline_images import InlineImages, _sources
from mailer.testing import FakeRelay, SmtpServer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def message(html: str, **fields: Any) -> Message:
    return Message(from_="shop@example.com", to="ann@example.org", subject="Hi", html=html, **fields)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    inside = tmp_path / "images"
    (inside / "deep").mkdir(parents=True)
    for name in ("logo.png", "deep/logo.png", "a b.gif"):
        (inside / name).write_bytes(PNG + name.encode())
    (inside / "page.html").write_bytes(b"<p>")
    (inside / "drawing.svg").write_bytes(b"<svg/>")
    (tmp_path / "secret.png").write_bytes(PNG)
    return str(inside)


def inlined(html: str, **settings: Any) -> Message:
    with Mailer("memory:", plugins=[InlineImages(settings)]) as mailer:
        made = mailer.compose(message(html)).message
    assert made is not None
    return made


def test_files_go_along_once_and_are_shown(folder: str) -> None:
    made = inlined(
        '<IMG alt=">" SRC=logo.png><img src=\'deep/logo.png\'/><img\nsrc = "logo.png"><img data-src=x src="a%20b.gif">',
        folders=folder,
    )
    assert made.html == (
        '<IMG alt=">" SRC="cid:logo.png"><img src="cid:logo-2.png"/><img\nsrc = "cid:logo.png">'
        '<img data-src=x src="cid:a_b.gif">'
    )
    assert [(f.content_id, f.inline, bytes(f)[28:]) for f in made.attachments] == [
        ("logo.png", True, b"logo.png"),
        ("logo-2.png", True, b"deep/logo.png"),
        ("a_b.gif", True, b"a b.gif"),
    ]


def test_what_is_not_allowed_stays_a_link_and_nobody_is_asked(folder: str) -> None:
    with Site() as site:
        links = [f"{site.url}/a.png", f"//{site.host}/a.png", "https://other.example/a.png", "data:image/png;base64,AA"]
        html = "".join(f'<img src="{link}">' for link in [*links, "https://user:pw@cdn.example.com/a"])
        made = inlined(html, folders=folder, hosts=["cdn.example.com"])
        assert made.html == html
        assert not made.attachments
        assert site.asked == []
    assert inlined('<img src="logo.png">', hosts=["cdn.example.com"]).html == '<img src="logo.png">'


def test_a_file_that_is_not_there_or_not_for_mail_is_an_error(folder: str) -> None:
    for name in ("none.png", "../secret.png", "/etc/passwd", "..%2fsecret.png", "page.html", "drawing.svg", "a%00.png"):
        with pytest.raises(HookError, match="inline_images"):
            inlined(f'<img src="{name}">', folders=folder)
    for most in ({"max_bytes": 20}, {"max_total_bytes": 50}):
        with pytest.raises(HookError, match="bytes"):
            inlined('<img src="logo.png"><img src="deep/logo.png">', folders=folder, **most)


def test_images_of_a_footer_go_along_in_whatever_order_the_plugins_are(folder: str) -> None:
    plugins = {"footer": {"html": '<img src="logo.png">'}, "inline_images": {"folders": [folder]}, "text_part": {}}
    for names in (list(plugins), list(plugins)[::-1]):
        with Mailer("memory:", plugins={name: plugins[name] for name in names}) as mailer:
            made = mailer.render(message("<p>Hi</p>"))
            assert (made.html, len(made.attachments)) == ('<p>Hi</p><img src="cid:logo.png">', 1)


def test_a_private_address_is_refused_whatever_the_settings_allow() -> None:
    with Site() as site:
        with pytest.raises(HookError, match="not public"):
            inlined(f'<img src="https://{site.host}/a.png">', hosts=[site.host])
        kept = inlined(f'<img src="https://{site.host}/a.png">', hosts=[site.host], failed="keep")
        assert kept.html == f'<img src="https://{site.host}/a.png">'
        assert site.asked == []


def loopback_too(plugin: InlineImages, ca_file: str) -> InlineImages:
    """With a gate that lets loopback through: all other hosts are out of a test's reach."""
    plugin.settings._gate = Gate(hosts=plugin.settings.hosts, private=True, max_bytes=1000, ca_file=ca_file)
    return plugin


def test_by_smtp_and_by_a_relay_they_are_fetched_once(world: World, server_tls: Any, ca_file: str) -> None:
    with Site(server_tls) as site, SmtpServer() as server, FakeRelay("postmark") as relay:
        site.pages["/x/logo.png"] = (200, {"Content-Type": "image/png"}, PNG)
        site.pages["/page"] = (200, {"Content-Type": "text/html"}, b"<p>")
        plugin = loopback_too(InlineImages(hosts=[site.host], failed="keep"), ca_file)
        html = f'<img src="{site.url}/x/logo.png"><img src="{site.url}/page"><img src="{site.url}/none">'
        for url in (server.url, relay.url):
            with world.mailer(url, plugins=[plugin]) as mailer:
                assert mailer.send(message(html, text="Hi")).ok
        assert site.asked.count("/x/logo.png") == 2  # once for each mailer that it was registered with
        [mail] = server.mails
        parsed = BytesParser(policy=policy.default).parsebytes(mail.content)
        [image] = [part for part in parsed.walk() if part.get_content_type() == "image/png"]
        assert (image["Content-ID"], image.get_content()) == ("<logo.png>", PNG)
        body = relay.requests[0].json
        assert f'<img src="cid:logo.png"><img src="{site.url}/page">' in body["HtmlBody"]
        assert [file["ContentID"] for file in body["Attachments"]] == ["cid:logo.png"]


def test_settings_name_what_is_wrong(folder: str) -> None:
    for settings in ({}, {"folders": "/no/such"}, {"hosts": "https://x"}, {"folders": folder, "failed": "hide"}):
        with pytest.raises(ConfigError, match="inline_images"):
            InlineImages(settings)


@given(st.text(alphabet="<img src=\"'>/ a.png\n&lt;", max_size=80))
def test_whatever_the_html_only_values_of_src_are_found(html: str) -> None:
    for start, end, source in _sources(html):
        assert html[start:end].strip("\"'")
        assert source == source.strip()
        assert "<" not in html[start:end]


def test_broken_html_is_read_in_linear_time() -> None:
    def seconds(count: int, piece: str) -> float:
        begun = time.process_time()
        _sources(piece * count)
        return time.process_time() - begun

    for piece in ("<img ", '<img src="', "<img src='a' ", '<img "', "<img a=b c", "<img src=a/>"):
        small = max(seconds(4_000, piece), 1e-3)
        assert seconds(40_000, piece) < small * 60

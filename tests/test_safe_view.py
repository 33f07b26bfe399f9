"""A mail to be looked at: nothing of it acts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from mailer import Attachment, Mailer, Message
from mailer.safe_view import SafeView

PNG = b"\x89PNG\r\n\x1a\n\x00"
HOSTILE = """
<html><head><meta http-equiv="refresh" content="0; url=https://evil.example/"><META charset=utf-7>
<link rel=preconnect href=//evil.example><LiNk rel="dns-prefetch" href=//evil.example><base href="https://evil.example/">
<style>@import url(https://evil.example/a.css)</style></head><body onload="alert(1)"><script>alert(2)</script>
<img src="cid:logo" alt=""><img src=cid:none onerror=alert(3)><div style="background:url(cid:logo)">Hi</div>
<form action="https://evil.example/"><button>Go</button></form><a href="javascript:alert(4)" ping=//evil.example>x</a>
"""


def view(**fields: object) -> SafeView:
    with Mailer("null:", from_="shop@example.com") as mailer:
        return SafeView.of(bytes(mailer.compose(Message(to="ann@example.org", **fields)).content))  # type: ignore[arg-type]


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.seen.append(tag)


def test_header_text_html_and_files_are_read():
    logo = Attachment.from_bytes("logo.png", PNG, content_id="logo", inline=True)
    bill = Attachment.from_bytes("Rechnung ä.pdf", b"%PDF", content_type="application/pdf")
    seen = view(subject="Grüße", text="Hällo\n", html="<p>ä</p><img src='cid:logo'>", attachments=[logo, bill])
    assert dict(seen.fields)["Subject"] == "Grüße"
    assert dict(seen.fields)["To"] == "ann@example.org"
    assert seen.text.replace("\r\n", "\n") == "Hällo\n"
    assert re.fullmatch(r"<p>ä</p><img src='data:image/png;base64,iVBOR[^']*'>", seen.html)
    files = [(file.name, file.content_type, file.size_bytes) for file in seen.files]
    assert files == [("logo.png", "image/png", 9), ("Rechnung ä.pdf", "application/pdf", 4)]


def test_what_no_policy_stops_is_made_harmless():
    logo = Attachment.from_bytes("logo.png", PNG, content_id="logo", inline=True)
    html = view(html=HOSTILE.replace("cid:none", "cid:logo"), attachments=[logo]).html
    assert not {"link", "meta", "base"} & set(Tags(html).seen)
    assert "url(data:image/png;base64," in html
    assert 'src="data:image/png;base64,' in html


def test_the_policy_allows_no_script_no_form_and_no_load():
    closed, opened = SafeView.headers(), SafeView.headers(remote_images=True)
    rules = dict(rule.strip().partition(" ")[::2] for rule in closed["Content-Security-Policy"].split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "font-src": "data:",
        "img-src": "data:",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'self'",
        "sandbox": "",
    }
    assert opened["Content-Security-Policy"] == closed["Content-Security-Policy"].replace(
        "img-src data:", "img-src data: https: http:"
    )
    assert closed["Content-Type"] == "text/html; charset=utf-8"
    assert (closed["Referrer-Policy"], closed["X-DNS-Prefetch-Control"]) == ("no-referrer", "off")


def test_an_image_that_may_hold_script_is_a_file_only():
    svg = Attachment.from_bytes(
        "x.svg", b"<svg onload=alert(1)/>", content_type="image/svg+xml", content_id="x", inline=True
    )
    assert view(html='<img src="cid:x">', attachments=[svg]).html == '<img src="cid:x">'


def test_a_broken_mail_is_shown_as_far_as_it_can_be_read():
    for content in (
        b"",
        b"\xff\xfe\x00",
        b"Subject: =?nope?q?x?=\r\nContent-Type: text/html; charset=nope\r\n\r\n<b>\xe4</b>",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x",
        b"Content-Type: image/png; name*=utf-8''%ff%zz\r\nContent-Transfer-Encoding: base64\r\n\r\n!!",
        b"To: =?utf-8?b?////?=\r\nFrom: <<>>;;,\r\n\r\nx",
    ):
        SafeView.of(content)
    seen = SafeView.of(b"Content-Type: text/html; charset=nope\r\n\r\n<b>\xe4</b>")
    assert seen.html == "<b>ä</b>"
    within = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\n<script>"
    assert [file.content_type for file in SafeView.of(within).files] == ["message/rfc822"]
    assert SafeView.of(within).files[0].size_bytes > 20


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["<", "/", "link", "META", "ba", "se", "\0", " ", ">", "!--", "x", "base", "<link"])))
def test_no_acting_tag_is_left_however_it_is_written(pieces):
    content = b"Content-Type: text/html; charset=utf-8\r\n\r\n" + "".join(pieces).encode()
    assert not {"link", "meta", "base"} & set(Tags(SafeView.of(content).html).seen)

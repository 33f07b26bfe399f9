"""A sent mail as it is looked at: read back from its bytes, its links, its codes."""

from __future__ import annotations

import email.message
import re

import pytest
from cases import each

from mailer import Address, Attachment, Envelope, Mailer, Message
from mailer.testing import MailOutbox, SentMail, links, one_time_codes
from mailer.testing.codes import codes_in
from mailer.testing.urls import links_in_html, links_in_text

RICH = Message(
    from_=("Größe, Shop", "shop@example.com"),
    to=["Ann <ann@example.org>", "bob@bücher.example"],
    cc="Cyd <cyd@example.org>",
    bcc="dee@example.org",
    reply_to="help@example.com",
    subject="Grüße – 7 Birnen",
    text="Hällo\r\nAnn\n",
    html='<p>Hällo</p><img src="cid:logo">',
    attachments=[
        Attachment.from_bytes("Übersicht.csv", b"a;b\n"),
        Attachment.from_bytes("logo.png", b"\x89PNG", inline=True, content_id="logo"),
        Attachment.from_message(b"Subject: inner\r\n\r\ninner text\r\n", name="old.eml"),
    ],
    headers={"X-Note": "größer"},
    tags=["order"],
    metadata={"order": 7},
)


def sent(message: Message) -> SentMail:
    with MailOutbox() as outbox:
        Mailer("smtp://nowhere.invalid").send(message)
    return outbox[0]


def test_it_is_what_was_written() -> None:
    mail = sent(RICH)
    assert mail.from_ == RICH.from_
    assert mail.to == (Address("Ann", "ann", "example.org"), Address("", "bob", "xn--bcher-kva.example"))
    assert (mail.cc, mail.bcc, mail.reply_to) == (RICH.cc, RICH.bcc, RICH.reply_to)
    assert (mail.subject, mail.text, mail.html) == (RICH.subject, "Hällo\nAnn", RICH.html)
    assert dict(mail.headers)["X-Note"] == "größer"
    assert [(one.name, one.content_type, one.content, one.content_id, one.inline) for one in mail.attachments] == [
        ("logo.png", "image/png", b"\x89PNG", "logo", True),
        ("Übersicht.csv", "text/csv", b"a;b\n", None, False),
        ("old.eml", "message/rfc822", b"Subject: inner\r\n\r\ninner text\r\n", None, False),
    ]
    assert bytes(mail.attachment("logo.png")) == b"\x89PNG"
    assert (mail.tags, mail.metadata) == (("order",), {"order": 7})
    assert {address.local for address in mail.recipients} == {"ann", "bob", "cyd", "dee"}
    assert bytes(mail) == mail.content == bytes(mail.mail.content)


def test_parts_that_are_not_there() -> None:
    for text, html in (("x", None), (None, "<p>x</p>"), (None, None), ("", None)):
        mail = sent(Message(from_="a@b.test", to="c@d.test", text=text, html=html))
        assert mail.html == html
        assert (mail.text, mail.subject, mail.attachments, mail.cc) == (
            text or ("" if html is None else None),
            "",
            (),
            (),
        )


def test_a_character_set_that_nobody_knows() -> None:
    raw = b"From: a@b.test\r\nTo: c@d.test\r\nContent-Type: text/plain; charset=klingon\r\n\r\nHi \xe9\r\n"
    assert SentMail.of(raw).text == "Hi \N{REPLACEMENT CHARACTER}"


def test_an_attachment_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(
        AssertionError, match=r"no attachment 'bill\.pdf' in .*'logo\.png', 'Übersicht\.csv', 'old\.eml'"
    ):
        sent(RICH).attachment("bill.pdf")


def test_a_text_file_is_no_body_and_a_calendar_no_attachment() -> None:
    text = Attachment.from_bytes("notes.txt", b"notes")
    mail = sent(RICH.with_(text=None, html=None, attachments=[text]))
    assert (mail.text or "", [one.name for one in mail.attachments]) == ("", ["notes.txt"])
    calendar = [("text/calendar; method=REQUEST", "BEGIN:VCALENDAR")]
    mail = sent(RICH.with_(html="<p>x</p>", attachments=(), alternatives=calendar))
    assert (mail.attachments, mail.html) == ((), "<p>x</p>")


def test_ready_made_mail_tells_bcc_by_its_envelope() -> None:
    raw = b"From: a@b.test\r\nTo: Ann <ann@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nhi\r\n"
    with MailOutbox() as outbox:
        Mailer("null:").send_raw(raw, Envelope("a@b.test", ["ann@example.org", "dee@example.org"]))
    [mail] = outbox
    assert (mail.message, mail.tags, mail.metadata, mail.template) == (None, (), {}, None)
    assert (mail.subject, mail.text) == ("Grüße", "hi")
    assert [address.addr_spec for address in mail.bcc] == ["dee@example.org"]


def test_it_is_made_of_whatever_holds_a_mail() -> None:
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@b.test", "Ann <ann@example.org>", "Hi"
    message.set_content("Hello")

    class Djangos:  # as django.core.mail.EmailMessage
        def message(self) -> email.message.EmailMessage:
            return message

        def recipients(self) -> list[str]:
            return ["ann@example.org", "dee@example.org"]

    for given, count in ((message, 1), (bytes(message), 1), (Djangos(), 2)):
        mail = SentMail.of(given)
        assert (mail.subject, mail.text, len(mail.recipients)) == ("Hi", "Hello", count)
    assert SentMail.of(mail) is mail
    with pytest.raises(TypeError, match="int is no mail"):
        SentMail.of(7)


# --- links ------------------------------------------------------------------------------------------------------------


@each(
    ("html", "found"),
    [
        ('<a href="https://x.test/a?b=1&amp;c=2">x</a>', ["https://x.test/a?b=1&c=2"]),
        ("<A HREF=' https://x.test/1 '>x</A><area href=http://x.test/2>", ["https://x.test/1", "http://x.test/2"]),
        ('<a href="mailto:a@b.test">m</a><a href="#top">t</a><a>n</a><a href>e</a>', []),
        (
            '<img src="https://x.test/i.png"><link href="https://x.test/s.css">See https://x.test/text.',
            ["https://x.test/text"],
        ),
        (
            '<a href="https://x.test/?a=1&copy=2&para=3&amp;b=4">https://other.test</a>',
            ["https://x.test/?a=1&copy=2&para=3&b=4"],
        ),
        ('<a href="https://x.test/a\nb"> <style>a{b:url(https://x.test/css)}</style>', ["https://x.test/ab"]),
        (
            '<!-- <a href="https://x.test/no"> --><a href="https://x.test/1" href="https://x.test/2">',
            ["https://x.test/1"],
        ),
        ('<a href="https://x.test/1">1</a><a href="https://x.test/1">again</a>', ["https://x.test/1"] * 2),
        ('<a href="https://x.test/1"', []),
    ],
)
def test_links_in_html(html, found) -> None:
    assert links_in_html(html) == found


@each(
    ("text", "found"),
    [
        ("See https://x.test/a?b=1&c=2.", ["https://x.test/a?b=1&c=2"]),
        ("(https://x.test/a_(b)) or [https://x.test/d].", ["https://x.test/a_(b)", "https://x.test/d"]),
        ("<https://x.test/c>, *https://x.test/e*", ["https://x.test/c", "https://x.test/e"]),
        (
            "https://x.test/ü/ HTTP://X.TEST\nhttps://x.test/1!\n",
            ["https://x.test/ü/", "HTTP://X.TEST", "https://x.test/1"],
        ),
        ("no ftp://x.test, no www.x.test, no https://", []),
        ('"https://x.test/q" “https://x.test/r” https://x.test/s…', [f"https://x.test/{one}" for one in "qrs"]),
        (
            "https://x.test/token_ https://x.test/glob* _https://x.test/a_b_.",
            ["https://x.test/token_", "https://x.test/glob*", "https://x.test/a_b"],
        ),
    ],
)
def test_links_in_text(text, found) -> None:
    assert links_in_text(text) == found


def test_links_of_a_mail_are_those_of_the_html_then_the_rest() -> None:
    html = '<a href="https://x.test/reset?u=1&amp;t=2">reset</a>'
    mail = sent(RICH.with_(html=html, text="https://x.test/help\nhttps://x.test/reset?u=1&t=2", attachments=()))
    assert links(mail) == mail.links == ["https://x.test/reset?u=1&t=2", "https://x.test/help"]
    for fitting in ("/reset", re.compile(r"t=\d"), lambda link: link.endswith("2")):
        assert mail.link(fitting) == "https://x.test/reset?u=1&t=2"
    with pytest.raises(
        AssertionError, match=r"one link with '/gone' was expected in .*is none:\n  https://x.test/reset"
    ):
        mail.link("/gone")
    with pytest.raises(AssertionError, match="there are 2:"):
        mail.link()


# --- one-time codes ---------------------------------------------------------------------------------------------------


@each(
    ("text", "codes"),
    [
        ("Your code is 482913.", ["482913"]),
        ("482 913 is your code", ["482913"]),
        ("Enter 482-913, then 111222.", ["482913", "111222"]),
        ("Code: 4829", ["4829"]),
        ("Your one-time code is: X7K2Q9", ["X7K2Q9"]),
        ("Your code:\n\n    A1B2-C3D4\n\nIt ends in 10 minutes.", ["A1B2-C3D4"]),
        ("Enter this:\n\n  WDJB-MJHT\n", ["WDJB-MJHT"]),
        ("**482913**", ["482913"]),
        ("Ihr Code lautet\n12 34 56 78\n", ["12345678"]),
        ("recovery codes:\na1b2c-d3e4f\ng5h6i-j7k8l\n", ["a1b2c-d3e4f", "g5h6i-j7k8l"]),
        ("PIN 0042", ["0042"]),
        ("482913 and once more 482913", ["482913"]),
        # None of these is one.
        ("Order #482913 of 2026-11-30, 123456.50 EUR, $482913, tel. +43 482913, 482,913 pears", []),
        ("https://x.test/482913 ann482913@x.test v482913 482913x 1482913 48291", []),
        ("Version 1.482913 at 12:34:56, 10.482913, call 555 482 913", []),
        ("Your code of conduct is attached. Password reset for Ann, in 2026.", []),
        ("Hello ANN,\nWELCOME\nHELLO-WORLD is fine", []),
        ("2026-11-30\n20261130\n2026\n555-123-4567\n10-20\n555 123 456", []),
        ("Order 482913, invoice no. 482913, customer number: 482913, Kundennummer 482913, ref: 482913", []),
        ("EUR 482913, 482913 EUR, 482913 €, total 482913", []),
        ("zip code 90210, promo code SAVE20, postal code: 10115, error code 5003", []),
        ("Reset your password\n2026 Shop Ltd. Forgot your password\nOpt-out", []),
        ("Order 100234: your code is 482913.", ["482913"]),
        ("Your account PIN: 0042", ["0042"]),
        ("To open your account: 482913", ["482913"]),
        ("Account 482913, account no. 482913, user id: 482913, customer 482913", []),
    ],
)
def test_codes_in_text(text, codes) -> None:
    assert codes_in(text) == codes


def test_codes_of_a_mail() -> None:
    mail = sent(RICH.with_(text="Code: 482 913", html="<p>Code: <b>482&nbsp;913</b></p>", attachments=()))
    assert one_time_codes(mail) == ["482913"]
    assert mail.code == "482913"
    assert one_time_codes(mail, r"(\d\d)2 9") == ["48"]
    assert one_time_codes(bytes(mail), re.compile(r"\d{2}")) == ["48", "91"]
    with pytest.raises(AssertionError, match=r"exactly one one-time code was expected .* is none: nothing"):
        _ = sent(RICH).code

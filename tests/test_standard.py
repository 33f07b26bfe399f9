"""The standard library's messages: read into fields, or flattened as they are."""

from __future__ import annotations

import email
import email.policy
from email.header import Header
from email.message import EmailMessage
from email.message import Message as OldMessage
from email.mime.application import MIMEApplication
from email.mime.image import MIMEImage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from cases import each
from hypothesis import HealthCheck, given, settings
from made_messages import DATE, composed, messages

from mailer import Mailer
from mailer.address import Address
from mailer.envelope import NULL_SENDER
from mailer.errors import MessageError
from mailer.message import Message
from mailer.standard import bytes_of, message_of


def modern() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Jürgen Ü <j@b.test>"
    message["To"] = 'Ann <a@b.test>, "C, D" <c@d.test>'
    message["Subject"] = "Grüße – 7"
    message["Date"] = DATE
    message["Message-ID"] = "<x@b.test>"
    message["X-Order"] = "Nr. 7 ü"
    message.set_content("Hello ü\n")
    message.add_alternative('<img src="cid:logo">', subtype="html")
    message.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo>", filename="logo.png")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="täst.pdf")
    return message


def check_fields(got: Message) -> None:
    assert got.from_ == (Address("Jürgen Ü", "j", "b.test"),)
    assert got.to == (Address("Ann", "a", "b.test"), Address("C, D", "c", "d.test"))
    assert (got.subject, got.date, got.message_id) == ("Grüße – 7", DATE, "<x@b.test>")
    assert got.headers == (("X-Order", "Nr. 7 ü"),)
    assert (got.text, got.html) == ("Hello ü\n", '<img src="cid:logo">\n')
    image, pdf = got.attachments
    assert (image.name, image.content_id, image.inline, bytes(image)) == ("logo.png", "logo", True, b"\x89PNG")
    assert (pdf.name, pdf.content_type, pdf.inline, bytes(pdf)) == ("täst.pdf", "application/pdf", False, b"%PDF")


def test_an_email_message_is_read_into_fields():
    check_fields(message_of(modern()))


@pytest.mark.parametrize(
    "policy", [email.policy.default, email.policy.compat32, email.policy.SMTP], ids=["default", "compat32", "SMTP"]
)
def test_a_parsed_one_gives_the_same(policy):
    check_fields(message_of(email.message_from_bytes(modern().as_bytes(), policy=policy)))


def test_email_mime_is_read_into_fields():
    message = MIMEMultipart("mixed")
    message["From"] = Header("a@b.test")
    message["To"] = "=?utf-8?q?C=2C_D?= <c@d.test>"
    message["Bcc"] = "e@f.test"
    message["Subject"] = Header("Grüße", "utf-8")
    message["Return-Path"] = "<>"
    message["X-Priority"] = "1 (Highest)"
    message["Received"] = "from x by y"
    ways = MIMEMultipart("alternative")
    ways.attach(MIMEText("plain ü", "plain", "latin-1"))
    ways.attach(MIMEText("<p>", "html"))
    ways.attach(MIMEText("BEGIN:VCALENDAR", "calendar; method=REQUEST"))
    message.attach(ways)
    image = MIMEImage(b"\x89PNG", "png")
    image["Content-ID"] = "<logo>"
    message.attach(image)
    message.attach(MIMEApplication(b"x", Name="a.bin"))
    note = MIMEText("attached", "plain", "utf-8")
    note.add_header("Content-Disposition", "attachment", filename=("utf-8", "", "nöte.txt"))
    message.attach(note)
    inner = MIMEText("inner")
    inner["Subject"] = "in"
    message.attach(MIMEMessage(inner))
    got = message_of(message)
    assert got.to == (Address("C, D", "c", "d.test"),)
    assert got.bcc == (Address("", "e", "f.test"),)
    assert (got.subject, got.return_path, got.priority, got.headers) == ("Grüße", NULL_SENDER, 1, ())
    assert (got.text, got.html) == ("plain ü", "<p>")
    assert got.alternatives == (('text/calendar; method="REQUEST"', "BEGIN:VCALENDAR"),)
    assert [(a.name, a.inline) for a in got.attachments] == [
        ("attachment", True),
        ("a.bin", False),
        ("nöte.txt", False),
        ("message.eml", False),
    ]
    assert b"Subject: in\r\n" in bytes(got.attachments[3])
    assert got.attachments[3].content_type == "message/rfc822"


@given(messages())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_we_compose_is_read_back(message):
    message = message.with_(
        subject="s", headers=(), to="a@b.test", cc=(), reply_to=(), sender=None, from_="a@b.test", attachments=()
    )
    got = message_of(email.message_from_bytes(bytes(composed(message)), policy=email.policy.default))
    assert got.with_(
        text=None, html=None, amp_html=None, alternatives=(), headers=(), message_id=None
    ) == message.with_(text=None, html=None, amp_html=None, alternatives=(), bcc=())
    for key in ("text", "html", "amp_html"):
        ours, theirs = getattr(message, key), getattr(got, key)
        if ours is not None:
            assert (theirs or "").replace("\r\n", "\n").removesuffix("\n") == ours.replace("\r\n", "\n").replace(
                "\r", "\n"
            ).removesuffix("\n")


def of(text: str) -> OldMessage:
    return email.message_from_string(text)


@pytest.mark.parametrize(
    "text",
    [
        "Content-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b--\n",
        "Content-Type: multipart/encrypted; boundary=b\n\n--b\n\nx\n--b--\n",
        "Content-Type: application/pkcs7-mime\n\nx",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/signed; boundary=c\n\n--c\n\n--c--\n--b--\n",  # noqa: E501
        "Content-Type: multipart/report; boundary=b\n\n--b\n\nx\n--b--\n",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--\n",
        "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: image/png\n\ntwo\n--b--\n",
        "Content-Type: multipart/mixed\n\nno boundary",
        "DKIM-Signature: x\n\nx",
        "Resent-To: a@b.test\n\nx",
        "Content-Type: text/plain; charset=nonsense\nContent-Transfer-Encoding: base64\n\n/w==",
    ],
)
def test_what_fields_cannot_say_points_to_send_raw(text):
    with pytest.raises(MessageError, match="send_raw"):
        message_of(of(text))


@pytest.mark.parametrize(
    "text",
    [
        "Date: yesterday\n\n",
        "To: a@b@c\n\n",
        "Subject: a\nSubject: b\n\n",
        "X-Priority: soon\n\n",
        "Sender: a@b.test, c@d.test\n\n",
    ],
)
def test_a_broken_header_is_a_message_error(text):
    with pytest.raises(MessageError):
        message_of(of(text))


def test_deep_nesting_is_a_message_error():
    message: OldMessage = MIMEText("x")
    for _ in range(200):
        outer = MIMEMultipart()
        outer.attach(message)
        message = outer
    with pytest.raises(MessageError):
        message_of(message)


def test_other_objects_are_refused():
    for value in ("text", b"bytes", None, Message()):
        for read in (message_of, bytes_of):
            with pytest.raises(MessageError):
                read(value)


# --- bytes_of ---------------------------------------------------------------------------------------------------------

ODD = (
    b"From: a@b.test\r\nX-Long: "
    + b"word " * 30
    + b"end\r\nX-Folded: a\r\n\tb  c\r\nSubject: =?utf-8?q?a?= =?utf-8?q?b?=\r\n"
    b"To: A\r\n  <c@d.test>\r\nContent-Type: text/plain;\r\n\tcharset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nFrom \xc3\xa9 \r\n.\r\n"  # noqa: E501
)


@pytest.mark.parametrize(
    "policy", [email.policy.default, email.policy.compat32, email.policy.SMTP, email.policy.SMTPUTF8], ids=str
)
def test_a_parsed_mail_comes_out_as_it_went_in(policy):
    assert bytes_of(email.message_from_bytes(ODD, policy=policy)) == ODD
    assert bytes_of(email.message_from_bytes(ODD.replace(b"\r\n", b"\n"), policy=policy)) == ODD


@each("value", ["a\r\nBcc: x@y.test", "a\nb", "a\rb", "a\0", "a\x0bb: c", "a\x85b: c", "a\u2028b", "a\n", "\x1b"])
@each("kind", ["old", "header", "part"])
def test_b1_an_unsafe_header_in_any_part_is_refused(value, kind):
    message = MIMEMultipart()
    part = MIMEText("x")
    message.attach(part)
    target = part if kind == "part" else message
    target["X-A"] = Header(value, "utf-8") if kind == "header" else value
    with pytest.raises(MessageError) as caught:
        bytes_of(message)
    assert caught.value.field == "X-A"


@pytest.mark.parametrize("name", ["X A", "X\r\nBcc", "é", "X:"])
def test_b3_a_wrong_header_name_is_refused(name):
    message = MIMEText("x")
    message[name] = "y"
    with pytest.raises(MessageError) as caught:
        bytes_of(message)
    assert caught.value.field == "headers"


def test_a_long_header_that_was_set_is_folded():
    message = MIMEText("x")
    message["To"] = ", ".join(f"user{i}@example.org" for i in range(300))
    assert max(map(len, bytes_of(message).split(b"\r\n"))) <= 998


def test_what_the_standard_library_cannot_write_is_a_message_error():
    message = MIMEText("x")
    message.set_payload(object())
    with pytest.raises(MessageError):
        bytes_of(message)
    lone = EmailMessage()
    lone.set_payload("\ud83d")
    with pytest.raises(MessageError):
        bytes_of(lone)


def test_send_raw_takes_an_email_message():
    with Mailer("memory:") as mailer:
        message = modern()
        message["Bcc"] = "e@hidden.test"
        assert mailer.send_raw(message).ok
        [mail] = mailer.backend.mails
    assert [r.addr_spec for r in mail.envelope.recipients] == ["a@b.test", "c@d.test", "e@hidden.test"]
    assert b"hidden" not in bytes(mail.content)
    assert email.message_from_bytes(bytes(mail.content), policy=email.policy.default)["Subject"] == "Grüße – 7"


def test_b12_b13_an_email_message_to_addresses_beyond_ascii():
    message = EmailMessage()
    message["From"], message["To"] = "a@b.test", "Jö <jösé@bücher.test>"
    message["Cc"] = "c@bücher.test"
    message.set_content("x")
    with Mailer("memory:") as mailer:
        mailer.send_raw(message)
        mailer.send(Message.from_email_message(message))
        mails = mailer.backend.mails
    for mail in mails:
        assert [r.addr_spec for r in mail.envelope.recipients] == ["jösé@bücher.test", "c@bücher.test"]
        assert "jösé@bücher.test".encode() in bytes(mail.content)
        assert mail.content.has_utf8_headers

"""The composer, its bytes read by a strict second parser and by the standard library (checks 55-66; golden files)."""

from __future__ import annotations

import email
import email.policy
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_messages import BOUNDARY, DATE, MESSAGE_ID, check_composed, composed, messages
from strict_reader import Part, decoded, mailboxes, read

from mailer.address import Address
from mailer.attachment import Attachment
from mailer.errors import HeaderError, MessageError, TemplateError
from mailer.message import Message
from mailer.mime import Plan, compose

GOLDEN = Path(__file__).parent / "golden"
PNG = Attachment.from_bytes("logo.png", b"\x89PNG", content_id="logo")


def hello(**more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": "ann@example.org", "subject": "Hi", "text": "Hello\n", "date": DATE}
    return Message(**{**fields, **more})


def parts_of(message: Message, **more: object) -> Part:
    return read(bytes(composed(message)), **more)


# --- properties -------------------------------------------------------------------------------------------------------


@given(messages())
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_checks_55_to_65_any_message_is_read_back(message):
    check_composed(message)


@given(messages(wide=True))
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_check_66_any_message_with_wide_addresses_is_read_back(message):
    check_composed(message)


@given(messages(), messages(wide=True), st.lists(st.integers(0, 9), min_size=4, max_size=8))
@settings(max_examples=settings.default.max_examples // 3, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_plan_changes_no_byte_of_any_message(first, other, order):
    """Messages that share much, little and nothing, in any order, over and over."""
    several = [
        first,
        other,
        first.with_(to="zoe@c.test", subject="other"),
        first.with_(to="jösé@c.test"),
        first.with_(text=f"--=_3_{BOUNDARY}", html=None, alternatives=()),
        first.with_(headers={"X-Order": "7"}, cc=(), priority=None),
        first.with_(attachments=first.attachments[:1]),
        first.with_(attachments=[a.with_(inline=not a.inline) for a in first.attachments], html="<p>"),
        first.with_(text="", html=None, amp_html=None, alternatives=()),
        first.with_(text=None, html=None, amp_html=None, alternatives=()),
    ]
    plan = Plan(BOUNDARY)
    for message in map(several.__getitem__, order):
        content = plan.content(message, message_id=MESSAGE_ID, date=DATE)
        alone = composed(message)
        assert bytes(content) == bytes(alone)
        assert (content.has_8bit, content.has_utf8_headers) == (alone.has_8bit, alone.has_utf8_headers)


# --- golden files: the same bytes on every Python ---------------------------------------------------------------------

GOLDEN_MESSAGES = {
    "text": hello(),
    "text-html": hello(
        subject="Grüße – Order 7", html="<p>Hello, “world”</p>\n" * 20, to=["Ann Ü <a@b.test>", "c@d.test"]
    ),
    "everything": hello(
        from_=[("Jürgen, Dr.", "j@bücher.test"), "b@c.test"],
        sender="Office <office@c.test>",
        cc=[Address("日本 太郎" * 8, f"u{i}", "example.org") for i in range(3)],
        reply_to='"a b"@c.test',
        subject="Ünï " * 40,
        text="trailing blank \né\n" + "z" * 2000,
        html='<img src="cid:logo"> 日本語日本語',
        amp_html="<html ⚡4email>",
        alternatives=[("text/calendar; method=REQUEST", "BEGIN:VCALENDAR\r\n")],
        attachments=[
            Attachment.from_bytes("ｆｕｌｌ／..／ñ.pdf", bytes(range(256)) * 3),
            PNG.with_(inline=True),
            Attachment.from_bytes("x" * 300 + ".csv", b"a,b\n"),
            Attachment.from_message(b"Subject: x\n\nhi\n"),
        ],
        headers={
            "References": " ".join(f"<{i}@example.org>" for i in range(40)),
            "X-Long": "word " * 40,
            "X-Enc": "=?utf-8?q?x?=",
        },
        priority="high",
    ),
    "smtputf8": hello(from_="jösé@bücher.test", subject="Grüße", to="Ann Ü <ann@example.org>"),
}


@pytest.mark.parametrize("name", sorted(GOLDEN_MESSAGES))
def test_the_bytes_are_the_same_on_every_python(name):
    path = GOLDEN / f"{name}.eml"
    data = bytes(composed(GOLDEN_MESSAGES[name]))
    if os.environ.get("WRITE_GOLDEN"):
        path.write_bytes(data)
    assert data == path.read_bytes()


# --- header -----------------------------------------------------------------------------------------------------------


def test_check_56_each_field_stands_once():
    part = parts_of(hello(cc="c@d.test", reply_to="r@d.test", sender="s@d.test", headers={"References": "<a@b>"}))
    for name in (
        "From",
        "Sender",
        "To",
        "Cc",
        "Reply-To",
        "Subject",
        "Date",
        "Message-ID",
        "References",
        "MIME-Version",
    ):
        assert len(part.all(name)) == 1, name


def test_b5_a_subject_of_10000_letters_is_read_back():
    assert decoded(parts_of(hello(subject="x" * 10_000)).get("Subject") or "") == "x" * 10_000


@pytest.mark.parametrize("subject", [" ", "", "\t", " " * 998, "  a  ", "\ta b\t"])
def test_b8_blanks_at_the_ends_of_a_subject_are_trimmed(subject):
    assert parts_of(hello(subject=subject)).get("Subject") == subject.strip()


def test_b15_only_bcc_goes_to_undisclosed_recipients():
    part = parts_of(hello(to=(), bcc="b@c.test"))
    assert part.get("To") == "undisclosed-recipients:;"


def test_b15_only_cc_has_no_to():
    part = parts_of(hello(to=(), cc="b@c.test"))
    assert (part.get("To"), part.get("Cc")) == (None, "b@c.test")


def test_b16_check_59_bcc_stands_nowhere():
    data = bytes(composed(hello(bcc=["Eve <eve@hidden.test>", "b@hidden.test", "c@hidden.test"])))
    assert b"bcc" not in data.lower()
    assert b"hidden" not in data


def test_b17_ten_thousand_recipients_compose():
    people = [Address(f"Name {i}", f"u{i}", "example.org") for i in range(10_000)]
    assert len(mailboxes(parts_of(hello(to=people)).get("To") or "")) == 10_000


def test_b19_from_is_needed_and_two_need_a_sender():
    with pytest.raises(MessageError) as caught:
        composed(hello(from_=()))
    assert caught.value.field == "from_"
    with pytest.raises(MessageError) as caught:
        composed(hello(from_=["a@b.test", "c@d.test"]))
    assert caught.value.field == "sender"


def test_b23_the_messages_own_id_and_date_stay():
    part = parts_of(hello(message_id="mine@b.test"))
    assert part.get("Message-ID") == "<mine@b.test>"
    assert part.get("Date") == "Tue, 24 Nov 2026 09:07:45 +0530"


def test_a_template_must_be_rendered_before():
    with pytest.raises(TemplateError):
        composed(hello(template="welcome"))


@pytest.mark.parametrize("boundary", ["", "a b", "a\r\nb", "x" * 49, 'a"b', "a\0", "é"])
def test_b1_a_boundary_is_letters_and_digits(boundary):
    with pytest.raises(MessageError) as caught:
        composed(hello(), boundary=boundary)
    assert caught.value.field == "boundary"


@pytest.mark.parametrize("message_id", ["<a@b>\r\nBcc: x", "a", "<a b@c>", "a@b\0"])
def test_b1_a_given_message_id_is_checked(message_id):
    with pytest.raises(HeaderError) as caught:
        composed(hello(), message_id=message_id)
    assert caught.value.field == "message_id"


def test_priority_is_written_in_both_usual_ways_unless_one_is_given():
    part = parts_of(hello(priority="high"))
    assert (part.get("X-Priority"), part.get("Importance")) == ("2 (High)", "high")
    assert parts_of(hello(priority=5, headers={"Importance": "normal"})).get("Importance") == "normal"


def test_check_66_smtputf8_only_where_a_header_needs_it():
    assert not composed(hello(to="a@bücher.test", subject="ü")).has_utf8_headers
    assert composed(hello(to="jösé@b.test")).has_utf8_headers
    assert not composed(hello(bcc="jösé@b.test")).has_utf8_headers
    assert not composed(hello(to="jösé@b.test"), utf8=False).has_utf8_headers


# --- structure --------------------------------------------------------------------------------------------------------

HTML = '<img src="cid:logo">'
ICS = ("text/calendar; method=REQUEST", "BEGIN:VCALENDAR")
PDF = Attachment.from_bytes("a.pdf", b"%PDF")


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({"text": None}, "text/plain"),
        ({}, "text/plain"),
        ({"text": None, "html": "<p>"}, "text/html"),
        ({"html": "<p>"}, ("multipart/alternative", "text/plain", "text/html")),
        ({"html": "<p>", "amp_html": "<p>"}, ("multipart/alternative", "text/plain", "text/x-amp-html", "text/html")),
        ({"alternatives": [ICS]}, ("multipart/alternative", "text/plain", "text/calendar")),
        ({"attachments": [PDF]}, ("multipart/mixed", "text/plain", "application/pdf")),
        ({"text": None, "attachments": [PDF]}, ("multipart/mixed", "application/pdf")),
        (
            {"text": None, "html": HTML, "attachments": [PNG.with_(inline=True)]},
            ("multipart/related", "text/html", "image/png"),
        ),
        (
            {"html": HTML, "attachments": [PDF, PNG.with_(inline=True)], "alternatives": [ICS]},
            (
                "multipart/mixed",
                (
                    "multipart/alternative",
                    "text/plain",
                    ("multipart/related", "text/html", "image/png"),
                    "text/calendar",
                ),
                "application/pdf",
            ),
        ),
    ],
)
def test_b29_check_62_structure(fields, shape):
    assert parts_of(hello(**fields)).shape() == shape


def test_b34_an_inline_image_is_related_and_its_id_matches():
    message = hello(html='<img src="cid:logo"><img src=cid:logo>', text=None).inline(PNG)
    part = parts_of(message)
    assert part.parameters["type"] == "text/html"
    assert part.parts[1].get("Content-ID") == "<logo>"
    assert part.parts[1].disposition == "inline"


@pytest.mark.parametrize("html", ['<img src="cid:other">', "<td background=cid:x>", "a { b: url('cid:y') }"])
def test_b34_a_dangling_cid_is_refused(html):
    with pytest.raises(MessageError, match="cid:") as caught:
        composed(hello(html=html).inline(PNG))
    assert caught.value.field == "html"


def test_b34_an_escaped_cid_and_prose_about_cids_are_fine():
    image = PNG.with_(content_id="a%b@c")
    assert composed(hello(html='<img src="cid:a%25b@c"> the cid: scheme').inline(image))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_check_62_a_text_that_holds_the_boundary_does_not_end_its_part(level):
    text = f"--=_{level}_{BOUNDARY}--\r\n--=_{level}_{BOUNDARY}\r\nContent-Type: text/html\r\n\r\n<b>"
    message = hello(text=text, html=text, attachments=[PDF]).inline(Attachment.from_message(text.encode() + b"\n"))
    bodies = [p.text for p in parts_of(message).walk() if p.content_type in ("text/plain", "text/html")]
    assert bodies == [text.replace("\r\n", "\n")] * 2


def test_check_62_an_attached_message_may_be_all_there_is():
    part = parts_of(hello(text=None, attachments=[Attachment.from_message(b"Subject: x\n\ny\n")]))
    assert part.shape() == ("multipart/mixed", "message/rfc822")


def test_check_62_an_empty_text_is_nothing_behind_the_header():
    assert bytes(composed(hello(text=""))).endswith(b"7bit\r\n\r\n")


def test_check_62_an_attached_message_that_holds_the_boundary_does_not_end_its_part():
    inner = f"Subject: x\n\n--=_3_{BOUNDARY}\n--=_1_{BOUNDARY}--\n".encode()
    for inline in (True, False):
        attached = Attachment.from_message(inner).with_(inline=inline)
        part = parts_of(hello(html="<p>", attachments=[attached]))
        assert [p.body for p in part.walk() if p.content_type == "message/rfc822"] == [inner.replace(b"\n", b"\r\n")]


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\r\nb\rc\nd\n", "\r", "\n\r\n"])
def test_b24_mixed_line_ends_become_crlf(text):
    assert parts_of(hello(text=text)).text == text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("character", ["x", "é", "日"])
@pytest.mark.parametrize("length", [998, 999, 1_000_000])
def test_b25_a_long_line_is_encoded(character, length):
    assert parts_of(hello(text=character * length)).text.removesuffix("\n") == character * length


@pytest.mark.parametrize("text", [".\n", "..\n.x\n", "blank \n\t\n", "", "no newline", "\n\n", "é \n. \n"])
def test_b26_dots_blanks_and_ends_are_kept(text):
    assert parts_of(hello(text=text, html="<p>")).parts[0].text == text, "inside a multipart to the octet"
    alone = parts_of(hello(text=text)).text
    assert alone in (text, text + "\n"), "alone, a last line gets its line end"


@pytest.mark.parametrize("text", ["Grüße\n", "😀👩‍👩‍👧\n", "שלום עולם\n", "𝒳" * 500 + "\n", "a\u2028b\x85c\x0c\x1b\n"])
def test_b27_any_script_is_read_back(text):
    assert parts_of(hello(text=text, html=text)).parts[0].text == text
    parsed = email.message_from_bytes(bytes(composed(hello(text=text))), policy=email.policy.default)
    payload = parsed.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().replace("\r\n", "\n") == text


def test_b28_a_declared_charset_gives_way_to_utf8():
    part = parts_of(hello(alternatives=[("text/csv; charset=latin-1", "5 €")])).parts[1]
    assert part.parameters["charset"] == "utf-8"
    assert part.text == "5 €"


# --- attachments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ｅtc／passwd", "..／..／x", "a＼b", "日本語.txt", "日本", "é.tar.gz", "ﬁ.txt"])
def test_b30_the_ascii_name_for_old_readers_holds_no_directory(name):
    part = parts_of(hello(attachments=[Attachment.from_bytes(name, b"x")])).parts[1]
    assert part.filename == name
    fallback = part.parameters["name"]
    assert fallback.isascii()
    assert fallback
    assert not set("/\\") & set(fallback)


@pytest.mark.parametrize(
    "name", ['q"uote.txt', "a;b.txt", "100%.txt", "a b  c.txt", "日本語.txt", "😀.txt", "x" * 300, "é" * 300]
)
def test_b31_a_file_name_is_read_back(name):
    data = bytes(composed(hello(attachments=[Attachment.from_bytes(name, b"x")])))
    assert read(data).parts[1].filename == name
    assert all(len(line) <= 78 for line in data.split(b"\r\n"))
    [got] = email.message_from_bytes(data, policy=email.policy.default).iter_attachments()
    assert got.get_filename() == name


@pytest.mark.parametrize(
    ("inner", "encoding"),
    [
        (b"Subject: x\n\nhi\n", "7bit"),
        (b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa9\r\n", "7bit"),
        (b"Content-Type: multipart/signed; boundary=b\n\n--b\n\n\xe9\n--b--\n", "8bit"),
        (b"X: " + b"y" * 900 + b"\n\nz\n", "7bit"),
    ],
)
def test_b33_check_63_an_attached_message_is_never_base64(inner, encoding):
    content = composed(hello(attachments=[Attachment.from_message(inner)]))
    part = read(bytes(content), eight_bit=content.has_8bit).parts[1]
    assert part.content_type == "message/rfc822"
    assert part.get("Content-Transfer-Encoding") == encoding
    assert content.has_8bit == (encoding == "8bit")
    if inner.isascii() or encoding == "8bit":
        assert part.body == inner.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "inner", [b"not a message at all", b"Subject: x\n\n\0", b"X: " + b"y" * 1200 + b"\n\n", b"\xe9: x\n\n"]
)
def test_b33_what_cannot_be_a_message_part_is_attached_as_a_file(inner):
    content = composed(hello(attachments=[Attachment.from_message(inner)]))
    part = read(bytes(content)).parts[1]
    assert (part.content_type, part.body) == ("application/octet-stream", inner)


def test_a_delivery_status_goes_out_as_7bit_text_or_not_as_one():
    report = b"Reporting-MTA: dns; x\n\nAction: failed\n"
    part = parts_of(
        hello(attachments=[Attachment.from_bytes("s", report, content_type="message/delivery-status")])
    ).parts[1]
    assert (part.content_type, part.get("Content-Transfer-Encoding")) == ("message/delivery-status", "7bit")
    part = parts_of(
        hello(attachments=[Attachment.from_bytes("s", b"\xff", content_type="message/delivery-status")])
    ).parts[1]
    assert (part.content_type, part.body) == ("application/octet-stream", b"\xff")


def test_b37_a_second_reading_gives_the_whole_content_again():
    generated = Attachment.from_stream("a.bin", (bytes([i]) * 1000 for i in range(90)))
    content = composed(hello(attachments=[generated]))
    assert list(content) == list(content)
    assert read(bytes(content)).parts[1].body == b"".join(bytes([i]) * 1000 for i in range(90))


def test_a_file_that_changed_meanwhile_is_an_error_not_a_short_mail(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 100)
    content = composed(hello(attachments=[path]))
    path.write_bytes(b"x" * 99)
    with pytest.raises(MessageError, match="changed"):
        bytes(content)
    path.unlink()
    with pytest.raises(MessageError, match="cannot read"):
        bytes(content)


def test_b36_a_file_of_25_mb_is_streamed(tmp_path):
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        file.truncate(25 << 20)
    tracemalloc.start()
    try:
        content = composed(hello(attachments=[path]))
        assert len(content) > 25 << 20, "its size is known before anything is sent"
        assert sum(map(len, content)) == len(content)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_many_small_attachments_are_joined_in_few_pieces():
    files = [Attachment.from_message(b"Subject: x\n\n" + b"y\n" * 5000) for _ in range(200)]
    content = composed(hello(attachments=files))
    assert len(list(content)) < 150
    assert len(read(bytes(content)).parts) == 201


def test_message_id_in_the_golden_set_is_the_given_one():
    assert MESSAGE_ID.encode() in (GOLDEN / "text.eml").read_bytes()


def test_a_body_that_is_written_late_is_the_same_bytes() -> None:
    """And what cannot be written is told at once all the same."""
    image = Attachment.from_bytes("logo.png", b"\x89PNG", content_id="logo", inline=True)
    fields = {"from_": "a@example.com", "to": "b@example.org", "subject": "Grüße"}
    known = {"message_id": "<1@example.com>", "date": DATE}
    for more in (
        {},
        {"text": "x"},
        {"text": "ü", "html": "<p>ü</p>"},
        {"html": '<img src="cid:logo">', "attachments": [image]},
        {"text": "b0undary", "alternatives": [("text/calendar", "BEGIN:VCALENDAR")], "to": "björn@example.org"},
    ):
        message = Message(**{**fields, **more})
        plan = Plan("b0undary")
        late = plan.content(message, **known, is_late=True)
        assert not late.is_made
        now = compose(message, **known, boundary="b0undary")
        assert abs(late.about_bytes - len(now)) < 2000
        assert (bytes(late), late.has_utf8_headers, len(late)) == (bytes(now), now.has_utf8_headers, len(now))
    for wrong in ({"from_": None}, {"html": '<img src="cid:none">'}, {"headers": {"References": "ü"}}):
        with pytest.raises(MessageError):
            Plan("x").content(Message(**{**fields, **wrong}), **known, is_late=True)

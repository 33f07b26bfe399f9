"""What may stand in a header: the gate that every string passes (mailer/field.py)."""

from __future__ import annotations

import pytest
from cases import each

from mailer.errors import HeaderError, MessageError
from mailer.field import ADDRESS_FIELDS, OPAQUE_FIELDS, SINGLE_FIELDS, field_name, line, prose, shown, token_id

CONTROLS = [chr(code) for code in (*range(9), *range(10, 32), 127)]


@each("control", CONTROLS)
def test_a_line_holds_no_control_character(control):
    with pytest.raises(MessageError) as caught:
        line(f"a{control}b", "subject")
    assert caught.value.field == "subject"
    assert control not in str(caught.value)


def test_tab_is_a_blank():
    assert line("a\tb", "subject") == "a\tb"


@pytest.mark.parametrize("surrogate", ["\ud800", "é\udc80"])
def test_a_lone_surrogate_is_refused_in_lines_and_prose(surrogate):
    for check in (line, prose):
        with pytest.raises(MessageError, match="surrogate"):
            check(surrogate, "text")


def test_only_strings_are_lines():
    for value in (None, b"x", 5):
        with pytest.raises(MessageError, match="must be a string"):
            line(value, "subject")
        with pytest.raises(MessageError, match="must be a string"):
            prose(value, "text")


def test_line_raises_the_kind_of_error_asked_for():
    with pytest.raises(HeaderError):
        line("\r", "X-A", error=HeaderError)


def test_prose_takes_any_line_end_but_no_nul():
    assert prose("a\r\nb\rc\n", "text") == "a\r\nb\rc\n"
    with pytest.raises(MessageError, match="NUL"):
        prose("a\0b", "text")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\tb", "a\r\nb", "é", "a\0", "x" * 77, 5, None, "\x7f", " X"])
def test_b3_header_name_that_is_none_is_refused(name):
    with pytest.raises(HeaderError) as caught:
        field_name(name)
    assert caught.value.field == "headers"


def test_any_printable_name_is_taken():
    assert field_name("X-Order") == "X-Order"
    assert field_name("!#$%&'*+.^_`|~") == "!#$%&'*+.^_`|~"
    assert field_name("x" * 76) == "x" * 76


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("From", "from_"),
        ("SUBJECT", "subject"),
        ("Date", "date"),
        ("message-id", "message_id"),
        ("Bcc", "bcc"),
        ("Return-Path", "return_path"),
        ("Reply-To", "reply_to"),
        ("X-Priority", "priority"),
        ("To", "to"),
        ("Cc", "cc"),
    ],
)
def test_b6_a_header_that_is_a_field_names_that_field(name, field):
    with pytest.raises(HeaderError, match=f"{field}=") as caught:
        field_name(name)
    assert caught.value.field == name


@pytest.mark.parametrize(
    "name",
    [
        "Received",
        "DKIM-Signature",
        "Content-Transfer-Encoding",
        "Content-Type",
        "content-anything",
        "MIME-Version",
        "ARC-Seal",
        "Authentication-Results",
        "Delivered-To",
        "Resent-Bcc",
    ],
)
def test_b7_a_header_of_the_library_or_a_server_is_refused(name):
    with pytest.raises(HeaderError):
        field_name(name)


@pytest.mark.parametrize("value", ["<a@b>", "a@b"])
def test_token_id_drops_its_brackets(value):
    assert token_id(value, "message_id", needs_at=True) == "a@b"


@pytest.mark.parametrize("value", ["", "<>", "a b@c", "<a@b> <c@d>", "<<a@b>>", "é@b", "a@b\r\n", "x" * 901, "a\t@b"])
def test_token_id_is_one_printable_token(value):
    with pytest.raises(HeaderError):
        token_id(value, "message_id")


@pytest.mark.parametrize("value", ["a", "@b", "a@", "@"])
def test_a_message_id_has_both_sides(value):
    with pytest.raises(HeaderError, match="left@right"):
        token_id(value, "message_id", needs_at=True)


def test_shown_is_one_short_printable_line():
    text = shown("é\r\n\x1b" + "x" * 500)
    assert len(text) == 80
    assert text.isascii()
    assert text.isprintable()


def test_the_kinds_of_fields_do_not_overlap():
    assert not OPAQUE_FIELDS & ADDRESS_FIELDS
    assert "references" in SINGLE_FIELDS & OPAQUE_FIELDS

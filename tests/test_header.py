"""Header fields as they go out, read back by the strict reader (checks 55, 57, 60, 64-66)."""

from __future__ import annotations

import email
import email.header
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st
from made_messages import one_line
from strict_reader import decoded, mailboxes, parameters, read

from mailer import header
from mailer.address import Address
from mailer.errors import HeaderError
from mailer.field import OPAQUE_FIELDS


def body_of(field: str, *, utf8: bool = False) -> str:
    """The field's body, after the strict reader has looked at its lines."""
    [(_, body)] = read(field.encode() + b"\r\n", utf8=utf8).fields
    return body


def test_check_55_plain_text_is_folded_at_78_where_a_blank_allows_it():
    field = header.unstructured("Subject", "word " * 60 + "end")
    assert max(map(len, field.splitlines())) <= 78
    assert body_of(field) == "word " * 60 + "end"


def test_b9_a_long_plain_name_is_folded_and_not_encoded():
    """Python up to 3.13.0 reads a blank between the encoded-words of a name."""
    name = "International Society for the Folding of Rather Long Header Fields at their Blanks of Last Resort"
    for field in ("To", "Disposition-Notification-To"):
        folded = header.addresses(field, [Address(name, "a", "b.test")])
        assert max(map(len, folded.splitlines())) <= 78
        assert body_of(folded) == f"{name} <a@b.test>"


def test_runs_of_blanks_and_tabs_survive_folding():
    text = ("a" * 30 + " \t  ") * 20 + "b"
    assert body_of(header.unstructured("X-A", text)) == text


def test_a_short_word_at_a_continuation_does_not_unlock_a_long_line():
    assert body_of(header.unstructured("X-" + "A" * 60, "x " * 3 + "y" * 77)) == "x x x " + "y" * 77


def test_a_token_that_fits_no_line_becomes_encoded_words():
    field = header.unstructured("Subject", "x" * 10_000)
    assert max(map(len, field.splitlines())) <= 76
    assert decoded(body_of(field)) == "x" * 10_000


def test_a_long_url_stays_whole():
    url = "https://example.org/" + "y" * 700
    assert url in header.unstructured("X-Link", f"see {url}")


@pytest.mark.parametrize("text", ["=?utf-8?q?a?=", "a =?utf-8?b?YQ==?= b", "=?", "x=?y"])
def test_check_64_what_looks_encoded_stays_literal(text):
    field = header.unstructured("Subject", text)
    assert decoded(body_of(field)) == text
    assert str(email.header.make_header(email.header.decode_header(body_of(field)))) == text


@pytest.mark.parametrize("length", [1, 40, 45, 60, 76])
def test_an_encoded_word_never_passes_76_whatever_the_name(length):
    field = header.unstructured("X" * length, "ü" * 100)
    assert max(map(len, field.splitlines()[1:])) <= 76
    assert decoded(body_of(field)) == "ü" * 100


@given(one_line(), st.sampled_from(["Subject", "X-" + "N" * 50, "A"]))
@settings(deadline=None)
def test_check_64_any_free_text_is_read_back(text, name):
    text = text.strip(" \t")
    assert decoded(body_of(header.unstructured(name, text))) == text
    assert decoded(body_of(header.unstructured(name, text, utf8=True), utf8=True)) == text


def test_check_66_raw_utf8_only_in_its_mode():
    assert header.unstructured("Subject", "Grüße").isascii()
    assert header.unstructured("Subject", "Grüße", utf8=True) == "Subject: Grüße\r\n"
    assert header.unstructured("Subject", "a\u2028b\x85", utf8=True).isascii(), "a line end to some readers"


def test_empty_body():
    assert header.unstructured("X-A", "") == "X-A:\r\n"


# --- machine tokens ---------------------------------------------------------------------------------------------------


def test_references_of_3000_characters_are_folded_and_never_encoded():
    ids = [f"<{'r' * 40}.{i}@example.org>" for i in range(60)]
    field = header.custom("References", " ".join(ids))
    assert len(field) > 3000
    assert max(map(len, field.splitlines())) <= 78
    assert body_of(field).split() == ids


def test_check_67_list_unsubscribe_of_3000_characters():
    links = [f"<https://example.org/u?{'t' * 900}{i}>" for i in range(3)]
    field = header.custom("List-Unsubscribe", ", ".join(links))
    assert "=?" not in field
    assert max(map(len, field.splitlines())) <= 998
    assert body_of(field) == ", ".join(links)
    one_click = header.custom("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
    assert one_click == "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


def test_a_token_that_just_fits_a_line_goes_to_the_next():
    token = "<" + "a" * 990 + ">"
    assert header.opaque("References", token) == f"References:\r\n {token}\r\n"


def test_a_token_longer_than_a_line_is_refused():
    with pytest.raises(HeaderError) as caught:
        header.opaque("References", "x" * 998)
    assert caught.value.field == "References"


@each("name", sorted(OPAQUE_FIELDS))
def test_machine_tokens_are_ascii(name):
    with pytest.raises(HeaderError) as caught:
        header.custom(name, "é")
    assert caught.value.field == name


# --- mailboxes --------------------------------------------------------------------------------------------------------

NAMES = [
    "Ann",
    "Ann, Dr.",
    'Ann "Q" O\'Neil',
    "back\\slash",
    "(ann)",
    "a@b",
    "A. Nn",
    "<x@y>",
    "Jürgen",
    "日本 太郎",
    "=?utf-8?q?x?=",
    "x" * 200,
    "A B " * 30,
    '"' * 60,
    "😀" * 30,
    "é" * 22,
    "é" * 23,
    "a:b;",
    " ".join(["Ünïcödé"] * 12),
]


@each("name", NAMES)
@each("field", ["To", "Reply-To", "Disposition-Notification-To"])
def test_b9_a_display_name_is_read_back_as_one_mailbox(name, field):
    name = name.strip()
    written = header.addresses(field, [Address(name, "ann", "example.org")])
    assert mailboxes(body_of(written)) == [(name, "ann@example.org")]


def test_addresses_fold_between_mailboxes():
    people = [Address("Some Body", f"user{i}", "example.org") for i in range(50)]
    lines = header.addresses("To", people).splitlines()
    assert all(line.endswith(",") for line in lines[:-1])
    assert max(map(len, lines)) <= 78


def test_a_short_mailbox_after_a_long_one_is_folded():
    people = [Address("", "x" * 64, "example.org"), Address("?=", "a.b+c", "d" * 60 + ".example")]
    assert mailboxes(body_of(header.addresses("Reply-To", people))) == [(p.name, p.addr_spec) for p in people]


def test_b12_an_idn_domain_goes_out_as_a_label_outside_smtputf8():
    address = Address("", "a", "bücher.test")
    assert header.addresses("To", [address]) == "To: a@xn--bcher-kva.test\r\n"
    assert header.addresses("To", [address], utf8=True) == "To: a@bücher.test\r\n"


def test_b13_a_wide_local_part_is_never_an_encoded_word_in_an_addr_spec():
    address = Address("José", "jösé", "b.test")
    assert mailboxes(body_of(header.addresses("To", [address]))) == [("José jösé@b.test", "")]
    assert header.addresses("To", [address], utf8=True) == 'To: "José" <jösé@b.test>\r\n'


def test_b11_a_quoted_local_part_is_kept_quoted():
    assert header.addresses("To", [Address("", "a b", "c.test")]) == 'To: "a b"@c.test\r\n'


@given(
    st.lists(
        st.builds(Address, one_line(3).map(lambda n: n.replace("\t", " ")[:998]), st.just("a"), st.just("b.test")),
        min_size=1,
        max_size=6,
    )
)
@settings(deadline=None)
def test_check_60_any_display_names_are_read_back(people):
    assert mailboxes(body_of(header.addresses("Cc", people))) == [(p.name, "a@b.test") for p in people]
    assert mailboxes(body_of(header.addresses("Cc", people, utf8=True), utf8=True)) == [
        (p.name, "a@b.test") for p in people
    ]


def test_custom_address_field_is_written_as_mailboxes():
    assert header.custom("Disposition-Notification-To", "Jürgen <j@b.test>").startswith(
        "Disposition-Notification-To: =?utf-8?b?"
    )


@pytest.mark.parametrize("body", ["not an address", "", "a@b, c d@e", "group:;"])
def test_custom_address_field_that_names_no_mailbox_is_refused(body):
    with pytest.raises(HeaderError) as caught:
        header.custom("Disposition-Notification-To", body)
    assert caught.value.field == "Disposition-Notification-To"


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "a.txt",
        "a b.txt",
        'q"uo\\te.txt',
        "a;b=c.txt",
        "100%.txt",
        "日本語.txt",
        "😀.png",
        "x" * 300,
        "é" * 300,
        "=?utf-8?q?x?=",
        "",
        "it's*.txt",
        "a\tb",
        " lead",
        "%41",
    ],
)
def test_b31_check_65_a_parameter_is_read_back(value):
    field = "Content-Disposition: " + header.parameters("attachment", [("filename", value)], column=21) + "\r\n"
    assert max(map(len, field.splitlines())) <= 78
    assert parameters(body_of(field)) == ("attachment", {"filename": value})
    assert (email.message_from_string(field + "\r\n").get_filename() or "").strip() == value.strip()


@pytest.mark.parametrize("name", ["n" * 50, "n" * 62, "n" * 70, "n" * 127])
def test_a_long_parameter_name_ends(name):
    field = "Content-Type: " + header.parameters("a/b", [(name, "é" * 50)], column=14) + "\r\n"
    assert parameters(body_of(field))[1] == {name: "é" * 50}


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2026, 11, 24, 9, 7, 45, tzinfo=UTC), "Tue, 24 Nov 2026 09:07:45 +0000"),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))), "Thu, 01 Jan 2026 00:00:00 +0530"),
        (datetime(2026, 1, 1, tzinfo=timezone(-timedelta(hours=3, minutes=30))), "Thu, 01 Jan 2026 00:00:00 -0330"),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=90))), "Wed, 31 Dec 2025 23:58:30 +0000"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Vienna"), fold=0), "Sun, 25 Oct 2026 02:30:00 +0200"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Vienna"), fold=1), "Sun, 25 Oct 2026 02:30:00 +0100"),
        (datetime(987, 1, 2, tzinfo=UTC), "Tue, 02 Jan 0987 00:00:00 +0000"),
    ],
)
def test_b21_check_57_dates_have_a_numeric_zone(moment, written):
    assert header.date_time(moment) == written


def test_b21_a_naive_date_is_refused():
    with pytest.raises(HeaderError) as caught:
        header.date_time(datetime(2026, 1, 1))
    assert caught.value.field == "date"

"""Ready-made mail, row by row of the table in mailer/ready_made.py; signatures checked by dkimpy."""

from __future__ import annotations

import email
import email.policy
import re

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from made_messages import DATE
from strict_reader import decoded, mailboxes, read

from mailer.attachment import Attachment
from mailer.envelope import Envelope
from mailer.errors import AddressError, HeaderError, MessageError
from mailer.message import Message
from mailer.mime import compose
from mailer.ready_made import ReadyMade, ascii_headers, canonical, seven_bit

HEAD = b"From: a@b.test\r\nTo: c@d.test\r\nDate: Tue, 24 Nov 2026 09:07:45 +0530\r\nMessage-ID: <x@b.test>\r\n"


def made(data: bytes) -> ReadyMade:
    return ReadyMade.of(data, message_id="<new@b.test>", date=DATE)


def refused(data: bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        made(data)
    return caught.value


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_b24_every_line_end_becomes_crlf(end):
    data = HEAD + b"\r\none\r\n.\r\n\r\ntwo"
    assert made(data.replace(b"\r\n", end)).content == data + b"\r\n"
    mixed = HEAD + b"\r\na\rb\nc\r\nd"
    assert made(mixed).content == HEAD + b"\r\na\r\nb\r\nc\r\nd\r\n"


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_an_mbox_line_in_front_is_dropped(end):
    data = b"From a@b.test Tue Nov 24 09:07:45 2026" + end + HEAD.replace(b"\r\n", end) + end + b"From here" + end
    assert made(data).content == HEAD + b"\r\nFrom here\r\n"


@pytest.mark.parametrize("data", [b"a\0b", HEAD + b"\r\n\0", b"X: \0\r\n" + HEAD + b"\r\n"])
def test_b2_nul_is_refused_anywhere(data):
    assert "NUL" in str(refused(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n",
        b"\r\nbody",
        b"no header\r\n\r\nbody",
        HEAD + b"no field\r\n\r\n",
        b" folded\r\n" + HEAD,
        HEAD + b": x\r\n\r\n",
        HEAD + b"a b: x\r\n",
    ],
)
def test_what_has_no_proper_header_is_refused(data):
    assert refused(data).field == "content"


@pytest.mark.parametrize(
    "name",
    [
        "From",
        "To",
        "Cc",
        "Subject",
        "Date",
        "Message-ID",
        "Sender",
        "Reply-To",
        "References",
        "In-Reply-To",
        "MIME-Version",
    ],
)
def test_b6_check_56_a_field_that_may_stand_once_stands_once(name):
    line = f"{name}: x@y.test\r\n".encode()
    assert refused(line.upper() + HEAD + line + b"\r\n").field == name.lower()


def test_b19_no_from_is_refused():
    assert refused(b"To: a@b.test\r\n\r\n").field == "from"


@pytest.mark.parametrize("end", [b"", b" ", b"\r\n "])
def test_b19_an_empty_from_is_no_from(end):
    assert refused(b"From:" + end + b"\r\nTo: c@d.test\r\n\r\nx").field == "from"


def test_b19_several_from_need_a_sender():
    data = HEAD.replace(b"a@b.test", b"a@b.test, A <z@b.test>") + b"\r\nx\r\n"
    assert refused(data).field == "sender"
    assert made(b"Sender: z@b.test\r\n" + data).envelope == Envelope("z@b.test", "c@d.test")


@pytest.mark.parametrize("control", [b"\x01", b"\x0b", b"\x0c", b"\x1b", b"\x7f"])
def test_b1_a_control_character_in_a_header_is_refused(control):
    assert refused(b"Subject: a" + control + b"Bcc: e@f.test\r\n" + HEAD + b"\r\nx").field == "subject"
    assert made(b"Subject: a\tb\r\n" + HEAD + b"\r\nx" + control).content.endswith(b"x" + control + b"\r\n")


@pytest.mark.parametrize("name", [b"From", b"To", b"Bcc"])
def test_b13_an_encoded_word_is_no_address(name):
    """What the standard library makes of jösé@b.test where headers are ASCII: mail for somebody else."""
    data = HEAD.replace(name + b": ", name + b": =?utf-8?q?j=C3=B6s=C3=A9?=@b.test, ")
    data = data if data != HEAD else b"Bcc: =?utf-8?q?j=C3=B6s=C3=A9?=@b.test\r\n" + HEAD
    assert refused(b"Sender: a@b.test\r\n" + data + b"\r\nx").field == name.decode().lower()


def test_date_and_message_id_are_added_and_the_rest_is_untouched():
    data = b"From: a@b.test\r\nTo: c@d.test\r\nX-Folded: a\r\n\tb\r\n\r\nbody\r\n"
    got = made(data).content
    assert got.endswith(data)
    part = read(got)
    assert (part.get("Date"), part.get("Message-ID")) == ("Tue, 24 Nov 2026 09:07:45 +0530", "<new@b.test>")
    assert made(HEAD + b"\r\n").content == HEAD + b"\r\n"


def test_b16_bcc_is_for_the_envelope_only():
    got = made(
        HEAD
        + b"Bcc: Eve <eve@hidden.test>,\r\n f@hidden.test\r\nResent-Cc: x\r\nReturn-Path: <r@x.test>\r\n\r\n".replace(
            b"Resent-Cc: x\r\n", b""
        )
    )
    assert got.content == HEAD + b"\r\n"
    assert got.envelope == Envelope("a@b.test", ["c@d.test", "eve@hidden.test", "f@hidden.test"])


def test_the_envelope_is_sender_or_from_and_to_cc_bcc():
    data = b'Sender: S <s@b.test>\r\nFrom: "A, A" <a@b.test>, x@b.test\r\nTo: g: c@d.test, e@f.test;\r\nCc: C@D.test (x), c@D.TEST\r\n\r\n'  # noqa: E501
    assert made(data).envelope == Envelope("s@b.test", ["c@d.test", "e@f.test", "C@d.test"])
    assert made(b"From: a@b.test\r\nTo: undisclosed-recipients:;\r\n\r\n").envelope is None
    assert made(b"From: a@b.test\r\n\r\n").envelope is None


@pytest.mark.parametrize("to", [b"not an address", b"a@b@c", b"a@b.test c@d.test"])
def test_a_recipient_that_cannot_be_read_is_refused(to):
    with pytest.raises(AddressError):
        made(b"From: a@b.test\r\nTo: " + to + b"\r\n\r\n")


@pytest.mark.parametrize(
    "kind", [b"", b"Content-Type: text/plain; charset=utf-8\r\n", b"Content-Type: application/x\r\n"]
)
def test_b25_a_long_line_is_re_encoded(kind):
    body = b"x" * 5000 + b"\r\n" + "é".encode() * 800
    got = made(HEAD + kind + b"\r\n" + body).content
    part = read(got)
    assert part.body.removesuffix(b"\r\n") == body
    assert part.get("Content-Transfer-Encoding") in ("quoted-printable", "base64")


def test_b25_a_long_line_in_a_header_is_refused():
    assert refused(HEAD + b"X-Long: " + b"y" * 991 + b"\r\n\r\n").field == "x-long"
    assert made(HEAD + b"X-Long: " + b"y" * 990 + b"\r\n\r\n")


def test_octets_above_127_in_a_body_are_kept():
    data = HEAD + b"Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\xff\r\n"
    assert made(data).content == data


def test_check_66_octets_above_127_in_a_header_are_utf8():
    data = HEAD + "Subject: Grüße\r\n\r\n".encode()
    assert made(data).content == data
    assert refused(HEAD + b"Subject: Gr\xfc\xdfe\r\n\r\n").field == "Subject"


@pytest.mark.parametrize("name", [b"Resent-From", b"Resent-To", b"RESENT-Date"])
def test_a_resent_mail_does_not_say_who_it_is_for(name):
    assert made(HEAD + name + b": x@y.test\r\n\r\n").envelope is None


# --- signed -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signer():
    dkim = pytest.importorskip("dkim")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    import base64

    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)

    def sign(data: bytes) -> bytes:
        return dkim.sign(data, b"s", b"b.test", pem) + data

    def is_valid(data: bytes) -> bool:
        return dkim.verify(data, dnsfunc=lambda name, timeout=5: record)

    return sign, is_valid


def test_a_dkim_signed_mail_is_untouched_and_still_verifies(signer):
    sign, is_valid = signer
    data = sign(HEAD + b"Subject:  two  blanks\r\n\r\n\xc3\xa9 trailing \r\n.\r\n")
    for ends in (data, data.replace(b"\r\n", b"\n")):
        got = made(ends)
        assert got.content == data
        assert got.is_signed
        assert is_valid(got.content)
    assert not is_valid(data.replace(b"two", b"three")), "the oracle sees a change"


def test_a_signed_mail_gains_no_header(signer):
    sign, is_valid = signer
    data = sign(b"From: a@b.test\r\nTo: c@d.test\r\n\r\nx\r\n")
    assert made(data).content == data
    assert is_valid(data)


@pytest.mark.parametrize("name", [b"Bcc", b"Return-Path", b"Resent-Bcc"])
def test_b7_a_signed_mail_with_a_header_to_be_removed_is_refused(name):
    assert refused(b"DKIM-Signature: x\r\n" + HEAD + name + b": e@f.test\r\n\r\n").field == name.decode().lower()


@pytest.mark.parametrize("body", [b"a\rb", b"x" * 999])
@pytest.mark.parametrize(
    "mark",
    [
        b"DKIM-Signature: x\r\n",
        b"ARC-Seal: x\r\n",
        b"Content-Type: multipart/signed; boundary=b\r\n",
        b"Content-Type: application/pkcs7-mime\r\n",
    ],
)
def test_a_signed_mail_that_would_need_a_change_is_refused(mark, body):
    assert refused(mark + HEAD + b"\r\n" + body + b"\r\n").field == "content"


def test_a_signed_body_is_untouched_while_its_header_is_completed():
    body = b"--b\r\nX: \xc3\xa9 \r\n\r\nx \r\n--b\r\n\r\nsig\r\n--b--\r\n"
    got = made(
        b"From: a@b.test\r\nTo: c@d.test\r\nBcc: e@f.test\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n" + body
    )
    assert got.is_signed
    assert got.content.endswith(b"\r\n\r\n" + body)
    assert b"Bcc" not in got.content
    assert b"Date: " in got.content
    assert [r.addr_spec for r in got.envelope.recipients] == ["c@d.test", "e@f.test"]


# --- seven_bit --------------------------------------------------------------------------------------------------------


def test_seven_bit_leaves_what_needs_nothing():
    data = HEAD + b"\r\nascii\r\n"
    assert seven_bit(data) is data


NESTED = (
    HEAD + b'Content-Type: multipart/mixed; boundary="o"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
    b"pre\xc3\xa9amble\r\n--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
    b"--i\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9 \r\n.\r\n"
    b"--i  \r\nContent-Type: text/html\r\n\r\nascii stays\r\n--i--\r\n"
    b"--o\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a\r\n\r\n\xff\r\n\xfe"
    b"\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xbc\r\n"  # noqa: E501
    b"\r\n--o--\r\nepi\xff\r\n"
)


def leaves(data: bytes) -> list[tuple[str, bytes]]:
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    return [(p.get_content_type(), p.get_payload(decode=True)) for p in parsed.walk() if not p.is_multipart()]


def test_check_41_nested_parts_are_re_encoded_each():
    got = seven_bit(NESTED)
    assert got is not None
    assert got.isascii()
    assert leaves(got) == leaves(NESTED)
    assert b"\r\n\r\nascii stays\r\n--i--" in got, "a part that needs nothing is not touched"
    composite = [p for p in email.message_from_bytes(got).walk() if p.is_multipart()]
    assert {str(p.get("Content-Transfer-Encoding", "7bit")) for p in composite} == {"7bit"}


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xff\r\n--b--\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/encrypted; boundary=c\r\n\r\n\xff\r\n--b--\r\n",  # noqa: E501
        b"DKIM-Signature: x\r\n\r\n\xff\r\n",
        b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n\xff\r\n--b--\r\n",
        b"Content-Type: multipart/mixed; boundary=absent\r\n\r\n\xff\r\n",
        b"Content-Type: message/partial; id=x\r\n\r\n\xff\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\n\xff\r\n",
        b"Subject: \xc3\xa9\r\n\r\nx\r\n",
        b"not a header\xff\r\n",
    ],
)
def test_seven_bit_gives_up_rather_than_harm(data):
    assert seven_bit(data) is None


def test_a_boundary_that_is_never_closed_ends_with_the_mail():
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xa9\r\n--b\r\nContent-Type: text/html\r\n\r\n\xc3\xbc\r\n"  # noqa: E501
    got = seven_bit(data)
    assert got is not None
    assert got.isascii()
    assert [body.decode().strip() for _, body in leaves(got)] == ["é", "ü"]


def test_an_empty_part_stays_empty():
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n\xc3\xa9\r\n--b--\r\n"
    got = seven_bit(data)
    assert got is not None
    assert b"--b\r\n--b\r\n" in got


def test_long_lines_in_preamble_and_epilogue_go():
    data = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"p" * 999
        + b"\r\n--b\r\n\r\nx\r\n--b--\r\n"
        + b"e" * 999
        + b"\r\n"
    )
    got = seven_bit(data)
    assert got is not None
    assert max(map(len, got.split(b"\r\n"))) < 100
    assert got.endswith(b"--b--\r\n")


@pytest.mark.parametrize("depth", [10, 49, 60, 3000])
def test_deep_nesting_is_refused_not_recursed_into(depth):
    data = b""
    for level in range(depth):
        data += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
    data += b"\r\n\xc3\xa9\r\n"
    got = seven_bit(data)
    assert (got is not None) == (depth < 50)
    nested = b"Content-Type: message/rfc822\r\n\r\n" * depth + b"\r\n\xff\r\n"
    assert (seven_bit(nested) is not None) == (depth < 50)


def test_the_search_for_long_lines_is_linear():
    assert seven_bit(b"X: y\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000) is not None


# --- ascii_headers ----------------------------------------------------------------------------------------------------


def test_check_66_ascii_headers_downgrades_by_kind_of_field():
    content = compose(
        Message(
            from_="Jösé <jösé@bücher.test>",
            to=["Ann Ü <a@b.test>", "c@bücher.test"],
            subject="Grüße",
            text="x",
            headers={"X-A": "ü"},
        ),
        message_id="<a@b>",
        date=DATE,
        boundary="b",
    )
    got = ascii_headers(bytes(content))
    assert got is not None
    part = read(got)
    assert mailboxes(part.get("From") or "") == [("Jösé jösé@bücher.test", "")]
    assert mailboxes(part.get("To") or "") == [("Ann Ü", "a@b.test"), ("", "c@xn--bcher-kva.test")]
    assert decoded(part.get("Subject") or "") == "Grüße"
    assert decoded(part.get("X-A") or "") == "ü"
    assert part.get("Message-ID") == "<a@b>"


def test_an_empty_group_with_a_wide_name_stays_a_group():
    got = ascii_headers('To: "Ünbekannt": ;\r\n\r\n'.encode())
    assert got == b"To: undisclosed-recipients:;\r\n\r\n"


@pytest.mark.parametrize(
    "field",
    ["References: <ü@b>", "Content-Type: text/ü", "List-Unsubscribe: <https://ü>", "DKIM-Signature: x\r\nSubject: ü"],
)
def test_what_cannot_be_downgraded_gives_none(field):
    assert ascii_headers(f"{field}\r\n\r\n".encode()) is None


def test_headers_that_are_ascii_stay_to_the_octet():
    data = HEAD + b"X-A:  odd \r\n\t folds\r\n\r\n\xff\r\n"
    assert ascii_headers(data) == data


def test_canonical_ends_in_crlf():
    assert [canonical(data) for data in (b"", b"a", b"a\n", b"a\r")] == [b"\r\n", b"a\r\n", b"a\r\n", b"a\r\n"]


def test_no_bare_line_end_survives():
    got = made(HEAD + b"\r\nLF.LF\n.\nCR.CR\r.\rMAIL FROM\r\n").content
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", got)


def test_errors_are_typed():
    for data in (b"From: \xff@b\r\n\r\n", b"From: a@b.test\r\nTo: \xff\r\n\r\n"):
        with pytest.raises(HeaderError):
            made(data)
    assert Attachment.from_message(HEAD).content_type == "message/rfc822"

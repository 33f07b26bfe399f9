"""DKIM (check 68): the RFCs' vectors to the bit, and dkimpy as verifier of whatever the composer writes."""

from __future__ import annotations

import itertools
import pickle
import re
import sys
import traceback
import tracemalloc
from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from dkim.canonicalization import Relaxed
from dkim_verifier import signatures, verified
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_messages import composed, messages

from mailer import dkim_key
from mailer.attachment import Attachment
from mailer.dkim import DkimKey, DkimSigner, signed_data
from mailer.dkim_relaxed import RelaxedBody, relaxed_field
from mailer.errors import ConfigError, MessageError
from mailer.mail import Content
from mailer.message import Message

NOW = 1_796_068_734
RSA = DkimKey.generate("example.com", "r2026")
ED25519 = DkimKey.generate("example.com", "e2026", "ed25519")
BOTH = DkimSigner([RSA, ED25519])


def hello(**more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": "ann@example.org", "subject": "Hi", "text": "Hello\n"}
    return Message(**{**fields, **more})


def signed(mail: Message | bytes, signer: DkimSigner = BOTH) -> bytes:
    content = Content.of(mail) if isinstance(mail, bytes) else composed(mail)
    made = signer.signed(content, now=NOW)
    assert made is not None
    assert len(made) == len(bytes(made))
    return bytes(made)


def covered(mail: bytes, index: int = 0) -> list[str]:
    return signatures(mail)[index]["h"].split(":")


# --- the RFCs' own vectors --------------------------------------------------------------------------------------------

# RFC 8463 appendix A: one mail, two keys.
SIXPACK = (
    b"From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
)
SIXPACK_BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
SIXPACK_HASH = "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="  # RFC 6376 appendix A.2 has it too
SIXPACK_RSA = """-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""
SIXPACK_SEED = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="


@pytest.mark.parametrize(
    ("algorithm", "selector", "private", "public", "value"),
    [
        (
            "rsa-sha256",
            "test",
            SIXPACK_RSA,
            "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2"
            "jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC"
            "3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
            "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGs"
            "geefOsk2JzdA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=",
        ),
        (
            "ed25519-sha256",
            "brisbane",
            SIXPACK_SEED,
            "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==",
        ),
    ],
)
def test_the_vectors_of_rfc_8463_to_the_bit(algorithm, selector, private, public, value):
    key = DkimKey.parse("football.example.com", selector, private)
    assert (key.algorithm, key.dns_record) == (algorithm, public)
    assert key.dns_name == f"{selector}._domainkey.football.example.com"
    names = "from to subject date message-id from subject date".split()
    fields = {
        line.partition(b":")[0].decode().lower(): [line.partition(b":")[2]] for line in SIXPACK.split(b"\r\n") if line
    }
    field = (
        f" v=1; a={algorithm}; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
        f" q=dns/txt; s={selector}; t=1528637909; h=from : to : subject : date : message-id : from :\r\n subject :"
        f" date;\r\n bh={SIXPACK_HASH};\r\n b="
    ).encode()
    data = signed_data(fields, names) + relaxed_field(b"dkim-signature", field)
    assert b64encode(key.sign(data)).decode() == value


@pytest.mark.parametrize(
    ("body", "hash_"),
    [
        (SIXPACK_BODY, SIXPACK_HASH),
        (b" C \r\nD \t E\r\n\r\n\r\n", b64encode(sha256(b" C\r\nD E\r\n").digest()).decode()),  # section 3.4.5
        (b"", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),  # section 3.4.4
        (b"\r\n", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        (b" \t\r\n\r\n \r\n", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ],
)
def test_the_body_hashes_of_rfc_6376_however_it_is_cut(body, hash_):
    octets = [body[at : at + 1] for at in range(len(body))]
    for chunks in (octets, *[(body[:cut], body[cut:]) for cut in range(len(body) + 1)]):
        hashed = RelaxedBody()
        for chunk in chunks:
            hashed.update(chunk)
        assert b64encode(hashed.digest()).decode() == hash_, chunks


def test_the_header_example_of_rfc_6376():
    """Section 3.4.5."""
    assert relaxed_field(b"a", b" X\r\n") == b"a:X"
    assert relaxed_field(b"b", b" Y\t\r\n\tZ  \r\n") == b"b:Y Z"


# --- the body, in any chunks ------------------------------------------------------------------------------------------

_BODIES = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n", b"  ", b"x", b"\r\n\r\n", b" \r\n", b"\xc3\xa9", b".", b"a b"]), max_size=24
).map(lambda parts: b"".join([*parts, b"\r\n"]))


@given(_BODIES, st.lists(st.integers(0, 50), max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_body_in_any_chunks_has_the_hash_of_dkimpys_relaxed_form(body, cuts):
    hashed = RelaxedBody()
    for start, end in itertools.pairwise([0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]):
        hashed.update(body[start:end])
    assert hashed.digest() == sha256(Relaxed.canonicalize_body(body)).digest()


def test_a_body_of_line_ends_alone_is_counted_not_kept():
    blank = b"\r\n" * 30_000
    hashed = RelaxedBody()
    tracemalloc.start()
    for _ in range(40):
        hashed.update(blank)
    peak = tracemalloc.get_traced_memory()[1]
    hashed.update(b"end\r\n")
    tracemalloc.stop()
    assert peak < 1_000_000
    assert hashed.digest() == sha256(blank * 40 + b"end\r\n").digest()
    for ends in (8191, 8192, 8193, 14_000, 16_384, 22_000):
        hashed = RelaxedBody()
        for chunk in (b"\r\n" * ends, b" x\r\n"):
            hashed.update(chunk)
        assert hashed.digest() == sha256(b"\r\n" * ends + b" x\r\n").digest(), ends


def test_a_large_mail_is_signed_and_sent_in_flat_memory(tmp_path):
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        for number in range(25):
            file.write(bytes([number]) * (1 << 20))
    content = composed(hello(attachments=[Attachment.from_path(path)]))
    tracemalloc.start()
    made = BOTH.signed(content, now=NOW)
    assert made is not None
    size = sum(map(len, made))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == len(made) > 25 << 20
    assert peak < 2_000_000
    # The same hash as over the whole; dkimpy would hold it thrice.
    body = bytes(content).partition(b"\r\n\r\n")[2]
    assert b64decode(signatures(b"".join(itertools.islice(made, 1)))[0]["bh"]) == sha256(body).digest()


def test_a_file_that_changes_behind_the_signature_is_not_sent_as_if_it_were_the_same(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"1" * 100_000)
    made = BOTH.signed(composed(hello(attachments=[Attachment.from_path(path)])), now=NOW)
    assert made is not None
    assert verified(bytes(made), [RSA, ED25519]) == [True, True]
    path.write_bytes(b"2" * 100_000)
    seen = []
    with pytest.raises(MessageError, match="changed since the mail was signed"):
        seen.extend(made)
    assert not b"".join(seen).endswith(bytes(composed(hello()))[-4:] + b"--\r\n")
    path.write_bytes(b"1" * 100_000)
    assert verified(bytes(made), [RSA, ED25519]) == [True, True]


# --- whatever the composer writes -------------------------------------------------------------------------------------


@given(messages())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_message_verifies(message):
    domain = message.from_[0].key[1]
    signer = (
        BOTH
        if domain.endswith("example.com")
        else DkimSigner([DkimKey("example.com", "r1", RSA._private, senders="*")])
    )
    made = signed(message, signer)
    assert verified(made, signer.keys) == [True] * len(signer.keys)
    assert made.endswith(bytes(composed(message)))


@given(messages(wide=True))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_message_with_raw_utf8_headers_verifies(message):
    signer = DkimSigner([DkimKey("example.com", "e1", ED25519._private, senders="*")])
    assert verified(signed(message, signer), signer.keys) == [True]


READY_MADE = {
    "folded": b"From: Ann\r\n <ann@example.com>\r\nSubject: a\r\n\t b \t\r\n  c\r\nTo:b@x.test\r\n\r\nHi  there \r\n",
    "8-bit": "From: ann@example.com\r\nSubject: x\r\n\r\nGrüße  \r\n".encode(),
    "latin-1": b"From: ann@example.com\r\nContent-Type: text/plain; charset=latin-1\r\n\r\n\xe9\xe8  \t\xff\r\n",
    "empty": b"From: ann@example.com\r\nTo: b@example.org\r\n\r\n",
    "no empty line": b"From: ann@example.com\r\nTo: b@example.org\r\n",
    "blank lines": b"From: ann@example.com\r\n\r\n \r\n\t\r\n\r\n",
    "repeats": b"From: ann@example.com\r\nList-Help: <a:>\r\nX: 1\r\nList-Help: <b:>\r\n\r\nt\r\n",
    "odd case": b"FROM:ann@example.com\r\nsUBJECT:x\r\nEmpty:\r\n\r\nt\r\n",
    "dots": b"From: ann@example.com\r\n\r\n.\r\n..\r\n. .\r\n",
    "comment": b'From: "Ann, of (x) <y@z.test>" (c) <ann@example.com>\r\n\r\nt\r\n',
    "wide": "From: Änn <änn@example.com>\r\nSubject: é\r\n\r\nt\r\n".encode(),
}


@pytest.mark.parametrize("mail", READY_MADE.values(), ids=READY_MADE)
def test_ready_made_mail_verifies(mail):
    made = signed(mail)
    assert verified(made, BOTH.keys) == [True, True]
    assert made.endswith(mail)


_WORDS = st.lists(
    st.sampled_from([" ", "\t", "\r\n ", "\r\n\t ", "x", "é", ":", ";", "=", "a b", "<>"]), max_size=8
).map("".join)
_NAMES = st.sampled_from("Subject To Cc X-A LIST-Id Reply-To Content-Type Received sender Message-ID".split())


@given(st.lists(st.tuples(_NAMES, _WORDS), max_size=8), st.integers(0, 8), _BODIES)
@settings(max_examples=50, deadline=None)
def test_any_ready_made_mail_verifies(fields, at, body):
    """Repeated, folded, blank and UTF-8 fields; a body of blanks and line ends."""
    fields.insert(min(at, len(fields)), ("From", " ann@example.com"))
    # A line of blanks alone would end the header to some readers; it is refused where ready-made mail comes in.
    lines = [re.sub(r"\r\n[ \t]+(?=\r\n|$)", "", f"{name}:{text}") for name, text in fields]
    ours = signed("\r\n".join([*lines, "", ""]).encode() + body, DkimSigner([ED25519]))
    assert verified(ours, [ED25519])[0]


def test_what_is_changed_fails():
    """The verifier is no yes-man, and each header that is covered is."""
    message = hello(
        cc="c@example.org",
        reply_to="r@example.com",
        headers={"List-Unsubscribe": "<https://example.com/u>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    )
    made = signed(message)
    assert verified(made, BOTH.keys) == [True, True]
    head, _, body = made.partition(b"From: ")
    for old, new in [
        (b"Hello", b"Hallo"),
        (b"Subject: Hi", b"Subject: Ho"),
        (b"One-Click", b"Two-Click"),
        (b"com/u>", b"com/v>"),
        (b"To: ann", b"To: bob"),
        (b"charset", b"charsex"),
        (b"MIME-Version: 1.0\r\n", b""),
        (b"Date: ", b"Date:  Mon, "),
    ]:
        assert old in body
        assert verified(head + b"From: " + body.replace(old, new, 1), BOTH.keys) == [False, False], old
    assert verified(made, [RSA]) == [True, False]


ADDED = (
    """
From: evil@example.net|To: evil@example.net|Cc: evil@example.net|Subject: evil|Date: Mon, 30 Nov 2026 19:58:54 +0000
Message-ID: <evil@example.net>|Reply-To: evil@example.net|MIME-Version: 1.0|Content-Type: text/html
Content-Transfer-Encoding: base64|List-Unsubscribe: <https://evil.example>
List-Unsubscribe-Post: List-Unsubscribe=One-Click|List-Id: <evil.example>
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def test_no_header_can_be_added_on_top_or_below():
    """Oversigned: From and what else says how it is read, always; list headers where they stand (section 8.15)."""
    headers = {
        "List-Unsubscribe": "<https://example.com/u>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": "<news.example.com>",
    }
    signer = DkimSigner([ED25519])
    made = signed(hello(headers=headers), signer)
    top, _, rest = made.partition(b"From: ")
    head, _, body = rest.partition(b"\r\n\r\n")
    for field in ADDED:
        added = field.encode() + b"\r\n"
        for changed in (
            added + made,
            top + added + b"From: " + rest,
            top + b"From: " + head + b"\r\n" + added + b"\r\n" + body,
        ):
            assert verified(changed, signer.keys) == [False], field
    assert verified(b"Received: by a\r\nX-Spam: no\r\nReturn-Path: <a@b>\r\n" + made, signer.keys) == [True]


def test_what_is_covered():
    plain = covered(signed(hello(cc="c@example.org", headers={"X-Own": "1"})))
    assert plain.count("from") == plain.count("to") == plain.count("cc") == plain.count("mime-version") == 2
    assert plain.count("reply-to") == 1  # not there, and so not to be added
    assert "list-unsubscribe" not in plain  # a mailing list may add its own
    assert "x-own" not in plain
    more = signed(hello(headers=[("X-Own", "1"), ("X-Own", "2")]), DkimSigner([ED25519], headers=["X-OWN", "from"]))
    assert covered(more).count("x-own") == 3
    assert covered(more).count("from") == 2
    assert verified(more, [ED25519]) == [True]
    for name in ("Received", "Return-Path", "DKIM-Signature", "Bcc", "", "a:b", "a;b", "a\r\nb", "é", None):
        with pytest.raises(ConfigError, match="no header field to sign"):
            DkimSigner([ED25519], headers=[name])


def test_what_a_server_replaces_may_stay_unsigned():
    signer = DkimSigner([ED25519], unsigned=["Date", "MESSAGE-ID"])
    made = signed(hello(), signer)
    assert not {"date", "message-id"} & set(covered(made))
    changed = re.sub(rb"\r\n(Date|Message-ID): [^\r]*", rb"\r\n\1: another", made)
    assert changed != made
    assert verified(changed, [ED25519]) == [True]
    once = DkimSigner([ED25519]).signed(composed(hello()), now=NOW, unsigned=["date", "from"])
    assert once is not None
    assert "date" not in covered(bytes(once))
    assert covered(bytes(once)).count("from") == 2
    for name in ("From", "X-Own", "Received", "", None):
        with pytest.raises(ConfigError, match="left unsigned"):
            DkimSigner([ED25519], unsigned=[name])
    assert DkimSigner([ED25519], headers=["X-Own"], unsigned=["x-own"]).keys == (ED25519,)


# --- the field itself -------------------------------------------------------------------------------------------------


def test_the_field():
    made = signed(hello(), DkimSigner([RSA], expires_s=86_400))
    field = made.partition(b"From: ")[0].decode()
    assert re.fullmatch(
        r"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example\.com;\r\n"
        rf" s=r2026; t={NOW}; x={NOW + 86_400}; h=from:from:(\r\n )?to:.*;\r\n bh=[A-Za-z0-9+/]{{43}}=;\r\n"
        r" b=[A-Za-z0-9+/]{73}(\r\n [A-Za-z0-9+/=]{1,73}){4}\r\n",
        field,
        re.DOTALL,
    )
    [tags] = signatures(made)
    assert list(tags) == ["v", "a", "c", "d", "s", "t", "x", "h", "bh", "b"]  # no l=, whatever happens
    assert "l" not in tags
    assert made == signed(hello(), DkimSigner([RSA], expires_s=86_400))  # deterministic
    for bad in (0, -1, True, 1.5, "1"):
        with pytest.raises(ConfigError, match="expires_s"):
            DkimSigner([RSA], expires_s=bad)


@given(st.lists(st.sampled_from(["X-" + "n" * n for n in (1, 20, 38, 60, 74)]), unique=True), st.integers(1, 55))
@settings(max_examples=30, deadline=None)
def test_its_lines_are_short_whatever_is_signed(names, length):
    domain = ".".join(["d" * length] * 3) + ".example"
    key = DkimKey(domain, "s" * length, ED25519._private)
    made = signed(hello(from_=f"a@{domain}", headers=dict.fromkeys(names, "1")), DkimSigner([key], headers=names))
    field = made.partition(b"From:")[0]
    lines = field.split(b"\r\n")[:-1]
    assert all(len(line) <= max(78, len(domain) + 4) for line in lines)
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])
    assert verified(made, [key]) == [True]


def test_a_mail_that_is_signed_already_gets_ours_on_top():
    once = signed(hello(), DkimSigner([RSA]))
    twice = signed(once, DkimSigner([ED25519]))
    assert twice.endswith(once)
    assert verified(twice, [RSA, ED25519]) == [True, True]
    assert [tags["a"] for tags in signatures(twice)] == ["ed25519-sha256", "rsa-sha256"]


@pytest.mark.parametrize(
    "mail", [b"To: a@b.test\r\n\r\nx\r\n", b"From: a@b.test\r\nFrom: c@d.test\r\n\r\nx\r\n", b"\r\nx\r\n"]
)
def test_a_mail_without_its_one_from_is_refused(mail):
    with pytest.raises(MessageError, match="one From"):
        BOTH.signed(Content.of(mail), now=NOW)


# --- which key --------------------------------------------------------------------------------------------------------


def keys(*specs: tuple[str, str, object]) -> list[DkimKey]:
    return [DkimKey(domain, selector, ED25519._private, senders=senders) for domain, selector, senders in specs]


def test_the_keys_that_fit_the_from():
    signer = DkimSigner(
        keys(
            ("example.com", "a", None),
            ("example.com", "b", None),
            ("news.example.com", "c", None),
            ("bücher.example", "d", None),
            ("esp.example.net", "e", "*"),
            ("esp.example.net", "f", ["brand.example.org", "example.com"]),
        )
    )
    for domain, selectors in {
        "example.com": "abfe",
        "deep.shop.example.com": "abfe",
        "news.example.com": "ce",
        "x.news.example.com": "ce",
        "xn--bcher-kva.example": "de",
        "brand.example.org": "fe",
        "example.org": "e",  # below, not above
        "badexample.com": "e",
        "com": "e",
        "[192.0.2.1]": "e",
    }.items():
        assert "".join(key.selector for key in signer.keys_for(domain)) == selectors, domain


@pytest.mark.parametrize(
    ("from_", "signing"),
    [
        ("a@example.com", "example.com"),
        ("Ann <a@SHOP.example.com>", "example.com"),
        ('"x@example.net, y" <a@example.com>', "example.com"),
        ("a@example.net", None),
        ("a@example.com.evil.test", None),
        ("a@evilexample.com", None),
    ],
)
def test_the_from_decides(from_, signing):
    made = DkimSigner([ED25519]).signed(composed(hello(from_=from_)), now=NOW)
    assert (None if made is None else signatures(bytes(made))[0]["d"]) == signing


def test_the_first_of_several_froms_decides():
    message = hello(from_=["a@example.com", "b@example.net"], sender="b@example.net")
    assert signatures(signed(message))[0]["d"] == "example.com"


# --- keys -------------------------------------------------------------------------------------------------------------


def private_forms(key: DkimKey) -> dict[str, str]:
    private = key._private
    pem = key.private_pem()
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    forms = {
        "PKCS#8": pem,
        "one line": pem.replace("\n", "\\n"),
        "CRLF": pem.replace("\n", "\r\n"),
        "blanks": pem.replace("\n", " "),
        "indented": "  " + pem.replace("\n", "\n    "),
        "with a comment": "My key\n" + pem + "\n",
        "behind its certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" + pem,
        "base64": b64encode(der).decode(),
    }
    if key.algorithm == "rsa-sha256":
        traditional = serialization.PrivateFormat.TraditionalOpenSSL
        forms["PKCS#1"] = private.private_bytes(
            serialization.Encoding.PEM, traditional, serialization.NoEncryption()
        ).decode()
    else:
        forms["seed"] = b64encode(private.private_bytes_raw()).decode()
    return forms


@pytest.mark.parametrize("key", [RSA, ED25519], ids=str)
def test_a_key_is_read_in_every_form(key):
    for name, text in private_forms(key).items():
        for form in (text, text.encode()):
            read = DkimKey.parse(key.domain, key.selector, form)
            assert (read.dns_record, read.algorithm) == (key.dns_record, key.algorithm), name


def test_what_is_no_key_is_refused_and_never_shown():
    pem = RSA.private_pem()
    encrypted = RSA._private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pw")
    ).decode()
    public = (
        RSA._private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    wrong = {
        "": "neither PEM",
        "secret-passw0rd-that-is-no-key": "neither PEM",
        pem[:-60]: "neither PEM",
        pem.replace("M", "N"): "neither PEM",
        encrypted: "openssl pkey",
        public: "private half",
        b64encode(b"x" * 31).decode(): "neither PEM",
        b64encode(b"x" * 33).decode(): "neither PEM",
        dsa.generate_private_key(1024)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode(): "RSA or Ed25519",
    }
    for text, said in wrong.items():
        with pytest.raises(ConfigError, match=said) as caught:
            DkimKey.parse("example.com", "s", text)
        shown = "".join(traceback.format_exception(caught.value)) + repr(_locals(caught.value))
        for piece in [text[at : at + 16] for at in range(40, max(len(text) - 40, 0), 16)]:
            assert piece not in shown
    with pytest.raises(ConfigError, match="is a text"):
        DkimKey.parse("example.com", "s", None)


def _locals(error: BaseException) -> list[object]:
    """What a reporter of errors would show of the library's frames."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        if "mailer" in trace.tb_frame.f_globals.get("__name__", "").split("."):
            frames.append(trace.tb_frame.f_locals)
        trace = trace.tb_next
    return frames


def test_a_key_shows_nothing_of_itself():
    for key in (RSA, ED25519):
        shown = f"{key!r} {key} {BOTH!r} {[key]}"
        assert all(piece not in shown for piece in key.private_pem().splitlines()[1:-1])
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(key)


@pytest.mark.parametrize("bits", [512, 768, 1023, 8192])
def test_rsa_of_a_wrong_size_is_refused(bits, monkeypatch):
    class Sized:
        key_size = bits

    monkeypatch.setattr(rsa, "RSAPrivateKey", Sized)
    dkim_key._kinds.cache_clear()
    try:
        with pytest.raises(ConfigError, match=f"{bits} bits.*1024 to 4096"):
            DkimKey("example.com", "s", Sized())
    finally:
        dkim_key._kinds.cache_clear()


def test_rsa_of_1024_bits_is_taken_and_2048_made():
    assert DkimKey.parse("example.com", "s", SIXPACK_RSA).algorithm == "rsa-sha256"
    assert RSA._private.key_size == 2048
    for kind, bits in (("rsa", 1024), ("rsa", 512), ("dsa", 2048), ("RSA", 2048)):
        with pytest.raises(ConfigError, match="ed25519, or rsa of 2048"):
            DkimKey.generate("example.com", "s", kind, bits=bits)


BAD_NAMES = ["", " ", "a b", "a;b", "a=b", "a\r\nb", "a\nX: y", "a\0b", ".a", "a.", "a..b", "-a", "a-", "a" * 64, "é;"]


@pytest.mark.parametrize("name", [*BAD_NAMES, "é", "a_b", None, 7])
def test_a_selector_cannot_smuggle_a_tag(name):
    with pytest.raises(ConfigError, match="no selector"):
        DkimKey("example.com", name, ED25519._private)


@pytest.mark.parametrize(
    "name", [*BAD_NAMES, "com", "[192.0.2.1]", "a.com; l=0", "a.com\r\n", "*.a.com", "a@b.com", None, 7]
)
def test_a_domain_cannot_smuggle_a_tag(name):
    for make in (
        lambda: DkimKey(name, "s", ED25519._private),
        lambda: DkimKey("example.com", "s", ED25519._private, senders=[name]),
    ):
        with pytest.raises(ConfigError, match="no domain to sign for"):
            make()


def test_names_are_put_into_the_form_of_dns():
    key = DkimKey("Bücher.Example", "Mail.2026", ED25519._private)
    assert (key.domain, key.selector) == ("xn--bcher-kva.example", "mail.2026")
    assert key.dns_name == "mail.2026._domainkey.xn--bcher-kva.example"
    with pytest.raises(ConfigError, match="no selector"):  # together longer than a name in DNS
        DkimKey("d" * 60 + ".example", ".".join(["s" * 60] * 4), ED25519._private)


def test_a_signer_without_keys_or_with_one_twice_is_refused():
    with pytest.raises(ConfigError, match="there is no key"):
        DkimSigner([])
    with pytest.raises(ConfigError, match="given twice"):
        DkimSigner([RSA, DkimKey("example.com", "R2026", ED25519._private)])
    with pytest.raises(ConfigError, match="senders is empty"):
        DkimKey("example.com", "s", ED25519._private, senders=[])


def test_the_record_as_a_zone_file_has_it():
    line = RSA.zone_line
    strings = re.findall(r'"([^"]*)"', line)
    assert line.startswith("r2026._domainkey.example.com. IN TXT ( ")
    assert all(len(string) <= 255 for string in strings)
    assert "".join(strings) == RSA.dns_record
    assert re.fullmatch(r'e2026\._domainkey\.example\.com\. IN TXT "v=DKIM1; k=ed25519; p=[^"]{44}"', ED25519.zone_line)


def test_without_cryptography_the_remedy_is_named(monkeypatch):
    dkim_key._kinds.cache_clear()
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    try:
        with pytest.raises(ConfigError, match=r"pip install 'mailwright\[crypto\]'"):
            DkimKey.generate("example.com", "s")
    finally:
        dkim_key._kinds.cache_clear()

"""Transfer encodings: 7-bit, short lines, read back by the standard library (check 61)."""

from __future__ import annotations

import base64
import quopri
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_messages import prose

from mailer.transfer import BLOCK_BYTES, base64_length, base64_lines, crlf, encoded_text, quoted_printable


def lf(text: str) -> str:
    return re.sub("\r\n?", "\n", text)


@pytest.mark.parametrize("data", [b"a\nb", b"a\rb", b"a\r\nb", b"a\n\rb", b"\r\r\n\n"])
def test_b24_every_line_end_becomes_crlf(data):
    assert crlf(data) == re.sub(rb"\r\n|\r|\n", b"\r\n", data)


@given(st.binary(max_size=500))
def test_check_61_base64_is_read_back_in_lines_of_76(data):
    encoded = b"".join(base64_lines([data]))
    assert len(encoded) == base64_length(len(data))
    assert base64.b64decode(encoded) == data
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES])
def test_base64_length_is_known_beforehand(size):
    data = bytes(size)
    blocks = [data[at : at + BLOCK_BYTES] for at in range(0, size, BLOCK_BYTES)]
    encoded = b"".join(base64_lines(blocks))
    assert len(encoded) == base64_length(size)
    assert base64.b64decode(encoded) == data
    assert encoded == b"" or encoded.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hello\n", "7bit"),
        ("", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("Grüße an alle, die es lesen\n", "quoted-printable"),
        ("日本語テキスト" * 9, "base64"),
    ],
)
def test_the_shortest_encoding_is_taken(text, encoding):
    assert encoded_text(text)[0] == encoding


@given(prose())
@settings(deadline=None)
def test_check_61_any_text_is_read_back(text):
    encoding, data = encoded_text(text)
    assert data.isascii()
    lines = data.split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    assert max(map(len, lines)) <= (998 if encoding == "7bit" else 76)
    if encoding == "base64":
        data = base64.b64decode(data)
    elif encoding == "quoted-printable":
        assert not any(line.endswith((b" ", b"\t")) for line in lines)
        data = quopri.decodestring(data)
    assert data.decode().replace("\r\n", "\n") == lf(text)


@pytest.mark.parametrize(
    "line", ["ü" + "a" * 69 + " ", "é" * 25 + "\t", "a" * 75 + " é ", " ", "é \n\n \n", "a" * 76 + "é", "=" * 30 + "é "]
)
def test_trailing_blanks_are_encoded_and_the_line_stays_at_76(line):
    encoded = quoted_printable(line.encode())
    assert all(len(part) <= 76 and not part.endswith((b" ", b"\t")) for part in encoded.split(b"\r\n"))
    assert quopri.decodestring(encoded).replace(b"\r\n", b"\n").decode() == line


@given(st.binary(max_size=400).map(lambda data: data.replace(b"\r", b"")))
def test_any_octets_survive_quoted_printable(data):
    encoded = quoted_printable(data)
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))
    assert quopri.decodestring(encoded).replace(b"\r\n", b"\n") == data

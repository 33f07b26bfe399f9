"""Dot-stuffing and its reverse: RFC 5321 section 4.5.2, at every chunk boundary."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.errors import ProtocolError
from mailer.smtp.data import DataDecoder, dot_stuffed, stuffed, unstuffed


def by_lines(content: bytes) -> bytes:
    """Dot-stuffing as the RFC words it, line by line: the oracle."""
    lines = content.split(b"\r\n")
    if lines[-1] == b"":
        lines.pop()
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"


CONTENTS = [
    b"",
    b".",
    b"..",
    b".x",
    b".\r\n",
    b"..\r\n.\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n.\r\n",
    b"a\r\n.b\r\n..c\r\n\r\n.",
    b"a\r\n.\r\n.\r\n.\r\nb",
    b"no end",
]


@pytest.mark.parametrize("content", CONTENTS)
def test_stuffing_is_the_same_at_every_chunk_boundary(content: bytes) -> None:
    expected = by_lines(content)
    for first, second in itertools.combinations_with_replacement(range(len(content) + 1), 2):
        chunks = [content[:first], b"", content[first:second], content[second:]]
        assert b"".join(dot_stuffed(chunks)) == expected
    assert b"".join(dot_stuffed(content[i : i + 1] for i in range(len(content)))) == expected


def test_an_ended_last_line_gets_no_second_end() -> None:
    assert b"".join(dot_stuffed([b"a\r", b"\n"])) == b"a\r\n.\r\n"
    assert b"".join(dot_stuffed([b"a"])) == b"a\r\n.\r\n"


@pytest.mark.parametrize("content", CONTENTS)
def test_unstuffing_gives_the_content_back(content: bytes) -> None:
    sent = b"".join(dot_stuffed([content]))
    received = unstuffed(sent)
    assert received == content if not content or content.endswith(b"\r\n") else received == content + b"\r\n"


@pytest.mark.parametrize(
    "data",
    [b"", b"a\r\n", b"a\n.\n", b"a\r.\r", b"a\n.\r\n", b"a\r\n.\n", b"a\r\n.\r\nMAIL", b".\r", b"a\r\n.\r\n.\r\n"],
)
def test_only_crlf_dot_crlf_ends_the_data(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unstuffed(data)


def test_a_single_dot_is_removed_even_where_no_client_doubled_it() -> None:
    assert unstuffed(b".x\r\n..\r\n.\r\n") == b"x\r\n.\r\n"


def test_the_decoder_keeps_what_follows_the_end() -> None:
    decoder = DataDecoder()
    decoder.feed(b"a\r\n.\r")
    assert (decoder.is_done, decoder.content) == (False, None)
    decoder.feed(b"\nRSET\r\n")
    decoder.feed(b"QUIT\r\n")
    assert decoder.content == b"a\r\n"
    assert decoder.rest == b"RSET\r\nQUIT\r\n"


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_the_limit_drops_the_content_and_still_finds_the_end(step: int) -> None:
    data = b"x" * 98 + b"\r\n.\r\n"
    exact, over = DataDecoder(limit=100), DataDecoder(limit=99)
    for start in range(0, len(data), step):
        exact.feed(data[start : start + step])
        over.feed(data[start : start + step])
    assert (exact.is_done, exact.is_oversized, exact.content) == (True, False, data[:100])
    assert (over.is_done, over.is_oversized, over.content) == (True, True, b"")


@given(st.lists(st.sampled_from([b".", b"\r\n", b"a", b"..", b"\r\n."]), max_size=20), st.lists(st.integers(1, 5)))
def test_any_lines_in_any_chunks_arrive_as_they_were(parts: list[bytes], cuts: list[int]) -> None:
    content = b"".join(parts)
    chunks, rest = [], content
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]
    sent = b"".join(dot_stuffed([*chunks, rest]))
    assert sent == by_lines(content)
    decoder = DataDecoder()
    for cut in cuts:
        decoder.feed(sent[:cut])
        sent = sent[cut:]
    decoder.feed(sent)
    assert decoder.content == (content if not content or content.endswith(b"\r\n") else content + b"\r\n")
    assert decoder.rest == b""


def test_stuffing_costs_little_more_than_one_replace() -> None:
    line = b"x" * 76 + b"\r\n"
    chunks = [line * 840] * 153  # about 10 MB in pieces of 64 kB

    def seconds(work: Callable[[], Iterator[bytes]]) -> float:
        started = time.process_time()  # not the wall clock: other tests may share the machine
        for _ in work():
            pass
        return time.process_time() - started

    ours = min(seconds(lambda: dot_stuffed(chunks)) for _ in range(7))
    one_replace = min(seconds(lambda: (chunk.replace(b"\r\n.", b"\r\n..") for chunk in chunks)) for _ in range(7))
    assert ours < 6 * one_replace  # a loop over the lines takes more than ten times as long


@given(st.lists(st.sampled_from([b".", b"\r\n", b"\r", b"\n", b"x", b".."])).map(b"".join))
def test_a_message_in_one_piece_is_stuffed_as_in_many(content: bytes) -> None:
    assert stuffed(content) == b"".join(dot_stuffed([content])) == b"".join(dot_stuffed(bytes([o]) for o in content))

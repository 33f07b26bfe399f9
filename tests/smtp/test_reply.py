"""Replies: RFC 5321 section 4.2, RFC 2034, and what broken servers send."""

from __future__ import annotations

import pickle
import time
import tracemalloc

import pytest
from cases import each
from hypothesis import given
from hypothesis import strategies as st

from mailer.errors import ProtocolError
from mailer.smtp.reply import Reply, ReplyParser


def replies_in(data: bytes, *, step: int | None = None) -> list[Reply]:
    parser = ReplyParser()
    found = []
    for start in range(0, len(data), step or max(len(data), 1)):
        parser.feed(data[start : start + (step or len(data))])
        while (reply := parser.next()) is not None:
            found.append(reply)
    assert parser.buffered == 0
    return found


@each("step", [None, 1, 2, 3])
@each(
    ("data", "expected"),
    [
        (b"250 ok\r\n", [Reply(250, ("ok",))]),
        (b"250\r\n", [Reply(250, ("",))]),
        (b"250 \r\n", [Reply(250, ("",))]),
        (b"250-\r\n250\r\n", [Reply(250, ("", ""))]),
        (b"250 ok\n", [Reply(250, ("ok",))]),
        (b"250-a\n250 b\r\n", [Reply(250, ("a", "b"))]),
        (b"250-2.0.0 a\r\n250 2.0.0 b\r\n354 go\r\n", [Reply(250, ("2.0.0 a", "2.0.0 b")), Reply(354, ("go",))]),
        (b"550 caf\xc3\xa9 \xff\r\n", [Reply(550, ("caf\\xc3\\xa9 \\xff",))]),
        (b"220-x\r\n" * 49 + b"220 ok\r\n", [Reply(220, ("x",) * 49 + ("ok",))]),
        (b"250 one\r\n250 two\r\n550 three\r\n", [Reply(250, ("one",)), Reply(250, ("two",)), Reply(550, ("three",))]),
    ],
)
def test_replies_are_the_same_however_they_are_cut(data: bytes, expected: list[Reply], step: int | None) -> None:
    assert replies_in(data, step=step) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"2500 ok\r\n",
        b" 250 ok\r\n",
        b"abc\r\n",
        b"999 x\r\n",
        b"199 x\r\n",
        b"600 x\r\n",
        b"\r\n",
        b"25\r\n",
        b"250ok\r\n",
        b"250+ok\r\n",
        b"250\tok\r\n",
        b"*** hello\r\n",
        b"\xb2\xb5\xb0 ok\r\n",
        b"250-a\r\n550 b\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_junk_and_mixed_codes_are_errors_that_stay(data: bytes) -> None:
    parser = ReplyParser()
    parser.feed(data + b"250 ok\r\n")
    for _ in range(2):
        with pytest.raises(ProtocolError):
            parser.next()


@pytest.mark.parametrize("data", [b"\x15\x03\x01\x00\x02\x02\x46", b"\x16\x03\x03\n", b"\x16"])
def test_tls_bytes_are_named_as_such_without_waiting_for_a_line(data: bytes) -> None:
    parser = ReplyParser()
    parser.feed(data)
    with pytest.raises(ProtocolError, match=r"speaks TLS.*smtps://"):
        parser.next()


def test_an_incomplete_reply_is_none_and_counts_as_buffered() -> None:
    parser = ReplyParser()
    parser.feed(b"250-first\r\n250 sec")
    assert parser.next() is None
    assert parser.buffered == len(b"250-first\r\n250 sec")
    parser.feed(b"ond\r\n220 injected")
    assert parser.next() == Reply(250, ("first", "second"))
    assert parser.buffered == len(b"220 injected")


def test_a_line_of_4_kib_is_read_and_its_text_is_cut() -> None:
    line = b"550 5.7.1 " + b"x" * 4086
    (reply,) = replies_in(line + b"\r\n")
    assert len(reply.lines[0]) == 4092
    assert reply.enhanced_code == "5.7.1"
    assert reply.text == "x" * 1000


@pytest.mark.parametrize(("code", "ok"), [(8 * 1024, True), (8 * 1024 + 1, False)])
def test_the_line_cap_is_exact(code: int, ok: bool) -> None:
    parser = ReplyParser()
    parser.feed(b"250 " + b"x" * (code - 6) + b"\r\n")
    if ok:
        assert parser.next() is not None
    else:
        with pytest.raises(ProtocolError, match="8192 bytes"):
            parser.next()


def test_the_line_count_cap_is_exact() -> None:
    assert len(replies_in(b"250-x\r\n" * 511 + b"250 x\r\n")[0].lines) == 512
    with pytest.raises(ProtocolError, match="512 lines"):
        replies_in(b"250-x\r\n" * 512 + b"250 x\r\n")


def test_the_byte_cap_holds() -> None:
    line = b"250-" + b"x" * 4000 + b"\r\n"
    with pytest.raises(ProtocolError, match="262144 bytes"):
        replies_in(line * 66 + b"250 x\r\n")


@pytest.mark.parametrize("chunk", [b"x" * 65536, b"250-" + b"x" * 400 + b"\r\n"])
def test_an_endless_reply_is_given_up_in_little_memory(chunk: bytes) -> None:
    parser = ReplyParser()
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            for _ in range(100_000):
                parser.feed(chunk)
                parser.next()
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_one_byte_feeds_take_linear_time() -> None:
    def seconds(size: int) -> float:
        parser = ReplyParser(max_line=size + 100, max_bytes=size + 100)
        data = b"250 " + b"x" * size + b"\r\n"
        started = time.process_time()
        for index in range(len(data)):
            parser.feed(data[index : index + 1])
            reply = parser.next()
        assert reply is not None
        return time.process_time() - started

    # Eight times the bytes: a rescan of the whole line at each byte would take some 64 times as long.
    small = min(seconds(20_000) for _ in range(3))
    large = min(seconds(160_000) for _ in range(3))
    assert large < 24 * small


@pytest.mark.parametrize(
    ("reply", "enhanced", "text"),
    [
        (Reply(250, ("2.1.0 ok",)), "2.1.0", "ok"),
        (Reply(250, ("ok", "2.6.0 queued as X")), "2.6.0", "ok queued as X"),
        (Reply(550, ("5.1.1 no", "5.1.1 such user")), "5.1.1", "no such user"),
        (Reply(550, ("4.2.2 full",)), None, "4.2.2 full"),
        (Reply(451, ("4.7.1",)), "4.7.1", ""),
        (Reply(354, ("3.0.0 go",)), None, "3.0.0 go"),
        (Reply(550, ("5.1.1111 no",)), None, "5.1.1111 no"),
        (Reply(550, ("5.1.1. no",)), None, "5.1.1. no"),
        (Reply(250, ("192.0.2.1 hello",)), None, "192.0.2.1 hello"),
        (Reply(550, ("a\x1b[31m\x00\x7f é",)), None, "a\\x1b[31m\\x00\\x7f \\xe9"),
        (Reply(250, ("",)), None, ""),
    ],
)
def test_enhanced_code_and_text(reply: Reply, enhanced: str | None, text: str) -> None:
    assert reply.enhanced_code == enhanced
    assert reply.text == text


@each("code", range(200, 600, 7))
def test_check_03_check_19_the_first_digit_alone_decides(code: int) -> None:
    reply = Reply(code, ("x",))
    judged = [reply.is_positive, reply.is_intermediate, reply.is_transient, reply.is_permanent]
    assert judged.index(True) == code // 100 - 2
    assert sum(judged) == 1


@pytest.mark.parametrize(("code", "lines"), [(199, ("x",)), (600, ("x",)), (0, ("x",)), (250, ()), (250, ("a\nb",))])
def test_a_wrong_reply_cannot_be_built(code: int, lines: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolError):
        Reply(code, lines)


def test_format_escapes_what_would_break_out_of_its_line() -> None:
    assert Reply(550, ("5.7.1 a\r", "\x00 é")).format() == b"550-5.7.1 a\\x0d\r\n550 \\x00 \\xe9\r\n"


@pytest.mark.parametrize("data", [b"", b"250 ok", b"250-a\r\n", b"250 a\r\n250 b\r\n", b"250 a\r\nx"])
def test_parse_takes_exactly_one_whole_reply(data: bytes) -> None:
    assert Reply.parse(b"250-a\r\n250 b\r\n") == Reply(250, ("a", "b"))
    with pytest.raises(ProtocolError):
        Reply.parse(data)


def test_a_reply_is_a_value() -> None:
    reply = Reply(550, ("5.1.1 no",))
    assert pickle.loads(pickle.dumps(reply)) == reply
    assert len({reply, Reply(550, ("5.1.1 no",))}) == 1
    assert str(reply) == "550 5.1.1 no"


texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80)


@given(
    st.lists(st.tuples(st.integers(200, 599), st.lists(texts, min_size=1, max_size=5)), max_size=5), st.integers(1, 30)
)
def test_what_is_formatted_is_parsed_again(drawn: list[tuple[int, list[str]]], step: int) -> None:
    written = [Reply(code, tuple(lines)) for code, lines in drawn]
    assert replies_in(b"".join(reply.format() for reply in written), step=step) == written


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"250", b"-", b" ", b"\r\n", b"\n", b"550 x\r\n"]))))
def test_random_bytes_raise_nothing_but_protocol_errors(chunks: list[bytes]) -> None:
    parser = ReplyParser(max_line=64, max_lines=4, max_bytes=128)
    fed = 0
    try:
        for chunk in chunks:
            parser.feed(chunk)
            fed += len(chunk)
            while (reply := parser.next()) is not None:
                assert reply.text.isascii()
                assert reply.text.isprintable()
                assert Reply.parse(reply.format()).code == reply.code
        assert parser.buffered <= min(fed, 64 + 128)
    except ProtocolError:
        pass


def test_a_line_that_came_before_is_known_again_and_revised_once() -> None:
    parser, revised = ReplyParser(), []
    parser.revise = lambda reply: revised.append(reply) or Reply(reply.code, ("***",))
    for cut in (12, 3, 1):
        for line in (b"250 2.1.0 ok\r\n", b"550 no\n", b"250-a\r\n250 2.1.0 ok\r\n"):
            for start in range(0, len(line), cut):
                parser.feed(line[start : start + cut])
            assert parser.next() == Reply(int(line[:3]), ("***",))
            assert parser.buffered == 0
    assert len(revised) == 2 + 3  # of several lines each time
    assert parser.next() is None

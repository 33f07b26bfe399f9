"""Attachments: wrong ones cannot be built, right ones can be read again and again."""

from __future__ import annotations

import io
import os
import pickle
from email.message import EmailMessage
from pathlib import Path

import pytest
from cases import each

from mailer.attachment import Attachment, media_type
from mailer.errors import HeaderError, MessageError

BAD = ["\r", "\n", "\r\n", "\0", "\x1b", "\x7f", "\ud800"]


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.txt", "y.txt"),
        ("/etc/passwd", "passwd"),
        ("a/", "a"),
        ("..", "attachment"),
        ("", "attachment"),
        ("/", "attachment"),
        ("a\\..", "attachment"),
        (" a.txt ", "a.txt"),
    ],
)
def test_b30_only_the_base_name_is_kept(name, base):
    assert Attachment.from_bytes(name, b"").name == base


@each("bad", BAD)
@each(
    ("field", "make"),
    [
        ("attachments.name", lambda bad: Attachment.from_bytes(f"a{bad}b", b"")),
        ("attachments.content_type", lambda bad: Attachment.from_bytes("a", b"", content_type=f"text/x{bad}; a=b")),
        ("attachments.content_type", lambda bad: Attachment.from_bytes("a", b"", content_type=f'text/x; a="b{bad}c"')),
        ("attachments.content_id", lambda bad: Attachment.from_bytes("a", b"", content_id=f"a{bad}b")),
    ],
)
def test_b1_b2_b4_no_control_character_in_an_attachment(bad, field, make):
    with pytest.raises(MessageError) as caught:
        make(bad)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "kind",
    [
        "foo",
        "a/b/c",
        "text/",
        "/x",
        "a b/c",
        "text/x; a",
        "text/x; a=b; A=c",
        "t/" + "x" * 128,
        "é/x",
        "text/x; é=1",
        ";",
    ],
)
def test_b32_a_wrong_type_is_refused(kind):
    with pytest.raises(MessageError) as caught:
        Attachment.from_bytes("a", b"", content_type=kind)
    assert caught.value.field == "attachments.content_type"


def test_b32_an_empty_type_is_guessed():
    assert Attachment.from_bytes("a.pdf", b"", content_type="").content_type == "application/pdf"
    assert Attachment.from_bytes("a.unknown", b"").content_type == "application/octet-stream"


def test_a_multipart_cannot_be_attached():
    with pytest.raises(MessageError, match="message/rfc822"):
        Attachment.from_bytes("a", b"", content_type="multipart/mixed; boundary=b")


def test_media_type_reads_parameters():
    assert media_type('Text/Calendar; Method="RE\\"Q"; charset=utf-8;') == (
        "text/calendar",
        {"method": 'RE"Q', "charset": "utf-8"},
    )


def test_b35_a_file_that_cannot_be_read_is_an_error_at_once(tmp_path):
    for path in (tmp_path / "missing", tmp_path, str(tmp_path) + "/a\0b"):
        with pytest.raises(MessageError, match="cannot read") as caught:
            Attachment.from_path(path)
        assert caught.value.field == "attachments"


@pytest.mark.skipif(os.name == "nt" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="root reads everything")
def test_b35_an_unreadable_file_is_an_error_at_once(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(MessageError, match="cannot read"):
        Attachment.from_path(path)


def test_b35_an_empty_file_is_legal(tmp_path):
    path = tmp_path / "empty.txt"
    path.touch()
    assert bytes(Attachment.from_path(path)) == b""


def test_a_path_is_read_when_it_is_needed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"0123456789")
    attachment = pickle.loads(pickle.dumps(Attachment.of(path)))
    assert (attachment.name, attachment.content_type, attachment.size_bytes) == ("a.txt", "text/plain", 10)
    assert list(attachment.blocks(4)) == [b"0123", b"4567", b"89"]
    assert bytes(attachment) == bytes(attachment) == b"0123456789"


@pytest.mark.parametrize("value", ["a.txt", b"x", 5, None])
def test_a_string_is_never_taken_for_a_path(value):
    with pytest.raises(MessageError, match="from_path"):
        Attachment.of(value)


def test_content_is_bytes():
    for content in ("text", 5, None):
        with pytest.raises(MessageError) as caught:
            Attachment.from_bytes("a", content)
        assert caught.value.field == "attachments"
    assert Attachment.from_bytes("a", bytearray(b"x")).content == b"x"


class Dripping(io.RawIOBase):
    """A stream that gives one octet at a time."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(1)


def test_b37_an_opener_is_read_anew_each_time_and_closed():
    opened = []

    def open_it():
        opened.append(Dripping(b"abcdef"))
        return opened[-1]

    attachment = Attachment.from_stream("a", open_it)
    assert attachment.size_bytes == 6
    assert [list(attachment.blocks(4)) for _ in range(2)] == [[b"abcd", b"ef"]] * 2
    assert len(opened) == 3
    assert all(stream.closed for stream in opened)


def test_b37_what_can_be_read_once_only_is_kept():
    stream = io.BytesIO(b"..abc")
    stream.seek(2)
    for source in (stream, (chunk for chunk in (b"a", b"", b"bc")), [b"abc"]):
        attachment = Attachment.from_stream("a", source)
        assert bytes(attachment) == bytes(attachment) == b"abc"
    assert not stream.closed


def test_a_stream_that_fails_or_gives_text_is_an_error():
    closed = io.BytesIO(b"x")
    closed.close()
    for source in (io.StringIO("x"), (c for c in ("a",)), closed, lambda: closed, lambda: io.StringIO("x")):
        with pytest.raises(MessageError) as caught:
            Attachment.from_stream("a", source)
        assert caught.value.field == "attachments"


def test_an_opener_that_gives_another_length_later_is_an_error():
    sizes = iter([3, 2, 4])
    attachment = Attachment.from_stream("a", lambda: io.BytesIO(b"x" * next(sizes)))
    for _ in range(2):
        with pytest.raises(MessageError, match="changed"):
            bytes(attachment)


def test_the_size_of_bytes_is_their_length():
    assert Attachment("a", b"abc", 99).size_bytes == 3
    assert Attachment("a", b"abc", 3).with_(content=b"abcdef").size_bytes == 6


def test_b33_a_message_object_is_attached_as_bytes():
    inner = EmailMessage()
    inner["Subject"] = "x"
    inner.set_content("From here\n")
    attachment = Attachment.from_message(inner)
    assert (attachment.content_type, attachment.name) == ("message/rfc822", "message.eml")
    assert b"\r\nFrom here\r\n" in bytes(attachment)


def test_json_reads_back():
    attachment = Attachment.from_bytes("a.txt", b"\xff", content_id="<c@d>", inline=True)
    assert Attachment.from_dict(attachment.to_dict()) == attachment
    assert Attachment.from_dict({**attachment.to_dict(), "new": 1}) == attachment
    with pytest.raises(MessageError, match="base64"):
        Attachment.from_dict({"name": "a", "content": "*"})


def test_repr_shows_no_content():
    assert repr(Attachment.from_bytes("a.txt", b"secret")) == "<Attachment 'a.txt' text/plain 6 bytes>"


def test_content_ids_are_bare():
    assert Attachment.from_bytes("a", b"", content_id="<a@b>").content_id == "a@b"
    with pytest.raises(HeaderError):
        Attachment.from_bytes("a", b"", content_id="a b")


def test_name_of_a_path_may_be_given(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"")
    assert Attachment.from_path(tmp_path / "x", name="y.pdf").content_type == "application/pdf"

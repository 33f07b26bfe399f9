"""The mail and its content."""

from __future__ import annotations

import json
import pickle

import pytest
from made_messages import composed

from mailer.attachment import Attachment
from mailer.delivery import DeliveryOptions
from mailer.envelope import Envelope
from mailer.errors import MessageError
from mailer.mail import Content, Mail
from mailer.message import Message

MESSAGE = Message(
    from_="a@b.test", to="c@d.test", subject="s", text="é", attachments=[Attachment.from_bytes("a", bytes(200_000))]
)


def mail(**more: object) -> Mail:
    content = composed(MESSAGE)
    return Mail(**{"id": "0" * 32, "envelope": Envelope.of(MESSAGE), "message": MESSAGE, "content": content, **more})


def test_content_has_a_length_iterates_often_and_is_bytes():
    content = composed(MESSAGE)
    assert len(content) == len(bytes(content)) == sum(map(len, content)) == sum(map(len, content))
    assert len(list(content)) > 2
    assert content == Content.of(bytes(content))
    assert content != Content.of(b"x\r\n")
    with pytest.raises(TypeError):
        hash(content)


@pytest.mark.parametrize(
    ("data", "needs"),
    [
        (b"A: b\r\n\r\nc\r\n", (False, False)),
        (b"A: b\r\n\r\n\xff\r\n", (True, False)),
        (b"A: \xc3\xbc\r\n\r\nc\r\n", (False, True)),
        (b"A: \xc3\xbc\r\n\r\n\xff\r\n", (True, True)),
    ],
)
def test_what_content_needs_is_read_off_its_bytes(data, needs):
    content = Content.of(data)
    assert (content.has_8bit, content.has_utf8_headers) == needs


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_check_11_no_bare_line_end_comes_in_by_bytes(end):
    """As a filter gives them that took the mail through the standard library, say."""
    assert bytes(Content.of(b"A: b" + end + end + b"c" + end + b"." + end)) == b"A: b\r\n\r\nc\r\n.\r\n"
    assert bytes(mail(content=b"A: b" + end + end + b"c").content) == b"A: b\r\n\r\nc\r\n"
    assert bytes(Content.of(b"A: b\r\n\r\nc\rd\ne\n\rf\r\n")) == b"A: b\r\n\r\nc\r\nd\r\ne\r\n\r\nf\r\n"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 7),
        ("envelope", "c@d.test"),
        ("message", "Hi"),
        ("content", None),
        ("content", "A: b"),
        ("content", b"\0"),
    ],
)
def test_a_wrong_part_cannot_be_built(field, value):
    for build in (mail, mail().with_):
        with pytest.raises(MessageError) as caught:
            build(**{field: value})
        assert caught.value.field == field


def test_a_mail_survives_json_and_pickle():
    for one in (mail(), mail(message=None)):
        assert Mail.from_dict({**json.loads(json.dumps(one.to_dict())), "later": 1}) == one
        assert pickle.loads(pickle.dumps(one)) == one


def test_delivery_options_are_the_messages_or_none_asked():
    assert mail(message=None).delivery == mail().delivery == DeliveryOptions()
    options = DeliveryOptions(require_tls=True)
    assert mail(message=MESSAGE.with_(delivery=options)).delivery is options


def test_b16_repr_shows_no_address_and_no_content():
    assert "b.test" not in repr(mail())
    assert repr(mail().content) == f"<Content {len(mail().content)} bytes>"
    with pytest.raises(AttributeError):
        mail().id = "x"
    assert mail().with_(id="1" * 32).id == "1" * 32


# --- content that is made when somebody asks for it -------------------------------------------------------------------


class TestLater:
    def later(self, data: bytes = b"Subject: x\r\n\r\n\xc3\xbc\r\n") -> tuple[Content, list[int]]:
        made: list[int] = []

        def make() -> Content:
            made.append(1)
            return Content.of(data)

        return Content.later(make, 7), made

    def test_it_is_made_once_by_whatever_asks_first(self) -> None:
        whole = Content.of(b"Subject: x\r\n\r\n\xc3\xbc\r\n")
        for ask in (bytes, len, list, lambda c: c.has_8bit, lambda c: c.has_utf8_headers, lambda c: c == whole):
            content, made = self.later()
            assert ask(content) == ask(whole)
            assert (bytes(content), len(content), content.has_8bit) == (bytes(whole), len(whole), True)
            assert made == [1]
            assert content.is_made
            assert content.about_bytes == len(whole)

    def test_to_look_at_it_does_not_make_it(self) -> None:
        content, made = self.later()
        mail = Mail("0" * 32, Envelope("a@x.test", "b@y.test"), None, content)
        assert repr(content) + repr(mail) == "<Content, not made yet>" + f"<Mail {'0' * 32} to 1, not composed yet>"
        assert (content.about_bytes, content.is_made, made) == (7, False, [])
        with pytest.raises(AttributeError, match="no attribute 'x'"):
            content.x  # noqa: B018
        assert made == []

    def test_it_travels_as_bytes(self) -> None:
        content, _ = self.later()
        assert pickle.loads(pickle.dumps(content)) == Content.of(bytes(content))

    def test_what_it_raises_is_raised_each_time(self) -> None:
        def make() -> Content:
            raise MessageError("is gone", field="attachments")

        content = Content.later(make, 7)
        for _ in range(2):
            with pytest.raises(MessageError, match="is gone"):
                bytes(content)


def test_content_with_a_field_in_front_needs_of_a_server_what_it_needed():
    content = Content.of("Subject: é\r\n\r\né\r\n".encode())
    longer = content.made_of([b"X: 1\r\n", *content.pieces])
    assert bytes(longer) == b"X: 1\r\n" + bytes(content)
    assert len(longer) == len(content) + 6
    assert longer.has_8bit
    assert longer.has_utf8_headers
    assert bytes(content).startswith(b"Subject")  # and is as it was


@pytest.mark.parametrize("mail_id", ["a\r\nX-Evil: 1", "a\nb", "a\0", "a\u2028b"])
def test_b1_an_id_has_no_line_break_in_any_position(mail_id: str) -> None:
    with pytest.raises(MessageError, match="id: holds a line break"):
        Mail(mail_id, Envelope("a@x.test", "b@y.test"), None, Content.of(b"X: 1\r\n\r\n"))

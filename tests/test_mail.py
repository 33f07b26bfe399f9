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

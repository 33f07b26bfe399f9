"""The envelope: recipients each once, the null sender only when asked for."""

from __future__ import annotations

import pickle

import pytest

from mailer.address import Address
from mailer.envelope import NULL_SENDER, Envelope
from mailer.errors import AddressError, MessageError
from mailer.message import Message


def test_b15_without_a_recipient_there_is_no_envelope():
    for recipients in ([], ()):
        with pytest.raises(MessageError) as caught:
            Envelope("a@b.test", recipients)
        assert caught.value.field == "to"
    with pytest.raises(MessageError):
        Envelope.of(Message(from_="a@b.test"))


@pytest.mark.parametrize("fields", [{"bcc": "x@y.test"}, {"cc": "x@y.test"}, {"to": "x@y.test"}])
def test_b15_any_kind_of_recipient_is_enough(fields):
    assert [r.addr_spec for r in Envelope.of(Message(from_="a@b.test", **fields)).recipients] == ["x@y.test"]


def test_b18_each_mailbox_stands_once_in_order():
    message = Message(
        from_="a@b.test", to=["X <x@Y.test>", "Ann@y.test"], cc=["x@y.TEST", "ann@y.test"], bcc="b@bücher.test"
    )
    envelope = Envelope.of(message.with_(bcc=["b@bücher.test", "b@xn--bcher-kva.test"]))
    assert [r.addr_spec for r in envelope.recipients] == ["x@y.test", "Ann@y.test", "ann@y.test", "b@bücher.test"]


def test_b17_ten_thousand_recipients():
    assert len(Envelope("a@b.test", [f"u{i}@d{i % 50}.test" for i in range(10_000)]).recipients) == 10_000


@pytest.mark.parametrize(
    ("fields", "sender"),
    [
        ({}, "a@b.test"),
        ({"sender": "s@b.test"}, "s@b.test"),
        ({"sender": "s@b.test", "return_path": "r@b.test"}, "r@b.test"),
        ({"from_": ["c@d.test", "a@b.test"]}, "c@d.test"),
    ],
)
def test_the_sender_is_return_path_or_sender_or_first_from(fields, sender):
    assert Envelope.of(Message(**{"from_": "a@b.test", "to": "x@y.test", **fields})).sender == Address.parse(sender)


def test_b19_the_null_sender_is_asked_for():
    message = Message(from_="a@b.test", to="x@y.test", return_path=NULL_SENDER)
    assert Envelope.of(message).sender is None
    with pytest.raises(MessageError) as caught:
        Envelope.of(Message(to="x@y.test"))
    assert caught.value.field == "from_"


@pytest.mark.parametrize(
    "bad",
    [
        "a\r\n@b.test",
        "a@b.test\r\nRCPT TO:<x@y>",
        "a\0@b.test",
        "a@b\n.test",
        "\ud800@b.test",
        "a@b.test, c@d.test",
        "",
    ],
)
def test_b1_b2_hostile_envelope_addresses_are_refused_by_name(bad):
    with pytest.raises(AddressError) as caught:
        Envelope(bad, ["x@y.test"])
    assert caught.value.field == "sender"
    with pytest.raises(AddressError) as caught:
        Envelope("a@b.test", ["ok@y.test", bad])
    assert caught.value.field == "recipients"


def test_json_pickle_and_copies():
    envelope = Envelope(None, ["Ann <x@y.test>", "z@y.test"])
    assert Envelope.from_dict({**envelope.to_dict(), "later": 1}) == envelope
    assert envelope.to_dict()["sender"] is None
    assert pickle.loads(pickle.dumps(envelope)) == envelope
    assert envelope.for_recipients(envelope.recipients[1:]) == Envelope(None, "z@y.test")
    with pytest.raises(MessageError):
        Envelope.from_dict({"sender": None, "recipients": []})
    with pytest.raises(AttributeError):
        envelope.sender = None

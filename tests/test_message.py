"""The message: wide in, narrow stored, and a wrong one cannot be built."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from cases import each
from hypothesis import HealthCheck, given, settings
from made_messages import DATE, messages

from mailer import Mailer
from mailer.address import Address
from mailer.attachment import Attachment
from mailer.delivery import DeliveryOptions
from mailer.envelope import NULL_SENDER
from mailer.errors import AddressError, HeaderError, MessageError
from mailer.message import FrozenDict, Message

BAD = {
    "CR": "\r",
    "LF": "\n",
    "CRLF": "\r\n",
    "NUL": "\0",
    "ESC": "\x1b",
    "BEL": "\a",
    "VT": "\v",
    "FF": "\f",
    "DEL": "\x7f",
}
SURROGATES = {"high": "\ud83d", "low": "\ude00", "escape": "\udc80"}
ADDRESS_KEYS = ("from_", "to", "cc", "bcc", "reply_to", "sender", "return_path")

#: Where hostile text may be tried: name -> (fields from text, what .field must name).
PLACES = {
    "subject": (lambda x: {"subject": x}, "subject"),
    **{f"{key} name": (lambda x, key=key: {key: (x, "a@b.test")}, key) for key in ADDRESS_KEYS},
    **{f"{key} local": (lambda x, key=key: {key: f"{x}@b.test"}, key) for key in ADDRESS_KEYS},
    **{f"{key} domain": (lambda x, key=key: {key: f"a@{x}.test"}, key) for key in ADDRESS_KEYS},
    "header value": (lambda x: {"headers": {"X-A": x}}, "X-A"),
    "header name": (lambda x: {"headers": {f"X-{x}": "a"}}, "headers"),
    "references": (lambda x: {"headers": {"References": f"<{x}@b>"}}, "References"),
    "list-unsubscribe": (lambda x: {"headers": {"List-Unsubscribe": f"<https://{x}>"}}, "List-Unsubscribe"),
    "list-id": (lambda x: {"headers": [("List-Id", x)]}, "List-Id"),
    "message_id": (lambda x: {"message_id": f"<a{x}@b>"}, "message_id"),
    "alternative type": (lambda x: {"alternatives": [(f"text/{x}", "t")]}, "alternatives"),
    "alternative parameter": (lambda x: {"alternatives": [(f'text/x; a="{x}"', "t")]}, "alternatives"),
    "tag": (lambda x: {"tags": ["ok", x]}, "tags"),
    "metadata key": (lambda x: {"metadata": {x: "a"}}, "metadata"),
    "metadata value": (lambda x: {"metadata": {"a": x}}, "metadata"),
    "metadata deeper": (lambda x: {"metadata": {"a": {"b": ["c", {"d": x}]}}}, "metadata"),
    "merge metadata": (lambda x: {"merge_metadata": {"a@b.test": {"a": x}}}, "merge_metadata"),
    "merge header": (lambda x: {"merge_headers": {"a@b.test": {"X-A": x}}}, "X-A"),
    "merge address": (lambda x: {"merge_data": {f"{x}@b.test": {}}}, "merge_data"),
    "idempotency_key": (lambda x: {"idempotency_key": x}, "idempotency_key"),
    "locale": (lambda x: {"locale": x}, "locale"),
    "template": (lambda x: {"template": x}, "template"),
    "provider_template": (lambda x: {"provider_template": x}, "provider_template"),
    "envid": (lambda x: {"delivery": DeliveryOptions(envid=x)}, "delivery.envid"),
    "file name": (lambda x: {"attachments": [Attachment.from_bytes(x, b"")]}, "attachments.name"),
    "file type": (
        lambda x: {"attachments": [Attachment.from_bytes("a", b"", content_type=x)]},
        "attachments.content_type",
    ),
    "content id": (
        lambda x: {"attachments": [Attachment.from_bytes("a", b"", content_id=x)]},
        "attachments.content_id",
    ),
}


def hello(**more: object) -> Message:
    return Message(**{"from_": "shop@example.com", "to": "ann@example.org", "subject": "Hi", "text": "Hello", **more})


@each("place", sorted(PLACES))
def test_b1_b2_b4_hostile_text_is_refused_by_name_and_nothing_is_sent(place):
    fields, field = PLACES[place]
    with Mailer("memory:") as mailer:
        for bad, text in (BAD | SURROGATES).items():
            for hostile in (f"a{text}b", f"a{text}Bcc: x@y.test", text, f"{text}a", f"a{text}"):
                with pytest.raises(MessageError) as caught:
                    mailer.send(hello(**fields(hostile)))
                assert mailer.backend.mails == [], bad
                assert caught.value.field == field, bad
                assert str(caught.value).isprintable(), bad


@pytest.mark.parametrize("key", ["text", "html", "amp_html"])
def test_b2_b4_bodies_hold_no_nul_and_no_lone_surrogate(key):
    for bad in ("a\0b", "\ud800", "x\udfff"):
        with pytest.raises(MessageError) as caught:
            hello(**{key: bad})
        assert caught.value.field == key
    with pytest.raises(MessageError):
        hello(alternatives=[("text/csv", "\0")])


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "a\x07", "x\t"])
def test_b3_wrong_header_names(name):
    with pytest.raises(HeaderError) as caught:
        hello(headers={name: "x"})
    assert caught.value.field == "headers"


@pytest.mark.parametrize("name", ["Subject", "FROM", "Date", "message-id", "To", "Cc", "Sender", "Reply-To"])
def test_b6_no_second_field_through_custom_headers(name):
    with pytest.raises(HeaderError):
        hello(headers=[(name, "x")])


def test_b6_single_fields_stand_once():
    with pytest.raises(HeaderError) as caught:
        hello(headers=[("References", "<a@b>"), ("references", "<c@d>")])
    assert caught.value.field == "references"
    assert len(hello(headers=[("X-A", "1"), ("X-A", "2")]).headers) == 2


@pytest.mark.parametrize(
    "name", ["Bcc", "Received", "Return-Path", "DKIM-Signature", "Content-Transfer-Encoding", "MIME-Version"]
)
def test_b7_headers_of_others(name):
    for spelt in (name, name.upper(), name.lower()):
        with pytest.raises(HeaderError):
            hello(headers={spelt: "x"})


@pytest.mark.parametrize("subject", ["", " ", "\t", " " * 998, " a ", "\ta\t"])
def test_b8_blanks_at_the_ends_are_trimmed(subject):
    assert hello(subject=subject).subject == subject.strip()
    assert hello(headers={"X-A": subject}).headers == (("X-A", subject.strip()),)


@pytest.mark.parametrize(
    "text", ["a@b@c", "@", "a@", "a b@c", "a..b@c", ".a@c", "a@-b", "a@b..c", "a.@c", "@b", "", "a"]
)
def test_b10_wrong_addresses_are_refused_when_added(text):
    for key in ADDRESS_KEYS:
        with pytest.raises(AddressError) as caught:
            hello(**{key: text})
        assert caught.value.field == key
    with pytest.raises(AddressError):
        hello(to=["a@b.test", text])


def test_b11_comments_are_dropped_and_groups_are_lists():
    assert hello(to="a(x)@(y)b.test").to[0].addr_spec == "a@b.test"
    assert hello(to=Address.parse_list("x: a@b.test;")).to == (Address("", "a", "b.test"),)
    assert hello(to=Address.parse_list("x:;")).to == ()
    with pytest.raises(AddressError):
        hello(to="x: a@b.test;")


@pytest.mark.parametrize("text", ["x" * 65 + "@b", "x" * 1200 + "@b", "a@" + "d." * 128 + "x", "a@" + "l" * 64])
def test_b14_too_long_addresses(text):
    with pytest.raises(AddressError) as caught:
        hello(to=text)
    assert caught.value.field == "to"


@pytest.mark.parametrize("bad", ["(" * 5000 + "a@b", "," * 5000, '"' * 5001, "<" * 5000, "a@" + "[" * 5000])
def test_b20_deep_and_long_addresses_are_refused_without_recursion(bad):
    with pytest.raises(AddressError):
        hello(to=bad)


def test_b21_naive_times_are_refused():
    for key in ("date", "send_at"):
        with pytest.raises(MessageError, match="naive") as caught:
            hello(**{key: datetime(2026, 1, 1)})
        assert caught.value.field == key
        with pytest.raises(MessageError):
            hello(**{key: "2026-01-01"})


# --- API.md, Values ---------------------------------------------------------------------------------------------------


def test_one_string_is_one_mailbox():
    with pytest.raises(AddressError) as caught:
        hello(to="a@x.test, b@y.test")
    assert caught.value.field == "to"
    assert len(hello(to=["a@x.test", "b@y.test"]).to) == 2


def test_a_pair_is_a_name_and_an_address():
    assert hello(to=("Ann", "a@b.test")).to == (Address("Ann", "a", "b.test"),)
    with pytest.raises(AddressError):
        hello(to=("a@x.test", "b@y.test"))


@pytest.mark.parametrize("value", [5, b"a@b.test", {"a@b.test": 1}, [5], [None], object()])
def test_what_is_no_address_is_refused(value):
    with pytest.raises(AddressError) as caught:
        hello(to=value)
    assert caught.value.field == "to"


def test_iterables_are_read_once_and_stored_as_tuples():
    message = hello(
        to=(a for a in ("a@b.test", ("B", "b@b.test"))), tags="one", headers={"X-A": "1"}, metadata={"a": 1}
    )
    assert [a.name for a in message.to] == ["", "B"]
    assert message.tags == ("one",)
    assert message.headers == (("X-A", "1"),)
    assert message.metadata == {"a": 1}


def test_a_message_is_frozen_comparable_and_not_hashable():
    message = hello(metadata={"a": 1})
    with pytest.raises(AttributeError):
        message.subject = "x"
    with pytest.raises(TypeError):
        message.metadata["a"] = 2
    for change in (lambda m: m.pop("a"), lambda m: m.update(b=1), lambda m: m.clear(), lambda m: m.setdefault("b", 1)):
        with pytest.raises(TypeError):
            change(message.metadata)
    with pytest.raises(TypeError):
        hash(message)
    assert message == hello(metadata={"a": 1})
    assert message != message.with_(subject="other")
    assert pickle.loads(pickle.dumps(message)) == copy.deepcopy(message) == message


def test_with_checks_and_leaves_the_original():
    message = hello()
    assert message.with_(to="x@y.test").to[0].local == "x"
    assert message == hello()
    with pytest.raises(MessageError):
        message.with_(subject="\r")


def test_an_unknown_field_is_named_with_the_nearest():
    with pytest.raises(TypeError, match="did you mean 'subject'"):
        Message(subjct="x")
    with pytest.raises(TypeError, match="attachments"):
        hello().with_(attachment=[])


def test_attach_and_inline_give_copies():
    message = hello(html='<img src="cid:logo.png">').attach(Attachment.from_bytes("a.pdf", b"x"))
    more = message.inline(Attachment.from_bytes("logo.png", b"x"))
    assert [a.name for a in message.attachments] == ["a.pdf"]
    assert [(a.name, a.inline, a.content_id) for a in more.attachments[1:]] == [("logo.png", True, "logo.png")]


@pytest.mark.parametrize(("name", "cid"), [("a b.png", "a_b.png"), ("grün.png", "gr_n.png"), ("a<b>.png", "a_b_.png")])
def test_a_name_that_cannot_be_a_content_id_becomes_one(name, cid):
    assert hello().inline(Attachment.from_bytes(name, b"")).attachments[0].content_id == cid


@pytest.mark.parametrize("value", [Attachment.from_bytes("a", b""), "a.txt", b"x", ["a.txt"], [b"x"]])
def test_attachments_are_a_list_of_attachments(value):
    with pytest.raises(MessageError) as caught:
        hello(attachments=value)
    assert caught.value.field == "attachments"


@pytest.mark.parametrize("value", ["X: y", [5], ["ab"], [("a",)], [b"ab"]])
def test_headers_are_a_mapping_or_pairs(value):
    with pytest.raises(HeaderError):
        hello(headers=value)


@pytest.mark.parametrize("value", [["text/csv"], [("application/pdf", "x")], [("text/csv",)], [5]])
def test_alternatives_are_pairs_of_text(value):
    with pytest.raises(MessageError) as caught:
        hello(alternatives=value)
    assert caught.value.field == "alternatives"


@pytest.mark.parametrize(("value", "stored"), [(1, 1), (5, 5), ("high", 2), ("Lowest", 5), (None, None)])
def test_priority(value, stored):
    assert hello(priority=value).priority == stored


@pytest.mark.parametrize("value", [0, 6, "urgent", True, 1.5])
def test_wrong_priority(value):
    with pytest.raises(MessageError) as caught:
        hello(priority=value)
    assert caught.value.field == "priority"


@pytest.mark.parametrize("value", ["", "x" * 256, "é", 5])
def test_an_idempotency_key_is_short_ascii(value):
    with pytest.raises(MessageError) as caught:
        hello(idempotency_key=value)
    assert caught.value.field == "idempotency_key"


def test_other_kinds_are_refused():
    for key, value in (("track_opens", 1), ("delivery", {}), ("metadata", [1]), ("subject", None), ("text", b"x")):
        with pytest.raises(MessageError) as caught:
            hello(**{key: value})
        assert caught.value.field == key


def test_message_id_gains_its_brackets():
    assert hello(message_id="a@b").message_id == hello(message_id="<a@b>").message_id == "<a@b>"


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_has_the_field_names_and_reads_back():
    message = hello(
        cc=("C", "c@d.test"),
        date=DATE,
        send_at=DATE,
        return_path=NULL_SENDER,
        sender="s@t.test",
        headers=[("X-A", "1"), ("X-A", "2")],
        attachments=[Attachment.from_bytes("a", b"\xff")],
        delivery=DeliveryOptions(notify="success"),
        priority=1,
        metadata={"a": [1]},
        merge_data={"a@b.test": {"x": 1}},
        merge_headers={"a@b.test": {"X-A": "1"}},
        alternatives=[("text/csv", "a")],
        tags=["t"],
    )
    data = json.loads(json.dumps(message.to_dict()))
    assert data["from"] == [{"name": "", "local": "shop", "domain": "example.com"}]
    assert data["date"] == "2026-11-24T09:07:45+05:30"
    assert "from_" not in data
    assert "bcc" not in data
    assert Message.from_dict({**data, "of a later version": 1}) == message


@given(messages(wide=True))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_message_survives_json_and_pickle(message):
    assert Message.from_dict(json.loads(json.dumps(message.to_dict()))) == message
    assert pickle.loads(pickle.dumps(message)) == message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("to", 5),
        ("to", [{"name": "x"}]),
        ("from", [5]),
        ("date", "yesterday"),
        ("send_at", "x"),
        ("attachments", 5),
        ("attachments", [5]),
        ("headers", 5),
        ("headers", [["X-A", "a\r\nb"]]),
        ("delivery", {"ret": "x"}),
        ("sender", {"local": "a"}),
        ("subject", "a\nb"),
    ],
)
def test_wrong_json_is_a_message_error_that_names_the_field(key, value):
    with pytest.raises(MessageError) as caught:
        Message.from_dict({key: value})
    assert caught.value.field


def test_a_context_that_json_cannot_hold_may_be_sent_not_stored():
    message = hello(context={"object": object()})
    with Mailer("memory:") as mailer:
        assert mailer.send(message.with_(template=None)).ok
    with pytest.raises(MessageError) as caught:
        message.to_dict()
    assert caught.value.field == "context"


def test_repr_shows_no_content():
    assert repr(hello(text="secret")) == "<Message with from_, to, subject, text>"


def test_frozen_dict_is_a_dict():
    assert FrozenDict(a=1) == {"a": 1}
    assert json.dumps(FrozenDict(a=1)) == '{"a": 1}'


def test_from_email_message_reads_fields():
    standard = EmailMessage()
    standard["To"] = "Ann <a@b.test>"
    standard.set_content("x\n")
    assert Message.from_email_message(standard).to == (Address("Ann", "a", "b.test"),)


def test_null_sender_must_be_asked_for():
    assert hello(return_path=NULL_SENDER).return_path is NULL_SENDER
    with pytest.raises(AddressError):
        hello(return_path="<>")


def test_a_time_keeps_its_zone():
    assert hello(date=datetime(2026, 1, 1, tzinfo=UTC)).date == datetime(2026, 1, 1, tzinfo=UTC)

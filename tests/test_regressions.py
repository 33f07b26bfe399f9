"""What was found by attacking the public API from outside, each once wrong."""

from __future__ import annotations

import copy
import io
import pickle
import time
from datetime import datetime, timedelta, timezone

import pytest
from cases import each

from mailer import (
    Address,
    Attachment,
    Attempt,
    ConfigError,
    DeliveryOptions,
    Envelope,
    HeaderError,
    Mail,
    Mailer,
    Message,
    MessageError,
    Outcome,
    Receipt,
    RecipientResult,
    backend_from_url,
    register_backend,
)
from mailer.mailbox import Mailbox
from mailer.smtp.reply import Reply

JUNK = [5, None, True, 1.5, "x", b"x", [], [5], [None], {"a": 1}, {"a": [1]}, (1, 2), object(), "\ud800"]


def message(**more):
    return Message(**{"from_": "a@b.test", "to": "c@d.test", "text": "x", **more})


def values():
    with Mailer("memory:") as mailer:
        receipt = mailer.send(
            message(attachments=[Attachment.from_bytes("a", b"x")], delivery=DeliveryOptions(notify="NEVER"))
        )
        mail = mailer.backend.mails[0]
    return [
        mail.message,
        mail.message.to[0],
        mail.message.attachments[0],
        mail.message.delivery,
        mail.envelope,
        mail,
        receipt,
        receipt.results[0],
        receipt.attempts[0],
    ]


@each("junk", JUNK)
@each("kind", [Message, Address, Attachment, DeliveryOptions, Envelope, Mail, Receipt, RecipientResult, Attempt])
def test_from_dict_of_junk_raises_nothing_but_message_errors(kind, junk):
    try:
        kind.from_dict(junk)
    except MessageError:
        pass
    else:
        assert isinstance(junk, dict), "only a mapping of unknown keys may be read, as an empty value"
        assert kind in (Message, DeliveryOptions)


def test_from_dict_with_a_key_missing_or_junk_in_it_raises_nothing_but_message_errors():
    for value in values():
        data = value.to_dict()
        for key in data:
            for changed in ({k: v for k, v in data.items() if k != key}, *({**data, key: junk} for junk in JUNK)):
                try:
                    read = type(value).from_dict(changed)
                except MessageError:
                    continue
                assert isinstance(read, type(value))


@pytest.mark.parametrize("field", ["alternatives", "attachments", "headers", "tags"])
@pytest.mark.parametrize("junk", [5, 1.5, True, object()], ids=["int", "float", "bool", "object"])
def test_a_field_of_many_that_is_no_list_is_named(field, junk):
    with pytest.raises(MessageError) as caught:
        message(**{field: junk})
    assert caught.value.field == field


@pytest.mark.parametrize(
    "build",
    [
        lambda: DeliveryOptions(notify=5),
        lambda: DeliveryOptions(require_tls="no"),
        lambda: Envelope("a@b.test", None),
        lambda: Attachment.from_path(5),
        lambda: Attachment.from_stream("x", 5),
        lambda: Attachment.from_stream("x", lambda: None),
        lambda: Attachment.from_stream("x", lambda: 1 / 0),
        lambda: Mailer("memory:").send_raw(b"From: a@b.test\r\nTo: c@d.test\r\n\r\nx", "c@d.test"),
    ],
)
def test_values_of_another_type_are_message_errors(build):
    with pytest.raises(MessageError):
        build()


@pytest.mark.parametrize(
    "build", [lambda: Mailer("memory:", hooks=5), lambda: register_backend(5, lambda url, rt: None)]
)
def test_settings_of_another_type_are_config_errors(build):
    with pytest.raises(ConfigError):
        build()


def test_the_name_of_a_group_cannot_be_registered():
    with pytest.raises(ConfigError, match="built in"):
        register_backend("failover", lambda url, runtime: None)


def test_a_factory_that_raises_is_a_config_error_that_repeats_nothing_it_said():
    def factory(url, runtime):
        raise ValueError(f"cannot use {url.username}")

    register_backend("raising", factory)
    with pytest.raises(ConfigError, match="ValueError") as caught:
        backend_from_url("raising://TOKEN@default")
    assert "TOKEN" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("field", ["metadata", "context", "provider_options"])
def test_mappings_and_lists_inside_a_message_are_frozen_copies(field):
    given = {"a": {"b": [1]}}
    one = message(**{field: given})
    given["a"]["b"].append(2)
    inside = getattr(one, field)
    assert inside == {"a": {"b": [1]}}
    with pytest.raises(TypeError):
        inside["a"]["x"] = 1
    for change in (
        lambda: inside["a"]["b"].append(2),
        lambda: inside["a"]["b"].sort(),
        lambda: inside["a"]["b"].__iadd__([2]),
    ):
        with pytest.raises(TypeError):
            change()
    for copied in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one), Message.from_dict(one.to_dict())):
        assert copied == one


def test_merge_data_is_a_frozen_copy():
    given = {"c@d.test": {"n": [1]}}
    one = message(merge_data=given)
    given["c@d.test"]["n"].append(2)
    assert one.merge_data == {"c@d.test": {"n": [1]}}
    with pytest.raises(TypeError):
        one.merge_data["c@d.test"]["m"] = 1


def test_a_second_init_changes_neither_a_frozen_mapping_nor_the_default_that_messages_share():
    one = message()
    one.metadata.__init__({"z": 1})
    assert one.metadata == {} == message().metadata


def test_metadata_that_holds_itself_is_an_error_and_a_context_may():
    turning: dict[str, object] = {}
    turning["again"] = turning
    with pytest.raises(MessageError) as caught:
        message(metadata=turning)
    assert caught.value.field == "metadata"
    with Mailer("memory:") as mailer:
        assert mailer.send(message(context=turning)).ok


def test_attachments_of_one_file_are_equal_and_survive_pickling(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    one = message(attachments=[path])
    assert one == message(attachments=[path])
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize("name", ["x.bin", "x.eml"])
def test_an_opener_that_fails_when_sending_is_this_messages_error_alone(name, tmp_path):
    opened = []

    def opener():
        opened.append(1)
        if len(opened) > 1:
            raise RuntimeError("gone")
        return io.BytesIO(b"From: a@b.test\r\n\r\nx")

    broken = message(attachments=[Attachment.from_stream(name, opener)])
    with Mailer(f"file:{tmp_path}/out") as mailer:
        first, second = mailer.send_many([broken, message()])
    cause = first.error or first.attempts[0].cause
    assert isinstance(cause, MessageError)
    assert isinstance(cause.__cause__, RuntimeError)
    assert not any(result.outcome is Outcome.UNKNOWN for result in first.results), "nothing was written"
    assert second.ok


def test_a_date_out_of_range_in_utc_is_a_header_error():
    odd = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14, seconds=1)))
    with Mailer("memory:") as mailer, pytest.raises(HeaderError):
        mailer.compose(message(date=odd))


def test_the_work_for_many_refused_recipients_grows_no_faster_than_their_number():
    def odd_ones_are_gone(verb, argument):
        return Reply(550, ("5.1.1 gone",)) if verb == "RCPT" and int(argument.partition("@")[0][1:]) % 2 else None

    def seconds(count):
        many = message(to=None, bcc=[f"r{n}@d.test" for n in range(count)])
        with Mailbox(replies=odd_ones_are_gone) as mailbox, Mailer(mailbox.url) as mailer:
            start = time.process_time()
            receipt = mailer.send(many)
            took = time.process_time() - start
        assert len(receipt.accepted) == len(receipt.rejected) == count // 2
        return took

    seconds(100)
    assert seconds(4000) < 8 * 3 * seconds(500)

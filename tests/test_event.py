"""The event: a frozen value that JSON holds, and a wrong one cannot be built."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cases import each

from mailer import Address, Event, EventKind, MessageError, RejectReason
from mailer.event import MAIL_ID_KEY, mail_id_in

FULL = Event(
    kind=EventKind.BOUNCED,
    provider="postmark",
    provider_id="p-1",
    mail_id="ab" * 16,
    event_id="e-1",
    recipient=Address.parse("zoë@bücher.example"),
    time=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    reject_reason=RejectReason.INVALID,
    is_hard=True,
    is_machine=True,
    text="550 5.1.1 – no such user",
    code=550,
    enhanced_code="5.1.1",
    url="https://example.com/",
    user_agent="M",
    tags=("a", "b"),
    metadata={"order": ["17"]},
    raw={"a": {"b": None}},
)


def test_json_and_pickle_give_it_back():
    for event in (FULL, Event(kind="opened", provider="x")):  # type: ignore[arg-type]
        assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event
        assert pickle.loads(pickle.dumps(event)) == event
    assert Event.from_dict({**FULL.to_dict(), "new": 1}) == FULL


def test_every_field_is_in_its_json():
    assert list(FULL.to_dict()) == list(Event.__dataclass_fields__)


def test_words_become_members_and_are_equal_to_them():
    event = Event(kind="complained", provider="x", reject_reason="spam")  # type: ignore[arg-type]
    assert event.kind is EventKind.COMPLAINED
    assert event.kind == "complained"
    assert event.reject_reason is RejectReason.SPAM
    assert [kind.value for kind in EventKind] == (
        "queued sent delivered deferred bounced rejected failed opened clicked complained unsubscribed subscribed unknown"
    ).split()


def test_texts_are_fit_to_be_shown():
    event = Event(kind=EventKind.BOUNCED, provider="x", text="\x1b[2J" + "é" * 2000, url="a\nb")
    assert event.text.startswith("\\x1b[2Jé")
    assert len(event.text) == 1000
    assert event.url == "a\\nb"


def test_times_are_utc():
    local = datetime(2026, 1, 2, 4, tzinfo=timezone(timedelta(hours=1)))
    event = Event(kind=EventKind.SENT, provider="x", time=local)
    assert event.time == local
    assert event.to_dict()["time"] == "2026-01-02T03:00:00+00:00"


@each(
    "wrong",
    [
        {"kind": "eaten"}, {"kind": None}, {"provider": ""}, {"provider": None}, {"provider_id": 7}, {"mail_id": "a b"}, {"mail_id": ""},
        {"mail_id": "x" * 81}, {"recipient": "a@b.test"}, {"time": datetime(2026, 1, 2)}, {"time": 7}, {"code": 199},
        {"code": True}, {"code": "550"}, {"enhanced_code": "5.1"}, {"enhanced_code": 5.1}, {"tags": "a"}, {"tags": [7]},
        {"metadata": []}, {"raw": None}, {"reject_reason": "moon"}, {"text": None},
    ],
)  # fmt: skip
def test_a_wrong_value_cannot_be_built(wrong):
    with pytest.raises((TypeError, ValueError)):
        Event(**{"kind": "sent", "provider": "x", **wrong})


@pytest.mark.parametrize("wrong", [7, {}, {"kind": "sent"}, {"kind": "sent", "provider": "x", "time": "soon"}, {"kind": "sent", "provider": "x", "recipient": 7}])  # fmt: skip
def test_json_that_is_none_of_ours_is_an_error_of_ours(wrong):
    with pytest.raises(MessageError):
        Event.from_dict(wrong)


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        FULL.code = 551  # type: ignore[misc]
    for mapping in (FULL.metadata, FULL.raw):
        with pytest.raises(TypeError):
            mapping["x"] = 1  # type: ignore[index]


def test_the_key_of_our_id_fits_the_strictest_provider():
    assert len(MAIL_ID_KEY) <= 20
    assert MAIL_ID_KEY.replace("_", "").isalpha()
    assert mail_id_in({MAIL_ID_KEY: "0f" * 16}) == "0f" * 16
    assert mail_id_in({MAIL_ID_KEY: ["x"]}) is mail_id_in({}) is None

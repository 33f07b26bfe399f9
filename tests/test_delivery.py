"""Delivery options: wrong ones cannot be built."""

from __future__ import annotations

import pickle

import pytest

from mailer.delivery import DeliveryOptions
from mailer.errors import MessageError


def test_words_are_upper_case_and_stand_once():
    options = DeliveryOptions(notify=["success", "FAILURE", "Success"], ret="hdrs")
    assert (options.notify, options.ret) == (("SUCCESS", "FAILURE"), "HDRS")
    assert DeliveryOptions(notify="never").notify == ("NEVER",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("notify", "sometimes"),
        ("notify", ["NEVER", "SUCCESS"]),
        ("notify", "SUCCESS\r\n"),
        ("ret", "BODY"),
        ("ret", ""),
        ("envid", ""),
        ("envid", "x" * 101),
        ("envid", "a b"),
        ("envid", "é"),
        ("envid", "a\r\nb"),
        ("envid", "a\0"),
        ("deliver_by_s", 0),
        ("deliver_by_s", 10**9),
        ("mt_priority", 10),
        ("mt_priority", -10),
    ],
)
def test_b1_wrong_values_are_refused_by_name(field, value):
    with pytest.raises(MessageError) as caught:
        DeliveryOptions(**{field: value})
    assert caught.value.field == f"delivery.{field}"


def test_json_pickle_and_equality():
    options = DeliveryOptions(
        notify="SUCCESS", ret="FULL", envid="x+y", require_tls=True, deliver_by_s=60, mt_priority=-9
    )
    assert DeliveryOptions.from_dict({**options.to_dict(), "later": 1}) == options
    assert pickle.loads(pickle.dumps(options)) == options
    assert DeliveryOptions.from_dict({}) == DeliveryOptions()
    with pytest.raises(AttributeError):
        options.ret = None

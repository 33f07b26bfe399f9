"""The tree of errors, as its docstring draws it; every one survives pickling."""

from __future__ import annotations

import copy
import json
import pickle
import re

import pytest

from mailer import errors
from mailer.address import Address
from mailer.errors import (
    DeliveryDeferred,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnknown,
    MailerError,
    MessageError,
    Outcome,
)
from mailer.receipt import Receipt, RecipientResult

CLASSES = [
    value
    for name in errors.__all__
    if isinstance(value := getattr(errors, name), type) and issubclass(value, MailerError)
]


def drawn() -> dict[str, str]:
    """Class -> parent, read off the docstring's tree."""
    parents, path = {}, {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.fullmatch(r"    ((?:[|` ]   )*(?:[|`]-- )?)([A-Z]\w+)(?:  .*)?", line):
            depth = len(found[1]) // 4
            path[depth] = found[2]
            parents[found[2]] = path[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_is_as_drawn():
    assert {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES} == drawn()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling(cls):
    if issubclass(cls, DeliveryError):
        error = cls("text", Receipt("id"))
    elif issubclass(cls, MessageError):
        error = cls("text", field="to")
    else:
        error = cls("text")
    error.reply = "550 no"
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(back) is cls
        assert (str(back), back.args, back.reply) == (str(error), error.args, "550 no")
        assert vars(back) == vars(error)


def test_a_message_error_says_its_field_first():
    assert str(MessageError("is wrong", field="to")) == "to: is wrong"
    assert (str(MessageError("is wrong")), MessageError().field) == ("is wrong", "")


def test_outcomes_are_the_four_of_the_protocol():
    assert [outcome.value for outcome in Outcome] == ["accepted", "deferred", "rejected", "unknown"]


@pytest.mark.parametrize("cls", [DeliveryUnknown, DeliveryDeferred, DeliveryRefused])
def test_a_delivery_error_comes_back_from_json_as_celery_keeps_it(cls):
    """By class, module and arguments, each as JSON; what JSON does not know is asked for ``__json__``."""
    result = RecipientResult(Address.parse("ann@example.org"), Outcome.REJECTED, 550, "5.1.1", "no such user")
    error = cls("nobody accepted it", Receipt(id="m1", backend="smtp://mx", results=(result,)))
    kept = json.loads(json.dumps(error.args, default=lambda value: value.__json__()))
    back = cls(*kept)
    assert (str(back), back.receipt) == (str(error), error.receipt)
    assert pickle.loads(pickle.dumps(back)).receipt == error.receipt
    with pytest.raises(MessageError):
        cls("it", {"what": "no receipt"})

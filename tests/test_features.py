"""What a backend cannot carry: refused, noted, or as the policy says."""

from __future__ import annotations

from dataclasses import fields

import pytest
from made_messages import DATE

from mailer.attachment import Attachment
from mailer.delivery import DeliveryOptions
from mailer.errors import ConfigError, UnsupportedFeature
from mailer.features import _USED, Features, left_out
from mailer.message import Message

NOTHING = Features(**{field.name: False for field in fields(Features)})
FILE = Attachment.from_bytes("a", b"")
#: Feature -> a message that uses it and no other.
USES = {
    "attachments": {"attachments": [FILE]},
    "inline": {"attachments": [FILE.with_(inline=True, content_id="c")]},
    "reply_to": {"reply_to": "a@b.test"},
    "headers": {"headers": {"X-A": "b"}},
    "alternatives": {"alternatives": [("text/csv", "a")]},
    "amp_html": {"amp_html": ""},
    "sender": {"sender": "a@b.test"},
    "return_path": {"return_path": "a@b.test"},
    "send_at": {"send_at": DATE},
    "merge": {"merge_data": {"a@b.test": {}}},
    "provider_template": {"provider_template": "t"},
    "require_tls": {"delivery": DeliveryOptions(require_tls=True)},
    "tags": {"tags": "t"},
    "metadata": {"metadata": {"a": "b"}},
    "tracking": {"track_opens": False},
    "priority": {"priority": 1},
    "message_id": {"message_id": "<a@b.test>"},
    "date": {"date": DATE},
    "idempotency_key": {"idempotency_key": "k"},
    "notify": {"delivery": DeliveryOptions(envid="x")},
    "deliver_by": {"delivery": DeliveryOptions(deliver_by_s=5)},
    "mt_priority": {"delivery": DeliveryOptions(mt_priority=0)},
    "provider_options": {"provider_options": {"a": 1}},
}
ADVISORY = {
    *("tags", "metadata", "tracking", "priority", "message_id", "date", "idempotency_key", "notify", "deliver_by"),
    *("mt_priority", "provider_options"),
}


def test_every_feature_has_a_rule_and_a_case():
    assert {field.name for field in fields(Features)} - {"raw"} == set(_USED) == set(USES)  # raw is the mail's


@pytest.mark.parametrize("name", sorted(USES))
def test_what_changes_who_gets_what_is_refused_and_advice_is_noted(name):
    message = Message(text="x", **USES[name])
    if name in ADVISORY:
        assert left_out(message, NOTHING, "x:", "default") == (f"{name} is not carried by x:",)
    else:
        with pytest.raises(UnsupportedFeature) as caught:
            left_out(message, NOTHING, "x:", "default")
        assert caught.value.field == name
    with pytest.raises(UnsupportedFeature):
        left_out(message, NOTHING, "x:", "error")
    assert left_out(message, NOTHING, "x:", "degrade") == (f"{name} is not carried by x:",)
    carrying = Features(**{field.name: True for field in fields(Features)})
    for policy in ("default", "error", "degrade"):
        assert left_out(message, carrying, "x:", policy) == ()


def test_a_backend_that_takes_everything_does_not_merge():
    """The mailer makes a mail for each recipient before it."""
    assert [field.name for field in fields(Features) if not getattr(Features.everything(), field.name)] == ["merge"]


def test_a_plain_message_needs_nothing():
    assert left_out(Message(text="x", html="y", subject="z"), NOTHING, "x:", "error") == ()
    assert left_out(None, NOTHING, "x:", "error") == ()


def test_an_unknown_policy_is_a_config_error():
    with pytest.raises(ConfigError, match="unsupported="):
        left_out(None, NOTHING, "x:", "maybe")


def test_an_api_that_composes_anew_says_only_in_what_it_differs():
    most = Features.of_api()
    for name in ("attachments", "inline", "reply_to", "headers", "priority", "provider_options"):
        assert getattr(most, name), name
    lacking = {field.name for field in fields(Features) if not getattr(most, field.name)}
    assert {
        "alternatives",
        "amp_html",
        "sender",
        "return_path",
        "raw",
        "message_id",
        "date",
        "tags",
        "send_at",
    } <= lacking
    another = Features.of_api(tags=True, inline=False)
    differing = {
        field.name for field in fields(Features) if getattr(another, field.name) is not getattr(most, field.name)
    }
    assert differing == {"tags", "inline"}
    with pytest.raises(TypeError, match="tag"):
        Features.of_api(tag=True)

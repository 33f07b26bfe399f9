"""The plug-in ``allow_list``: nobody else gets mail, whatever put them there."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import World

from mailer import Address, ConfigError, DeliveryRefused, Mailer, Message, Outcome
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.plugins.allow_list import AllowList
from mailer.testing import FakeRelay, SmtpServer

A, R = Outcome.ACCEPTED, Outcome.REJECTED
PLUGIN = AllowList(allow=["QA@example.com", "@bücher.example"], allow_pattern=r"t\d+@x\.test")


def hello(*to: str, **more: object) -> Message:
    return Message(**{"from_": "shop@example.com", "to": list(to), "subject": "Hi", "text": "Hello", **more})


def test_by_smtp_and_by_a_relay(world: World) -> None:
    message = hello("Ann <ann@example.org>", "qa@EXAMPLE.com", cc="t7@x.test", bcc="evil@example.com")
    allowed = ["qa@example.com", "t7@x.test"]
    with SmtpServer() as server, world.mailer(server.url, plugins=[PLUGIN]) as mailer:
        receipt = mailer.send(message)
        assert [result.outcome for result in receipt.results] == [R, A, A, R]
        assert {result.text for result in receipt.rejected} == {"suppressed: rejected: not on the allow list"}
        assert [mail.recipients for mail in server.mails] == [tuple(allowed)]
        with pytest.raises(DeliveryRefused, match="not on the allow list"):
            mailer.send(hello("ann@example.org"))
        with pytest.raises(DeliveryRefused, match="not on the allow list"):
            mailer.send_raw(b"From: a@example.com\r\nTo: ann@example.org\r\n\r\nx\r\n")
        assert [receipt.ok for receipt in mailer.send_many([hello("t1@x.test"), hello("ann@example.org")])] == [
            True,
            False,
        ]
        assert len(server.mails) == 2
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[PLUGIN]) as mailer:
        assert [result.outcome for result in mailer.send(message).results] == [R, A, A, R]
        said = relay.requests[0].json
        assert (said["To"], said["Cc"], said.get("Bcc")) == (*allowed, None)


def test_recipients_of_other_plug_ins_and_of_a_merge_of_the_provider() -> None:
    class Merging(MemoryBackend):
        features = Features(merge=True)

    data = {"qa@example.com": {"n": "1"}, "ann@example.org": {"n": "2"}}
    with Mailer(Merging(), plugins=[PLUGIN]) as mailer:
        receipt = mailer.send(hello(*data, merge_data=data, text="{{ n }}"))
        assert [result.outcome for result in receipt.results] == [A, R]
        added = Address.parse("added@evil.test")
        mailer.hooks.add_filter("recipients", lambda recipients, _: (*recipients, added), 10**9)
        mailer.hooks.add_filter(
            "mail",
            lambda mail, _: mail.with_(envelope=mail.envelope.for_recipients([*mail.envelope.recipients, added])),
            10**9,
        )
        mailer.send(hello("qa@example.com"))
        got = [[str(address) for address in mail.envelope.recipients] for mail in mailer.backend.mails]
        assert got == [["qa@example.com"], ["qa@example.com"]]


def test_who_is_allowed() -> None:
    allowed = PLUGIN.settings.allowed
    for text in (
        "qa@example.com",
        "Name <Qa@EXAMPLE.com>",
        "a@bücher.example",
        "a@xn--bcher-kva.example",
        "T12@x.test",
    ):
        assert Address.parse(text) in allowed
    for text in ("a@sub.bücher.example", "qa@example.com.evil.test", "xt7@x.test", "t@x.test", '"@x.test"@evil.test'):
        assert Address.parse(text) not in allowed


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "nobody could get mail"),
        ({"allow": "example.com"}, "allow: "),
        ({"allow": "@"}, "allow: "),
        ({"allow_pattern": "(a"}, "allow_pattern: is no regular expression"),
        ({"alow": "x"}, "did you mean 'allow'"),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.allow_list") as caught:
        AllowList(table)
    assert said in str(caught.value)

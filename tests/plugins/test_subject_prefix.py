"""The plug-in ``subject_prefix``: in front, once, and never a header of its own."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import World

from mailer import ConfigError, Mailer, Message
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.plugins.subject_prefix import SubjectPrefix
from mailer.testing import FakeRelay, SmtpServer


def hello(subject: str = "Hi", **more: object) -> Message:
    return Message(**{"from_": "a@example.com", "to": "b@example.org", "subject": subject, "text": "x", **more})


def test_by_smtp_and_by_a_relay(world: World) -> None:
    plugin = SubjectPrefix(prefix=" [Prüfung] ")
    with SmtpServer() as server, world.mailer(server.url, plugins=[plugin]) as mailer:
        assert mailer.send(hello()).ok
        assert server.mails[0].message["Subject"] == "[Prüfung] Hi"
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[plugin]) as mailer:
        assert mailer.send(hello()).ok
        assert relay.requests[0].json["Subject"] == "[Prüfung] Hi"


def test_which_subjects_get_it() -> None:
    class Merging(MemoryBackend):
        features = Features(merge=True, provider_template=True)

    with Mailer(Merging(), plugins=[SubjectPrefix(prefix="[x]", tags=["t", "u"])]) as mailer:
        for given, subject in (
            (hello(tags="t"), "[x] Hi"),
            (hello(tags=["a", "u"]), "[x] Hi"),
            (hello(), "Hi"),
            (hello("Re: [x] Hi", tags="t"), "Re: [x] Hi"),
            (hello("", tags="t"), "[x]"),
            (hello("", tags="t", provider_template="1"), ""),
            (hello("S", tags="t", provider_template="1"), "[x] S"),
            (hello("{{ n }}", tags="t", merge_data={"b@example.org": {"n": "1"}}), "[x] {{ n }}"),
        ):
            assert mailer.render(given).subject == subject


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "plugins.subject_prefix.prefix"),
        ({"prefix": "  "}, "prefix: is empty"),
        ({"prefix": "a\r\nBcc: x@y.test"}, "line break"),
        ({"prefix": "{{ a }}"}, "has {{ in it"),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.subject_prefix") as caught:
        SubjectPrefix(table)
    assert said in str(caught.value)

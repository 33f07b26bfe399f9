"""The plug-in by its name, as a deployment turns it on."""

from __future__ import annotations

import pytest
from mailwright_labels import Labels

from mailer import ConfigError, Mailer, Message
from mailer.testing.conformance import PluginContract

TestLabels = PluginContract.of(Labels, settings={"text": "staging", "spare": ["example.net"]})


def hello(to: str = "ann@example.org") -> Message:
    return Message(from_="shop@example.com", to=to, subject="Your order", text="It is on its way.")


def test_mail_is_labelled_and_counted() -> None:
    labels = Labels(text="staging", spare=("example.net",))
    with Mailer("null:", plugins=[labels]) as mailer:
        content = bytes(mailer.compose(hello()).content)
        assert b"Subject: [staging] Your order\r\n" in content
        assert b"X-Label: staging\r\n" in content
        assert b"Subject: Your order\r\n" in bytes(mailer.compose(hello("bob@example.net")).content)
        for to in ("ann@example.org", "bob@example.net", "carol@example.org"):
            mailer.send(hello(to))
        assert labels.labelled == 2
        mailer.plugins.deactivate("labels")
        assert mailer.render(hello()).subject == "Your order"


def test_it_is_turned_on_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"URL": "null:", "PLUGINS": "labels", "PLUGINS__LABELS__TEXT": "test"}.items():
        monkeypatch.setenv(f"MAILER_{name}", value)
    with Mailer() as mailer:
        assert mailer.render(hello()).subject == "[test] Your order"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "plugins.labels.text: Field required"),
        ({"text": "a\r\nBcc: x"}, "plugins.labels.text: must be some characters"),
        ({"txet": "a"}, "did you mean 'text'"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Mailer("null:", plugins={"labels": settings})

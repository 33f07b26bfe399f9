"""The plug-in ``archive``: a copy of each mail, which changes nothing of the send and reaches nobody."""

from __future__ import annotations

import email
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from mailer import ConfigError, ConnectError, Mailer, Message, Receipt
from mailer.backends.base import Backend
from mailer.backends.memory import MemoryBackend
from mailer.plugins.archive import Archive
from mailer.testing import FakeRelay, SmtpServer


def hello(**more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": "ann@example.org", "subject": "Hi", "text": "Hello"}
    return Message(**{**fields, **more})


def test_what_went_by_smtp_lies_in_files(world: World, tmp_path: Path) -> None:
    table = {"archive": {"url": f"file:{tmp_path}"}}
    with SmtpServer() as server, world.mailer(server.url, plugins=table) as mailer:
        assert mailer.send(hello(bcc="bob@example.org")).ok
        assert all(receipt.ok for receipt in mailer.send_many([hello(subject="Two"), hello(subject="Three")]))
        files = [file.read_bytes() for file in tmp_path.glob("*.eml")]
        assert sorted(str(email.message_from_bytes(one)["Subject"]) for one in files) == ["Hi", "Three", "Two"]
        sent = [mail.content for mail in server.mails]
        assert all(any(one.endswith(content) for one in files) for content in sent)  # the bytes that were sent


def test_by_a_relay_it_is_a_mail_to_the_archive_alone(world: World) -> None:
    with FakeRelay("postmark") as relay, SmtpServer() as server:
        plugin = Archive(url=server.url, to="archive@example.com")
        with world.mailer(relay.url, plugins=[plugin]) as mailer:
            assert mailer.send(hello(cc="bob@example.org", bcc="cyd@example.org")).ok
        [copy] = server.mails
        assert copy.recipients == ("archive@example.com",)
        assert copy.message["Cc"] == "bob@example.org"
        assert b"cyd@" not in copy.content


def test_a_provider_of_json_is_not_made_to_send_it_to_everybody_again(caplog: pytest.LogCaptureFixture) -> None:
    with (
        FakeRelay("postmark") as relay,
        Mailer("memory:", plugins=[Archive(url=relay.url, to="a@b.example")]) as mailer,
    ):
        assert mailer.send(hello()).ok
        assert relay.requests == []
    assert "UnsupportedFeature" in caplog.text


class Outcomes(Backend):
    """Says what a mail's subject says."""

    def send(self, mail: Any) -> Receipt:
        return Receipt.for_all(mail, mail.message.subject, text="said")


def test_which_outcomes_are_archived_and_each_mail_once() -> None:
    for given, kept in [({}, ["accepted", "unknown"]), ({"outcomes": "rejected,deferred"}, ["deferred", "rejected"])]:
        backend = MemoryBackend()
        with Mailer(Parted(), plugins=[Archive(backend=backend, **given)], retry=None) as mailer:
            for subject in ("accepted", "deferred", "rejected", "unknown"):
                [_] = mailer.send_many([hello(subject=subject)])
            assert sorted(mail.message.subject for mail in backend.mails if mail.message) == kept
            backend.mails.clear()
            [_] = mailer.send_many(
                [hello(subject="deferred unknown accepted", to=["a@x.example", "b@x.example", "c@x.example"])]
            )
            assert len(backend.mails) == 1


class Parted(Backend):
    """Says of each recipient what the subject says."""

    def send(self, mail: Any) -> Receipt:
        from mailer import Outcome, RecipientResult

        words = mail.message.subject.split()
        results = [
            RecipientResult(address, Outcome(word))
            for address, word in zip(mail.envelope.recipients, words, strict=True)
        ]
        return Receipt(mail.id, "parted:", tuple(results))


class Broken(MemoryBackend):
    def __init__(self, said: Any) -> None:
        super().__init__()
        self.said = said

    async def send(self, mail: Any) -> Receipt:
        if isinstance(self.said, BaseException):
            raise self.said
        self.said.wait(60)
        return await super().send(mail)


@pytest.mark.parametrize("error", [OSError("disk full"), SystemExit(3), ConnectError("gone")])
def test_an_archive_that_fails_changes_nothing(world: World, error: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "mailer.hooks")
    with world.mailer("memory:", plugins=[Archive(backend=Broken(error))]) as mailer:
        assert mailer.send(hello()).ok
        assert [receipt.ok for receipt in mailer.send_many([hello(), hello()])] == [True, True]
    assert len([record for record in caplog.records if "of archive raised" in record.getMessage()]) == 3


def test_an_archive_that_hangs_costs_one_send_the_bound_and_the_others_nothing(world: World) -> None:
    release = threading.Event()
    backend = Broken(release)
    plugin = Archive(backend=backend, wait_s=0.05)
    with world.mailer("memory:", plugins=[plugin]) as mailer:
        assert mailer.send(hello()).ok  # and would take a minute, were it waited for
        assert mailer.hooks.errors["sent"] == 1
        assert all(receipt.ok for receipt in mailer.send_many([hello() for _ in range(120)]))
        assert plugin._aside.lost == 21
        release.set()
        plugin._aside.wait_s = 30
    assert len(backend.mails) == 100


def test_what_is_cut_short_is_archived_too(tmp_path: Path) -> None:
    class Interrupted(Backend):
        def send(self, mail: Any) -> Receipt:
            raise KeyboardInterrupt

    backend = MemoryBackend()
    with Mailer(Interrupted(), plugins=[Archive(backend=backend)]) as mailer, pytest.raises(KeyboardInterrupt):
        mailer.send(hello())
    assert len(backend.mails) == 1


def test_a_wrong_setting_is_told_at_the_start() -> None:
    table: list[tuple[dict[str, Any], str]] = [
        ({}, "url"),
        ({"url": "file:x", "backend": MemoryBackend()}, "url"),
        ({"url": "nonsense:"}, "there is no backend 'nonsense'"),
        ({"url": "smtp://user:s3cret@mail.example"}, "delivers what it is given"),
        ({"url": "failover(file:x smtp://mail.example)"}, "delivers what it is given"),
        ({"backend": Outcomes()}, "delivers what it is given"),
        ({"url": "smtp://mail.example", "to": "nobody"}, "to: "),
        ({"url": "null:", "outcomes": "sent"}, "outcomes"),
        ({"url": "null:", "wait_s": -1}, "wait_s"),
    ]
    for given, said in table:
        with pytest.raises(ConfigError, match=r"plugins\.archive") as caught:
            Archive(given)
        assert said in str(caught.value), given
        assert "s3cret" not in str(caught.value)
    Archive(backend=Outcomes(), keeps=True)
    assert "s3cret" not in repr(Archive(url="smtp://u:s3cret@mail.example", to="a@b.example").settings)

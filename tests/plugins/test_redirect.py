"""The plug-in ``redirect``: nobody but the inbox, and who is allowed, ever gets mail; on every way there is."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import World

from mailer import Address, ConfigError, Message, Outcome
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.plugins.redirect import Redirect
from mailer.testing import FakeRelay, SmtpServer

INBOX = "staging@example.com"
STAGING = Redirect(to=INBOX)


def hello(**more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": "Ann <ann@example.org>", "subject": "Hi", "text": "Hello"}
    return Message(**{**fields, **more})


def everybody() -> Message:
    return hello(cc=["bob@example.org", "Jörg <joerg@bücher.example>"], bcc="secret@hidden.example")


def original(mail: Any) -> dict[str, str]:
    return {name: str(value) for name, value in mail.message.items() if name.lower().startswith("x-original")}


def test_all_mail_goes_to_the_inbox(world: World) -> None:
    with SmtpServer() as server, world.mailer(server.url, plugins=[STAGING]) as mailer:
        receipt = mailer.send(everybody())
        assert [result.address.addr_spec for result in receipt.results] == [INBOX]
        [mail] = server.mails
        assert mail.recipients == (INBOX,)
        assert mail.message["To"] == INBOX
        assert mail.message["Cc"] is None
        assert original(mail) == {
            "X-Original-To": "Ann <ann@example.org>",
            "X-Original-Cc": "bob@example.org, Jörg <joerg@bücher.example>",
            "X-Original-Bcc": "secret@hidden.example",
        }


def test_every_mail_of_a_batch_and_of_a_merge(world: World) -> None:
    to = ["ann@example.org", "bob@example.org", "ok@allowed.example"]
    merged = hello(to=to, text="Dear {{ name }}", merge_data={one: {"name": one.upper()} for one in to})
    plugin = Redirect(to=INBOX, allow="@allowed.example")
    with SmtpServer() as server, world.mailer(server.url, plugins=[plugin]) as mailer:
        receipts = mailer.send_many([hello(to=one) for one in to])
        assert all(receipt.ok for receipt in receipts)
        assert [mail.recipients for mail in server.mails] == [(INBOX,), (INBOX,), ("ok@allowed.example",)]
        server.clear()
        receipt = mailer.send(merged)
        assert [result.address.addr_spec for result in receipt.results] == [INBOX, INBOX, "ok@allowed.example"]
        assert [mail.message.get_content().strip() for mail in server.mails] == [f"Dear {one.upper()}" for one in to]
        assert [original(mail) for mail in server.mails] == [{"X-Original-To": to[0]}, {"X-Original-To": to[1]}, {}]


def test_a_merge_that_the_backend_would_do_is_done_here(world: World) -> None:
    class Merging(MemoryBackend):
        features = Features(merge=True)

    to = ["ann@example.org", "bob@example.org"]
    merged = hello(to=to, text="Dear {{ name }}", merge_data={one: {"name": one} for one in to})
    with world.mailer(Merging(), plugins=[STAGING]) as mailer:
        assert mailer.send(merged).ok
        mails = mailer.backend.mails
        assert [[address.addr_spec for address in mail.envelope.recipients] for mail in mails] == [[INBOX], [INBOX]]
        assert [mail.message.text for mail in mails] == [f"Dear {one}" for one in to]
        mailer.plugins.deactivate("redirect")
        assert mailer.send(merged).ok  # and goes out as one again
        assert len(mails) == 3


def test_a_relay_is_given_the_inbox_alone(world: World) -> None:
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[STAGING]) as mailer:
        assert mailer.send(everybody()).ok
        [request] = relay.requests
        assert request.json["To"] == INBOX
        assert not request.json.get("Cc")
        assert not request.json.get("Bcc")
        headers = {field["Name"]: field["Value"] for field in request.json["Headers"]}
        assert headers["X-Original-To"] == "Ann <ann@example.org>"
        assert headers["X-Original-Bcc"] == "secret@hidden.example"


def test_a_backend_without_headers_is_sent_none(world: World) -> None:
    class Bare(MemoryBackend):
        features = Features(headers=False)

    with world.mailer(Bare(), plugins=[STAGING]) as mailer:
        assert mailer.send(hello()).ok
        [mail] = mailer.backend.mails
        assert [address.addr_spec for address in mail.envelope.recipients] == [INBOX]


def test_who_is_allowed_gets_real_mail_and_sees_no_bcc(world: World) -> None:
    plugin = Redirect(to=INBOX, allow=["Bob@Example.org", "@bücher.example"])
    with SmtpServer() as server, world.mailer(server.url, plugins=[plugin]) as mailer:
        mailer.send(everybody())
        [mail] = server.mails
        assert set(mail.recipients) == {INBOX, "bob@example.org", "joerg@xn--bcher-kva.example"}
        assert mail.message["To"] == INBOX
        assert mail.message["Cc"] == "bob@example.org, Jörg <joerg@xn--bcher-kva.example>"
        assert original(mail) == {"X-Original-To": "Ann <ann@example.org>"}
        assert b"hidden.example" not in mail.content
        server.clear()
        mailer.send(hello(to="bob@example.org"))  # nobody to catch: as it is
        [mail] = server.mails
        assert mail.recipients == ("bob@example.org",)
        assert original(mail) == {}
        server.clear()
        mailer.send(hello(to=INBOX, bcc="secret@hidden.example"))  # to the inbox alone: it may know
        [mail] = server.mails
        assert mail.recipients == (INBOX,)
        assert original(mail) == {"X-Original-Bcc": "secret@hidden.example"}


@pytest.mark.parametrize(
    ("pattern", "passes", "caught"),
    [
        (
            r".+@(dev|qa)\.example\.com",
            ["a@dev.example.com", "A@QA.Example.com"],
            ["a@dev.example.com.evil.test", "a@xdev.example.com", "dev.example.com@evil.test", "a@devXexample.com"],
        ),
        (r"^test-\d+@example\.org$", ["test-7@example.org"], ["best-test-7@example.org", "test-@example.org"]),
        (r"(a+)+b@example\.org", ["aab@example.org"], ["a" * 60 + "@example.org"]),
        (r".*@xn--bcher-kva\.example", ["a@bücher.example"], ["a@bucher.example"]),
        (r".*@bücher\.example", ["a@bücher.example", "a@XN--bcher-kva.example"], ["a@bucher.example", "bücher@b.test"]),
    ],
)
def test_a_pattern_matches_whole_addresses_alone(pattern: str, passes: list[str], caught: list[str]) -> None:
    settings = Redirect(to=INBOX, allow_pattern=pattern).settings
    assert all(settings.lets_through(Address.parse(one)) for one in passes)
    assert not any(settings.lets_through(Address.parse(one)) for one in caught)


def test_a_domain_that_is_allowed_is_not_those_below_or_beside_it() -> None:
    settings = Redirect(to=INBOX, allow="@example.org").settings
    for address in ("a@sub.example.org", "a@badexample.org", "a@example.org.evil.test", '"@example.org"@evil.test'):
        assert not settings.lets_through(Address.parse(address))
    assert settings.lets_through(Address.parse("Name <A@EXAMPLE.org>"))


def test_recipients_of_other_filters_are_caught(world: World) -> None:
    def more(recipients: Any, context: Any) -> Any:
        return (*recipients, Address.parse("added@evil.test"))

    def copied(mail: Any, context: Any) -> Any:
        return mail.with_(
            envelope=mail.envelope.for_recipients([*mail.envelope.recipients, Address.parse("c@evil.test")])
        )

    with SmtpServer() as server, world.mailer(server.url, plugins=[STAGING]) as mailer:
        mailer.hooks.add_filter("recipients", more, 99)
        mailer.hooks.add_filter("mail", copied, 99)
        mailer.hooks.add_filter("message", lambda message, context: message.with_(bcc="b@evil.test"), 99)
        mailer.hooks.add_filter("mail", copied, 10**9)
        mailer.hooks.add_filter("sign", copied)
        mailer.send(hello())
        [mail] = server.mails
        assert mail.recipients == (INBOX,)


def test_ready_made_mail_is_caught_too(world: World) -> None:
    raw = b"From: a@example.com\r\nTo: ann@example.org\r\nBcc: secret@hidden.example\r\nSubject: s\r\n\r\nx\r\n"
    with SmtpServer() as server, world.mailer(server.url, plugins=[STAGING]) as mailer:
        assert mailer.send_raw(raw).ok
        [mail] = server.mails
        assert mail.recipients == (INBOX,)
        assert mail.message["To"] == "ann@example.org"
        assert original(mail) == {"X-Original-Recipients": "ann@example.org, secret@hidden.example"}
        server.clear()
    with SmtpServer() as server, world.mailer(server.url, plugins=[Redirect(to=INBOX, allow="ann@example.org")]) as m:
        m.send_raw(raw)
        [mail] = server.mails
        assert set(mail.recipients) == {INBOX, "ann@example.org"}
        assert b"hidden.example" not in mail.content


def test_of_very_many_some_are_named_and_all_are_counted(world: World) -> None:
    with world.mailer("memory:", plugins=[STAGING]) as mailer:
        receipt = mailer.send(hello(to=[f"user{number}@example.org" for number in range(1000)]))
        assert [result.outcome for result in receipt.results] == [Outcome.ACCEPTED]
        head = bytes(mailer.backend.mails[0].content)
        assert b"user99@" in head
        assert b"user100@" not in head
        assert b"and 900 more" in head


def test_several_inboxes_and_none_of_them_twice(world: World) -> None:
    with world.mailer("memory:", plugins={"redirect": {"to": "a@example.com, QA <b@example.com>"}}) as mailer:
        mailer.send(hello(to="a@example.com", cc="ann@example.org"))
        [mail] = mailer.backend.mails
        assert [address.addr_spec for address in mail.envelope.recipients] == ["a@example.com", "b@example.com"]


def test_nothing_of_a_redirected_name_breaks_a_header(world: World) -> None:
    names = ['"quoted, comma"', "=?utf-8?q?x=0AX-Inj:_1?=", "ä" * 90, "a" * 200]
    message = hello(to=[Address(name, f"u{number}", "example.org") for number, name in enumerate(names)])
    with SmtpServer() as server, world.mailer(server.url, plugins=[STAGING]) as mailer:
        mailer.send(message)
        [mail] = server.mails
        assert mail.message["X-Inj"] is None
        assert original(mail)["X-Original-To"] == ", ".join(str(address) for address in message.to)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "plugins.redirect.to"),
        ({"to": ()}, "names no inbox"),
        ({"to": "nonsense"}, "to: "),
        ({"to": INBOX, "allow": "example.com"}, "allow: "),
        ({"to": INBOX, "allow": "@"}, "allow: "),
        ({"to": INBOX, "allow_pattern": "(a"}, "allow_pattern: is no regular expression"),
        ({"to": INBOX, "allow_pattern": "(?=a)"}, "allow_pattern: has"),
        ({"to": INBOX, "alow": "x"}, "did you mean 'allow'"),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.redirect") as caught:
        Redirect(table)
    assert said in str(caught.value)

"""The plug-in ``router``: by which way each recipient gets a mail, held against rules read in the plainest way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mailer
from mailer import Address, Attachment, ConfigError, Envelope, HookError, Mail, Mailer, Message, Outcome
from mailer.backends.memory import MemoryBackend
from mailer.features import Features
from mailer.mail import Content
from mailer.plugins.router import Route, Router
from mailer.testing import FakeRelay, SmtpServer

A, D = Outcome.ACCEPTED, Outcome.DEFERRED


def hello(*to: str, **more: object) -> Message:
    return Message(**{"from_": "shop@example.com", "to": list(to), "subject": "Hi", "text": "Hello", **more})


def recipients_of(backend: MemoryBackend) -> list[list[str]]:
    return [[address.addr_spec for address in mail.envelope.recipients] for mail in backend.mails]


def test_each_condition_alone_and_what_no_rule_is_about():
    table = [
        ({"sender": "Shop@Example.com"}, hello("a@x.test"), True),
        ({"sender": "@example.com"}, hello("a@x.test"), True),
        ({"sender": "@example.com"}, hello("a@x.test", from_="a@sub.example.com"), False),
        ({"sender": ["a@x.test", "@y.test"]}, hello("a@x.test"), False),
        ({"recipient_domain": "X.test"}, hello("a@x.test"), True),
        ({"recipient_domain": "x.test"}, hello("a@sub.x.test"), False),
        ({"recipient_domain": "*.x.test"}, hello("a@sub.sub.x.test"), True),
        ({"recipient_domain": "*.x.test"}, hello("a@x.test"), False),
        ({"recipient_domain": "*.x.test"}, hello("a@badx.test"), False),
        ({"recipient_domain": "bücher.example"}, hello("a@xn--bcher-kva.example"), True),
        ({"tag": "news"}, hello("a@x.test", tags=["a", "news"]), True),
        ({"tag": "news"}, hello("a@x.test", tags=["newsletter"]), False),
        ({"metadata": {"tenant": ["acme", "apex"]}}, hello("a@x.test", metadata={"tenant": "apex"}), True),
        ({"metadata": {"tenant": "acme"}}, hello("a@x.test", metadata={"tenant": "acme2"}), False),
        ({"metadata": {"tenant": "acme"}}, hello("a@x.test"), False),
        ({"metadata": {"tenant": "None"}}, hello("a@x.test"), False),
        ({"min_bytes": 10_000}, hello("a@x.test", text="x" * 20_000), True),
        ({"min_bytes": 10_000}, hello("a@x.test"), False),
        ({"max_bytes": 10_000}, hello("a@x.test"), True),
        ({"when": lambda mail: mail.message.subject == "Hi"}, hello("a@x.test"), True),
        ({"when": lambda mail: mail.message.subject == "Ho"}, hello("a@x.test"), False),
        ({}, hello("a@x.test"), True),
        ({"tag": "news", "sender": "@example.com"}, hello("a@x.test", tags=["news"]), True),
        ({"tag": "news", "sender": "@example.org"}, hello("a@x.test", tags=["news"]), False),
    ]
    for conditions, message, is_routed in table:
        other = MemoryBackend()
        with Mailer("memory:", plugins=[Router(rules=[{**conditions, "backend": other}])]) as mailer:
            assert mailer.send(message).ok
            assert (len(other.mails), len(mailer.backend.mails)) == (is_routed, not is_routed), conditions


NAMES = ["d1.test", "d2.test", "d3.test"]
RULES = st.lists(
    st.tuples(st.sampled_from([None, *NAMES]), st.sampled_from([None, "t1", "t2"]), st.integers(0, 2)), max_size=5
)


@given(RULES, st.lists(st.sampled_from(NAMES), min_size=1, max_size=5), st.sampled_from([(), ("t1",), ("t1", "t2")]))
def test_the_first_rule_that_fits_counts_for_each_recipient(rules, to, tags):
    ways = [MemoryBackend() for _ in range(3)]
    tables = []
    for domain, tag, way in rules:
        tables.append({"recipient_domain": domain or (), "tag": tag or (), "backend": ways[way]})
    addresses = [f"u{number}@{domain}" for number, domain in enumerate(to)]
    with Mailer("memory:", plugins=[Router(rules=tables or [{"tag": "never", "backend": ways[0]}])]) as mailer:
        receipt = mailer.send(hello(*addresses, tags=tags))
        assert [result.address.addr_spec for result in receipt.results] == addresses
        assert receipt.ok
        ends = [*ways, mailer.backend]
        got = {address: way for way, one in enumerate(ends) for to_ in recipients_of(one) for address in to_}
        assert sum(len(one.mails) for one in ends) == len(set(got.values()))
    for address, domain in zip(addresses, to, strict=True):
        fitting = [way for want, tag, way in rules if want in (None, domain) and (tag is None or tag in tags)]
        assert got[address] == (fitting[0] if fitting else 3)


def mail(number: int, sender: str = "shop@example.com", to: str = "a@x.test") -> Mail:
    envelope = Envelope(Address.parse(sender), [Address.parse(to)])
    return Mail(f"{number:032x}", envelope, None, Content.of(b"Subject: s\r\n\r\nx\r\n"))


class Named(MemoryBackend):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.url = f"memory:{name}"


def test_who_is_stuck_stays_and_few_move_when_a_way_is_gone():
    from mailer.hooks import Hooks

    def choices(names: list[str], sticky: str, mails: list[Mail]) -> list[str]:
        router = Router(rules=[Route(backend=[Named(name) for name in names], sticky=sticky)])
        router.register(Hooks())
        return [str(router.shares(one, MemoryBackend(), None)[0][0]) for one in mails]

    senders = [mail(n, sender=f"s{n % 300}@example.com") for n in range(600)]
    three = choices(["a", "b", "c"], "sender", senders)
    assert three[:300] == three[300:]
    assert all(60 < three[:300].count(f"memory:{name}") < 140 for name in "abc")
    assert choices(["c", "a", "b"], "sender", senders) == three  # whatever their order, in whatever process
    two = choices(["a", "c"], "sender", senders)
    assert all(new == old for new, old in zip(two, three, strict=True) if old != "memory:b")
    by_mail = choices(["a", "b"], "mail", [mail(n) for n in range(100)])
    assert {by_mail.count("memory:a") + by_mail.count("memory:b"), len(set(by_mail))} == {100, 2}
    assert len(set(choices(["a", "b"], "domain", [mail(n) for n in range(50)]))) == 1
    assert len(set(choices(["a", "b"], "recipient", [mail(n, to=f"r{n}@x.test") for n in range(50)]))) == 2


def test_a_tenant_keeps_its_way():
    ways = [Named(name) for name in "abcd"]
    with Mailer("memory:", plugins=[Router(rules=[Route(backend=ways, sticky="metadata.tenant")])]) as mailer:
        for number in range(40):
            mailer.send(hello(f"u{number}@x.test", metadata={"tenant": f"t{number % 8}"}))
    for way in ways:
        tenants = {one.message.metadata["tenant"] for one in way.mails}
        assert len(way.mails) == 5 * len(tenants)


def test_by_smtp_and_by_a_relay_each_recipient_its_own_way(world):
    with SmtpServer() as server, SmtpServer() as other, FakeRelay("postmark") as relay:
        rules = [
            {"tag": ["news"], "backend": relay.url},
            {"recipient_domain": "inside.test", "backend": server.url},
        ]
        with world.mailer(other.url, plugins={"router": {"rules": rules}}) as mailer:
            receipt = mailer.send(hello("a@inside.test", "b@outside.test", "c@inside.test"))
            assert receipt.ok
            assert sorted(attempt.backend for attempt in receipt.attempts) == sorted([server.url, other.url])
            assert mailer.send(hello("d@inside.test", tags=["news"])).backend.startswith("postmark:")
            receipts = mailer.send_many([hello(f"{n}@inside.test") for n in range(3)] + [hello("x@outside.test")])
            assert all(receipt.ok for receipt in receipts)
            assert mailer.send_raw(b"From: a@x.test\r\nTo: r@inside.test\r\nSubject: s\r\n\r\nx\r\n").ok
        inside = [one.recipients for one in server.mails]
        assert inside == [
            ("a@inside.test", "c@inside.test"),
            *[(f"{n}@inside.test",) for n in range(3)],
            ("r@inside.test",),
        ]
        assert [one.recipients for one in other.mails] == [("b@outside.test",), ("x@outside.test",)]
        assert len(relay.requests) == 1


def test_a_way_that_fails_fails_for_its_own_recipients_alone(world):
    from mailer.backends.base import Backend
    from mailer.receipt import Receipt

    class Busy(Backend):
        def send(self, one):
            return Receipt.for_all(one, D, text="busy")

    class Plain(MemoryBackend):
        features = Features(attachments=False)

    rules = [
        {"recipient_domain": "busy.test", "backend": Busy()},
        {"recipient_domain": "plain.test", "backend": Plain()},
    ]

    message = hello("a@busy.test", "b@x.test", "c@plain.test", attachments=[Attachment.from_bytes("a.bin", b"a")])
    with world.mailer("memory:", plugins=[Router(rules=rules)]) as mailer:
        receipt = mailer.send(message)
    assert [result.outcome for result in receipt.results] == [D, A, Outcome.REJECTED]
    assert "attachments" in receipt.results[2].text


def test_a_named_mailer_is_a_way(world):
    with SmtpServer() as news:
        settings = {
            "url": "memory:",
            "mailers": {"news": {"url": news.url}},
            "plugins": {"router": {"rules": [{"tag": "news", "mailer": "news"}]}},
        }
        with world.mailer(settings=settings) as mailer:
            assert mailer.send(hello("a@x.test", tags=["news"])).backend == news.url
            assert mailer.send(hello("b@x.test")).backend == "memory:"
        assert len(news.mails) == 1
    with (
        world.mailer("memory:", plugins={"router": {"rules": [{"mailer": "news"}]}}) as mailer,
        pytest.raises((ConfigError, HookError), match="router"),
    ):
        mailer.send(hello("a@x.test"))


def test_a_condition_that_raises_sends_nothing_and_names_the_plug_in():
    rules = [{"when": lambda one: 1 / 0, "backend": "null:"}]
    with Mailer("memory:", plugins=[Router(rules=rules)]) as mailer:
        with pytest.raises(HookError, match="router"):
            mailer.send(hello("a@x.test"))
        assert mailer.backend.mails == []


def test_a_merge_is_parted_and_its_mails_go_their_ways():
    class Merging(MemoryBackend):
        features = Features(merge=True)

    other = MemoryBackend()
    plugin = Router(rules=[{"recipient_domain": "x.test", "backend": other}])
    with Mailer(Merging(), plugins=[plugin]) as mailer:
        to = ["a@x.test", "b@y.test"]
        assert mailer.send(hello(*to, text="{{ n }}", merge_data={one: {"n": one} for one in to})).ok
        assert (recipients_of(other), recipients_of(mailer.backend)) == ([["a@x.test"]], [["b@y.test"]])


def test_wrong_rules_are_told_and_show_no_secret():
    table = [
        ({}, "rules"),
        ({"rules": []}, "there are none"),
        ({"rules": [{"tag": "a"}]}, "by which it goes"),
        ({"rules": [{"backend": "nope://x"}]}, "rules.0.backend"),
        ({"rules": [{"backend": "smtp://user:hunter2@"}]}, "rules.0.backend"),
        ({"rules": [{"backend": "null:", "sticky": "moon"}]}, "sticky must be"),
        ({"rules": [{"backend": "null:", "sticky": "metadata."}]}, "sticky must be"),
        ({"rules": [{"backend": "null:", "sender": "nobody"}]}, "sender"),
        ({"rules": [{"backend": "null:", "recipient_domain": "a b"}]}, "recipient_domain"),
        ({"rules": [{"backend": "null:", "max_bytes": -1}]}, "max_bytes"),
        ({"rules": [{"backend": "null:", "tags": "a"}]}, "tags"),
    ]
    for settings, said in table:
        with pytest.raises(ConfigError, match=said) as told:
            Router(settings)
        assert "hunter2" not in str(told.value)
    assert "hunter2" not in repr(Router(rules=[{"backend": "smtp://user:hunter2@mail.example.com"}]).settings)


def test_what_a_rule_may_say_is_documented():
    page = (Path(mailer.__file__).parent.parent / "docs/plugins/router.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.*?)` \| .*? \| (.*) \|$", page.partition("\n## Rules\n")[2].partition("\n## ")[0], re.M)
    assert rows == [(name, info.description) for name, info in Route.model_fields.items()]

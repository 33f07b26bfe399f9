"""The plug-in ``metrics``: what Prometheus' own parser reads of it, and what is never in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families
from worlds import World

from mailer import ConfigError, DeliveryRefused, Event, Mailer, Message, MessageError
from mailer.plugins.metrics import Metrics
from mailer.testing import FakeRelay, SmtpServer

PAGE = Path(__file__).parent.parent.parent / "docs/plugins/metrics.md"


def hello(**more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": "ann@example.org", "subject": "Secret plan", "text": "Hello"}
    return Message(**{**fields, **more})


def scraped(registry: CollectorRegistry) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name to labels' values to value, as both parsers of Prometheus read it."""
    found: list[dict[str, dict[tuple[str, ...], float]]] = []
    for parse, text in ((families, generate_latest(registry)), (openmetrics, generate_openmetrics(registry))):
        samples: dict[str, dict[tuple[str, ...], float]] = {}
        for family in parse(text.decode()):
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    samples.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        found.append(samples)
    assert found[0] == found[1]
    return found[0]


def test_what_went_by_smtp_is_counted(world: World) -> None:
    registry = CollectorRegistry()
    with SmtpServer() as server, world.mailer(server.url, plugins=[Metrics(registry=registry)]) as mailer:
        at = f"smtp://127.0.0.1:{server.port}"
        server.on("RCPT", "bob@*").reply("550 5.1.1 bob@example.org is unknown")
        mailer.send(hello(to=["ann@example.org", "bob@example.org"]))
        assert all(receipt.ok for receipt in mailer.send_many([hello(), hello()]))
        with pytest.raises(MessageError):
            mailer.send(hello(from_=()))
        mailer.hooks.add_filter("recipients", lambda value, context: ())
        mailer.send(hello())
        mailer.publish([Event(kind="bounced", provider="postmark"), Event(kind="bounced", provider="postmark")])
        sizes = sum(len(mail.content) for mail in server.mails)
    found = scraped(registry)
    assert found["mailer_recipients_total"] == {(at, "accepted"): 3, (at, "rejected"): 1}
    assert found["mailer_send_duration_seconds_count"] == {(at, "rejected"): 1, (at, "accepted"): 2}
    assert 0 < found["mailer_send_duration_seconds_sum"][at, "accepted"] < 60
    assert found["mailer_mail_size_bytes_count"] == {(at,): 3}
    assert found["mailer_mail_size_bytes_sum"][at,] == pytest.approx(sizes, rel=0.2)
    assert found["mailer_attempts_total"] == {(at, ""): 3}
    assert found["mailer_unsent_total"] == {("failed", "MessageError"): 1, ("skipped", ""): 1}
    assert found["mailer_events_total"] == {("bounced", "postmark"): 2}
    text = generate_latest(registry).decode()
    assert not re.search(r"ann|bob|example\.org|Secret|shop", text)


def test_what_a_relay_does_not_take_is_counted_by_error(world: World) -> None:
    registry = CollectorRegistry()
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[Metrics(registry=registry)]) as mailer:
        relay.refuse("ann@example.org")
        with pytest.raises(DeliveryRefused):
            mailer.send(hello())
        [(labels, count)] = scraped(registry)["mailer_recipients_total"].items()
    assert (labels[0].startswith("postmark://127.0.0.1:"), labels[1], count) == (True, "rejected", 1)
    assert "TOKEN" not in generate_latest(registry).decode()


def test_mailers_share_a_registry_and_each_registry_counts_its_own() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    for registry in (one, one, other):
        with Mailer("memory:", plugins=[Metrics(registry=registry)]) as mailer:
            mailer.send(hello())
    assert scraped(one)["mailer_recipients_total"] == {("memory", "accepted"): 2}
    assert scraped(other)["mailer_recipients_total"] == {("memory", "accepted"): 1}


def test_a_failover_is_counted_at_what_it_tried() -> None:
    registry = CollectorRegistry()
    with SmtpServer() as gone:
        port = gone.port
        gone.stop()
        url = f"failover({gone.url} memory:)"
        with Mailer(url, plugins=[Metrics(registry=registry)], retry=None) as mailer:
            mailer.send(hello())
    found = scraped(registry)
    assert found["mailer_attempts_total"] == {(f"smtp://127.0.0.1:{port}", "ConnectError"): 1, ("memory", ""): 1}
    assert sum(found["mailer_recipients_total"].values()) == 1


def test_a_registry_that_will_not_do_is_told_at_the_start() -> None:
    table: list[tuple[dict[str, Any], str]] = [({"registry": "default"}, "registry"), ({"prefix": "x"}, "prefix")]
    for given, said in table:
        with pytest.raises(ConfigError, match=r"plugins\.metrics") as caught:
            Metrics(given)
        assert said in str(caught.value)
    taken = CollectorRegistry()
    Counter("mailer_attempts", "another's", registry=taken)
    with pytest.raises(ConfigError, match="mailer_attempts is in the registry already"):
        Mailer("memory:", plugins=[Metrics(registry=taken)])


def test_the_example_of_its_page_runs() -> None:
    """Here, as it needs what only the extra brings."""
    code = re.findall(r"^```\{code-block\} python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(code) == 1
    exec(compile(code[0], str(PAGE), "exec"), {})

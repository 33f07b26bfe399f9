"""The plug-in ``otel``: spans and metrics in the SDK's memory, and nothing of anybody's mail in them unless asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from worlds import World

from mailer import ConfigError, DeliveryRefused, Event, Mailer, Message, MessageError
from mailer.plugins.otel import Otel
from mailer.testing import FakeRelay, SmtpServer

PAGE = Path(__file__).parent.parent.parent / "docs/plugins/otel.md"


def hello(**more: object) -> Message:
    fields = {"from_": "shop@example.com", "to": "ann@example.org", "subject": "Secret plan", "text": "Hello"}
    return Message(**{**fields, **more})


class Telemetry:
    """Providers whose exporters keep all in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def plugin(self, **more: Any) -> Otel:
        return Otel(tracer_provider=self.tracers, meter_provider=self.meters, **more)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def points(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Metric to attributes' values to value: a counter's, or a histogram's count."""
        data = self.reader.get_metrics_data()
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                assert scope.scope.name == "mailer"
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        value = getattr(point, "count", None) or getattr(point, "value", None)
                        found.setdefault(metric.name, {})[tuple(map(str, (point.attributes or {}).values()))] = value
        return found


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def test_by_smtp_a_mail_is_a_span_below_the_apps_with_its_attempts_below(world: World, telemetry: Telemetry) -> None:
    with SmtpServer() as server, world.mailer(server.url, plugins=[telemetry.plugin()]) as mailer:
        server.on("RCPT", "bob@*").reply("550 5.1.1 bob@example.org is unknown")

        async def within() -> Any:
            with telemetry.tracers.get_tracer("app").start_as_current_span("order"):
                message = hello(to=["ann@example.org", "bob@example.org"])
                sent = mailer.wrapped.send(message)
                return sent if world.portal is None else await sent

        receipt = world.run(within)
        [attempt, send, order] = sorted(telemetry.spans, key=lambda span: span.name)
        assert send.parent is not None
        assert attempt.parent is not None
        assert (send.parent.span_id, attempt.parent.span_id) == (order.context.span_id, send.context.span_id)
        at = {"url.scheme": "smtp", "server.address": "127.0.0.1", "server.port": server.port}
        assert dict(send.attributes or {}) == {
            "mailer.mail.id": receipt.id,
            "mailer.backend": f"smtp://127.0.0.1:{server.port}",
            **at,
            "mailer.recipients": 2,
            "mailer.recipients.accepted": 1,
            "mailer.recipients.rejected": 1,
            "mailer.outcome": "rejected",
            "mailer.mail.size": (send.attributes or {})["mailer.mail.size"],
            "mailer.attempts": 1,
            "mailer.reply.code": 550,
            "error.type": "rejected",
        }
        assert send.status.status_code is StatusCode.ERROR
        assert at.items() <= dict(attempt.attributes or {}).items()
        [tried] = receipt.attempts
        assert attempt.start_time == int(tried.started_at.timestamp() * 1e6) * 1000
        assert abs((attempt.end_time or 0) - (attempt.start_time or 0) - tried.duration_s * 1e9) < 2000
        assert (order.start_time or 0) < (send.start_time or 0) <= (send.end_time or 0) < (order.end_time or 0)
        said = "".join(span.to_json() for span in telemetry.spans)
        assert not re.search(r"ann@|bob@|Secret plan|shop@|is unknown", said)


def test_by_a_relay_and_what_fails_before(world: World, telemetry: Telemetry) -> None:
    with FakeRelay("postmark") as relay, world.mailer(relay.url, plugins=[telemetry.plugin()]) as mailer:
        assert mailer.send(hello()).ok
        relay.refuse("ann@example.org")
        with pytest.raises(DeliveryRefused):
            mailer.send(hello())
        with pytest.raises(MessageError):
            mailer.send(hello(from_=()))
        mailer.publish([Event(kind="bounced", provider="postmark")])
    sends = [span for span in telemetry.spans if span.name == "mail send"]
    assert [span.status.status_code for span in sends] == [StatusCode.UNSET, StatusCode.ERROR, StatusCode.ERROR]
    assert (sends[2].attributes or {})["error.type"] == "MessageError"
    points = telemetry.points()
    backend = next(iter(points["mailer.recipients"]))[0]
    assert points == {
        "mailer.recipients": {(backend, "accepted"): 1, (backend, "rejected"): 1},
        "mailer.send.duration": {(backend, "accepted"): 1, (backend, "rejected"): 1},
        "mailer.mail.size": {(backend,): 2},
        "mailer.attempts": {(backend,): 2},
        "mailer.unsent": {("failed", "MessageError"): 1},
        "mailer.events": {("postmark", "bounced"): 1},
    }
    said = "".join(span.to_json() for span in telemetry.spans) + repr(points)
    assert not re.search(r"ann@|Secret plan|shop@|TOKEN", said)


def test_addresses_and_the_subject_are_there_on_request_alone(telemetry: Telemetry) -> None:
    with Mailer("memory:", plugins=[telemetry.plugin(details=True)]) as mailer:
        mailer.send(hello(bcc="bob@example.org"))
    attributes = dict(telemetry.spans[-1].attributes or {})
    assert attributes["email.to.address"] == ("ann@example.org", "bob@example.org")
    assert (attributes["email.from.address"], attributes["email.subject"]) == (("shop@example.com",), "Secret plan")
    assert not re.search(r"ann@|Secret", repr(telemetry.points()))


def test_spans_and_metrics_are_each_left_out_on_request(telemetry: Telemetry) -> None:
    with Mailer("memory:", plugins=[telemetry.plugin(spans=False)]) as mailer:
        mailer.send(hello())
    assert telemetry.spans == ()
    other = Telemetry()
    with Mailer("memory:", plugins=[other.plugin(metrics=False)]) as mailer:
        mailer.send(hello())
    assert (len(other.spans), other.points()) == (2, {})


class Hanging(SpanExporter):
    """Exports nothing before it is let go."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.count = 0

    def export(self, spans: Any) -> SpanExportResult:
        self.release.wait(60)
        self.count += len(spans)
        return SpanExportResult.SUCCESS


def test_an_exporter_that_hangs_costs_one_send_the_bound(world: World) -> None:
    exporter = Hanging()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    plugin = Otel(tracer_provider=tracers, metrics=False, wait_s=0.05)
    with world.mailer("memory:", plugins=[plugin]) as mailer:
        assert mailer.send(hello()).ok
        plugin._aside.wait_s = 3600
        assert all(receipt.ok for receipt in mailer.send_many([hello() for _ in range(20)]))
        exporter.release.set()
    assert exporter.count == 42


def test_a_span_processor_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(SimpleSpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise OSError("no")

    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(Raising(InMemorySpanExporter()))
    with Mailer("memory:", plugins=[Otel(tracer_provider=tracers)]) as mailer:
        assert mailer.send(hello()).ok
    assert "of otel raised OSError" in caplog.text


def test_a_wrong_setting_is_told_at_the_start() -> None:
    table: list[tuple[dict[str, Any], str]] = [
        ({"tracer_provider": 1}, "TracerProvider"),
        ({"meter_provider": 1}, "MeterProvider"),
        ({"wait_s": -1}, "wait_s"),
    ]
    for given, said in table:
        with pytest.raises(ConfigError, match=r"plugins\.otel") as caught:
            Otel(given)
        assert said in str(caught.value)


def test_without_a_sdk_it_does_nothing_and_harms_nothing() -> None:
    with Mailer("memory:", plugins=["otel"]) as mailer:
        assert mailer.send(hello()).ok


def test_the_example_of_its_page_runs() -> None:
    """Here, as it needs what only the extra brings."""
    code = re.findall(r"^```\{code-block\} python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(code) == 1
    exec(compile(code[0], str(PAGE), "exec"), {})

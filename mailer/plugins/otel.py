"""``otel``: spans and metrics of what is sent, by OpenTelemetry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from .. import telemetry as names
from ..aside import Aside
from ..clock import utc_now
from ..errors import Outcome
from ..hooks import Hooks
from ..hookspecs import Context
from ..plugin import Plugin, PluginSettings
from ..receipt import Attempt
from ..settled import when_settled
from ..telemetry import Endpoint, Metric, Sent

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Otel", "OtelSettings"]

_ROOM = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HISTOGRAMS = {names.M_DURATION: names.DURATIONS_S, names.M_SIZE: names.SIZES_BYTES}


class OtelSettings(PluginSettings):
    """Settings of ``otel``."""

    spans: bool = Field(True, description="Write a span for each mail, and one below it for each attempt.")
    metrics: bool = Field(True, description="Count mails, recipients, attempts and events.")
    details: bool = Field(False, description="Name senders, recipients and the subject in spans.")
    tracer_provider: Any = Field(None, description="A `TracerProvider` in the place of the global one.")
    meter_provider: Any = Field(None, description="A `MeterProvider` in the place of the global one.")
    wait_s: float = Field(1.0, ge=0, le=600, description="For how many seconds a send, or closing, waits for spans.")

    @model_validator(mode="after")
    def _check(self) -> OtelSettings:
        try:
            from opentelemetry.metrics import MeterProvider
            from opentelemetry.trace import TracerProvider
        except ImportError:
            raise ValueError("needs opentelemetry-api: pip install 'mailwright[otel]'") from None
        for name, kind in (("tracer_provider", TracerProvider), ("meter_provider", MeterProvider)):
            given = getattr(self, name)
            if given is not None and not isinstance(given, kind):
                raise ValueError(f"{name}: must be a {kind.__name__}, not {type(given).__name__}")
        return self


class Otel(Plugin[OtelSettings]):
    """Writes spans once a mail's outcome is known, with the times of its attempts, below the span that the app is in.

    Their names are in ``mailer/telemetry.py``. None is of a recipient, a subject or a secret, unless ``details``.

    Attributes:
        clock: The time, with a zone, for what was never tried.
    """

    name = "otel"
    clock: Callable[[], datetime] = staticmethod(utc_now)

    def register(self, hooks: Hooks) -> None:
        """Tell of what is settled, what was not sent, and what providers tell."""
        from opentelemetry import metrics, trace

        settings = self.settings
        # Ending a span may export it, in this very call: aside, so that no exporter holds a send up.
        self._aside = Aside(self.name, wait_s=settings.wait_s, room=_ROOM)
        self._tracer = trace.get_tracer(names.SCOPE, tracer_provider=settings.tracer_provider)
        meter = metrics.get_meter(names.SCOPE, meter_provider=settings.meter_provider)
        self._metrics: dict[Metric, Callable[[float, Mapping[str, Any]], None]] = {}
        for metric in names.METRICS if settings.metrics else ():
            bounds = _HISTOGRAMS.get(metric)
            if bounds is None:
                self._metrics[metric] = meter.create_counter(metric.name, metric.unit, metric.text).add
            else:
                self._metrics[metric] = meter.create_histogram(
                    metric.name, metric.unit, metric.text, explicit_bucket_boundaries_advisory=bounds
                ).record
        when_settled(hooks, self.settle)
        hooks.add_action("failed", self.fail)
        hooks.add_action("skipped", self.skip)
        hooks.add_action("event", self.tell)

    def settle(self, context: Context) -> Awaitable[None] | None:
        """A mail that was carried."""
        sent = Sent.of(context)
        for metric, value, labels in sent.measured():
            self._add(metric, value, *labels)
        return self._aside.do(context.runtime, partial(self._write, sent, context)) if self.settings.spans else None

    def fail(self, context: Context) -> Awaitable[None] | None:
        """One that could not be sent."""
        kind = type(context.error).__name__
        self._add(names.M_UNSENT, 1, "failed", kind)
        if not self.settings.spans:
            return None
        return self._aside.do(context.runtime, partial(self._write_failed, kind, context))

    def skip(self, context: Context) -> None:
        """One that was not to be sent."""
        self._add(names.M_UNSENT, 1, "skipped", "")

    def tell(self, context: Context) -> None:
        """What a webhook told."""
        if context.event is not None:
            self._add(names.M_EVENTS, 1, context.event.provider, context.event.kind.value)

    def _add(self, metric: Metric, value: float, *labels: str) -> None:
        if add := self._metrics.get(metric):
            add(value, {name: label for name, label in zip(metric.labels, labels, strict=True) if label})

    # --- spans --------------------------------------------------------------------------------------------------------

    def _write(self, sent: Sent, context: Context) -> None:
        from opentelemetry.trace import set_span_in_context

        began_at = sent.began_at or self.clock()
        attributes = {
            names.MAIL_ID: context.mail_id,
            **_place(sent.backend),
            names.RECIPIENTS: sum(sent.outcomes.values()),
            **{names.COUNTS[outcome]: count for outcome, count in sent.outcomes.items()},
            names.OUTCOME: sent.outcome.value,
            names.SIZE: sent.size_bytes,
            names.ATTEMPTS: len(sent.attempts),
            **({names.STATUS_CODE: sent.codes[0]} if sent.codes else {}),
            **self._details(context),
        }
        span = self._span(names.SPAN_SEND, began_at, attributes, None)
        inside = set_span_in_context(span)
        for attempt in sent.attempts:
            self._write_attempt(attempt, inside)
        cause = next((error for one in reversed(sent.attempts) if (error := names.error_type(one))), "")
        is_bad = sent.outcome is not Outcome.ACCEPTED
        _end(span, began_at + timedelta(seconds=sent.duration_s), (cause or sent.outcome.value) if is_bad else "")

    def _write_attempt(self, attempt: Attempt, inside: Any) -> None:
        counts = {names.COUNTS[outcome]: count for outcome, count in attempt.outcomes.items()}
        attributes = {**_place(Endpoint.of(attempt.backend)), **counts}
        span = self._span(names.SPAN_ATTEMPT, attempt.started_at, attributes, inside)
        _end(span, attempt.started_at + timedelta(seconds=attempt.duration_s), names.error_type(attempt))

    def _write_failed(self, kind: str, context: Context) -> None:
        now = self.clock()
        attributes = {names.MAIL_ID: context.mail_id, **self._details(context)}
        _end(self._span(names.SPAN_SEND, now, attributes, None), now, kind)

    def _span(self, name: str, began_at: datetime, attributes: Mapping[str, Any], inside: Any) -> Span:
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(
            name, context=inside, kind=SpanKind.CLIENT, attributes=attributes, start_time=_nanoseconds(began_at)
        )

    def _details(self, context: Context) -> dict[str, Any]:
        message = context.message
        if not self.settings.details or message is None:
            return {}
        return {
            names.DETAILS["from"]: [one.addr_spec for one in message.from_],
            names.DETAILS["to"]: [one.addr_spec for one in (*message.to, *message.cc, *message.bcc)],
            names.DETAILS["subject"]: message.subject,
        }

    def close(self) -> None:
        """Wait for what is being written."""
        self._aside.close()


def _place(backend: Endpoint) -> dict[str, Any]:
    parts = zip((names.SCHEME, names.HOST, names.PORT), backend, strict=True)
    return {names.BACKEND: str(backend), **{name: value for name, value in parts if value}}


def _end(span: Span, at: datetime, error: str) -> None:
    from opentelemetry.trace import StatusCode

    if error:
        span.set_attribute(names.ERROR_TYPE, error)
        span.set_status(StatusCode.ERROR)
    span.end(end_time=_nanoseconds(at))


def _nanoseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000

"""``metrics``: counters and histograms of what is sent, for Prometheus."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic import Field, model_validator

from .. import telemetry as names
from ..errors import ConfigError
from ..hooks import Hooks
from ..hookspecs import Context
from ..plugin import Plugin, PluginSettings
from ..settled import when_settled
from ..telemetry import Metric, Sent

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

__all__ = ["Metrics", "MetricsSettings"]

_BOUNDS = {names.M_DURATION: names.DURATIONS_S, names.M_SIZE: names.SIZES_BYTES}
_UNITS = {"s": "_seconds", "By": "_bytes"}
#: Registry to its metrics: a name is registered there once, by however many mailers.
_made: WeakKeyDictionary[CollectorRegistry, dict[Metric, Counter | Histogram]] = WeakKeyDictionary()


class MetricsSettings(PluginSettings):
    """Settings of ``metrics``."""

    registry: Any = Field(None, description="A `CollectorRegistry` of `prometheus_client`; else its default one.")

    @model_validator(mode="after")
    def _check(self) -> MetricsSettings:
        try:
            from prometheus_client import CollectorRegistry
        except ImportError:
            raise ValueError("needs prometheus-client: pip install 'mailwright[prometheus]'") from None
        if self.registry is not None and not isinstance(self.registry, CollectorRegistry):
            raise ValueError(f"registry: must be a CollectorRegistry, not {type(self.registry).__name__}")
        return self


class Metrics(Plugin[MetricsSettings]):
    """Counts mails, recipients, attempts and events in a registry of ``prometheus_client``, in the process' memory.

    No label has a recipient, a sender, a subject or a secret.
    """

    name = "metrics"

    def register(self, hooks: Hooks) -> None:
        """Count what is settled, what was not sent, and what providers tell."""
        self._metrics = metrics_in(self.settings.registry)
        when_settled(hooks, self.settle)
        hooks.add_action("failed", self.fail)
        hooks.add_action("skipped", self.skip)
        hooks.add_action("event", self.tell)

    def settle(self, context: Context) -> None:
        """A mail that was carried."""
        for metric, value, labels in Sent.of(context).measured():
            self._add(metric, value, *labels)

    def fail(self, context: Context) -> None:
        """One that could not be sent."""
        self._add(names.M_UNSENT, 1, "failed", type(context.error).__name__)

    def skip(self, context: Context) -> None:
        """One that was not to be sent."""
        self._add(names.M_UNSENT, 1, "skipped", "")

    def tell(self, context: Context) -> None:
        """What a webhook told."""
        if context.event is not None:
            self._add(names.M_EVENTS, 1, context.event.provider, context.event.kind.value)

    def _add(self, metric: Metric, value: float, *labels: str) -> None:
        made = self._metrics[metric].labels(*labels)
        if metric in _BOUNDS:
            made.observe(value)
        else:
            made.inc(value)


def metrics_in(registry: CollectorRegistry | None) -> dict[Metric, Any]:
    """Our metrics in a registry, made the first time.

    Raises:
        ConfigError: Somebody else has one of the names there.
    """
    import prometheus_client

    registry = registry or prometheus_client.REGISTRY
    if registry not in _made:
        made: dict[Metric, Counter | Histogram] = {}
        for metric in names.METRICS:
            name = re.sub(r"\W", "_", metric.name) + _UNITS.get(metric.unit, "")
            labels = [label.rpartition(".")[2] for label in metric.labels]
            try:
                if metric in _BOUNDS:
                    made[metric] = prometheus_client.Histogram(
                        name, metric.text, labels, registry=registry, buckets=_BOUNDS[metric]
                    )
                else:
                    made[metric] = prometheus_client.Counter(name, metric.text, labels, registry=registry)
            except ValueError as error:
                raise ConfigError(f"metrics: {name} is in the registry already, and is not ours: {error}") from error
        _made[registry] = made
    return _made[registry]

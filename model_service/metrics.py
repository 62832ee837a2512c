"""A worker's numbers for Prometheus, read from the statistics of its models when someone asks for them."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from model_service.models import LoadedModel, Models
from model_service.reconcile import STATES, Reconciler
from model_service.statistics import Histogram

LABELS = ("model", "version")

Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class ModelCollector(Collector):
    """The models that are loaded now; one that is unloaded takes its series with it."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "headrace_worker_requests", "Requests answered, by outcome.", labels=[*LABELS, "outcome"]
        )
        in_flight = GaugeMetricFamily("headrace_worker_in_flight", "Requests not answered yet.", labels=LABELS)
        tokens = CounterMetricFamily("headrace_worker_tokens", "Tokens that ran, padding left out.", labels=LABELS)
        padding = CounterMetricFamily("headrace_worker_padding_tokens", "Tokens that were padding.", labels=LABELS)
        dropped = CounterMetricFamily(
            "headrace_worker_dropped_items", "Items that expired or were abandoned before they ran.", labels=LABELS
        )
        waiting = GaugeMetricFamily("headrace_worker_waiting_rows", "Rows in the queue.", labels=LABELS)
        latency = HistogramMetricFamily(
            "headrace_worker_request_seconds",
            "From a decoded request to its answer, where there was one.",
            labels=LABELS,
        )
        queue = HistogramMetricFamily("headrace_worker_queue_seconds", "How long an item waited.", labels=LABELS)
        batch = HistogramMetricFamily("headrace_worker_batch_rows", "Rows in a batch.", labels=LABELS)
        engine = HistogramMetricFamily("headrace_worker_engine_seconds", "One run of the engine.", labels=LABELS)
        for model in self._models:
            labels, numbers = _labels(model), model.statistics
            requests.add_metric([*labels, "success"], numbers.success.count)
            for kind, failure in numbers.failures.items():
                requests.add_metric([*labels, kind], failure.count)
            in_flight.add_metric(labels, numbers.in_flight)
            tokens.add_metric(labels, numbers.tokens)
            padding.add_metric(labels, numbers.padded_tokens - numbers.tokens)
            dropped.add_metric(labels, numbers.dropped)
            waiting.add_metric(labels, model.waiting_rows)
            for family, histogram in (
                (latency, numbers.latency),
                (queue, numbers.queue),
                (batch, numbers.batch_rows),
                (engine, numbers.engine),
            ):
                family.add_metric(labels, _buckets(histogram), histogram.sum)
        return [requests, in_flight, tokens, padding, dropped, waiting, latency, queue, batch, engine]


class StateCollector(Collector):
    """How far every version is that this worker has to do with."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    def collect(self) -> Iterable[Metric]:
        states = GaugeMetricFamily(
            "headrace_worker_version_state", "1 for the state that the version is in.", labels=[*LABELS, "state"]
        )
        for slot in self._reconciler.slots:
            for state in STATES:
                version = slot.version
                states.add_metric([version.model, str(version.number), state], float(state == slot.state))
        return [states]


def prometheus_registry(models: Models, reconciler: Reconciler) -> CollectorRegistry:
    """A registry of this application's own: several may live in one process."""
    registry = CollectorRegistry()
    registry.register(ModelCollector(models))
    registry.register(StateCollector(reconciler))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _labels(model: LoadedModel) -> list[str]:
    return [model.name, str(model.number)]


def _buckets(histogram: Histogram) -> list[Bucket]:
    buckets: list[Bucket] = []
    total = 0
    for number, bound in enumerate([*map(str, histogram.bounds), "+Inf"]):
        total += histogram.counts[number]
        exemplar = histogram.exemplars.get(number)
        buckets.append((bound, float(total)) if exemplar is None else (bound, float(total), exemplar))
    return buckets

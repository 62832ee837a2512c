"""A worker's numbers for Prometheus, read from the statistics of its models when someone asks for them."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from model_service.loaded_model import LoadedModel
from model_service.models import Models
from model_service.processes import ProcessesCollector, resident_bytes
from model_service.reconcile import Reconciler
from model_service.slots import STATES
from service.budget import Budget

LABELS = ("model", "version")


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
        crashes = CounterMetricFamily(
            "headrace_worker_engine_crashes", "How often the process of the version's engine died.", labels=LABELS
        )
        memory = GaugeMetricFamily(
            "headrace_worker_engine_memory_bytes", "What the process of the version's engine holds.", labels=LABELS
        )
        for model in self._models:
            labels, numbers = _labels(model), model.statistics
            crashes.add_metric(labels, model.crashes)
            if (pid := model.engine_pid) is not None:
                memory.add_metric(labels, resident_bytes(pid))
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
                family.add_metric(labels, histogram.buckets(), histogram.sum)
        return [requests, in_flight, tokens, padding, dropped, waiting, latency, queue, batch, engine, crashes, memory]


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


class BudgetCollector(Collector):
    """The bytes that requests in flight have reserved."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def collect(self) -> Iterable[Metric]:
        budget = self._budget
        yield GaugeMetricFamily(
            "headrace_worker_memory_held_bytes", "Bytes that requests in flight hold.", value=budget.reserved
        )
        yield GaugeMetricFamily(
            "headrace_worker_memory_limit_bytes", "How many they may hold together.", value=budget.limit
        )
        yield CounterMetricFamily(
            "headrace_worker_memory_refused", "Requests that found no room for what they hold.", value=budget.refused
        )


def prometheus_registry(models: Models, reconciler: Reconciler, budget: Budget) -> CollectorRegistry:
    """A registry of this application's own: several may live in one process."""
    registry = CollectorRegistry()
    registry.register(BudgetCollector(budget))
    registry.register(ModelCollector(models))
    registry.register(StateCollector(reconciler))
    registry.register(
        ProcessesCollector(lambda: [model.engine_pid for model in models if model.engine_pid is not None])
    )
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _labels(model: LoadedModel) -> list[str]:
    return [model.name, str(model.number)]

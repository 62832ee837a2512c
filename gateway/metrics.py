"""What the gateway counts, in Prometheus' terms. Each process serves its own; Prometheus adds them up."""

from collections.abc import Iterator, Mapping
from time import monotonic

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from cache.stats import CacheStats
from gateway.admission import Admission
from gateway.membership import Membership
from gateway.pipeline import Gateway
from gateway.routing import ModelRoute, RouteTable
from gateway.workers import Workers
from service.budget import Budget
from service.histogram import Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
Labels = tuple[str, str, str, str]

# Fields of CacheStats.
_CACHE_COUNTERS = {
    "misses": "Computations that were started.",
    "joins": "Requests that waited for what another one had begun.",
    "lease_waits": "Lookups that found another process computing the same.",
    "evictions": "Live entries that memory gave up.",
    "too_large": "Answers too large to be cached.",
    "dropped_writes": "Writes to Redis not begun, as too many were under way.",
    "redis_errors": "Operations of Redis that timed out or failed.",
    "redis_full": "Writes that Redis refused for lack of memory.",
    "redis_corrupt": "Values and leases in Redis that no gateway of this platform had written.",
    "redis_skipped": "Operations not sent, as the breaker was open.",
    "breaker_opened": "How often the breaker opened.",
}
_CACHE_GAUGES = {
    "memory_entries": "Entries in memory.",
    "memory_bytes": "Bytes in memory, overhead included.",
    "breaker_state": "0 closed, 1 half open, 2 open.",
}


class Metrics:
    """How many requests there were, and how long they took, by protocol, model, version and outcome."""

    def __init__(self) -> None:
        # No `_created` series: they would double the number of series, and nothing here reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.seconds: dict[Labels, Histogram] = {}
        self.registry.register(_SecondsCollector(self.seconds))

    def record_answer(
        self, protocol: str, model: str, version: str, outcome: str, seconds: float, trace_id: str | None = None
    ) -> None:
        """`outcome` is hit, miss or bypass for an answer, or else the class of the error.

        Names that lead to no model are all counted as model '', or a client could fill the memory with them. The trace
        of a request that was recorded, 32 hexadecimal digits, becomes the exemplar of its bucket.
        """
        labels = (protocol, model, version, outcome)
        histogram = self.seconds.get(labels)
        if histogram is None:
            histogram = self.seconds[labels] = Histogram(SECONDS)
        histogram.observe(seconds, trace_id)


class _SecondsCollector(Collector):
    def __init__(self, histograms: Mapping[Labels, Histogram]) -> None:
        self._histograms = histograms

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "headrace_gateway_request_seconds",
            "Inference requests, from the arrival of the head to the end of the answer.",
            labels=("protocol", "model", "version", "outcome"),
        )
        for labels, histogram in [*self._histograms.items()]:  # which grow meanwhile
            family.add_metric(labels, histogram.buckets(), histogram.sum)
        yield family


class ComponentsCollector:
    """Reads, when Prometheus asks, what the gateway's components have counted."""

    def __init__(
        self,
        admission: Admission,
        budget: Budget,
        gateway: Gateway,
        workers: Workers,
        membership: Membership,
    ) -> None:
        self._admission = admission
        self._budget = budget
        self._cache = gateway.cache
        self._coalescer = gateway.coalescer
        self._workers = workers
        self._membership = membership

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "headrace_gateway_in_flight", "Inference requests being served.", value=self._admission.in_flight
        )
        yield GaugeMetricFamily(
            "headrace_gateway_in_flight_limit", "How many are served at once.", value=self._admission.limit
        )
        yield GaugeMetricFamily(
            "headrace_gateway_memory_held_bytes", "Bytes that requests in flight hold.", value=self._budget.reserved
        )
        yield GaugeMetricFamily(
            "headrace_gateway_memory_limit_bytes", "How many they may hold together.", value=self._budget.limit
        )
        yield CounterMetricFamily(
            "headrace_gateway_memory_refused",
            "Requests that found no room for what they hold.",
            value=self._budget.refused,
        )
        yield CounterMetricFamily(
            "headrace_gateway_coalesced",
            "Inference requests that shared a worker's request with others.",
            value=self._coalescer.coalesced,
        )
        yield CounterMetricFamily(
            "headrace_gateway_retries", "Attempts beyond a request's first.", value=self._workers.stats.retries
        )
        yield CounterMetricFamily(
            "headrace_gateway_stalled",
            "Attempts given up as the worker was silent, with another one to ask.",
            value=self._workers.stats.stalled,
        )
        yield CounterMetricFamily(
            "headrace_gateway_connection_failures",
            "Connections to workers that broke.",
            value=self._workers.stats.connection_failures,
        )
        yield GaugeMetricFamily(
            "headrace_gateway_workers", "Workers whose heartbeat goes on.", value=len(self._membership.replicas)
        )
        yield from _replica_metrics(self._membership.table)
        yield from _version_metrics(self._membership.table)
        yield from _cache_metrics(self._cache.stats)


def _replica_metrics(table: RouteTable) -> Iterator[Metric]:
    in_flight = GaugeMetricFamily(
        "headrace_gateway_replica_in_flight", "Requests that a replica has not answered yet.", labels=["replica"]
    )
    available = GaugeMetricFamily(
        "headrace_gateway_replica_available",
        "0 where the last health check failed or connections have just broken.",
        labels=["replica"],
    )
    # From the table, which names what is really asked: workers, or the load balancer before them.
    targets = [target for route in table.models.values() for target in route.versions.values()]
    for replica in {replica.url: replica for target in targets for replica in target.replicas}.values():
        in_flight.add_metric([replica.url], replica.outstanding)
        available.add_metric([replica.url], float(replica.available(monotonic())))
    yield in_flight
    yield available


def _version_metrics(table: RouteTable) -> Iterator[Metric]:
    labels = ["model", "version"]
    workers = GaugeMetricFamily(
        "headrace_gateway_version_workers",
        "Workers that answer for a version, of those that an alias or a weight leads to.",
        labels=labels,
    )
    share = GaugeMetricFamily(
        "headrace_gateway_version_share", "The part of a model's unversioned requests that it gets.", labels=labels
    )
    failed = GaugeMetricFamily(
        "headrace_gateway_version_failed", "1 where no worker will load the version.", labels=labels
    )
    for route in table.models.values():
        for version, count in _count_wanted(route).items():
            workers.add_metric([route.name, version], count)
        below = 0.0
        for limit, target in route.shares:
            share.add_metric([route.name, target.version], limit - below)
            below = limit
        for version in {target.version for target in route.versions.values()}:
            failed.add_metric([route.name, version], float(version in route.failures))
    yield from (workers, share, failed)


def _count_wanted(route: ModelRoute) -> dict[str, int]:
    """How many workers there are for each version that requests are led to."""
    if not route.enabled:
        return {}
    named = [target for name, target in route.versions.items() if name != target.version]
    return {
        target.version: sum(replica.workers for replica in target.replicas)
        for target in (*named, *(target for _, target in route.shares))
    }


def _cache_metrics(stats: CacheStats) -> Iterator[Metric]:
    hits = CounterMetricFamily("headrace_cache_hits", "Answers found in the cache.", labels=["store"])
    hits.add_metric(["memory"], stats.hits_memory)
    hits.add_metric(["shared"], stats.hits_shared)
    yield hits
    for name, about in _CACHE_COUNTERS.items():
        yield CounterMetricFamily(f"headrace_cache_{name}", about, value=getattr(stats, name))
    for name, about in _CACHE_GAUGES.items():
        yield GaugeMetricFamily(f"headrace_cache_{name}", about, value=getattr(stats, name))

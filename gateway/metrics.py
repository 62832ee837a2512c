"""What the gateway counts, in Prometheus' terms. Each process serves its own; Prometheus adds them up."""

from collections.abc import Iterator
from time import monotonic

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from cache.response_cache import ResponseCache
from cache.stats import CacheStats
from gateway.admission import Admission
from gateway.gather import Gatherer
from gateway.membership import Membership
from gateway.routing import ModelRoute, RouteTable
from gateway.workers import Workers

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
    "redis_corrupt": "Values in Redis that were not what had been written.",
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
        # When a series began is one more for each, and nobody asks.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._seconds = Histogram(
            "headrace_gateway_request_seconds",
            "Inference requests, from the arrival of the head to the end of the answer.",
            ("protocol", "model", "version", "outcome"),
            buckets=SECONDS,
            registry=self.registry,
        )
        # prometheus_client looks children up under a lock and by building a tuple of strings; a dict is 3 x faster.
        self._timers: dict[Labels, Histogram] = {}

    def answered(
        self, protocol: str, model: str, version: str, outcome: str, seconds: float, trace_id: str | None = None
    ) -> None:
        """`outcome` is hit, miss or bypass for an answer, or else the class of the error.

        Names that lead to no model are all counted as model '', or a client could fill the memory with them. The trace
        of a request that was recorded, 32 hexadecimal digits, becomes the exemplar of its bucket.
        """
        labels = (protocol, model, version, outcome)
        timer = self._timers.get(labels)
        if timer is None:
            timer = self._timers[labels] = self._seconds.labels(*labels)
        timer.observe(seconds, None if trace_id is None else {"trace_id": trace_id})


class PartsCollector:
    """Reads what the gateway's parts count by themselves, when Prometheus asks."""

    def __init__(
        self, admission: Admission, cache: ResponseCache, gatherer: Gatherer, workers: Workers, membership: Membership
    ) -> None:
        self._admission = admission
        self._cache = cache
        self._gatherer = gatherer
        self._workers = workers
        self._membership = membership

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "headrace_gateway_in_flight", "Inference requests being served.", value=self._admission.in_flight
        )
        yield GaugeMetricFamily(
            "headrace_gateway_in_flight_limit", "How many are served at once.", value=self._admission.limit
        )
        yield CounterMetricFamily(
            "headrace_gateway_gathered",
            "Inference requests that shared a worker's request with others.",
            value=self._gatherer.gathered,
        )
        yield CounterMetricFamily(
            "headrace_gateway_retries", "Second attempts after a broken connection.", value=self._workers.stats.retries
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
        for version, count in _wanted(route).items():
            workers.add_metric([route.name, version], count)
        below = 0.0
        for limit, target in route.shares:
            share.add_metric([route.name, target.version], limit - below)
            below = limit
        for version in {target.version for target in route.versions.values()}:
            failed.add_metric([route.name, version], float(version in route.failures))
    yield from (workers, share, failed)


def _wanted(route: ModelRoute) -> dict[str, int]:
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
    hits.add_metric(["redis"], stats.hits_redis)
    yield hits
    for name, about in _CACHE_COUNTERS.items():
        yield CounterMetricFamily(f"headrace_cache_{name}", about, value=getattr(stats, name))
    for name, about in _CACHE_GAUGES.items():
        yield GaugeMetricFamily(f"headrace_cache_{name}", about, value=getattr(stats, name))

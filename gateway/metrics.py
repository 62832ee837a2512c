"""What the gateway counts, in Prometheus' terms. Each process serves its own; Prometheus adds them up."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from cache.response_cache import ResponseCache
from cache.stats import CacheStats
from gateway.admission import Admission
from gateway.gather import Gatherer
from gateway.membership import Membership
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
    """Requests by protocol, model, version and outcome, and how long they took."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        labels = ("protocol", "model", "version", "outcome")
        self._requests = Counter(
            "headrace_gateway_requests", "Inference requests answered.", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "headrace_gateway_request_seconds",
            "From the arrival of a request's head to its answer.",
            ("protocol", "model"),
            buckets=SECONDS,
            registry=self.registry,
        )
        # prometheus_client looks children up under a lock and by building a tuple of strings; a dict is 3 x faster.
        self._counters: dict[Labels, Counter] = {}
        self._timers: dict[tuple[str, str], Histogram] = {}

    def answered(self, protocol: str, model: str, version: str, outcome: str, seconds: float) -> None:
        """`outcome` is hit, miss or bypass for an answer, or else the class of the error.

        Names that lead to no model are all counted as model '', or a client could fill the memory with them.
        """
        labels = (protocol, model, version, outcome)
        counter = self._counters.get(labels)
        if counter is None:
            counter = self._counters[labels] = self._requests.labels(*labels)
        counter.inc()
        timer = self._timers.get((protocol, model))
        if timer is None:
            timer = self._timers[protocol, model] = self._seconds.labels(protocol, model)
        timer.observe(seconds)


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
        outstanding = GaugeMetricFamily(
            "headrace_gateway_replica_in_flight", "Requests that a replica has not answered yet.", labels=["replica"]
        )
        healthy = GaugeMetricFamily(
            "headrace_gateway_replica_healthy", "1 where the last health check passed.", labels=["replica"]
        )
        for replica in self._membership.replicas.values():
            outstanding.add_metric([replica.url], replica.outstanding)
            healthy.add_metric([replica.url], float(replica.healthy))
        yield outstanding
        yield healthy
        yield from _cache_metrics(self._cache.stats)


def _cache_metrics(stats: CacheStats) -> Iterator[Metric]:
    hits = CounterMetricFamily("headrace_cache_hits", "Answers found in the cache.", labels=["store"])
    hits.add_metric(["memory"], stats.hits_memory)
    hits.add_metric(["redis"], stats.hits_redis)
    yield hits
    for name, about in _CACHE_COUNTERS.items():
        yield CounterMetricFamily(f"headrace_cache_{name}", about, value=getattr(stats, name))
    for name, about in _CACHE_GAUGES.items():
        yield GaugeMetricFamily(f"headrace_cache_{name}", about, value=getattr(stats, name))

"""What a gateway consists of, put together from its settings."""

from dataclasses import dataclass

from cache.response_cache import ResponseCache
from cache.settings import CacheSettings, open_cache
from gateway.admission import Admission
from gateway.api.endpoint import Limits
from gateway.balancer import Balancer
from gateway.gather import Gatherer
from gateway.membership import Membership
from gateway.metrics import Metrics, PartsCollector
from gateway.pipeline import Gateway
from gateway.request_log import RequestLog
from gateway.settings import GatewaySettings
from gateway.worker_client import WorkerClient
from gateway.workers import Workers
from model_service.protocol.tracing import UNTRACED, Tracer
from storage.artifacts import ArtifactStore, open_store
from storage.database import Database
from storage.registry import Registry
from storage.settings import StorageSettings


@dataclass(slots=True, frozen=True)
class Parts:
    """Everything that the application's routes and its life cycle need."""

    settings: GatewaySettings
    database: Database
    registry: Registry
    artifacts: ArtifactStore
    cache: ResponseCache
    client: WorkerClient
    membership: Membership
    gateway: Gateway
    metrics: Metrics
    requests: RequestLog
    limits: Limits
    tracer: Tracer


def open_parts(
    settings: GatewaySettings, storage: StorageSettings, caching: CacheSettings, tracer: Tracer = UNTRACED
) -> Parts:
    """Nothing here talks to the outside yet; the application's life cycle does that."""
    database = Database.open(storage.database_url)
    registry = Registry(database)
    client = WorkerClient()
    membership = Membership(
        registry,
        client,
        refresh_s=settings.refresh_s,
        replica_timeout_s=settings.replica_timeout_s,
        health_interval_s=settings.health_interval_s,
        upstream=settings.upstream,
    )
    # Exactly one layer retries: with a load balancer before the workers, it is that one.
    workers = Workers(client, Balancer(), upstream=bool(settings.upstream), tracer=tracer)
    gatherer = Gatherer(workers)
    cache = open_cache(caching)
    admission = Admission(settings.max_in_flight)
    metrics = Metrics()
    metrics.registry.register(PartsCollector(admission, cache, gatherer, workers, membership))
    return Parts(
        settings=settings,
        database=database,
        registry=registry,
        artifacts=open_store(storage.artifacts_url),
        cache=cache,
        client=client,
        membership=membership,
        gateway=Gateway(membership, gatherer, cache),
        metrics=metrics,
        requests=RequestLog(settings),
        limits=Limits(
            admission, settings.max_body_bytes, settings.default_timeout_ms / 1000, settings.max_timeout_ms / 1000
        ),
        tracer=tracer,
    )

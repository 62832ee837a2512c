"""The composition root: makes what a gateway consists of from its settings, and connects it."""

from dataclasses import dataclass
from typing import Final

from cache.settings import CacheSettings, open_cache
from gateway.admission import Admission
from gateway.balancer import Balancer
from gateway.counts import CountsCollector
from gateway.limits import Limits
from gateway.membership import Membership
from gateway.metrics import ComponentsCollector, Metrics
from gateway.pipeline import Gateway
from gateway.request_log import RequestLog
from gateway.settings import GatewaySettings
from gateway.siblings import Siblings
from gateway.worker_client import WorkerClient
from gateway.workers import Workers
from service.budget import Budget
from service.memory import Trim
from service.tracing import UNTRACED, Tracer
from storage.artifacts import ArtifactStore, open_store
from storage.database import Database
from storage.registry import Registry
from storage.settings import StorageSettings

# For other writers to finish. Only the admin API writes, and its callers rather wait than be refused.
WRITE_PATIENCE_S: Final = 30.0


@dataclass(slots=True, frozen=True)
class Components:
    """Everything that the application's routes and its life cycle need."""

    settings: GatewaySettings
    database: Database
    registry: Registry
    artifacts: ArtifactStore
    client: WorkerClient
    membership: Membership
    gateway: Gateway
    metrics: Metrics
    siblings: Siblings
    requests: RequestLog
    limits: Limits
    tracer: Tracer


def compose(
    settings: GatewaySettings, storage: StorageSettings, caching: CacheSettings, tracer: Tracer = UNTRACED
) -> Components:
    """Opens no connection yet: the application's life cycle does that."""
    database = Database.open(storage.database_url, patience_s=WRITE_PATIENCE_S)
    registry = Registry(database)
    budget = Budget(settings.memory_bytes, on_ebb=Trim())
    client = WorkerClient(budget, settings.max_answer_bytes)
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
    gateway = Gateway(membership, workers, open_cache(caching))
    admission = Admission(settings.max_in_flight)
    metrics = Metrics()
    metrics.registry.register(ComponentsCollector(admission, budget, gateway, workers, membership))
    metrics.registry.register(CountsCollector(gateway.counts))
    siblings = Siblings(settings.sibling_socket, metrics.registry, refresh=membership.read, check=membership.check)
    membership.have_siblings_read = siblings.have_read
    membership.have_siblings_check = siblings.check
    return Components(
        settings=settings,
        database=database,
        registry=registry,
        artifacts=open_store(storage.artifacts_url),
        client=client,
        membership=membership,
        gateway=gateway,
        metrics=metrics,
        siblings=siblings,
        requests=RequestLog(settings),
        limits=Limits(
            admission,
            settings.max_body_bytes,
            settings.default_timeout_ms / 1000,
            settings.max_timeout_ms / 1000,
            budget,
        ),
        tracer=tracer,
    )

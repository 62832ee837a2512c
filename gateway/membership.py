"""Keeps the route table and the replicas' health up to date, off the hot path."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic

from gateway.balancer import Replica
from gateway.connection import ConnectionFailed
from gateway.routing import RouteTable, build_table
from gateway.worker_client import WorkerClient
from model_service.protocol.address import address_of
from storage.errors import StorageError
from storage.registry import Registry
from storage.views import ReplicaView

log = logging.getLogger(__name__)


class Membership:
    """Reads the registry every `refresh_s`; `table` is what requests are routed by.

    A replica is alive while its heartbeat counts on, timed by this process's own clock while it can read the registry.
    With `upstream`, a load balancer stands between: a version is routed to once it is loaded on every living replica,
    as any may be asked. One that still starts is not asked, as it does not say ready.
    """

    def __init__(
        self,
        registry: Registry,
        client: WorkerClient,
        *,
        refresh_s: float,
        replica_timeout_s: float,
        health_interval_s: float,
        upstream: str | None = None,
    ) -> None:
        self.table = RouteTable()
        self.replicas: dict[str, Replica] = {}
        self._registry = registry
        self._client = client
        self._refresh_s = refresh_s
        self._timeout_s = replica_timeout_s
        self._health_interval_s = health_interval_s
        self._upstream = Replica.at(upstream) if upstream else None
        self._beats: dict[str, tuple[int, float]] = {}  # the heartbeat last seen, and when it was new
        self._read_at = monotonic()
        self._nowhere: set[str] = set()  # workers whose URL leads nowhere, which has been said
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Refresh and check health until cancelled. Whatever goes wrong is logged and tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_repeat("reading the registry", self.refresh, self._refresh_s))
            if self._upstream is None:
                tasks.create_task(_repeat("checking the workers", self._check_all, self._health_interval_s))

    async def refresh(self) -> None:
        """Read the registry once. Raises what the database raises."""
        async with self._reading:  # or what was read earlier could be stored later
            snapshot = await self._registry.snapshot()
            living = self._living(self._somewhere(snapshot.replicas))
            self._follow(living)
            self.table = build_table(snapshot.models, self._ready(living), self.table)

    def _somewhere(self, views: Sequence[ReplicaView]) -> list[ReplicaView]:
        """Those whose URL can be asked: one row that makes no sense must not hide the others."""
        nowhere = {}
        for view in views:
            try:
                address_of(view.url)
            except ValueError as error:
                nowhere[view.id] = error
        for id in nowhere.keys() - self._nowhere:
            log.error("worker %s is left out: %s", id, nowhere[id])
        self._nowhere = set(nowhere)
        return [view for view in views if view.id not in nowhere]

    def _living(self, views: Sequence[ReplicaView]) -> list[ReplicaView]:
        now = monotonic()
        # Whoever could not read the registry does not know who lived meanwhile, and they could not write it either.
        blind = max(0.0, now - self._read_at - 2 * self._refresh_s)
        self._read_at = now
        self._beats = {
            view.id: (
                view.beat,
                seen[1] + blind if (seen := self._beats.get(view.id)) and seen[0] == view.beat else now,
            )
            for view in views
        }
        return [v for v in views if not v.draining and now - self._beats[v.id][1] < self._timeout_s]

    def _follow(self, living: Sequence[ReplicaView]) -> None:
        """Known replicas keep their counters; new ones begin; those that are gone lose their connections."""
        before = self.replicas
        self.replicas = {v.id: before.get(v.id) or Replica.at(v.url, v.id) for v in living}
        for gone in before.keys() - self.replicas.keys():
            self._client.forget(before[gone].url)

    def _ready(self, living: Sequence[ReplicaView]) -> Mapping[int, tuple[Replica, ...]]:
        holders: dict[int, list[Replica]] = {}
        asked = [view for view in living if view.settled or self._upstream is None]
        for view in asked:
            for version_id, there in view.versions.items():
                if there["state"] == "ready":
                    holders.setdefault(int(version_id), []).append(self.replicas[view.id])
        if self._upstream is not None:
            self._upstream.workers = len(asked)
            return {id: (self._upstream,) for id, held in holders.items() if len(held) == len(asked)}
        return {id: tuple(held) for id, held in holders.items()}

    async def _check_all(self) -> None:
        await asyncio.gather(*(self._check(replica) for replica in self.replicas.values()))

    async def _check(self, replica: Replica) -> None:
        try:
            async with asyncio.timeout(self._health_interval_s):
                reply = await self._client.request(replica, b"GET", b"/v2/health/ready")
            healthy = reply.status == 200
        except (ConnectionFailed, TimeoutError):
            healthy = False
        if healthy != replica.healthy:
            log.warning("worker %s is %s", replica.url, "well again" if healthy else "not ready")
        replica.healthy = healthy


async def _repeat(what: str, act: Callable[[], Awaitable[None]], pause_s: float) -> None:
    """Until cancelled. A failure ends nothing, as what is known goes on answering; it is logged when it begins."""
    failing = False
    while True:
        try:
            await act()
            if failing:
                log.warning("%s works again", what)
            failing = False
        except Exception as error:
            if not failing:
                # A database that is down explains itself; what nobody foresaw does not.
                log.error("%s failed: %r", what, error, exc_info=not isinstance(error, StorageError))
            failing = True
        await asyncio.sleep(pause_s)

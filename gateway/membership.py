"""Keeps the route table and the replicas' health up to date, off the hot path."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import monotonic

from gateway.balancer import Replica
from gateway.routing import RouteTable, Trouble, build_table
from gateway.worker_client import WorkerClient
from service.address import address_of
from service.http_client import ConnectionFailed
from storage.errors import StorageError
from storage.registry import Registry
from storage.views import ModelView, ReplicaView
from wire.headers import REPLICA

log = logging.getLogger(__name__)


class Membership:
    """Reads the registry every `refresh_s`; `table` is what requests are routed by.

    A replica is alive while its heartbeat counts on, timed by this process's own clock while it can read the registry,
    and while it answers its health checks: a registry that cannot be written is no sign of a worker's death.
    With `upstream`, a load balancer stands between, which checks their health: a version is routed to once it is loaded
    on every living replica, as any may be asked. One that still starts is not asked, as it does not say ready.
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
        # Called with what was read in hand, before it counts: whoever reads the registry now knows no less.
        self.have_siblings_read: Callable[[], Awaitable[None]] = _nobody
        # Likewise before a worker counts that was not ready: whoever checks it now finds it ready as well.
        self.have_siblings_check: Callable[[], Awaitable[None]] = _nobody
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
        self._fresh_until = 0.0  # monotonic seconds; a sibling that has had the registry read goes on doing so
        self._nowhere: set[str] = set()  # workers whose URL leads nowhere, which has been said
        self._begun = self._stored = 0  # reads of the registry: how many have begun, and which one counts

    async def run(self) -> None:
        """Refresh and check health until cancelled. Whatever goes wrong is logged and tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_repeat("reading the registry", self.refresh_in_turn, self._refresh_s))
            if self._upstream is None:
                check = partial(self._check_all, self.have_siblings_check)
                tasks.create_task(_repeat("checking the workers", check, self._health_interval_s / 2))

    async def refresh_in_turn(self) -> None:
        """As `refresh`, unless a sibling has just had it read: one of them is enough."""
        if monotonic() >= self._fresh_until:
            await self.refresh()

    async def refresh(self) -> None:
        """Read the registry once, and have siblings read it. Raises what the database raises."""
        await self._read(self.have_siblings_read)

    async def read(self) -> None:
        """Read the registry once, as a sibling has. Raises what the database raises."""
        await self._read(_nobody)
        self._fresh_until = monotonic() + self._refresh_s / 2

    async def _read(self, tell: Callable[[], Awaitable[None]]) -> None:
        self._begun += 1
        number = self._begun
        snapshot = await self._registry.snapshot()
        await tell()
        if number < self._stored:  # what was read earlier must not be stored later
            return
        self._stored = number
        living = self._select_living(self._somewhere(snapshot.replicas))
        self._follow(living)
        self.table = build_table(snapshot.models, self._ready(living), self.table, _alone(living), _troubles(living))
        self._learn(snapshot.models, living)

    def _somewhere(self, views: Sequence[ReplicaView]) -> list[ReplicaView]:
        """Those whose URL is valid; a row that is not is logged and left out, so that it does not hide the others."""
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

    def _select_living(self, views: Sequence[ReplicaView]) -> list[ReplicaView]:
        now = monotonic()
        # Whoever could not read the registry does not know who lived meanwhile, and they could not write it either.
        blind = max(0.0, now - self._read_at - 2 * self._refresh_s)
        if self._upstream is not None and not any(self._beats.get(v.id, (None, 0.0))[0] != v.beat for v in views):
            blind = now - self._read_at  # not one of them could write: that is the registry's fault, not theirs
        self._read_at = now
        self._beats = {
            view.id: (
                view.beat,
                seen[1] + blind if (seen := self._beats.get(view.id)) and seen[0] == view.beat else now,
            )
            for view in views
        }
        return [v for v in views if not v.draining and now - self._last_sign(v.id) < self._timeout_s]

    def _last_sign(self, id: str) -> float:
        """When a worker last gave a sign of life: by its heartbeat, or by answering."""
        replica = self.replicas.get(id)
        answered_at = None if replica is None else replica.answered_at
        return max(self._beats[id][1], answered_at or 0.0)

    def _follow(self, living: Sequence[ReplicaView]) -> None:
        """Keep known replicas with their counters, add new ones, and close the connections to those that are gone."""
        before = self.replicas
        self.replicas = {v.id: before.get(v.id) or Replica.at(v.url, v.id) for v in living}
        for gone in before.keys() - self.replicas.keys():
            self._client.forget(before[gone].url)

    def _ready(self, living: Sequence[ReplicaView]) -> Mapping[int, tuple[Replica, ...]]:
        ready: dict[int, list[Replica]] = {}
        asked = [view for view in living if view.settled or self._upstream is None]
        for view in asked:
            for version_id, there in view.versions.items():
                if there["state"] == "ready":
                    ready.setdefault(int(version_id), []).append(self.replicas[view.id])
        if self._upstream is not None:
            self._upstream.workers = len(asked)
            return {id: (self._upstream,) for id, replicas in ready.items() if len(replicas) == len(asked)}
        return {id: tuple(replicas) for id, replicas in ready.items()}

    def _learn(self, models: Sequence[ModelView], living: Sequence[ReplicaView]) -> None:
        """Refuse the inputs that have ended a process on one worker, so that they end none on another."""
        refused = [
            (id, there["refused"]) for view in living for id, there in view.versions.items() if "refused" in there
        ]
        if not refused:
            return
        targets = {
            str(version.id): self.table.models[model.name].versions[str(version.number)]
            for model in models
            for version in model.versions
        }
        for id, inputs in refused:
            if id in targets:
                targets[id].refusals.learn(inputs)

    async def check(self) -> None:
        """Check the workers once, as a sibling has."""
        if self._upstream is None:
            await self._check_all(_nobody)

    async def _check_all(self, tell: Callable[[], Awaitable[None]]) -> None:
        await asyncio.gather(*(self._check(replica, tell) for replica in self.replicas.values()))

    async def _check(self, replica: Replica, tell: Callable[[], Awaitable[None]]) -> None:
        silent = healthy = False
        began = monotonic()
        try:
            async with asyncio.timeout(self._health_interval_s / 2):
                reply = await self._client.request(replica, b"GET", b"/v2/health/ready")
            # Another worker may have been given the same address since.
            healthy = reply.status == 200 and reply.headers.get(REPLICA, replica.id.encode()) == replica.id.encode()
        except (ConnectionFailed, TimeoutError):
            if replica.heard_at > began:
                return  # it is late because it has much to do: its requests would be more than the others can take
            silent = True
        if healthy:
            replica.answered_at = monotonic()
        elif silent and any(other.healthy for other in self.replicas.values() if other is not replica):
            self._client.give_up(replica.url)  # what it was asked is asked of the others
        if healthy and not replica.healthy:
            await tell()
        if healthy != replica.healthy:
            log.warning("worker %s is %s", replica.url, "well again" if healthy else "not ready")
        replica.healthy = healthy


async def _nobody() -> None:
    """There are no siblings to tell."""


def _alone(living: Sequence[ReplicaView]) -> set[int]:
    """The versions whose rows a worker has found to depend on one another: their requests are not coalesced."""
    return {int(id) for view in living for id, there in view.versions.items() if there.get("alone")}


def _troubles(living: Sequence[ReplicaView]) -> dict[int, Trouble]:
    """What has kept a worker from loading a version."""
    return {
        int(id): Trouble(there["reason"], bool(there.get("lacking")))
        for view in living
        for id, there in view.versions.items()
        if there["state"] == "failed" and there["reason"]
    }


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

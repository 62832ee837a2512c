"""A worker's reconciler over a registry, artifacts, trials and engines that do what a test says."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from model_service.loaded_model import LoadedModel
from model_service.models import Models
from model_service.reconcile import Reconciler
from model_service.settings import WorkerSettings
from storage.manifest import Manifest
from storage.views import DesiredVersion, PassedTrial, ReplicaView
from tests.unit.model_service.engines import TWO, Multiplying
from tests.unit.model_service.engines import model as model_of


def version(id: int, model: str = "m", number: int | None = None, about: Manifest = TWO) -> DesiredVersion:
    return DesiredVersion(id, model, number or id, f"digest-{id}", about)


class FakeRegistry:
    """Wants what a test says; keeps what it is told."""

    def __init__(self) -> None:
        self.wanted: list[DesiredVersion] = []
        self.away = False
        self.beats: list[tuple[dict[str, dict[str, Any]], bool]] = []
        self.failures: dict[int, str] = {}
        self.forgotten: list[str] = []
        self.swept = 0
        self.passed: dict[str, PassedTrial] = {}
        self.others: list[ReplicaView] = []

    async def list_desired(self) -> list[DesiredVersion]:
        if self.away:
            raise ConnectionError("the database is away")
        return [wanted for wanted in self.wanted if wanted.version_id not in self.failures]

    async def mark_failed(self, version_id: int, reason: str) -> None:
        self.failures[version_id] = reason

    async def beat(
        self, replica_id: str, url: str, versions: dict[str, dict[str, Any]], *, settled: bool, draining: bool
    ) -> None:
        self.beats.append((versions, draining))

    async def forget(self, replica_id: str) -> None:
        self.forgotten.append(replica_id)

    async def forget_stale(self, older_than_s: float) -> None:
        self.swept += 1

    async def replicas(self) -> list[ReplicaView]:
        return self.others

    async def find_passed_trial(self, digest: str, runtime: str, processor: str) -> PassedTrial | None:
        return self.passed.get(digest)

    async def remember_trial(self, digest: str, runtime: str, processor: str, alone: str | None) -> None:
        self.passed[digest] = PassedTrial(alone)


class Worker:
    """A reconciler over fakes. `trials` and `opened` are the digests and versions that it tried and loaded."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.registry = FakeRegistry()
        self.models = Models()
        self.trials = 0
        self.opened: list[int] = []
        self.engines: dict[int, Multiplying] = {}
        self.trial_error: Exception | None = None
        self.trial_takes: asyncio.Event | None = None  # where it is there, no trial ends before it is set
        self.hanging: set[str] = set()  # models whose trials never end
        self.opening = 0
        self.trial_alone: str | None = None
        self.open_error: Exception | None = None
        self.missing: Exception | None = None
        self.gate = Event()  # nothing opens before it is set
        self.gate.set()
        self.runs: Event | None = None  # where it is there, no engine's run ends before it is set
        self._folder = folder
        self.reconciler = Reconciler(
            self.registry,
            self,
            self.models,
            WorkerSettings(**{"unload_grace_s": 0, "poll_s": 0.01, "cache_dir": folder, **settings}),
            replica_id="w1",
            url="http://w1",
            trial=self._trial,
            open_model=self._open,
        )

    async def materialise(self, manifest: Manifest, folder: Path) -> Path:
        if self.missing is not None:
            raise self.missing
        return self._folder

    async def step(self, *wanted: DesiredVersion) -> None:
        self.registry.wanted = list(wanted)
        await self.reconciler.step()

    async def settle(self, *wanted: DesiredVersion) -> dict[int, str]:
        """Step until nothing is loading or unloading any more; the states."""
        await self.step(*wanted)
        async with asyncio.timeout(30):
            while {"loading", "unloading"} & set(self.states.values()):
                await asyncio.sleep(0.001)
                await self.reconciler.step()
        return self.states

    @property
    def states(self) -> dict[int, str]:
        return {slot.version.version_id: slot.state for slot in self.reconciler.slots}

    @property
    def loaded(self) -> list[tuple[str, int]]:
        return sorted((model.name, model.number) for model in self.models)

    async def _trial(self, manifest: Manifest, folder: Path, *, threads: int, timeout_s: float) -> str | None:
        self.trials += 1
        if manifest.name in self.hanging:
            await asyncio.Event().wait()
        if self.trial_takes is not None:
            await self.trial_takes.wait()
        if self.trial_error is not None:
            raise self.trial_error
        return self.trial_alone

    def _open(
        self,
        name: str,
        number: int,
        manifest: Manifest,
        folder: Path,
        *,
        threads: int,
        start_s: float,
        output_bytes: int,
    ) -> LoadedModel:
        self.opening += 1
        assert self.gate.wait(30)
        if self.open_error is not None:
            raise self.open_error
        self.opened.append(number)
        self.engines[number] = Multiplying(self.runs)
        return model_of(self.engines[number], manifest, number, name)


def told(worker: Worker) -> dict[str, str]:
    """What the registry was told last."""
    return {id: said["state"] for id, said in worker.registry.beats[-1][0].items()}


def replica(id: str, versions: dict[str, dict[str, Any]]) -> ReplicaView:
    return ReplicaView(id, f"http://{id}", True, False, 1, datetime.now(UTC), versions)


def named(id: int, name: str) -> DesiredVersion:
    return version(id, name, about=TWO.model_copy(update={"name": name}))


async def try_again(worker: Worker, *wanted: DesiredVersion) -> None:
    await try_once_more(worker, *wanted)
    await worker.settle(*wanted)


async def try_once_more(worker: Worker, *wanted: DesiredVersion) -> None:
    for slot in worker.reconciler.slots:
        slot.retry_at = 0.0
    await worker.step(*wanted)

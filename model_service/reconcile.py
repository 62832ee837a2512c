"""Makes what is loaded what the registry wants, and tells it what is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final, Literal, Protocol

from model_service.golden import GoldenMismatch
from model_service.models import LoadedModel, Models, give_memory_back
from model_service.settings import WorkerSettings
from model_service.trial import TrialFailed, processor, run_trial, runtime
from model_service.warmup import WarmUpFailed, warm_up
from storage.errors import CorruptFile, InvalidArtifact, MissingFile
from storage.manifest import Manifest
from storage.views import DesiredVersion, ReplicaView

log = logging.getLogger(__name__)

State = Literal["loading", "ready", "failed", "unloading"]
Open = Callable[..., LoadedModel]
Trial = Callable[..., Awaitable[None]]

LOADS_AT_ONCE: Final = 2
LONGEST_BACKOFF_S: Final = 60.0
# A worker that was killed could not take its leave: the others see to that.
FORGOTTEN_AFTER_S: Final = 60.0
# Whatever else goes wrong (no such device, no memory, no answer from the artifact store) is this machine's fault.
VERSION_AT_FAULT: Final = (TrialFailed, GoldenMismatch, WarmUpFailed, CorruptFile, InvalidArtifact, MissingFile)


class Registry(Protocol):
    """What a worker asks of the registry and tells it."""

    async def desired(self) -> list[DesiredVersion]: ...
    async def mark_failed(self, version_id: int, reason: str) -> Any: ...
    async def beat(
        self, replica_id: str, url: str, versions: dict[str, dict[str, Any]], draining: bool = False
    ) -> Any: ...
    async def forget(self, replica_id: str) -> Any: ...
    async def forget_stale(self, older_than_s: float) -> Any: ...
    async def replicas(self) -> list[ReplicaView]: ...
    async def trial_passed(self, digest: str, runtime: str, processor: str) -> bool: ...
    async def remember_trial(self, digest: str, runtime: str, processor: str) -> Any: ...


class Artifacts(Protocol):
    """Where a version's files come from."""

    async def materialise(self, manifest: Manifest, folder: Path) -> Path: ...


@dataclass(slots=True, eq=False)
class Slot:
    """A version on this worker. `unload_at` and `retry_at` are monotonic seconds."""

    version: DesiredVersion
    state: State = "loading"
    reason: str | None = None
    model: LoadedModel | None = None
    attempts: int = 0
    retry_at: float = 0.0
    unload_at: float | None = None


class Reconciler:
    """Run `run()` as a task; `drain()` and then `close()` end it.

    `settled` is set once everything that was wanted at the start is loaded, or known not to load here.
    """

    def __init__(
        self,
        registry: Registry,
        artifacts: Artifacts,
        models: Models,
        settings: WorkerSettings,
        *,
        replica_id: str,
        url: str,
        trial: Trial = run_trial,
        open_model: Open = LoadedModel.open,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._models = models
        self._settings = settings
        self._replica_id = replica_id
        self._url = url
        self._trial = trial
        self._open = open_model
        self._slots: dict[int, Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)
        self._changed = asyncio.Event()
        self._reachable = True
        self._sweep_at = 0.0
        self.draining = False
        self.settled = asyncio.Event()

    @property
    def slots(self) -> Iterable[Slot]:
        return self._slots.values()

    async def run(self) -> None:
        """Reconcile and beat, every `poll_s` and whenever a load ends. A registry that is away changes nothing."""
        while True:
            self._changed.clear()
            try:
                await self.step()
            except Exception as error:
                if self._reachable:
                    log.warning("the registry does not answer, what is loaded keeps serving: %s", error or repr(error))
                self._reachable = False
            else:
                if not self._reachable:
                    log.info("the registry answers again")
                self._reachable = True
            try:
                async with asyncio.timeout(self._settings.poll_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def step(self) -> None:
        """Ask what is wanted, begin to load and unload accordingly, beat. Loading goes on after it returns."""
        async with asyncio.timeout(self._settings.registry_timeout_s):
            wanted = {version.version_id: version for version in await self._registry.desired()}
            self._begin(wanted, monotonic())
            await self._beat()
            if monotonic() >= self._sweep_at:
                self._sweep_at = monotonic() + FORGOTTEN_AFTER_S
                await self._registry.forget_stale(FORGOTTEN_AFTER_S)

    async def drain(self) -> None:
        """Say, here and to the registry, that no more requests should come. What is loaded keeps serving."""
        self.draining = True
        try:
            async with asyncio.timeout(self._settings.registry_timeout_s):
                await self._beat()
        except Exception as error:
            log.warning("could not tell the registry that this worker is draining: %s", error or repr(error))

    async def close(self) -> None:
        """Stop loading, answer what is queued, unload everything and leave the registry."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for model in list(self._models):
            self._models.remove(model)
            await model.close()
        try:
            async with asyncio.timeout(self._settings.registry_timeout_s):
                await self._registry.forget(self._replica_id)
        except Exception as error:
            log.warning("could not leave the registry: %s", error or repr(error))

    def _begin(self, wanted: Mapping[int, DesiredVersion], now: float) -> None:
        for version_id, version in wanted.items():
            slot = self._slots.get(version_id)
            if slot is None:
                slot = self._slots[version_id] = Slot(version)
                self._spawn(self._load(slot))
            elif slot.state == "failed" and now >= slot.retry_at:
                slot.state = "loading"
                self._spawn(self._load(slot))
            elif slot.state == "unloading" and slot.model is not None:
                slot.state, slot.unload_at = "ready", None
        # Until what replaces it is ready here, a version goes on answering: a promotion costs no request.
        replacing = {s.version.model for id, s in self._slots.items() if id in wanted and s.state != "ready"}
        for version_id in self._slots.keys() - wanted.keys():
            slot = self._slots[version_id]
            if slot.state == "failed":
                del self._slots[version_id]
            elif slot.state == "ready" and slot.version.model not in replacing:
                slot.state, slot.unload_at = "unloading", now + self._settings.unload_grace_s
            if slot.unload_at is not None and now >= slot.unload_at:
                slot.unload_at = None
                self._spawn(self._unload(slot))
        if all(slot.state != "loading" for slot in self._slots.values()):
            self.settled.set()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._changed.set())

    async def _beat(self) -> None:
        versions = {str(number): {"state": s.state, "reason": s.reason} for number, s in self._slots.items()}
        await self._registry.beat(self._replica_id, self._url, versions, draining=self.draining)

    async def _load(self, slot: Slot) -> None:
        version = slot.version
        try:
            async with self._loads:
                slot.model = await self._open_checked(version)
        except Exception as error:
            await asyncio.to_thread(give_memory_back)
            await self._fail(slot, error)
            return
        await asyncio.to_thread(give_memory_back)  # a third of what loading took was for the time of loading
        self._models.add(slot.model)
        slot.state, slot.reason, slot.attempts = "ready", None, 0
        log.info("%s version %d is ready", version.model, version.number)

    async def _open_checked(self, version: DesiredVersion) -> LoadedModel:
        manifest, threads = version.manifest, self._settings.threads_or_cores()
        folder = await self._artifacts.materialise(manifest, self._settings.cache_dir)
        if not await self._registry.trial_passed(version.digest, runtime(), processor()):
            log.info("%s version %d: trial load", version.model, version.number)
            await self._trial(manifest, folder, threads=threads, timeout_s=self._settings.trial_timeout_s)
            await self._registry.remember_trial(version.digest, runtime(), processor())
        model = await asyncio.to_thread(self._open, version.model, version.number, manifest, folder, threads=threads)
        try:
            await warm_up(model, folder)
        except BaseException:
            await model.close()
            raise
        return model

    async def _fail(self, slot: Slot, error: Exception) -> None:
        version = slot.version
        slot.reason = str(error) or repr(error)
        slot.attempts += 1
        slot.retry_at = monotonic() + min(2.0**slot.attempts, LONGEST_BACKOFF_S)
        slot.state = "failed"
        log.warning("%s version %d does not load: %s", version.model, version.number, slot.reason)
        try:
            if isinstance(error, VERSION_AT_FAULT) and not await self._serves_elsewhere(version.version_id):
                await self._registry.mark_failed(version.version_id, slot.reason)
        except Exception as unreachable:
            log.warning("could not tell the registry about it, the load will be tried again: %s", unreachable)

    async def _serves_elsewhere(self, version_id: int) -> bool:
        """A version that another worker serves is not to be taken away from it because it fails here."""
        others = [replica for replica in await self._registry.replicas() if replica.id != self._replica_id]
        return any(replica.versions.get(str(version_id), {}).get("state") == "ready" for replica in others)

    async def _unload(self, slot: Slot) -> None:
        model, slot.model = slot.model, None
        assert model is not None, "only what was loaded is unloaded"
        self._models.remove(model)
        await model.close()
        del model
        await asyncio.to_thread(give_memory_back)
        self._slots.pop(slot.version.version_id)
        log.info("%s version %d is unloaded", slot.version.model, slot.version.number)

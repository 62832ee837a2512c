"""Reconciles this worker with the registry: decides what is loaded and unloaded, and reports what is there."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Set
from time import monotonic
from typing import Any, Final, Protocol

from model_service import artifact_cache
from model_service.lifecycle import Failures, Lifecycle
from model_service.loading import Artifacts, Loading, Open, Trial, Trials
from model_service.models import Models
from model_service.opening import open_isolated
from model_service.settings import WorkerSettings
from model_service.slots import Slot
from model_service.trial import run_trial
from storage.errors import Unavailable
from storage.views import DesiredVersion

log = logging.getLogger(__name__)

# A worker that was killed could not take its leave: the others see to that.
FORGOTTEN_AFTER_S: Final = 60.0
# How long an artifact that no version here needs stays in the cache, for other workers that share it.
UNUSED_ARTIFACT_S: Final = 3600.0


class Registry(Trials, Failures, Protocol):
    """What a worker asks of the registry and tells it."""

    async def list_desired(self) -> list[DesiredVersion]: ...
    async def beat(
        self, replica_id: str, url: str, versions: dict[str, dict[str, Any]], *, settled: bool, draining: bool
    ) -> Any: ...
    async def forget(self, replica_id: str) -> Any: ...
    async def forget_stale(self, older_than_s: float) -> Any: ...


class Reconciler:
    """Run `run()` as a task; `drain()` and then `close()` end it.

    `settled` is set once what was wanted and serving before this worker started is loaded, or known not to load here.
    What nobody has served yet, and may hang in its trial, is not waited for.
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
        open_model: Open = open_isolated,
    ) -> None:
        self._registry = registry
        self.settled = asyncio.Event()
        self._loading = Loading(registry, artifacts, settings, self.settled, trial, open_model)
        self._models = models
        self._settings = settings
        self.replica_id = replica_id
        self._url = url
        self._slots: dict[int, Slot] = {}
        self._lifecycle = Lifecycle(registry, self._loading, models, settings, self._slots, replica_id)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._trouble: str | None = None
        self._sweep_at = 0.0
        self.draining = False

    @property
    def slots(self) -> Iterable[Slot]:
        return self._slots.values()

    async def run(self) -> None:
        """Reconcile and beat, every `poll_s` and whenever a load ends. A registry that is away changes nothing."""
        while True:
            self._changed.clear()
            for model in self._models:
                model.revive()
            try:
                await self.step()
            except Exception as error:
                self._report(error)
            else:
                if self._trouble is not None:
                    log.info("the registry is read again")
                self._trouble = None
            try:
                async with asyncio.timeout(self._settings.poll_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def step(self) -> None:
        """Ask what is wanted, begin to load and unload accordingly, beat. Loading goes on after it returns."""
        async with asyncio.timeout(self._settings.registry_timeout_s):
            wanted = {version.version_id: version for version in await self._registry.list_desired()}
            await self._begin(wanted, await self._incomplete(wanted), monotonic())
            await self._beat()
            if monotonic() >= self._sweep_at:
                self._sweep_at = monotonic() + FORGOTTEN_AFTER_S
                wanted_here = {slot.version.digest for slot in self._slots.values()}
                self._spawn(
                    asyncio.to_thread(artifact_cache.sweep, self._settings.cache_dir, wanted_here, UNUSED_ARTIFACT_S)
                )
                await self._registry.forget_stale(FORGOTTEN_AFTER_S)

    async def drain(self) -> None:
        """Report, here and to the registry, that no more requests should come. Loaded versions go on serving."""
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
        models = list(self._models)
        for model in models:
            self._models.remove(model)
        await asyncio.gather(*(model.close(self._settings.stop_timeout_s) for model in models))
        try:
            async with asyncio.timeout(self._settings.registry_timeout_s):
                await self._registry.forget(self.replica_id)
        except Exception as error:
            log.warning("could not leave the registry: %s", error or repr(error))

    def _report(self, error: Exception) -> None:
        trouble = f"{type(error).__name__}: {error}"
        if trouble == self._trouble:
            return  # it is asked twice a second
        self._trouble = trouble
        if isinstance(error, Unavailable | OSError):  # time-outs are among them
            log.warning("the registry does not answer, what is loaded keeps serving: %s", trouble)
        else:
            log.error("could not reconcile, what is loaded keeps serving: %s", trouble, exc_info=error)

    async def _incomplete(self, wanted: Mapping[int, DesiredVersion]) -> set[str]:
        """Models of which this worker or another does not have ready all that is wanted."""
        if wanted.keys() >= self._slots.keys():  # nothing here waits to be unloaded
            return set()
        ready = [{str(id) for id, slot in self._slots.items() if slot.state == "ready"}]
        for replica in await self._registry.replicas():
            if not replica.draining and replica.id != self.replica_id:
                ready.append({id for id, there in replica.versions.items() if there["state"] == "ready"})
        return {version.model for id, version in wanted.items() if any(str(id) not in there for there in ready)}

    async def _begin(self, wanted: Mapping[int, DesiredVersion], incomplete: Set[str], now: float) -> None:
        proven = await self._proven([wanted[id] for id in wanted.keys() - self._slots.keys()])
        for version_id, version in wanted.items():
            slot = self._slots.get(version_id)
            if slot is None:
                slot = self._slots[version_id] = Slot(version, proven=version_id in proven)
                slot.loading = self._spawn(self._lifecycle.load(slot))
            elif slot.state == "ready" and slot.model is not None and slot.model.lost is not None:
                slot.state = "unloading"
                self._spawn(self._lifecycle.lose(slot, slot.model, slot.model.lost))
            elif slot.state == "failed" and now >= slot.retry_at:
                slot.state = "loading"
                slot.loading = self._spawn(self._lifecycle.load(slot))
            elif slot.state == "unloading" and slot.model is not None:
                slot.state, slot.unload_at = "ready", None
        # Until what replaces it is ready on every worker, a version goes on answering: a promotion costs no request. On
        # every one, as those that have it may go, and behind a load balancer a version is asked for once all have it.
        for version_id in self._slots.keys() - wanted.keys():
            slot = self._slots[version_id]
            if slot.state == "loading" and slot.loading is not None:
                slot.loading.cancel()  # a trial that nobody wants any more would hold up those that wait for theirs
            if slot.state in ("failed", "loading"):
                del self._slots[version_id]
            elif slot.state == "ready" and slot.version.model not in incomplete:
                slot.state, slot.unload_at = "unloading", now + self._settings.unload_grace_s
            if slot.unload_at is not None and now >= slot.unload_at:
                slot.unload_at = None
                self._spawn(self._lifecycle.unload(slot))
        # What has failed once is known not to load here, for now, also while it is tried again.
        if not any(slot.proven and slot.state == "loading" and not slot.attempts for slot in self._slots.values()):
            self.settled.set()

    async def _proven(self, versions: Collection[DesiredVersion]) -> set[int]:
        """Which of them have served before, here or elsewhere."""
        if not versions:
            return set()
        found = {
            int(id)
            for replica in await self._registry.replicas()
            for id, there in replica.versions.items()
            if there["state"] == "ready" and replica.id != self.replica_id
        }
        for version in versions:
            if version.version_id not in found and await self._loading.find_passed_trial(version):
                found.add(version.version_id)
        return found

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._changed.set())
        return task

    async def _beat(self) -> None:
        versions = {str(version_id): slot.report() for version_id, slot in self._slots.items()}
        await self._registry.beat(
            self.replica_id, self._url, versions, settled=self.settled.is_set(), draining=self.draining
        )

"""Makes what is loaded what the registry wants, and tells it what is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final, Literal, Protocol, get_args

from model_service import laid_out
from model_service.golden import GoldenMismatch
from model_service.models import LoadedModel, Models, give_memory_back
from model_service.settings import WorkerSettings
from model_service.trial import TrialFailed, TrialTimedOut, machine_at_fault, processor, run_trial, runtime
from model_service.warmup import WarmUpFailed, warm_up
from storage.errors import CorruptFile, InvalidArtifact, Unavailable
from storage.manifest import Manifest
from storage.views import DesiredVersion, ReplicaView

log = logging.getLogger(__name__)

State = Literal["loading", "ready", "failed", "unloading"]
STATES: Final[tuple[State, ...]] = get_args(State)
Open = Callable[..., LoadedModel]
Trial = Callable[..., Awaitable[str | None]]

LOADS_AT_ONCE: Final = 2
LONGEST_BACKOFF_S: Final = 60.0
# A worker that was killed could not take its leave: the others see to that.
FORGOTTEN_AFTER_S: Final = 60.0
# Whatever else goes wrong (no such device, no memory, no answer from the artifact store or not the file) is no fault of
# the version's, and so are these where memory or the disk is behind them.
VERSION_AT_FAULT: Final = (TrialFailed, GoldenMismatch, WarmUpFailed, CorruptFile, InvalidArtifact)
# A graph that hangs and a machine that is too busy look alike, until it has happened this often in a row.
TIMEOUTS: Final = 3
# While another worker still loads a version it may prove good there. But workers that keep failing, each at its own
# pace, must not wait for one another for ever.
ATTEMPTS_BESIDE_OTHERS: Final = 5
# How long an artifact that no version here needs stays laid out, for the workers beside this one.
LAID_OUT_S: Final = 3600.0


class Registry(Protocol):
    """What a worker asks of the registry and tells it."""

    async def desired(self) -> list[DesiredVersion]: ...
    async def mark_failed(self, version_id: int, reason: str) -> Any: ...
    async def beat(
        self, replica_id: str, url: str, versions: dict[str, dict[str, Any]], *, settled: bool, draining: bool
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
    timeouts: int = 0
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
        self._trouble: str | None = None
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
            wanted = {version.version_id: version for version in await self._registry.desired()}
            self._begin(wanted, await self._incomplete(wanted), monotonic())
            await self._beat()
            if monotonic() >= self._sweep_at:
                self._sweep_at = monotonic() + FORGOTTEN_AFTER_S
                wanted_here = {slot.version.digest for slot in self._slots.values()}
                self._spawn(asyncio.to_thread(laid_out.sweep, self._settings.cache_dir, wanted_here, LAID_OUT_S))
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
        models = list(self._models)
        for model in models:
            self._models.remove(model)
        await asyncio.gather(*(model.close(self._settings.stop_timeout_s) for model in models))
        try:
            async with asyncio.timeout(self._settings.registry_timeout_s):
                await self._registry.forget(self._replica_id)
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
            if not replica.draining and replica.id != self._replica_id:
                ready.append({id for id, there in replica.versions.items() if there["state"] == "ready"})
        return {version.model for id, version in wanted.items() if any(str(id) not in there for there in ready)}

    def _begin(self, wanted: Mapping[int, DesiredVersion], incomplete: Set[str], now: float) -> None:
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
        # Until what replaces it is ready on every worker, a version goes on answering: a promotion costs no request. On
        # every one, as those that have it may go, and behind a load balancer a version is asked for once all have it.
        for version_id in self._slots.keys() - wanted.keys():
            slot = self._slots[version_id]
            if slot.state == "failed":
                del self._slots[version_id]
            elif slot.state == "ready" and slot.version.model not in incomplete:
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
        await self._registry.beat(
            self._replica_id, self._url, versions, settled=self.settled.is_set(), draining=self.draining
        )

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
        await asyncio.to_thread(laid_out.touch, self._settings.cache_dir, version.digest)
        folder = await self._artifacts.materialise(manifest, self._settings.cache_dir)
        if not await self._registry.trial_passed(version.digest, runtime(), processor()):
            log.info("%s version %d: trial load", version.model, version.number)
            warning = await self._trial(manifest, folder, threads=threads, timeout_s=self._settings.trial_timeout_s)
            if warning is not None:
                log.warning("%s version %d: %s", version.model, version.number, warning)
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
        slot.timeouts = slot.timeouts + 1 if isinstance(error, TrialTimedOut) else 0
        at_fault = isinstance(error, VERSION_AT_FAULT) and not machine_at_fault(error)
        slot.retry_at = monotonic() + min(2.0**slot.attempts, LONGEST_BACKOFF_S)
        slot.state = "failed"
        log.warning("%s version %d does not load: %s", version.model, version.number, slot.reason)
        try:
            if (at_fault or slot.timeouts >= TIMEOUTS) and not await self._may_serve_elsewhere(slot):
                await self._registry.mark_failed(version.version_id, slot.reason)
        except Exception as unreachable:
            log.warning("could not tell the registry about it, the load will be tried again: %s", unreachable)

    async def _may_serve_elsewhere(self, slot: Slot) -> bool:
        """A version that another worker serves is not to be taken away from it because it fails here."""
        id_ = str(slot.version.version_id)
        others = [replica for replica in await self._registry.replicas() if replica.id != self._replica_id]
        states = {replica.versions.get(id_, {}).get("state") for replica in others}
        return "ready" in states or ("loading" in states and slot.attempts < ATTEMPTS_BESIDE_OTHERS)

    async def _unload(self, slot: Slot) -> None:
        model, slot.model = slot.model, None
        assert model is not None, "only what was loaded is unloaded"
        self._models.remove(model)
        try:
            await model.close(self._settings.stop_timeout_s)
        except Exception:
            log.exception("%s version %d did not unload cleanly", slot.version.model, slot.version.number)
        finally:
            # Whatever happened: while the slot is there, the version can't be loaded again.
            self._slots.pop(slot.version.version_id)
        del model
        await asyncio.to_thread(give_memory_back)
        log.info("%s version %d is unloaded", slot.version.model, slot.version.number)

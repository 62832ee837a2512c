"""Loads one version: its files, its trial unless it has passed one, its engine, its first requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol

from model_service import artifact_cache
from model_service.engines.base import OUTPUT_BYTES
from model_service.loaded_model import LoadedModel
from model_service.settings import WorkerSettings
from model_service.slots import Slot
from model_service.trial import processor, runtime
from model_service.warmup import check_size, warm_up
from storage.manifest import Manifest
from storage.views import DesiredVersion, PassedTrial

log = logging.getLogger(__name__)

Open = Callable[..., LoadedModel]
Trial = Callable[..., Awaitable[str | None]]

# How many versions are loaded at once: as many as this worker has cores, since a graph is loaded on one thread, but not
# so many that what loading takes for itself fills the memory. Two cores are busy with two.
FEWEST_LOADS, MOST_LOADS = 2, 8
# A trial may hang until it is ended: it keeps nothing waiting but other trials, and once it was ended so, not those.
TRIALS_AT_ONCE: Final = 2
OVERDUE_AT_ONCE: Final = 1


class Trials(Protocol):
    """Where trials that were passed are remembered."""

    async def find_passed_trial(self, digest: str, runtime: str, processor: str) -> PassedTrial | None: ...
    async def remember_trial(self, digest: str, runtime: str, processor: str, alone: str | None) -> Any: ...


class Artifacts(Protocol):
    """Where a version's files come from."""

    async def materialise(self, manifest: Manifest, folder: Path) -> Path: ...


class Loading:
    """Loads versions, each in its turn: what has passed its trial before does not wait for trials.

    No trial begins before `settled`, as it may burn a core for as long as it is let: what served before comes first.
    `trial` and `open_model` are `run_trial` and `open_isolated`, or what a test has in their place.
    """

    def __init__(
        self,
        trials: Trials,
        artifacts: Artifacts,
        settings: WorkerSettings,
        settled: asyncio.Event,
        trial: Trial,
        open_model: Open,
    ) -> None:
        self._passed = trials
        self._artifacts = artifacts
        self._settings = settings
        self._settled = settled
        self._trial = trial
        self._open = open_model
        self._loads = asyncio.Semaphore(min(max(settings.threads_or_cores(), FEWEST_LOADS), MOST_LOADS))
        self._trials = asyncio.Semaphore(TRIALS_AT_ONCE)
        self._overdue = asyncio.Semaphore(OVERDUE_AT_ONCE)
        # Of its own: what hangs while it is opened takes no thread from requests.
        self._threads = ThreadPoolExecutor(MOST_LOADS + OVERDUE_AT_ONCE, thread_name_prefix="load")

    async def load(self, slot: Slot) -> LoadedModel:
        """The version, warmed up. Raises whatever keeps it from that; see `verdict`."""
        if (passed := await self.find_passed_trial(slot.version)) is None:
            if not slot.proven:
                await self._settled.wait()
            async with self._turn(slot, self._loads if slot.proven else self._trials):
                passed = await self._try(slot)
        async with self._turn(slot, self._loads):
            return await self._open_passed(slot, passed)

    async def find_passed_trial(self, version: DesiredVersion) -> PassedTrial | None:
        """Its trial under this runtime, on this kind of processor."""
        return await self._passed.find_passed_trial(version.digest, runtime(version.manifest.runtime), processor())

    @asynccontextmanager
    async def _turn(self, slot: Slot, places: asyncio.Semaphore) -> AsyncIterator[None]:
        """One of the `places`, or of those for what took too long the last time."""
        async with self._overdue if slot.overdue else places:
            began = monotonic()
            try:
                yield
            finally:
                slot.overdue = monotonic() - began >= self._settings.trial_timeout_s

    async def _try(self, slot: Slot) -> PassedTrial:
        version = slot.version
        check_size(version.manifest, self._settings.max_body_bytes)
        log.info("%s: trial load", slot)
        folder = await self._materialise(version)
        threads, timeout_s = self._settings.threads_or_cores(), self._settings.trial_timeout_s
        alone = await self._trial(version.manifest, folder, threads=threads, timeout_s=timeout_s)
        await self._passed.remember_trial(version.digest, runtime(version.manifest.runtime), processor(), alone)
        return PassedTrial(alone)

    async def _materialise(self, version: DesiredVersion) -> Path:
        await asyncio.to_thread(artifact_cache.touch, self._settings.cache_dir, version.digest)
        return await self._artifacts.materialise(version.manifest, self._settings.cache_dir)

    async def _open_passed(self, slot: Slot, passed: PassedTrial) -> LoadedModel:
        version, manifest = slot.version, slot.version.manifest
        folder = await self._materialise(version)
        slot.alone = passed.alone
        if passed.alone is not None:
            log.warning("%s: each request runs alone and whole: %s", slot, passed.alone)
            manifest = manifest.alone(passed.alone)
        start_s = self._settings.trial_timeout_s
        opening = asyncio.get_running_loop().run_in_executor(
            self._threads,
            partial(
                self._open, version.model, version.number, manifest, folder,
                threads=self._settings.threads_or_cores(),
                start_s=start_s,
                # Several answers of the largest size: of a graph's outputs a task may answer little.
                output_bytes=max(OUTPUT_BYTES, 4 * self._settings.max_answer_bytes),
            ),
        )  # fmt: skip
        try:
            model = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)  # a thread can't be stopped, and what it opens has a process
            raise
        try:
            async with asyncio.timeout(start_s):
                await warm_up(model, folder)
        except TimeoutError:  # and yet it has passed its trial
            await model.close(self._settings.stop_timeout_s)
            raise TimeoutError(f"the warm-up takes longer than {start_s:g} s") from None
        except BaseException:
            await model.close(self._settings.stop_timeout_s)
            raise
        model.count_anew()
        return model


def _close_opened(opening: asyncio.Future[LoadedModel]) -> None:
    if opening.exception() is None:
        opening.get_loop().create_task(opening.result().close())

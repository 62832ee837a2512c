"""What becomes of a version on this worker: it is loaded, fails, is lost with its engine, is unloaded."""

import asyncio
import logging
from typing import Any, Protocol

from model_service import memory
from model_service.engines.base import EngineLost
from model_service.loaded_model import LoadedModel
from model_service.loading import Loading
from model_service.models import Models
from model_service.settings import WorkerSettings
from model_service.slots import Slot
from model_service.verdict import is_hopeless, take_down
from storage.views import ReplicaView

log = logging.getLogger(__name__)


class Failures(Protocol):
    """Where a worker says that a version loads nowhere, having read what the others say of it."""

    async def mark_failed(self, version_id: int, reason: str) -> Any: ...
    async def replicas(self) -> list[ReplicaView]: ...


class Lifecycle:
    """Takes versions from one state to the next. `slots` are those of this worker, `replica_id`, by version."""

    def __init__(
        self,
        failures: Failures,
        loading: Loading,
        models: Models,
        settings: WorkerSettings,
        slots: dict[int, Slot],
        replica_id: str,
    ) -> None:
        self._failures = failures
        self._loading = loading
        self._models = models
        self._settings = settings
        self._slots = slots
        self._replica_id = replica_id

    async def load(self, slot: Slot) -> None:
        """Load the version; where it does not load, have the slot say so."""
        try:
            slot.model = await self._loading.load(slot)
        except Exception as error:
            await self._fail(slot, error)
            return
        self._models.add(slot.model)
        slot.state, slot.reason, slot.attempts, slot.timeouts, slot.proven = "ready", None, 0, 0, True
        log.info("%s is ready", slot)

    async def lose(self, slot: Slot, model: LoadedModel, why: str) -> None:
        """Take down a version that cannot answer any more, so that other workers are asked, and load it again."""
        slot.model = None
        self._models.remove(model)
        try:
            await model.close(self._settings.stop_timeout_s)
        finally:
            await self._fail(slot, EngineLost(why))

    async def unload(self, slot: Slot) -> None:
        """Take the version from those that answer, and the slot away."""
        model, slot.model = slot.model, None
        assert model is not None, "only what was loaded is unloaded"
        self._models.remove(model)
        try:
            await model.close(self._settings.stop_timeout_s)
        except Exception:
            log.exception("%s did not unload cleanly", slot)
        finally:
            # Whatever happened: while the slot is there, the version can't be loaded again.
            self._slots.pop(slot.version.version_id)
        for other in self._slots.values():
            if not other.lacking:
                other.retry_at = 0.0  # there is room again for what had found none
        del model
        await asyncio.to_thread(memory.give_back)
        log.info("%s is unloaded", slot)

    async def _fail(self, slot: Slot, error: Exception) -> None:
        take_down(slot, error, self._settings.cache_dir)
        try:
            if is_hopeless(slot, error, await self._elsewhere(slot)):
                await self._failures.mark_failed(slot.version.version_id, str(slot.reason))
        except Exception as unreachable:
            log.warning("could not tell the registry about it, the load will be tried again: %s", unreachable)

    async def _elsewhere(self, slot: Slot) -> list[dict[str, Any]]:
        """What the other workers report of the version."""
        id_ = str(slot.version.version_id)
        others = [replica for replica in await self._failures.replicas() if replica.id != self._replica_id]
        return [replica.versions[id_] for replica in others if id_ in replica.versions]

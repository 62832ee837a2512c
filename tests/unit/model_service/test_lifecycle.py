"""What becomes of a version on a worker: it fails beside others, is lost with its engine, is unloaded."""

from pathlib import Path

import pytest

from model_service.engines.base import EngineError
from model_service.engines.process import ProcessEngine
from model_service.trial import MachineUnfit, TrialFailed
from tests.unit.model_service.crashes import LOWEST, dividing, quotient
from tests.unit.model_service.engines import until
from tests.unit.model_service.workers import Worker, told, try_again, version


async def test_what_found_no_memory_is_tried_again_once_another_version_is_unloaded(worker: Worker) -> None:
    await worker.settle(version(1, "other"))
    worker.trial_error = MachineUnfit("out of memory")
    for _ in range(8):
        await try_again(worker, version(1, "other"), version(2))
    worker.trial_error = None
    assert await worker.settle(version(1, "other"), version(2)) == {1: "ready", 2: "failed"}
    await worker.settle(version(2))  # the other one goes
    assert await worker.settle(version(2)) == {2: "ready"}


async def test_a_version_whose_engine_does_not_close_can_be_loaded_again(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.engines[1].close_error = RuntimeError("stuck")
    assert await worker.settle() == {}
    assert await worker.settle(version(1)) == {1: "ready"}


async def test_a_failed_version_does_not_take_the_others_with_it(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.trial_error = TrialFailed("bad")
    await worker.step(version(1), version(2))
    await until(lambda: worker.registry.failures)
    assert await worker.settle(version(1), version(2)) == {1: "ready"}


async def test_a_version_whose_engine_is_lost_is_given_up_and_loaded_anew(worker: Worker, tmp_path: Path) -> None:
    await worker.settle(version(1))
    (slot,) = worker.reconciler.slots
    assert slot.model is not None
    slot.model._engine = lost(tmp_path)
    assert await worker.settle(version(1)) == {1: "failed"}
    assert told(worker) == {"1": "failed"}
    assert worker.loaded == []
    assert slot.reason is not None
    assert "does not load" in slot.reason or "cannot load" in slot.reason
    assert worker.registry.failures == {}  # it has served, and may do so again
    slot.retry_at = 0
    assert await worker.settle(version(1)) == {1: "ready"}
    assert worker.opened == [1, 1]


def lost(folder: Path) -> ProcessEngine:
    engine = ProcessEngine(dividing(folder), folder, threads=1)
    (folder / "model.onnx").unlink()
    for _ in range(2):
        with pytest.raises(EngineError):
            engine.run(quotient(LOWEST, -1))
    assert engine.lost
    return engine

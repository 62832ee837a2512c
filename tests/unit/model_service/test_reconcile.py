import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from model_service.engines.base import ProviderMissing
from model_service.reconcile import ATTEMPTS_BESIDE_OTHERS, TIMEOUTS, Reconciler
from model_service.settings import WorkerSettings
from model_service.trial import MachineUnfit, TrialFailed, TrialTimedOut
from storage.errors import CorruptFile, MissingFile, Unavailable
from storage.views import DesiredVersion, ReplicaView
from tests.unit.model_service.engines import TWO, until
from tests.unit.model_service.workers import FakeRegistry, Worker, version


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.gate.set()
    await worker.reconciler.close()


def told(worker: Worker) -> dict[str, str]:
    """What the registry was told last."""
    return {id: said["state"] for id, said in worker.registry.beats[-1][0].items()}


async def test_what_is_wanted_is_loaded_and_the_registry_told(worker: Worker) -> None:
    worker.gate.clear()
    await worker.step(version(1), version(2), version(3, "other"))
    assert told(worker) == {"1": "loading", "2": "loading", "3": "loading"}
    assert not worker.reconciler.settled.is_set()
    worker.gate.set()
    assert await worker.settle(*worker.registry.wanted) == {1: "ready", 2: "ready", 3: "ready"}
    assert worker.loaded == [("m", 1), ("m", 2), ("other", 3)]
    assert told(worker) == {"1": "ready", "2": "ready", "3": "ready"}
    assert worker.reconciler.settled.is_set()


async def test_what_is_loaded_is_not_loaded_again(worker: Worker) -> None:
    await worker.settle(version(1))
    await worker.settle(version(1), version(2))
    assert worker.opened == [1, 2]


async def test_what_is_wanted_no_more_is_unloaded_and_its_engine_given_back(worker: Worker) -> None:
    await worker.settle(version(1), version(2, "other"))
    assert await worker.settle(version(2, "other")) == {2: "ready"}
    assert worker.loaded == [("other", 2)]
    assert (worker.engines[1].closed, worker.engines[2].closed) == (True, False)


async def test_what_is_wanted_no_more_answers_for_as_long_as_gateways_need(tmp_path: Path) -> None:
    worker = Worker(tmp_path, unload_grace_s=3600)
    await worker.settle(version(1))
    await worker.step()
    await worker.step()
    assert (worker.loaded, worker.states, told(worker)) == ([("m", 1)], {1: "unloading"}, {"1": "unloading"})
    await worker.step(version(1))  # wanted again: it is still here
    assert (worker.states, worker.opened) == ({1: "ready"}, [1])
    await worker.reconciler.close()


async def test_the_old_version_is_ready_until_the_new_one_is(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.gate.clear()
    for _ in range(3):
        await worker.step(version(2))
    assert (worker.states, worker.loaded) == ({1: "ready", 2: "loading"}, [("m", 1)])
    worker.gate.set()
    assert await worker.settle(version(2)) == {2: "ready"}
    assert worker.loaded == [("m", 2)]


async def test_the_old_version_is_ready_until_the_new_one_is_on_every_worker(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.registry.others = [_replica("w2", {"2": {"state": "loading", "reason": None}})]
    assert await worker.settle(version(2)) == {1: "ready", 2: "ready"}
    await worker.step(version(2))
    assert told(worker) == {"1": "ready", "2": "ready"}
    worker.registry.others = [_replica("w2", {"2": {"state": "ready", "reason": None}})]
    assert await worker.settle(version(2)) == {2: "ready"}


async def test_a_worker_that_drains_holds_up_no_one(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.registry.others = [replace(_replica("w2", {}), draining=True)]
    assert await worker.settle(version(2)) == {2: "ready"}


async def test_a_trial_is_passed_once_and_remembered(worker: Worker) -> None:
    await worker.settle(version(1))
    await worker.settle()
    assert await worker.settle(version(1)) == {1: "ready"}
    assert (worker.opened, worker.trials) == ([1, 1], 1)


async def test_a_version_that_fails_its_trial_is_never_loaded_here(worker: Worker) -> None:
    worker.trial_error = TrialFailed("killed by SIGSEGV")
    await worker.step(version(1))
    await until(lambda: worker.registry.failures)
    assert worker.registry.failures == {1: "killed by SIGSEGV"}
    assert (worker.opened, worker.registry.passed) == ([], set())


async def test_a_golden_mismatch_keeps_a_version_from_being_ready(worker: Worker, tmp_path: Path) -> None:
    x = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
    outputs = [{**x, "name": "twice", "data": [2, 5]}]
    (tmp_path / "golden.json").write_bytes(orjson.dumps({"cases": [{"inputs": [x], "outputs": outputs}]}))
    await worker.step(version(1, about=TWO.model_copy(update={"golden": "golden.json"})))
    await until(lambda: worker.registry.failures)
    assert "golden case 1, output 'twice'" in worker.registry.failures[1]
    assert worker.loaded == []
    assert worker.engines[1].closed


async def test_files_that_are_not_what_was_published_fail_the_version(worker: Worker) -> None:
    worker.missing = CorruptFile("model.onnx is not what was stored")
    await worker.step(version(1))
    await until(lambda: worker.registry.failures)
    assert worker.registry.failures == {1: "model.onnx is not what was stored"}


def because(cause: Exception, error: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("trial_error", MachineUnfit("no cuda here")),
        ("open_error", ProviderMissing("no cuda here")),
        ("open_error", MemoryError("no cuda here")),
        ("missing", OSError("no cuda here")),
        ("missing", MissingFile("no cuda here")),
        ("missing", Unavailable("no cuda here")),
        ("missing", TimeoutError("no cuda here")),
        ("trial_error", TrialTimedOut("no cuda here")),
        ("trial_error", because(MemoryError(), TrialFailed("no cuda here"))),
        ("open_error", ImportError("no cuda here")),
    ],
)
async def test_what_is_this_machines_fault_is_told_but_not_held_against_the_version(
    worker: Worker, where: str, error: Exception
) -> None:
    setattr(worker, where, error)
    assert await worker.settle(version(1)) == {1: "failed"}
    assert worker.registry.beats[-1][0] == {"1": {"state": "failed", "reason": "no cuda here"}}
    assert worker.registry.failures == {}
    assert worker.reconciler.settled.is_set()  # one version that does not load here does not keep the others away


async def test_what_failed_here_is_tried_again_later(worker: Worker) -> None:
    worker.missing = OSError("the store is away")
    await worker.settle(version(1))
    await worker.settle(version(1))
    assert worker.states == {1: "failed"}  # not at once
    worker.missing = None
    (slot,) = worker.reconciler.slots
    slot.retry_at = 0.0
    assert await worker.settle(version(1)) == {1: "ready"}
    assert slot.reason is None


async def test_a_version_that_serves_elsewhere_is_not_taken_away_because_it_fails_here(worker: Worker) -> None:
    ready = {"1": {"state": "ready", "reason": None}}
    worker.registry.others = [_replica("w2", ready)]
    worker.trial_error = TrialFailed("killed by SIGILL")
    assert await worker.settle(version(1)) == {1: "failed"}
    assert worker.registry.failures == {}


async def try_again(worker: Worker, *wanted: DesiredVersion) -> None:
    for slot in worker.reconciler.slots:
        slot.retry_at = 0.0
    await worker.settle(*wanted)


async def test_a_version_whose_trial_never_ends_is_given_up_after_a_few_attempts_in_a_row(worker: Worker) -> None:
    worker.trial_error = TrialTimedOut("took too long")
    await worker.settle(version(1))
    worker.missing, busy = Unavailable(), worker.trial_error
    await try_again(worker, version(1))  # something else came between
    worker.missing = None
    for _ in range(TIMEOUTS - 1):
        await try_again(worker, version(1))
        assert worker.registry.failures == {}
    await try_again(worker, version(1))
    assert worker.registry.failures == {1: str(busy)}


async def test_a_version_that_another_worker_still_loads_is_given_up_only_when_it_goes_on_failing(
    worker: Worker,
) -> None:
    worker.registry.others = [_replica("w2", {"1": {"state": "loading", "reason": None}})]
    worker.trial_error = TrialFailed("bad")
    await worker.settle(version(1))
    for _ in range(ATTEMPTS_BESIDE_OTHERS - 2):
        await try_again(worker, version(1))
        assert worker.registry.failures == {}
    await try_again(worker, version(1))
    assert worker.registry.failures == {1: "bad"}


async def test_what_fails_here_leaves_the_version_that_it_should_replace(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.registry.others = [_replica("w2", {"2": {"state": "ready", "reason": None}})]
    worker.trial_error = TrialFailed("killed by SIGILL")
    assert await worker.settle(version(2)) == {1: "ready", 2: "failed"}


async def test_what_is_odd_about_a_version_that_passed_its_trial_is_told(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.trial_warning = "rows differ"
    assert await worker.settle(version(1)) == {1: "ready"}
    assert "m version 1: rows differ" in caplog.text


async def test_a_version_whose_engine_does_not_close_can_be_loaded_again(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.engines[1].close_error = RuntimeError("stuck")
    assert await worker.settle() == {}
    assert await worker.settle(version(1)) == {1: "ready"}


async def test_what_goes_wrong_is_told_as_what_it_is_and_once(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    running = asyncio.create_task(worker.reconciler.run())
    worker.registry.away = True
    await until(lambda: "the registry does not answer" in caplog.text)
    worker.registry.away = False
    worker.registry.wanted = [None]  # type: ignore[list-item]
    await until(lambda: "AttributeError" in caplog.text)
    await asyncio.sleep(0.05)
    assert caplog.text.count("the registry does not answer") == caplog.text.count("could not reconcile") == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_artifacts_that_nothing_needs_any_more_are_deleted(worker: Worker, tmp_path: Path) -> None:
    for digest in ("a" * 64, "b" * 64):
        (tmp_path / digest).mkdir()
        os.utime(tmp_path / digest, (0, 0))
    await worker.settle(replace(version(1), digest="a" * 64))
    await until(lambda: not (tmp_path / ("b" * 64)).exists())
    assert (tmp_path / ("a" * 64)).stat().st_mtime > 0


async def test_a_failed_version_does_not_take_the_others_with_it(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.trial_error = TrialFailed("bad")
    await worker.step(version(1), version(2))
    await until(lambda: worker.registry.failures)
    assert await worker.settle(version(1), version(2)) == {1: "ready"}


async def test_while_the_registry_is_away_everything_keeps_serving(worker: Worker) -> None:
    running = asyncio.create_task(worker.reconciler.run())
    worker.registry.wanted = [version(1)]
    await until(lambda: worker.loaded)
    worker.registry.away = True
    beats = len(worker.registry.beats)
    await asyncio.sleep(0.05)
    assert worker.loaded == [("m", 1)]
    worker.registry.away, worker.registry.wanted = False, [version(1), version(2)]
    await until(lambda: len(worker.loaded) == 2)
    assert len(worker.registry.beats) > beats
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_workers_that_are_long_gone_are_swept_out_but_not_at_every_step(worker: Worker) -> None:
    for _ in range(3):
        await worker.step()
    assert worker.registry.swept == 1


async def test_a_draining_worker_says_so_and_keeps_what_it_has(worker: Worker) -> None:
    await worker.settle(version(1))
    await worker.reconciler.drain()
    assert worker.registry.beats[-1] == ({"1": {"state": "ready", "reason": None}}, True)
    assert worker.loaded == [("m", 1)]


async def test_draining_succeeds_without_the_registry(tmp_path: Path) -> None:
    class Away(FakeRegistry):
        async def beat(self, *_: Any, **__: Any) -> None:
            raise ConnectionError

        async def forget(self, replica_id: str) -> None:
            raise ConnectionError

    worker = Worker(tmp_path)
    worker.reconciler = Reconciler(
        Away(), worker, worker.models, WorkerSettings(cache_dir=tmp_path), replica_id="w1", url="http://w1"
    )
    await worker.reconciler.drain()
    await worker.reconciler.close()
    assert worker.reconciler.draining


async def test_closing_unloads_everything_and_leaves_the_registry(worker: Worker) -> None:
    await worker.settle(version(1), version(2))
    await worker.reconciler.close()
    assert worker.loaded == []
    assert all(engine.closed for engine in worker.engines.values())
    assert worker.registry.forgotten == ["w1"]


def _replica(id: str, versions: dict[str, dict[str, Any]]) -> ReplicaView:
    return ReplicaView(id, f"http://{id}", True, False, 1, datetime.now(UTC), versions)

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_service.reconcile import Reconciler
from model_service.settings import WorkerSettings
from model_service.trial import TrialFailed
from storage.views import PassedTrial
from tests.unit.model_service.engines import until
from tests.unit.model_service.workers import (
    FakeRegistry,
    Worker,
    named,
    replica,
    told,
    try_once_more,
    version,
)


async def test_what_is_wanted_is_loaded_and_the_registry_told(worker: Worker) -> None:
    worker.gate.clear()
    await worker.step(version(1), version(2), version(3, "other"))
    assert told(worker) == {"1": "loading", "2": "loading", "3": "loading"}
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
    worker.registry.others = [replica("w2", {"2": {"state": "loading", "reason": None}})]
    assert await worker.settle(version(2)) == {1: "ready", 2: "ready"}
    await worker.step(version(2))
    assert told(worker) == {"1": "ready", "2": "ready"}
    worker.registry.others = [replica("w2", {"2": {"state": "ready", "reason": None}})]
    assert await worker.settle(version(2)) == {2: "ready"}


async def test_a_worker_that_drains_holds_up_no_one(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.registry.others = [replace(replica("w2", {}), draining=True)]
    assert await worker.settle(version(2)) == {2: "ready"}


async def test_what_fails_here_leaves_the_version_that_it_should_replace(worker: Worker) -> None:
    await worker.settle(version(1))
    worker.registry.others = [replica("w2", {"2": {"state": "ready", "reason": None}})]
    worker.trial_error = TrialFailed("killed by SIGILL")
    assert await worker.settle(version(2)) == {1: "ready", 2: "failed"}


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


async def test_a_worker_is_ready_once_it_has_what_was_serving_before(worker: Worker) -> None:
    worker.registry.passed = {"digest-1": PassedTrial(None)}
    worker.registry.others = [replica("w2", {"2": {"state": "ready"}})]
    worker.gate.clear()
    await worker.step(version(1), version(2), version(3))
    assert not worker.reconciler.settled.is_set()
    worker.gate.set()
    await worker.settle(version(1), version(2), version(3))
    assert worker.reconciler.settled.is_set()


async def test_a_worker_does_not_wait_for_what_nobody_has_served_yet(worker: Worker) -> None:
    worker.gate.clear()
    await worker.step(version(1))
    assert told(worker) == {"1": "loading"}
    assert worker.reconciler.settled.is_set()


async def test_a_worker_does_not_wait_for_what_has_failed_here_already(worker: Worker) -> None:
    worker.hanging = {"hangs"}
    worker.registry.passed = {"digest-2": PassedTrial(None)}
    worker.registry.others = [replica("w2", {"1": {"state": "ready"}})]
    worker.open_error = OSError("no memory")
    await worker.step(named(1, "hangs"), version(2))
    await until(lambda: worker.states[2] == "failed")
    worker.gate.clear()
    await try_once_more(worker, named(1, "hangs"), version(2))
    assert not worker.reconciler.settled.is_set()
    await worker.step(version(2))
    assert worker.states == {2: "loading"}
    assert worker.reconciler.settled.is_set()


async def test_a_trial_that_nobody_wants_any_more_ends(worker: Worker) -> None:
    worker.trial_takes = asyncio.Event()
    await worker.step(version(1), version(2))  # as many as may load at once
    await until(lambda: worker.trials == 2)
    await worker.step(version(3))
    worker.registry.passed = {"digest-3": PassedTrial(None)}
    assert await worker.settle(version(3)) == {3: "ready"}
    assert worker.loaded == [("m", 3)]


async def test_an_input_is_told_as_refused_also_by_a_worker_whose_engine_has_not_died_of_it(worker: Worker) -> None:
    await worker.settle(version(1))
    (model,) = worker.models
    model.refusals.add("fingerprint", "it ends the process", seconds=60)
    await worker.step(version(1))
    told = worker.registry.beats[-1][0]["1"]
    assert told["refused"]["fingerprint"]["reason"] == "it ends the process"
    assert "suspect" not in told


async def test_what_is_in_its_trial_is_told_as_that(worker: Worker) -> None:
    worker.hanging = {"hangs"}
    worker.registry.passed = {"digest-2": PassedTrial(None)}
    worker.gate.clear()
    await worker.step(named(1, "hangs"), version(2))
    loading = {"state": "loading", "reason": None}
    assert worker.registry.beats[-1][0] == {"1": {**loading, "trial": True}, "2": loading}

"""How a version is loaded: its trial, the turns that it waits for, its first requests."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import orjson

from model_service.loading import TRIALS_AT_ONCE
from model_service.trial import TrialFailed, TrialTimedOut
from storage.manifest import TensorSpec
from storage.views import PassedTrial
from tests.unit.model_service.engines import TWO, until
from tests.unit.model_service.workers import Worker, named, replica, try_once_more, version
from wire.messages import InferRequest
from wire.tensors import from_json


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
    assert (worker.opened, worker.registry.passed) == ([], {})


async def test_a_version_whose_smallest_input_no_request_may_have_is_not_tried(worker: Worker) -> None:
    huge = TWO.model_copy(update={"inputs": (TensorSpec(name="x", datatype="FP32", shape=(1, 1 << 40)),)})
    await worker.step(version(1, about=huge))
    await until(lambda: worker.registry.failures)
    assert "a request may have 67,108,864" in worker.registry.failures[1]
    assert (worker.opened, worker.trials) == ([], 0)


async def test_a_golden_mismatch_keeps_a_version_from_being_ready(worker: Worker, tmp_path: Path) -> None:
    x = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
    outputs = [{**x, "name": "twice", "data": [2, 5]}]
    (tmp_path / "golden.json").write_bytes(orjson.dumps({"cases": [{"inputs": [x], "outputs": outputs}]}))
    await worker.step(version(1, about=TWO.model_copy(update={"golden": "golden.json"})))
    await until(lambda: worker.registry.failures)
    assert "golden case 1, output 'twice'" in worker.registry.failures[1]
    assert worker.loaded == []
    assert worker.engines[1].closed


async def test_the_first_requests_which_no_client_has_asked_are_not_counted(worker: Worker) -> None:
    assert await worker.settle(version(1)) == {1: "ready"}
    (model,) = worker.models
    assert worker.engines[1].runs > 0
    numbers = model.statistics
    assert (numbers.success.count, numbers.rows, numbers.executions, numbers.last_inference) == (0, 0, 0, 0)
    await model.infer(InferRequest("m", None, [from_json("x", "FP32", (1, 2), [1, 2])]))
    assert (model.statistics.executions, model.statistics.queue.count, model.statistics.success.count) == (1, 1, 1)


async def test_requests_of_a_version_whose_trial_finds_rows_that_depend_run_alone_and_the_registry_is_told(
    worker: Worker,
) -> None:
    worker.trial_alone = "rows differ"
    assert await worker.settle(version(1)) == {1: "ready"}
    (model,) = worker.models
    assert (model.manifest.batching.max_rows, model.manifest.batching.reason) == (1, "rows differ")
    await worker.reconciler.step()
    told, _ = worker.registry.beats[-1]
    assert told["1"]["alone"] == "rows differ"


async def test_what_a_trial_has_found_out_about_rows_holds_for_loads_without_one(worker: Worker) -> None:
    worker.registry.passed["digest-1"] = PassedTrial("rows differ")
    assert await worker.settle(version(1)) == {1: "ready"}
    (model,) = worker.models
    assert (worker.trials, model.manifest.batching.max_rows) == (0, 1)


async def test_what_served_before_is_loaded_before_any_trial_begins(worker: Worker) -> None:
    worker.registry.passed = {"digest-1": PassedTrial(None)}
    worker.gate.clear()
    await worker.step(version(1), version(2))
    await until(lambda: worker.opening)
    await worker.step(version(1), version(2))
    assert worker.trials == 0
    worker.gate.set()
    assert await worker.settle(version(1), version(2)) == {1: "ready", 2: "ready"}
    assert worker.trials == 1


async def test_what_has_passed_its_trial_waits_for_no_one_elses(worker: Worker) -> None:
    worker.hanging = {"hangs"}
    hanging = [named(id, "hangs") for id in range(1, 2 + TRIALS_AT_ONCE)]
    worker.registry.passed = {"digest-8": PassedTrial(None)}
    worker.registry.others = [replica("w2", {"9": {"state": "ready", "reason": None}})]  # on another processor
    await worker.step(*hanging)
    await until(lambda: worker.trials == TRIALS_AT_ONCE)
    await worker.step(*hanging, version(8), version(9))
    await until(lambda: worker.loaded == [("m", 8), ("m", 9)])


async def test_what_hangs_while_it_is_opened_takes_no_threads_from_anything_else(worker: Worker) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    worker.gate.clear()
    await worker.step(version(1))
    await until(lambda: worker.opening)
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(int, "7") == 7


async def test_one_trial_that_hangs_keeps_no_other_one_waiting(worker: Worker) -> None:
    worker.hanging = {"hangs"}
    await worker.step(named(1, "hangs"), *map(version, range(2, 7)))
    await until(lambda: len(worker.loaded) == 5)
    assert worker.states[1] == "loading"


async def test_what_hung_in_its_trial_does_not_hang_in_the_way_of_others_again(tmp_path: Path) -> None:
    worker = Worker(tmp_path, trial_timeout_s=0.5)
    worker.trial_error = TrialTimedOut("took too long")
    hanging = [named(id, "hangs") for id in range(1, 2 + TRIALS_AT_ONCE)]
    worker.trial_takes = asyncio.Event()
    await worker.step(*hanging)
    await asyncio.sleep(0.51)  # longer than a trial may take
    worker.trial_takes.set()
    await worker.settle(*hanging)
    worker.trial_error, worker.trial_takes, worker.hanging = None, None, {"hangs"}
    await try_once_more(worker, *hanging)
    await worker.step(*hanging, version(9))
    await until(lambda: worker.loaded == [("m", 9)])
    await worker.reconciler.close()


async def test_what_is_opened_for_nobody_is_closed(worker: Worker) -> None:
    worker.registry.passed = {"digest-1": PassedTrial(None)}
    worker.gate.clear()
    await worker.step(version(1))
    await until(lambda: worker.opening)
    await worker.step()
    worker.gate.set()
    await until(lambda: worker.engines[1].closed if 1 in worker.engines else False)
    assert worker.loaded == []


async def test_a_version_that_hangs_in_its_warm_up_is_given_up_and_tried_again(tmp_path: Path) -> None:
    worker = Worker(tmp_path, trial_timeout_s=1, stop_timeout_s=1)
    worker.runs = Event()
    assert await worker.settle(version(1)) == {1: "failed"}
    assert worker.registry.failures == {}  # it has passed its trial
    (slot,) = worker.reconciler.slots
    assert slot.reason == "the warm-up takes longer than 1 s"
    worker.runs.set()
    slot.retry_at = 0
    assert await worker.settle(version(1)) == {1: "ready"}
    await worker.reconciler.close()

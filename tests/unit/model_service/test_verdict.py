"""A version that does not load: whose fault that is, what is told, and when it is tried again."""

from pathlib import Path
from time import monotonic

import pytest

from model_service.engines.base import ProviderMissing
from model_service.trial import MachineLacks, MachineUnfit, TrialFailed, TrialTimedOut
from model_service.verdict import ATTEMPTS_BESIDE_OTHERS, TIMEOUTS
from storage.errors import CorruptFile, MissingFile, Unavailable
from tests.unit.model_service.engines import until
from tests.unit.model_service.workers import Worker, replica, try_again, version


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
    (told,) = worker.registry.beats[-1][0].values()
    assert (told["state"], told["reason"].partition(" (")[0]) == ("failed", "no cuda here")
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


def pauses(worker: Worker) -> list[float]:
    return [slot.retry_at - monotonic() for slot in worker.reconciler.slots if slot.state == "failed"]


async def test_what_this_machine_has_no_memory_for_is_tried_ever_less_often_and_says_when(worker: Worker) -> None:
    worker.trial_error = MachineUnfit("killed by SIGKILL: out of memory, most likely")
    for _ in range(10):
        await try_again(worker, version(1))
    (pause,) = pauses(worker)
    assert 2**10 - 60 < pause <= 2**10
    reason = worker.registry.beats[-1][0]["1"]["reason"]
    assert reason == f"{worker.trial_error} (attempt 10; the next one in 17 min, or when room is made)"
    for _ in range(20):
        await try_again(worker, version(1))
    assert 3600 < pauses(worker)[0] <= 4 * 3600
    assert worker.registry.failures == {}


@pytest.mark.parametrize("where", ["trial_error", "open_error"])
async def test_what_this_machine_lacks_a_device_for_is_not_tried_every_few_seconds(worker: Worker, where: str) -> None:
    setattr(worker, where, because(ProviderMissing("no cuda here"), MachineLacks("no cuda here")))
    await worker.settle(version(1), version(2, "other"))
    assert all(3600 < pause <= 4 * 3600 for pause in pauses(worker))
    assert worker.registry.beats[-1][0]["1"]["reason"] == (
        "no cuda here (the next attempt in 240 min; to have one now, unload and load the model)"
    )
    assert worker.registry.failures == {}
    setattr(worker, where, None)
    await worker.settle(version(1))
    assert await worker.settle(version(1), version(3, "other")) == {1: "failed", 3: "ready"}
    await worker.settle(version(1))  # which makes room, and that is not what it lacks
    assert await worker.settle(version(1)) == {1: "failed"}
    await worker.settle()
    assert await worker.settle(version(1)) == {1: "ready"}


async def test_the_same_reason_is_logged_once(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    for worker.trial_error in (MachineUnfit("out of memory"), MachineUnfit("killed")):
        for _ in range(8):
            await try_again(worker, version(1))
    assert [caplog.text.count(f"does not load: {why}") for why in ("out of memory", "killed")] == [1, 1]


async def test_a_reason_names_no_folder_of_the_server(worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "digest-1" / "tokenizer.json"
    worker.open_error = OSError(28, "No space left on device", str(file))
    await worker.settle(version(1))
    assert worker.registry.beats[-1][0]["1"]["reason"] == "[Errno 28] No space left on device: 'tokenizer.json'"


async def test_a_store_that_is_away_is_asked_again_within_a_minute_however_long_it_was(worker: Worker) -> None:
    for worker.missing in (Unavailable("away"), because(OSError("disk"), Unavailable("away"))):
        for _ in range(10):
            await try_again(worker, version(1))
        assert pauses(worker)[0] <= 60


async def test_a_version_that_serves_elsewhere_is_not_taken_away_because_it_fails_here(worker: Worker) -> None:
    ready = {"1": {"state": "ready", "reason": None}}
    worker.registry.others = [replica("w2", ready)]
    worker.trial_error = TrialFailed("killed by SIGILL")
    assert await worker.settle(version(1)) == {1: "failed"}
    assert worker.registry.failures == {}


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
    worker.registry.others = [replica("w2", {"1": {"state": "loading", "reason": None}})]
    worker.trial_error = TrialFailed("bad")
    await worker.settle(version(1))
    for _ in range(ATTEMPTS_BESIDE_OTHERS - 2):
        await try_again(worker, version(1))
        assert worker.registry.failures == {}
    await try_again(worker, version(1))
    assert worker.registry.failures == {1: "bad"}


async def test_time_outs_add_up_over_the_workers(worker: Worker) -> None:
    """Each has its trial at the same time: neither waits for the other one to go on failing."""
    worker.trial_error = TrialTimedOut("took too long")
    for count in range(1, TIMEOUTS - 1):
        worker.registry.others = [replica("w2", {"1": {"state": "loading", "reason": "late", "timeouts": count}})]
        await try_again(worker, version(1))
        assert worker.registry.failures == {}
        assert worker.registry.beats[-1][0]["1"]["timeouts"] == count
    await try_again(worker, version(1))
    assert worker.registry.failures == {1: "took too long"}


async def test_time_outs_elsewhere_are_none_of_a_version_that_fails_here_for_another_reason(worker: Worker) -> None:
    worker.registry.others = [replica("w2", {"1": {"state": "failed", "reason": "late", "timeouts": TIMEOUTS}})]
    worker.missing = OSError("the store is away")
    assert await worker.settle(version(1)) == {1: "failed"}
    assert worker.registry.failures == {}

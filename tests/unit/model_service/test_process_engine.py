import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread, Timer
from threading import enumerate as enumerate_threads
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
import uvloop

from model_service.engines.base import Arrays, EngineCrashed, EngineError, EngineLost, OutputsTooLarge, ProviderMissing
from model_service.engines.cancel import CancelToken
from model_service.engines.process import ProcessEngine
from storage.manifest import Manifest
from tests.unit.model_service.crashes import LOWEST, dividing, expanding, hang_at_load, looping, quotient
from tests.unit.model_service.graphs import manifest, save_identity

Open = Callable[[Manifest], ProcessEngine]


class InLoop(ProcessEngine):
    """One that is asked in the event loop."""

    def run(self, inputs: Arrays, cancel: CancelToken | None = None) -> Arrays:
        return uvloop.run(self.compute(inputs, cancel))


@pytest.fixture(params=[ProcessEngine, InLoop])
def opened(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Open]:
    engines: list[ProcessEngine] = []

    def start(described: Manifest) -> ProcessEngine:
        engines.append(request.param(described, tmp_path, threads=1))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


def wait_until(condition: Callable[[], object]) -> None:
    end = monotonic() + 30
    while not condition():
        assert monotonic() < end
        sleep(0.005)


def in_vain(engine: ProcessEngine, times: int, error: type[Exception], cancel: CancelToken | None = None) -> Thread:
    """A thread, not started yet, in which a run ends in `error`."""

    def run() -> None:
        with pytest.raises(error):
            engine.run({"times": np.array(times)}, cancel)

    return Thread(target=run)


def stop(engine: ProcessEngine) -> None:
    """Stop its process, all threads of which take notice by and by."""
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    threads = [*Path(f"/proc/{engine.pid}/task").iterdir()]
    wait_until(lambda: all("State:\tT" in (thread / "status").read_text() for thread in threads))


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_it_answers_as_the_graph_does(tmp_path: Path, opened: Open) -> None:
    save_identity(tmp_path / "model.onnx")
    engine = opened(manifest(inputs=[{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]))
    x = np.array([[1, np.nan], [-np.inf, 0.1]], np.float32)
    np.testing.assert_array_equal(engine.run({"x": x})["y"], x)
    assert [(spec.name, spec.datatype, spec.shape) for spec in engine.inputs] == [("x", "FP32", (-1, 2))]


def test_several_runs_at_once_get_their_own_answers(tmp_path: Path, opened: Open) -> None:
    engine = opened(dividing(tmp_path, engine={"instances": 2}))
    answers: list[list[int]] = [[], []]

    def ask(which: int) -> None:
        for number in range(300):
            answers[which].append(int(engine.run(quotient(number * 2 + which, 1))["y"].item()))

    threads = [Thread(target=ask, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [list(range(0, 600, 2)), list(range(1, 600, 2))]


def test_a_crash_is_said_and_the_next_run_answers_again(tmp_path: Path, opened: Open) -> None:
    engine = opened(dividing(tmp_path))
    with pytest.raises(EngineCrashed, match="SIGFPE"):
        engine.run(quotient(LOWEST, -1))
    assert engine.run(quotient(6, 3))["y"].item() == 2
    assert (engine.crashes, engine.died_of) == (1, "was killed by SIGFPE")


def test_it_is_started_again_before_anyone_asks(tmp_path: Path, opened: Open) -> None:
    engine = opened(dividing(tmp_path))
    first = engine.pid
    with pytest.raises(EngineCrashed):
        engine.run(quotient(LOWEST, -1))
    wait_until(lambda: engine.pid not in (None, first))


def test_what_the_graph_refuses_is_an_error_and_no_crash(tmp_path: Path, opened: Open) -> None:
    engine = opened(dividing(tmp_path))
    with pytest.raises(EngineError) as refused:
        engine.run({"a": np.ones((2, 1), np.int32), "b": np.ones((3, 1), np.int32)})
    assert not isinstance(refused.value, EngineCrashed)
    assert "Attempting to broadcast an axis" in str(refused.value)
    assert "onnxruntime_src" not in str(refused.value)
    assert engine.crashes == 0


def test_a_run_without_an_end_ends_when_it_is_cancelled_and_its_process_goes_on(tmp_path: Path, opened: Open) -> None:
    engine, cancel = opened(looping(tmp_path)), CancelToken()
    pid = engine.pid
    running = in_vain(engine, 2**62, EngineError, cancel)
    running.start()
    sleep(0.1)
    cancel.cancel()
    running.join(30)
    assert not running.is_alive()
    assert engine.run({"times": np.array(3)})["y"].item() == 3
    assert engine.pid == pid


def test_what_is_cancelled_before_it_begins_ends_as_well(tmp_path: Path, opened: Open) -> None:
    engine, cancel = opened(looping(tmp_path)), CancelToken()
    cancel.cancel()
    with pytest.raises(EngineError):
        engine.run({"times": np.array(2**62)}, cancel)


def test_a_run_that_ends_while_it_is_told_to_costs_its_process_nothing(
    tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, cancel = opened(looping(tmp_path)), CancelToken()
    over = Event()
    child = engine._child
    assert child is not None
    stop_run = type(child).stop

    def tell(of: Any, run: int, channel: int) -> None:
        stop_run(of, run, channel)
        over.wait(30)  # the run has ended before whoever cancels it comes to anything else

    monkeypatch.setattr(type(child), "stop", tell)
    running = in_vain(engine, 2**62, EngineError, cancel)
    running.start()
    wait_until(lambda: cancel._stop)
    cancelling = Thread(target=cancel.cancel)
    cancelling.start()
    running.join(30)
    assert not running.is_alive()
    over.set()
    cancelling.join(30)
    assert not [thread for thread in enumerate_threads() if isinstance(thread, Timer) and not thread.finished.is_set()]
    assert engine.run({"times": np.array(3)})["y"].item() == 3


def test_an_output_that_is_larger_than_a_worker_takes_stays_where_it_is(tmp_path: Path) -> None:
    engine = ProcessEngine(expanding(tmp_path), tmp_path, threads=1, output_bytes=4000)
    try:
        assert engine.run({"shape": np.array([10, 100])})["y"].nbytes == 4000
        with pytest.raises(OutputsTooLarge, match="answers 4040 bytes, this server takes 4000"):
            engine.run({"shape": np.array([10, 101])})
        assert engine.crashes == 0
    finally:
        engine.close()


def test_what_does_not_end_is_ended_with_its_process(tmp_path: Path, opened: Open) -> None:
    engine, cancel = opened(looping(tmp_path)), CancelToken()
    stop(engine)  # as deaf as an operator that runs for hours
    running = in_vain(engine, 1, EngineCrashed, cancel)
    running.start()
    sleep(0.05)
    cancel.cancel()
    running.join(30)
    assert not running.is_alive()
    assert engine.died_of == "was ended, as a run that nobody waited for any more did not end"
    assert engine.run({"times": np.array(4)})["y"].item() == 4


def test_closing_it_ends_its_process_whatever_that_is_at(tmp_path: Path, opened: Open) -> None:
    engine = opened(looping(tmp_path))
    pid = engine.pid
    assert pid is not None
    running = in_vain(engine, 2**62, EngineError)
    running.start()
    sleep(0.1)
    engine.close()
    running.join(30)
    wait_until(lambda: gone(pid))
    with pytest.raises(EngineError, match="closed"):
        engine.run({"times": np.array(1)})


def test_its_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    dividing(tmp_path)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        engine = ProcessEngine(dividing(tmp_path), tmp_path, threads=1)
        os.write(writing, str(engine.pid).encode())
        os._exit(0)
    os.waitpid(child, 0)
    pid = int(os.read(reading, 20))
    for end in (reading, writing):
        os.close(end)
    wait_until(lambda: gone(pid))


def test_why_a_graph_does_not_load_is_said_as_the_engine_said_it(tmp_path: Path, opened: Open) -> None:
    described = dividing(tmp_path)
    with pytest.raises(ProviderMissing, match="cuda"):
        opened(dividing(tmp_path, engine={"providers": ["cuda"]}))
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineError) as refused:
        opened(described)
    assert str(refused.value) == (
        "ONNX Runtime cannot load model.onnx: Load model from model.onnx failed:Protobuf parsing failed."
    )


def test_where_it_cannot_be_started_again_the_reason_is_said(tmp_path: Path, opened: Open) -> None:
    engine = opened(dividing(tmp_path))
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(EngineCrashed):
        engine.run(quotient(LOWEST, -1))
    for _ in range(3):
        with pytest.raises(EngineError, match=r"cannot load|does not start again") as refused:
            engine.run(quotient(1, 1))
        assert str(tmp_path) not in str(refused.value)


def test_a_graph_that_hangs_when_it_is_loaded_is_given_up(tmp_path: Path) -> None:
    described = dividing(tmp_path)
    hang_at_load(tmp_path)
    with pytest.raises(EngineError, match="nothing has come after 1 s"):
        ProcessEngine(described, tmp_path, threads=1, start_s=1)


def test_a_process_that_dies_while_nothing_runs_is_started_again_before_a_request_needs_it(
    tmp_path: Path, opened: Open
) -> None:
    engine = opened(dividing(tmp_path))
    first = engine.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)

    def started_again() -> bool:
        engine.revive()
        return engine.pid not in (first, None)

    wait_until(started_again)
    assert gone(first)  # and no zombie
    assert engine.died_of == "was killed by SIGKILL"
    assert engine.run(quotient(4, 2))["y"].item() == 2


def test_a_process_that_hangs_when_it_is_started_again_is_given_up(tmp_path: Path, opened: Open) -> None:
    engine = opened(dividing(tmp_path))
    engine._start_s = 1
    hang_at_load(tmp_path)
    with pytest.raises(EngineCrashed):
        engine.run(quotient(LOWEST, -1))
    with pytest.raises(EngineLost, match="nothing has come after 1 s"):
        engine.run(quotient(1, 1))
    assert engine.lost is not None
    engine._start_s = 60  # it is well again, and the machine may be busy
    (tmp_path / "model.onnx").unlink()
    dividing(tmp_path)
    wait_until(lambda: answers(engine))
    assert engine.lost is None


def answers(engine: ProcessEngine) -> bool:
    try:
        return bool(engine.run(quotient(4, 2))["y"].item() == 2)
    except EngineLost:
        return False


def test_closing_it_ends_a_process_that_hangs_when_it_is_started_again(tmp_path: Path, opened: Open) -> None:
    engine = opened(dividing(tmp_path))
    hang_at_load(tmp_path)
    with pytest.raises(EngineCrashed):
        engine.run(quotient(LOWEST, -1))
    wait_until(lambda: engine._starting)
    starting = engine._starting
    assert starting is not None
    engine.close()
    wait_until(lambda: gone(starting.pid))

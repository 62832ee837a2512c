from asyncio import create_task, gather, get_running_loop, sleep
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread
from time import monotonic

import numpy as np
import pytest

from model_service.engines.base import Arrays, EngineError
from model_service.engines.cancel import CancelToken
from model_service.loaded_model import LoadedModel
from model_service.opening import open_here
from model_service.tasks.base import Answer, Item
from model_service.tasks.tensors import TensorsTask
from storage.manifest import Manifest
from tests.unit.model_service.engines import TWO, Multiplying, model, turns, until
from tests.unit.model_service.graphs import manifest, save_identity
from wire.errors import (
    DeadlineExceeded,
    EngineFailed,
    InvalidInput,
    ModelNotReady,
    Overloaded,
    TooLarge,
)
from wire.messages import InferRequest, RequestedOutput
from wire.tensors import Tensor, bytes_tensor, from_json


def ask(*rows: float, outputs: Sequence[str] = (), deadline: float | None = None) -> InferRequest:
    tensor = from_json("x", "FP32", (len(rows), 2), [number for row in rows for number in (row, 0)])
    return InferRequest("small", None, [tensor], tuple(map(RequestedOutput, outputs)), deadline=deadline)


def column(tensor: Tensor) -> list[float]:
    return [float(value) for value in np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)[:, 0]]


async def test_a_graph_that_takes_no_input_without_elements_is_no_fault_of_the_servers() -> None:
    class Picky(Multiplying):
        def run(self, inputs: Arrays, cancel: CancelToken | None = None) -> Arrays:
            if not inputs["x"].size:
                raise EngineError("nothing came")
            return super().run(inputs)

    with pytest.raises(InvalidInput, match=r"the graph takes no input without elements: .*nothing came"):
        await model(Picky()).infer(ask())
    assert [column(tensor) for tensor in (await model(Multiplying()).infer(ask())).outputs] == [[], []]


async def test_a_request_is_answered_with_all_outputs_in_the_models_order() -> None:
    response = await model(Multiplying(), number=7).infer(ask(1, 2))
    assert (response.model, response.version) == ("small", "7")
    assert [tensor.name for tensor in response.outputs] == ["twice", "thrice"]
    assert [column(tensor) for tensor in response.outputs] == [[2, 4], [3, 6]]


async def test_a_request_that_names_outputs_gets_those_in_its_order() -> None:
    response = await model(Multiplying()).infer(ask(1, outputs=["thrice", "twice"]))
    assert [tensor.name for tensor in response.outputs] == ["thrice", "twice"]
    (only,) = (await model(Multiplying()).infer(ask(1, outputs=["thrice"]))).outputs
    assert column(only) == [3]


async def test_an_output_that_is_not_there_is_refused_with_what_is_and_nothing_runs() -> None:
    engine = Multiplying()
    with pytest.raises(InvalidInput, match=r"no output 'four'; it has: thrice, twice"):
        await model(engine).infer(ask(1, outputs=["twice", "four"]))
    assert engine.runs == 0


async def test_requests_that_come_together_share_a_batch_but_not_their_errors() -> None:
    loaded = model(Multiplying())
    good, bad, better = await gather(*(loaded.infer(ask(row)) for row in (1, -1, 2)), return_exceptions=True)
    assert isinstance(bad, EngineFailed)
    assert "no negative numbers" in str(bad)
    assert not isinstance(good, BaseException)
    assert not isinstance(better, BaseException)
    assert (column(good.outputs[0]), column(better.outputs[0])) == ([2], [4])


async def test_a_request_of_more_rows_than_a_batch_is_answered_in_one_piece() -> None:
    engine = Multiplying()
    described = TWO.model_copy(update={"batching": TWO.batching.model_copy(update={"max_rows": 3})})
    response = await model(engine, described).infer(ask(*range(8)))
    assert column(response.outputs[0]) == [2 * row for row in range(8)]
    assert engine.runs == 3


async def test_what_was_asked_and_how_it_ended_is_counted() -> None:
    loaded = model(Multiplying())
    await loaded.infer(ask(1, 2))
    for request, error in ((ask(-1), EngineFailed), (ask(1, outputs=["no"]), InvalidInput)):
        with pytest.raises(error):
            await loaded.infer(request)
    with pytest.raises(DeadlineExceeded):
        await loaded.infer(ask(1, deadline=0.0))
    numbers = loaded.statistics
    assert numbers.success.count == numbers.latency.count == 1
    assert {kind: failure.count for kind, failure in numbers.failures.items()} == {
        "EngineFailed": 1,
        "InvalidInput": 1,
        "DeadlineExceeded": 1,
    }
    assert (numbers.executions, numbers.rows) == (1, 2)
    assert numbers.last_inference > 0


async def test_what_came_as_one_counts_for_each_unless_each_is_asked_again() -> None:
    loaded = model(Multiplying())
    for request, error in ((ask(-1), EngineFailed), (ask(1, outputs=["no"]), InvalidInput), (ask(1), DeadlineExceeded)):
        request.members = 3
        request.deadline = 0.0 if error is DeadlineExceeded else None
        with pytest.raises(error):
            await loaded.infer(request)
    assert {kind: failure.count for kind, failure in loaded.statistics.failures.items()} == {"DeadlineExceeded": 3}


async def test_each_of_the_requests_that_came_as_one_is_counted_with_the_time_of_its_batches() -> None:
    described = TWO.model_copy(update={"batching": TWO.batching.model_copy(update={"max_rows": 3})})
    loaded = model(Multiplying(), described)
    request = ask(*range(8))
    request.members = 4
    await loaded.infer(request)
    numbers, answered = loaded.statistics, loaded.statistics.answered
    compute = answered.compute
    tallies = (answered.success, answered.queue, compute.input, compute.infer, compute.output)
    assert [tally.count for tally in tallies] == [4] * 5
    assert (numbers.success.count, numbers.executions, numbers.rows) == (1, 3, 8)
    assert compute.infer.seconds == pytest.approx(4 * numbers.engine.sum)
    assert sum(tally.seconds for tally in tallies[1:]) <= answered.success.seconds * (1 + 1e-9)


class Preparing(TensorsTask):
    """Keeps the threads in which it prepared and answered."""

    def __init__(self, engine: Multiplying, about: Manifest = TWO) -> None:
        super().__init__(about, engine)
        self.threads: list[Thread] = []

    def prepare(self, request: InferRequest) -> list[Item]:
        self.threads.append(current_thread())
        return [Item({"x": np.zeros((request.inputs[0].rows, 2), np.float32)}, request.inputs[0].rows)]

    def respond(self, request: InferRequest, items: Sequence[Item], results: Sequence[Arrays]) -> Answer:
        self.threads.append(current_thread())
        return super().respond(request, items, results)


async def test_what_the_queue_refuses_is_never_prepared() -> None:
    engine = Multiplying()
    described = TWO.model_copy(update={"batching": TWO.batching.model_copy(update={"max_queue_rows": 2})})
    loaded = LoadedModel("small", 1, described, engine, task := Preparing(engine, described))
    for request, error in ((ask(1, 2, 3), TooLarge), (ask(1, deadline=0.0), DeadlineExceeded)):
        with pytest.raises(error):
            await loaded.infer(request)
    assert task.threads == []


async def test_rows_that_are_being_prepared_have_their_place_in_the_queue() -> None:
    class Slowly(Preparing):
        def prepare(self, request: InferRequest) -> list[Item]:
            begun.set()
            gate.wait()
            return super().prepare(request)

    begun, gate = Event(), Event()
    engine = Multiplying()
    described = TWO.model_copy(update={"batching": TWO.batching.model_copy(update={"max_queue_rows": 2})})
    loaded = LoadedModel("small", 1, described, engine, Slowly(engine, described))
    first = create_task(loaded.infer(InferRequest("small", None, [bytes_tensor("x", 2 * [bytes(10_000)])])))
    await until(begun.is_set)
    with pytest.raises(Overloaded):
        await loaded.infer(ask(1))
    gate.set()
    await first
    await loaded.infer(ask(1))


async def test_what_waited_too_long_for_a_thread_is_not_prepared() -> None:
    engine = Multiplying()
    loaded = LoadedModel("small", 1, TWO, engine, task := Preparing(engine))
    late = InferRequest("small", None, [bytes_tensor("x", [bytes(10_000)])], deadline=monotonic() + 0.05)
    workers = ThreadPoolExecutor(1)
    get_running_loop().set_default_executor(workers)
    gate = Event()
    workers.submit(gate.wait)
    waiting = create_task(loaded.infer(late))
    while monotonic() < (late.deadline or 0):
        await sleep(0.01)
    gate.set()
    with pytest.raises(DeadlineExceeded):
        await waiting
    assert task.threads == []


async def test_only_many_bytes_are_taken_apart_in_a_thread() -> None:
    engine = Multiplying()
    loaded = LoadedModel("small", 1, TWO, engine, task := Preparing(engine))
    await loaded.infer(ask(*range(2000)))  # numbers are not taken apart
    assert {thread is main_thread() for thread in task.threads} == {True}
    task.threads.clear()
    await loaded.infer(InferRequest("small", None, [bytes_tensor("x", [bytes(10_000)])]))
    assert {thread is main_thread() for thread in task.threads} == {False}


async def test_a_client_that_leaves_is_counted_as_that() -> None:
    loaded = model(Multiplying(gate := Event()))
    task = create_task(loaded.infer(ask(1)))
    await turns()
    task.cancel()
    await gather(task, return_exceptions=True)
    gate.set()
    assert dict(loaded.statistics.failures).keys() == {"ClientGone"}


async def test_closing_answers_what_runs_then_gives_the_engine_back() -> None:
    engine = Multiplying(gate := Event())
    loaded = model(engine)
    running = create_task(loaded.infer(ask(1)))
    await until(lambda: engine.runs)
    queued = create_task(loaded.infer(ask(2)))
    await turns()
    closing = create_task(loaded.close())
    await turns()
    assert not engine.closed
    with pytest.raises(ModelNotReady):
        await loaded.infer(ask(3))
    gate.set()
    await closing
    assert engine.closed
    assert [column(response.outputs[0]) for response in await gather(running, queued)] == [[2], [4]]


async def test_a_real_graph_is_loaded_from_its_folder(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx")
    loaded = open_here("small", 1, manifest(), tmp_path, threads=1)
    (y,) = (await loaded.infer(ask(1.5))).outputs
    assert column(y) == [1.5]
    await loaded.close()


def test_a_graph_that_is_not_what_the_manifest_says_does_not_load(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx")
    with pytest.raises(EngineError, match="'twice'"):
        open_here("small", 1, TWO, tmp_path, threads=1)

import asyncio
import os
import signal
from asyncio import create_task, gather
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from model_service.engines.process import ProcessEngine
from model_service.isolation import Isolation
from model_service.loaded_model import LoadedModel
from model_service.opening import open_isolated
from storage.manifest import Manifest
from tests.unit.model_service.crashes import LOWEST, dividing, expanding, hang_at_load, looping
from tests.unit.model_service.engines import until
from wire.errors import CrashingInput, DeadlineExceeded, InvalidInput, ModelNotReady, Suspect, TooLarge
from wire.messages import InferRequest
from wire.refusals import Refusals
from wire.tensors import from_json


def divide(a: int, b: int, suspect: bool = False) -> InferRequest:
    inputs = [from_json(name, "INT32", (1, 1), [value]) for name, value in (("a", a), ("b", b))]
    return InferRequest("small", None, inputs, suspect=suspect)


def endless(**fields: Any) -> InferRequest:
    return InferRequest("small", None, [from_json("times", "INT64", (), [2**62])], **fields)


async def quotient(model: LoadedModel, a: int, b: int) -> int:
    return int(np.frombuffer((await model.infer(divide(a, b))).outputs[0].data, np.int32).item())


def opened(described: Manifest, folder: Path) -> LoadedModel:
    return open_isolated("small", 3, described, folder, threads=1)


@pytest.fixture
async def model(tmp_path: Path) -> AsyncIterator[LoadedModel]:
    model = opened(dividing(tmp_path), tmp_path)
    yield model
    await model.close()


def engine_of(model: LoadedModel) -> ProcessEngine:
    assert isinstance(model._engine, ProcessEngine)
    return model._engine


async def test_whoever_crashes_a_batch_is_refused_and_its_companions_are_answered(model: LoadedModel) -> None:
    others = [create_task(quotient(model, 7 * n, 7)) for n in range(20)]
    fatal = create_task(model.infer(divide(LOWEST, -1)))  # last: the runtime computes eight at a time, which goes well
    with pytest.raises(CrashingInput, match=r"SIGFPE.*refused for 10 minutes"):
        await fatal
    assert await gather(*others) == list(range(20))
    assert (model.crashes, model.died_of) == (1, "was killed by SIGFPE")


async def test_what_is_refused_costs_no_second_process(model: LoadedModel) -> None:
    for _ in range(3):
        with pytest.raises(CrashingInput):
            await model.infer(divide(LOWEST, -1))
    assert engine_of(model).crashes == 1
    assert await quotient(model, LOWEST, 1) == LOWEST


async def test_a_process_that_is_killed_from_outside_costs_nobody_an_answer(model: LoadedModel) -> None:
    answers = [create_task(quotient(model, 3 * n, 3)) for n in range(5)]
    pid = engine_of(model).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert await gather(*answers) == list(range(5))
    assert not model.refusals


async def test_a_suspect_is_asked_where_it_harms_nobody(model: LoadedModel) -> None:
    with pytest.raises(CrashingInput):
        await model.infer(divide(LOWEST, -1, suspect=True))
    assert engine_of(model).crashes == 0
    assert (await model.infer(divide(8, 2, suspect=True))).version == "3"


async def test_whoever_waits_for_a_suspect_is_told_that_it_takes_longer(model: LoadedModel) -> None:
    told: list[str] = []

    def ask(name: str, a: int, b: int) -> InferRequest:
        request = divide(a, b)
        request.send_interim = lambda: told.append(name)
        return request

    await model.infer(ask("harmless", 8, 2))
    with pytest.raises(CrashingInput):
        await model.infer(ask("fatal", LOWEST, -1))
    assert told == ["fatal"]


async def test_what_a_suspect_gets_wrong_is_its_own_error(model: LoadedModel) -> None:
    request = divide(1, 1, suspect=True)
    request.inputs.pop()
    with pytest.raises(InvalidInput, match="'b'"):
        await model.infer(request)


@pytest.mark.parametrize("suspect", [False, True])
async def test_an_answer_that_is_larger_than_a_worker_takes_is_refused_in_words(tmp_path: Path, suspect: bool) -> None:
    model = open_isolated("small", 1, expanding(tmp_path), tmp_path, threads=1, output_bytes=4000)
    for wide, answered in ((100, True), (101, False), (100, True)):
        request = InferRequest("small", None, [from_json("shape", "INT64", (2,), [10, wide])], suspect=suspect)
        if answered:
            assert len((await model.infer(request)).outputs[0].data) == 4000
        else:
            with pytest.raises(TooLarge, match=r"4040 bytes.* ask for less"):
                await model.infer(request)
    await model.close()


async def test_a_suspect_that_does_not_end_is_given_up_with_its_client(tmp_path: Path) -> None:
    described = looping(tmp_path)
    isolation = Isolation(described, tmp_path, threads=1, refusals=Refusals())
    short = InferRequest("small", None, [from_json("times", "INT64", (), [5])])
    waiting = create_task(isolation.infer(endless()))
    await until(lambda: isolation._process)
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer = await isolation.infer(short)
    assert np.frombuffer(answer.outputs[0].data, np.int64).item() == 5
    await isolation.close()


async def test_a_run_that_nobody_waits_for_any_more_makes_room_for_the_next(tmp_path: Path) -> None:
    model = opened(looping(tmp_path), tmp_path)
    with pytest.raises(DeadlineExceeded):
        await model.infer(endless(deadline=monotonic() + 0.2))
    async with asyncio.timeout(30):
        await model.infer(InferRequest("small", None, [from_json("times", "INT64", (), [2])]))
    assert engine_of(model).crashes == 0
    await model.close()


async def test_what_hangs_before_it_can_be_asked_alone_is_given_up(tmp_path: Path) -> None:
    described = dividing(tmp_path)
    hang_at_load(tmp_path)
    isolation = Isolation(described, tmp_path, threads=1, refusals=Refusals(), start_s=1)
    async with asyncio.timeout(30):
        with pytest.raises(Suspect, match=r"does not load.* nothing has come after 1 s"):
            await isolation.infer(divide(1, 1, suspect=True))
    await isolation.close()


async def test_why_a_version_does_not_load_to_be_asked_alone_is_said(tmp_path: Path) -> None:
    described = dividing(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    isolation = Isolation(described, tmp_path, threads=1, refusals=Refusals())
    with pytest.raises(Suspect, match=r"does not load.* cannot load model\.onnx"):
        await isolation.infer(divide(1, 1, suspect=True))
    await isolation.close()


async def test_suspects_that_hang_take_no_threads_from_anything_else(tmp_path: Path) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    isolation = Isolation(looping(tmp_path), tmp_path, threads=1, refusals=Refusals())
    waiting = create_task(isolation.infer(endless()))
    await until(lambda: isolation._process is not None and isolation._process.loaded)
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(int, "7") == 7
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await isolation.close()


async def test_a_suspect_that_hangs_is_given_up_at_its_deadline(tmp_path: Path) -> None:
    isolation = Isolation(looping(tmp_path), tmp_path, threads=1, refusals=Refusals())
    async with asyncio.timeout(60):
        with pytest.raises(DeadlineExceeded):
            await isolation.infer(endless(deadline=monotonic() + 0.5))
    await isolation.close()


async def test_a_suspect_that_hangs_does_not_keep_its_version_from_being_unloaded(tmp_path: Path) -> None:
    refusals = Refusals()
    isolation = Isolation(looping(tmp_path), tmp_path, threads=1, refusals=refusals)
    waiting = create_task(isolation.infer(endless()))
    await until(lambda: isolation._process is not None and isolation._process.loaded)
    async with asyncio.timeout(60):
        await isolation.close(0.1)
        with pytest.raises(ModelNotReady, match="unloaded"):
            await waiting
    assert not refusals  # its process was ended, and did not die of it


async def test_a_version_whose_process_does_not_start_again_is_not_ready_here(
    model: LoadedModel, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(Suspect):
        await model.infer(divide(LOWEST, -1))
    with pytest.raises(ModelNotReady, match="does not start again"):
        await model.infer(divide(1, 1))
    assert model.lost is not None

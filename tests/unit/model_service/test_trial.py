"""Trials run in real processes; a graph that crashes the runtime is a real one too."""

import asyncio
import os
import platform
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from onnx import TensorProto, helper

from model_service.trial import (
    MachineLacks,
    MachineUnfit,
    TrialFailed,
    TrialTimedOut,
    machine_at_fault,
    processor,
    run_trial,
    runtime,
)
from model_service.warmup import WarmUpFailed
from storage.manifest import Manifest
from tests.unit.model_service.engines import until
from tests.unit.model_service.graphs import manifest, save_graph, save_identity
from wire.errors import EngineFailed


async def attempt(folder: Path, about: Manifest | None = None, timeout_s: float = 60) -> str | None:
    return await run_trial(about or manifest(), folder, threads=1, timeout_s=timeout_s)


def save_crash(path: Path) -> None:
    """(x + the lowest INT32) / (x - 1): for x of 0, as in a warm-up, a division that x86 processors trap on."""
    row = ("n", 2)
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        helper.make_node("Add", ["i", "lowest"], ["a"]),
        helper.make_node("Sub", ["i", "one"], ["b"]),
        helper.make_node("Div", ["a", "b"], ["q"]),
        helper.make_node("Cast", ["q"], ["y"], to=TensorProto.FLOAT),
    ]
    constants: dict[str, Any] = {"lowest": np.array([-(2**31)], np.int32), "one": np.array([1], np.int32)}
    save_graph(path, nodes, [("x", TensorProto.FLOAT, row)], [("y", TensorProto.FLOAT, row)], constants)


def with_golden(about: Manifest) -> Manifest:
    fields = about.model_dump()
    golden = {**fields["files"][0], "path": "golden.json"}
    return Manifest.model_validate({**fields, "golden": "golden.json", "files": [*fields["files"], golden]})


def children() -> set[int]:
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # the thread has ended meanwhile
            found.update(map(int, (thread / "children").read_text().split()))
    return found


async def test_a_version_that_loads_and_answers_passes(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx")
    assert await attempt(tmp_path) is None


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors do not trap on this division")
async def test_a_graph_that_crashes_the_runtime_fails_and_names_the_signal(tmp_path: Path) -> None:
    save_crash(tmp_path / "model.onnx")
    with pytest.raises(TrialFailed, match=r"killed by SIGFPE: the graph crashes the runtime, .* --golden FILE"):
        await attempt(tmp_path)


async def test_a_graph_that_cannot_take_zeros_passes_with_golden_cases(tmp_path: Path) -> None:
    ports = [(name, TensorProto.INT32, (1, 2)) for name in ("a", "b", "q")]
    save_graph(tmp_path / "model.onnx", [helper.make_node("Div", ["a", "b"], ["q"])], ports[:2], ports[2:])
    specs = [{"name": name, "datatype": "INT32", "shape": [1, 2]} for name in ("a", "b", "q")]
    about = manifest(inputs=specs[:2], outputs=specs[2:], batching={"max_rows": 1})
    if platform.machine() == "x86_64":
        with pytest.raises(TrialFailed, match="--golden FILE"):
            await attempt(tmp_path, about)
    tensors = [{**spec, "data": data} for spec, data in zip(specs, ([6, 9], [2, 3], [3, 3]), strict=True)]
    (tmp_path / "golden.json").write_bytes(orjson.dumps({"cases": [{"inputs": tensors[:2], "outputs": tensors[2:]}]}))
    assert await attempt(tmp_path, with_golden(about)) is None


@pytest.mark.parametrize(
    ("number", "error", "hint"),
    [
        (signal.SIGSEGV, TrialFailed, "SIGSEGV: the graph crashes"),
        (signal.SIGKILL, MachineUnfit, "SIGKILL: out of memory"),
        (signal.SIGTERM, MachineUnfit, "SIGTERM: it was told to stop"),
        (signal.SIGRTMIN + 1, MachineUnfit, f"{signal.SIGRTMIN + 1}: it was told to stop"),
    ],
)
async def test_only_a_crash_is_held_against_the_version(
    tmp_path: Path, number: int, error: type[Exception], hint: str
) -> None:
    save_identity(tmp_path / "model.onnx")
    before = children()
    task = asyncio.create_task(attempt(tmp_path))
    await until(lambda: children() - before)
    (child,) = children() - before
    os.kill(child, number)
    with pytest.raises(error, match=hint):
        await task


async def test_a_trial_without_end_is_ended(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx")
    before = children()
    with pytest.raises(TrialTimedOut, match=r"longer than 0\.01 s"):
        await attempt(tmp_path, timeout_s=0.01)
    assert children() <= before


async def test_an_abandoned_trial_leaves_no_process(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx")
    before = children()
    task = asyncio.create_task(attempt(tmp_path))
    await until(lambda: children() - before)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() <= before


async def test_a_file_that_is_no_graph_fails_with_the_runtimes_reason(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(TrialFailed, match=r"cannot load model\.onnx"):
        await attempt(tmp_path)


async def test_golden_cases_are_part_of_the_trial(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx")
    x = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
    case = {"inputs": [x], "outputs": [{**x, "name": "y", "data": [1, 3]}]}
    (tmp_path / "golden.json").write_bytes(orjson.dumps({"cases": [case]}))
    with pytest.raises(TrialFailed, match="golden case 1"):
        await attempt(tmp_path, with_golden(manifest()))


async def test_a_device_that_is_not_here_is_not_the_versions_fault(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx")
    with pytest.raises(MachineLacks, match="cuda"):
        await attempt(tmp_path, manifest(engine={"providers": ["cuda"]}))


async def test_memory_that_is_not_here_is_not_the_versions_fault(tmp_path: Path) -> None:
    row = ("n", 2)
    sum_ = helper.make_node("ReduceSum", ["huge"], ["total"], keepdims=0)
    nodes = [helper.make_node("Expand", ["x", "size"], ["huge"]), sum_, helper.make_node("Add", ["x", "total"], ["y"])]
    sizes = {"size": np.array([2**40, 1, 2])}
    save_graph(tmp_path / "model.onnx", nodes, [("x", TensorProto.FLOAT, row)], [("y", TensorProto.FLOAT, row)], sizes)
    with pytest.raises(MachineUnfit, match="alloc"):
        await attempt(tmp_path)


async def test_a_trial_that_cannot_even_begin_is_not_the_versions_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineUnfit, match="ended with status"):
        # As of another release: this process cannot read it, and says so in a traceback.
        await attempt(tmp_path, manifest().model_copy(update={"format": 2}))


def test_what_stands_behind_an_error_tells_whose_fault_it_is() -> None:
    for cause, machine in ((MemoryError(), True), (ImportError(), True), (OSError(), True), (ValueError(), False)):
        failed = EngineFailed("the model failed")
        failed.__cause__ = cause
        outer = WarmUpFailed("the model failed on its first input")
        outer.__cause__ = failed
        assert machine_at_fault(outer) is machine


async def test_rows_that_depend_on_others_run_alone_and_fail_no_version(tmp_path: Path) -> None:
    row = ("n", 2)
    mean = helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0)
    add = helper.make_node("Add", ["x", "mean"], ["y"])
    save_graph(tmp_path / "model.onnx", [mean, add], [("x", TensorProto.FLOAT, row)], [("y", TensorProto.FLOAT, row)])
    alone = await attempt(tmp_path)
    assert alone is not None
    assert "a row is answered otherwise beside other rows: output 'y' is off by" in alone
    for tolerance, told in ((None, True), (10.0, False), (0.01, True)):
        honest = manifest(batching={"batch_invariant": False, "tolerance": tolerance})
        assert (await attempt(tmp_path, honest) is not None) is told


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors do not trap on this division")
async def test_a_graph_that_crashes_at_rows_that_were_made_up_is_no_failed_version(tmp_path: Path) -> None:
    row = ("n", 2)
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        helper.make_node("Sub", ["i", "most"], ["b"]),
        helper.make_node("Div", ["most", "b"], ["q"]),
        helper.make_node("Cast", ["q"], ["y"], to=TensorProto.FLOAT),
    ]
    most = {"most": np.array([255], np.int32)}  # by which the largest UINT8 makes it divide by zero
    save_graph(tmp_path / "model.onnx", nodes, [("x", TensorProto.UINT8, row)], [("y", TensorProto.FLOAT, row)], most)
    about = manifest(inputs=[{"name": "x", "datatype": "UINT8", "shape": [-1, 2]}])
    assert await attempt(tmp_path, about) is None


def test_a_trial_speaks_for_a_runtime_and_a_kind_of_processor() -> None:
    assert runtime("onnx").startswith("onnxruntime")
    assert processor() == processor() != ""


async def test_a_locale_that_is_missing_is_the_machines_fault_and_is_named_with_what_to_install(tmp_path: Path) -> None:
    text = [(name, TensorProto.STRING, ["n"]) for name in "xy"]
    lower = helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER", locale="xx_YY.UTF-8")
    save_graph(tmp_path / "model.onnx", [lower], text[:1], text[1:])
    specs = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in "xy"]
    with pytest.raises(MachineUnfit, match=r"the locale xx_YY\.UTF-8, which this machine lacks: install it"):
        await attempt(tmp_path, manifest(inputs=specs[:1], outputs=specs[1:]))


async def test_what_goes_wrong_in_a_trial_is_told_without_the_servers_folders(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(TrialFailed, match="Protobuf parsing failed") as broken:
        await attempt(tmp_path)
    assert str(tmp_path) not in str(broken.value)

from pathlib import Path
from typing import Any

import orjson
import pytest
from onnx import TensorProto

from model_service.engines.base import Arrays, EngineError
from model_service.engines.cancel import CancelToken
from model_service.golden import GoldenMismatch
from model_service.loaded_model import LoadedModel
from model_service.opening import open_here
from model_service.tasks.tensors import TensorsTask
from model_service.warmup import WarmUpFailed, warm_up
from storage.manifest import Manifest
from tests.unit.model_service.graphs import manifest, save_identity


class Recording:
    """An engine that answers what it is given, and keeps it; or fails."""

    def __init__(self, described: Manifest, error: str | None = None) -> None:
        self.inputs = described.inputs
        self.outputs = described.outputs
        self.seen: list[Any] = []
        self._error = error

    def run(self, inputs: Arrays, cancel: CancelToken | None = None) -> Arrays:
        self.seen.append(inputs["x"])
        if self._error is not None:
            raise EngineError(self._error)
        return {"y": inputs["x"]}

    def close(self) -> None:
        pass


def described(shape: list[int], datatype: str = "FP32", **fields: Any) -> Manifest:
    spec = {"datatype": datatype, "shape": shape}
    return manifest(inputs=[{"name": "x", **spec}], outputs=[{"name": "y", **spec}], **fields)


def loaded(about: Manifest, error: str | None = None) -> tuple[LoadedModel, Recording]:
    engine = Recording(about, error)
    return LoadedModel("small", 1, about, engine, TensorsTask(about, engine)), engine


async def test_one_row_and_a_batch_of_zeros_run_before_any_request(tmp_path: Path) -> None:
    model, engine = loaded(described([-1, 3]))
    await warm_up(model, tmp_path)
    assert [(array.shape, bool(array.any())) for array in engine.seen] == [((1, 3), False), ((8, 3), False)]


async def test_no_more_rows_are_warmed_up_with_than_the_queue_takes(tmp_path: Path) -> None:
    model, engine = loaded(described([-1, 3], batching={"max_queue_rows": 2}))
    await warm_up(model, tmp_path)
    assert [len(array) for array in engine.seen] == [1, 2]


async def test_a_graph_without_batches_gets_one_input(tmp_path: Path) -> None:
    model, engine = loaded(described([2, 3], batching={"max_rows": 1}))
    await warm_up(model, tmp_path)
    assert [array.shape for array in engine.seen] == [(2, 3)]


async def test_a_text_is_a_sentence(tmp_path: Path) -> None:
    model, engine = loaded(described([-1], "BYTES"))
    await warm_up(model, tmp_path)
    assert [len(array) for array in engine.seen] == [1, 8]
    assert b"fox" in engine.seen[0][0]


async def test_sizes_that_only_clients_know_are_not_guessed(tmp_path: Path) -> None:
    model, engine = loaded(described([-1, -1]))
    await warm_up(model, tmp_path)
    assert engine.seen == []


async def test_a_model_that_fails_on_its_first_input_fails_with_the_reason_and_what_to_do(tmp_path: Path) -> None:
    model, _ = loaded(described([-1, 3]), "no such kernel")
    with pytest.raises(WarmUpFailed, match=r"no such kernel.*golden cases"):
        await warm_up(model, tmp_path)


async def test_golden_cases_take_the_place_of_zeros(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx", TensorProto.FLOAT)
    x = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
    case = {"inputs": [x], "outputs": [{**x, "name": "y", "data": [1, 3]}]}
    (tmp_path / "golden.json").write_bytes(orjson.dumps({"cases": [case]}))
    about = manifest().model_copy(update={"golden": "golden.json"})
    with pytest.raises(GoldenMismatch, match="case 1"):
        await warm_up(open_here("small", 1, about, tmp_path, threads=1), tmp_path)

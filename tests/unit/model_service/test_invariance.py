"""Whether rows depend on each other, found out by running them, whatever the manifest says."""

from pathlib import Path
from time import monotonic
from typing import Any

import onnx
import pytest
from onnx import ModelProto

from model_service.engines.onnx import OnnxEngine
from model_service.invariance import rows_depend
from model_service.tasks.tensors import TensorsTask
from storage.manifest import Manifest
from tests.unit.model_service.graphs import manifest
from tests.unit.storage.row_graphs import COUNTING, INDEPENDENT, MIXING, parsed, pruned

# What the runtime has no kernel for, or takes no input of: no answers, so nothing to compare.
NOT_RUN = {"BatchNormalization"}


def asked(folder: Path, model: ModelProto, **batching: Any) -> str | None:
    onnx.save(model, folder / "model.onnx")
    about = manifest()
    engine = OnnxEngine(folder / "model.onnx", about.engine, threads=1)
    tensors = {"inputs": [s.model_dump() for s in engine.inputs], "outputs": [s.model_dump() for s in engine.outputs]}
    about = Manifest.model_validate({**about.model_dump(), **tensors, "batching": batching})
    return rows_depend(about, TensorsTask(about, engine), engine, folder, monotonic() + 60)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_rows_that_are_independent_are_found_to_be(name: str, tmp_path: Path) -> None:
    assert asked(tmp_path, parsed(INDEPENDENT[name])) is None


@pytest.mark.parametrize("name", [name for name in MIXING if name not in NOT_RUN])
def test_rows_that_depend_are_found_out(name: str, tmp_path: Path) -> None:
    assert asked(tmp_path, parsed(MIXING[name]), max_rows=64) is not None


@pytest.mark.parametrize("name", ["Cast", "If", "Where"])
def test_what_one_number_of_rows_gets_alone_is_found_out(name: str, tmp_path: Path) -> None:
    assert asked(tmp_path, pruned(COUNTING[name]), max_rows=64) is not None

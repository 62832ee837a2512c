"""A folder that MLflow wrote for an ONNX model."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.errors import InvalidArtifact
from storage.importers import Import, import_model
from tests.unit.storage.import_sources import identity, save, write


def tensor(dtype: str = "float32", shape: tuple[int, ...] = (-1, 2), **more: str) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}, **more}


def imported(folder: Path, mlmodel: dict[str, Any] | str) -> Import:
    save(identity(), folder / "model.onnx")
    text = mlmodel if isinstance(mlmodel, str) else yaml.safe_dump(mlmodel)
    return import_model(write(folder, {"MLmodel": text}))


def with_signature(inputs: Any, outputs: Any = None) -> dict[str, Any]:
    onnx = {"data": "model.onnx", "onnx_version": "1.19.0", "providers": ["CUDAExecutionProvider"]}
    signature = {"inputs": json.dumps(inputs), "outputs": outputs and json.dumps(outputs), "params": None}
    return {"flavors": {"onnx": onnx, "python_function": {"data": "model.onnx"}}, "signature": signature}


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([tensor()], [tensor()]),
        ([tensor(name="x")], [tensor(name="y", shape=(-1, -1))]),
        ([tensor(name="x")], None),
        ([{"type": "double", "name": "a"}, {"type": "double", "name": "b"}], None),
    ],
)
def test_a_model_whose_signature_is_the_graphs_is_imported(tmp_path: Path, inputs: Any, outputs: Any) -> None:
    result = imported(tmp_path / "net", with_signature(inputs, outputs))
    assert (result.manifest.name, result.manifest.inputs[0].shape) == ("net", (-1, 2))
    assert sorted(result.files) == ["model.onnx"]


def test_a_signature_is_not_needed(tmp_path: Path) -> None:
    assert imported(tmp_path, {"flavors": {"onnx": {"data": "model.onnx"}}}).manifest.task == "tensors"


@pytest.mark.parametrize(
    ("mlmodel", "match"),
    [
        (with_signature([tensor("float64")]), r"signature says that the input 'x' is FP64 \[-1, 2\]"),
        (with_signature([tensor()], [tensor(shape=(-1, 3))]), r"output 'y' is FP32 \[-1, 3\]"),
        (with_signature([tensor(name="z")]), "has the input 'z'"),
        (with_signature([{"type": "tensor"}]), "signature that cannot be read"),
        ({"flavors": {"sklearn": {}}}, r"flavors sklearn, not 'onnx'.*mlflow\.onnx\.log_model"),
        ({"flavors": {"onnx": {"data": "../elsewhere/model.onnx"}}}, "leaves the artifact's folder"),
        ({"flavors": {"onnx": {"data": "missing.onnx"}}}, r"needs the file missing\.onnx"),
        ("flavors: [", "is not YAML"),
        ("just text", "must hold a mapping"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("[" * 50_000, "is not YAML"),
    ],
)
def test_what_is_not_an_onnx_model_or_not_the_signatures_is_refused(tmp_path: Path, mlmodel: Any, match: str) -> None:
    with pytest.raises(InvalidArtifact, match=match):
        imported(tmp_path, mlmodel)


def test_golden_cases_come_along(tmp_path: Path) -> None:
    write(tmp_path, {"golden.json": {"cases": []}})
    assert imported(tmp_path, {"flavors": {"onnx": {"data": "model.onnx"}}}).manifest.golden == "golden.json"

"""Golden cases that are given beside a model, whatever it comes as."""

import json
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from storage.errors import InvalidArtifact
from storage.importers import import_model
from tests.unit.storage.import_sources import identity, model_of, save, sentence_folder, write

X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
GOLDEN: dict[str, Any] = {"cases": [{"inputs": [X], "outputs": [{**X, "name": "y"}]}]}


def source(kind: str, folder: Path) -> Path:
    """A model as users have it; those in a folder may bring golden cases of their own."""
    own = {"golden.json": {"cases": "its own"}}
    match kind:
        case "onnx":
            return save(identity(), folder / "net.onnx")
        case "triton":
            save(identity(), folder / "net/1/model.onnx")
            return write(folder / "net", {"config.pbtxt": 'backend: "onnxruntime"'})
        case "mlflow":
            save(identity(), folder / "net/model.onnx")
            return write(folder / "net", {"MLmodel": "flavors: {onnx: {data: model.onnx}}", **own})
        case _:
            save(identity(), folder / "net/onnx/model.onnx")
            return write(folder / "net", own)


@pytest.mark.parametrize("kind", ["onnx", "triton", "mlflow", "folder"])
def test_every_source_takes_golden_cases_and_those_given_come_before_its_own(tmp_path: Path, kind: str) -> None:
    given = tmp_path / "cases of mine.json"
    given.write_text(json.dumps(GOLDEN))
    imported = import_model(source(kind, tmp_path), golden=given)
    assert imported.manifest.golden == "golden.json"
    assert imported.files["golden.json"] == given
    assert [file.path for file in imported.manifest.files] == sorted(imported.files)
    (entry,) = (file for file in imported.manifest.files if file.path == "golden.json")
    assert entry.size == given.stat().st_size
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**GOLDEN, "tolerance": 0.1}))
    again = import_model(source(kind, tmp_path), golden=other)
    assert again.manifest.digest != imported.manifest.digest


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff", b"{}", b'{"cases": []}', b'{"cases": [1]}', b'{"cases": [{"inputs": []}]}', b"[" * 9**5],
)
def test_a_file_without_golden_cases_is_refused_with_what_it_should_hold(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "golden.json").write_bytes(content)
    with pytest.raises(InvalidArtifact, match=r'golden\.json holds no golden cases: .*\{"cases": \[\{"inputs"'):
        import_model(source("onnx", tmp_path), golden=tmp_path / "golden.json")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"tolerence": 0.1}, "it has 'tolerence' beside 'cases' and 'tolerance'"),
        ({"tolerance": -1}, "the tolerance must be a number of 0 or more, it is -1"),
        ({"tolerance": True}, "the tolerance must be a number of 0 or more, it is True"),
        ({"tolerance": None}, "the tolerance must be a number of 0 or more, it is None"),
        ({"cases": [*GOLDEN["cases"], {"inputs": [X], "outputs": []}]}, "case 2 has no outputs"),
        ({"cases": [{"inputs": [], "outputs": [X]}]}, "case 1 has no inputs"),
        ({"cases": [{**GOLDEN["cases"][0], "parameters": {}}]}, "case 1 has 'parameters' beside its inputs and"),
    ],
)
def test_what_would_prove_nothing_or_something_else_is_refused(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    (tmp_path / "golden.json").write_text(json.dumps({**GOLDEN, **changed}))
    with pytest.raises(InvalidArtifact, match=told):
        import_model(source("onnx", tmp_path), golden=tmp_path / "golden.json")


def case(inputs: list[dict[str, Any]] | None = None, outputs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "inputs": [X] if inputs is None else inputs,
        "outputs": [{**X, "name": "y"}] if outputs is None else outputs,
    }


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (case([{**X, "datatype": "FP64"}]), "input 'x' is FP32, not FP64"),
        (case([{**X, "name": "z"}]), "the model has no input 'z'; it has 'x'"),
        (case([{**X, "shape": [2, 1]}]), r"input 'x' is of shape \[-1, 2\] \(-1: any size\), not \[2, 1\]"),
        (case([{**X, "shape": [2]}]), r"input 'x' is of shape \[-1, 2\] \(-1: any size\), not \[2\]"),
        (case([{**X, "data": [1]}]), "'x'"),
        (case([{**X, "data": ["a", "b"]}]), "'x'"),
        (case(outputs=[X]), "the model has no output 'x'; it has 'y'"),
        (case(outputs=[{**X, "name": "y", "datatype": "INT64"}]), "output 'y' is FP32, not INT64"),
        (case(outputs=[{**X, "name": "y", "shape": [3, 2]}]), "'y'"),
    ],
)
def test_tensors_that_are_not_the_models_are_refused_at_once(tmp_path: Path, wrong: dict[str, Any], told: str) -> None:
    (tmp_path / "golden.json").write_text(json.dumps({"cases": [case(), wrong]}))
    with pytest.raises(InvalidArtifact, match=f"golden.json does not fit the model net: case 2: .*{told}"):
        import_model(source("onnx", tmp_path), golden=tmp_path / "golden.json")


def test_an_input_that_no_case_has_is_told_beside_those_that_it_has(tmp_path: Path) -> None:
    rows = ("batch", 2)
    graph = model_of(
        [helper.make_node("Add", ["x", "z"], ["y"])],
        [("x", TensorProto.FLOAT, rows), ("z", TensorProto.FLOAT, rows)],
        [("y", TensorProto.FLOAT, rows)],
    )
    (tmp_path / "golden.json").write_text(json.dumps(GOLDEN))
    with pytest.raises(InvalidArtifact, match="case 1: the model takes 'x', 'z', only 'x' is there"):
        import_model(save(graph, tmp_path / "net.onnx"), golden=tmp_path / "golden.json")


@pytest.mark.parametrize("shape", [[1], [1, 1]])
def test_a_text_model_takes_texts_in_a_row_or_a_column(tmp_path: Path, shape: list[int]) -> None:
    text = {"name": "text", "datatype": "BYTES", "shape": shape, "data": ["a river"]}
    embedding = {"name": "embedding", "datatype": "FP32", "shape": [1, 2], "data": [0.6, 0.8]}
    (tmp_path / "golden.json").write_text(json.dumps({"cases": [case([text], [embedding])]}))
    folder = sentence_folder(tmp_path / "minilm")
    assert import_model(folder, golden=tmp_path / "golden.json").manifest.golden == "golden.json"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact, match="there is no file"):
        import_model(source("onnx", tmp_path), golden=tmp_path / "golden.json")

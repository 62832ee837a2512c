"""Weights beside the graph: none of them may come from outside of its folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from storage.errors import InvalidArtifact
from storage.importers import import_model
from tests.unit.storage.import_sources import FLOAT, ROWS, Value, external, model_of, save, with_weight

OUT: Value = ("y", FLOAT, ["batch", 2])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, and beside it a file that is nobody's business."""
    (tmp_path / "secret").write_bytes(bytes(8))
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def refused(model: ModelProto, folder: Path, match: str) -> None:
    with pytest.raises(InvalidArtifact, match=match):
        import_model(save(model, folder / "m.onnx"))


@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "weights/deep/w.bin"])
def test_weights_inside_the_folder_come_with_the_graph(folder: Path, location: str) -> None:
    weights = folder / location
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(bytes(8))
    result = import_model(save(with_weight(external("w", location)), folder / "m.onnx"))
    assert result.files == {"m.onnx": folder / "m.onnx", location.removeprefix("./"): weights}
    assert [file.size for file in result.manifest.files if file.path != "m.onnx"] == [8]


def test_the_runtime_loads_what_was_imported(folder: Path, tmp_path: Path) -> None:
    from onnxruntime import InferenceSession

    (folder / "w.bin").write_bytes(bytes(4) + np.array([1, 2], np.float32).tobytes())
    result = import_model(save(with_weight(external("w", "w.bin", offset=4, length=8)), folder / "m.onnx"))
    for path, file in result.files.items():
        (tmp_path / "artifact").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "artifact" / path)
    session = InferenceSession(str(tmp_path / "artifact" / "m.onnx"))
    assert session.run(None, {"x": np.zeros((1, 2), np.float32)})[0].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "a/../../secret",
        "..",
        "",
        "/etc/hostname",
        "//etc/hostname",
        "..\\secret",
        "*/_ORT_MEM_ADDR_/*",
        "a\0b",
    ],
)
def test_a_location_that_leads_out_of_the_folder_is_refused(folder: Path, location: str) -> None:
    (folder / "a").mkdir()
    refused(with_weight(external("w", location)), folder, "plain path inside the model's own folder")


def test_a_link_is_refused_wherever_it_stands_in_the_path(folder: Path) -> None:
    (folder / "file").symlink_to(folder.parent / "secret")
    refused(with_weight(external("w", "file")), folder, "leads over a link")
    (folder / "inside").write_bytes(bytes(8))
    (folder / "near").symlink_to(folder / "inside")
    refused(with_weight(external("w", "near")), folder, "leads over a link")
    (folder / "up").symlink_to(folder.parent)
    refused(with_weight(external("w", "up/secret")), folder, "leads over a link")


def test_the_graph_itself_may_not_be_a_link(folder: Path) -> None:
    save(with_weight(numpy_helper.from_array(np.zeros(2, np.float32), "w")), folder.parent / "real.onnx")
    (folder / "m.onnx").symlink_to(folder.parent / "real.onnx")
    with pytest.raises(InvalidArtifact, match="leads over a link"):
        import_model(folder / "m.onnx")


def in_a_branch(folder: Path) -> ModelProto:
    branch = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", FLOAT, ["batch", 2])],
        initializer=[external("w", "../secret")],
    )
    node = helper.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch)
    return model_of([node], [ROWS], [OUT], [numpy_helper.from_array(np.array(True), "condition")])


def in_a_constant(folder: Path) -> ModelProto:
    constant = helper.make_node("Constant", [], ["w"], value=external("", "../secret"))
    return model_of([constant, helper.make_node("Add", ["x", "w"], ["y"])], [ROWS], [OUT])


def in_a_function(folder: Path) -> ModelProto:
    body = [
        helper.make_node("Constant", [], ["w"], value=external("", "../secret")),
        helper.make_node("Add", ["a", "w"], ["b"]),
    ]
    function = helper.make_function("local", "AddIt", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    call = helper.make_node("AddIt", ["x"], ["y"], domain="local")
    return model_of([call], [ROWS], [OUT], functions=[function])


def in_a_sparse_weight(folder: Path) -> ModelProto:
    model = model_of([helper.make_node("Identity", ["x"], ["y"])], [ROWS], [OUT])
    sparse = model.graph.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(external("w", "../secret"))
    return model


@pytest.mark.parametrize("hidden", [in_a_branch, in_a_constant, in_a_function, in_a_sparse_weight])
def test_no_place_in_the_model_hides_a_location(folder: Path, hidden: object) -> None:
    assert callable(hidden)
    refused(hidden(folder), folder, "plain path inside the model's own folder")


def test_missing_weights_are_named(folder: Path) -> None:
    refused(with_weight(external("w", "w.bin")), folder, r"tensor 'w' of m\.onnx needs the file w\.bin")


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"offset": 1}, "ends at byte 9 of w.bin, which has 8"),
        ({"offset": 2**62}, "ends at byte"),
        ({"length": 9}, "takes 8 bytes, its external data says 9"),
        ({"offset": -1}, "offset '-1'"),
        ({"length": "many"}, "length 'many'"),
        ({"offset": "9" * 5000}, "offset '999"),
    ],
)
def test_a_tensor_that_its_file_cannot_hold_is_refused(folder: Path, entries: dict[str, str | int], match: str) -> None:
    (folder / "w.bin").write_bytes(bytes(8))
    refused(with_weight(external("w", "w.bin", **entries)), folder, match)


def test_a_shape_that_lies_is_refused(folder: Path) -> None:
    (folder / "w.bin").write_bytes(bytes(8))
    tensor = external("w", "w.bin")
    tensor.dims[:] = [2**40, 2**40]
    refused(with_weight(tensor), folder, "is the file whole")
    tensor.dims[:] = [-2]
    refused(with_weight(tensor), folder, r"shape \[-2\]")


def test_weights_of_a_graph_in_a_subfolder_lie_in_that_subfolder(folder: Path) -> None:
    save(with_weight(external("w", "w.bin")), folder / "onnx" / "model.onnx")
    (folder / "w.bin").write_bytes(bytes(8))
    with pytest.raises(InvalidArtifact, match=r"needs the file onnx/w\.bin"):
        import_model(folder)
    (folder / "onnx" / "w.bin").write_bytes(bytes(8))
    assert sorted(import_model(folder).files) == ["onnx/model.onnx", "onnx/w.bin"]

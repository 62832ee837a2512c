"""A bare .onnx file: what the importer reads from the graph alone."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from storage.errors import InvalidArtifact
from storage.importers import import_model
from storage.importers.draft import finish
from storage.importers.onnx_file import import_onnx_file
from storage.manifest import Manifest, TensorSpec
from tests.unit.storage.import_sources import FLOAT, ROWS, Value, identity, model_of, save


def imported(tmp_path: Path, **model: object) -> Manifest:
    return import_model(save(model_of(**model), tmp_path / "graph.onnx")).manifest  # type: ignore[arg-type]


def test_the_tensors_are_the_graphs_and_open_dimensions_are_minus_one(tmp_path: Path) -> None:
    file = save(identity(["batch", None, 3]), tmp_path / "some model.onnx")
    result = import_model(str(file))
    assert result.manifest.inputs == (TensorSpec(name="x", datatype="FP32", shape=(-1, -1, 3)),)
    assert result.manifest.outputs == (TensorSpec(name="y", datatype="FP32", shape=(-1, -1, 3)),)
    assert (result.manifest.name, result.manifest.task) == ("some-model", "tensors")
    assert result.files == {"some model.onnx": file}
    entry = result.manifest.files[0]
    assert (entry.sha256, entry.size) == (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size)


@pytest.mark.parametrize(
    ("element", "datatype"),
    [
        (TensorProto.BOOL, "BOOL"),
        (TensorProto.UINT8, "UINT8"),
        (TensorProto.INT64, "INT64"),
        (TensorProto.FLOAT16, "FP16"),
        (TensorProto.BFLOAT16, "BF16"),
        (TensorProto.DOUBLE, "FP64"),
        (TensorProto.STRING, "BYTES"),
    ],
)
def test_every_datatype_has_its_name_in_the_protocol(tmp_path: Path, element: int, datatype: str) -> None:
    manifest = import_model(save(identity(element=element), tmp_path / "m.onnx")).manifest
    assert [spec.datatype for spec in (*manifest.inputs, *manifest.outputs)] == [datatype, datatype]


def test_a_datatype_that_clients_cannot_send_is_refused(tmp_path: Path) -> None:
    file = save(identity(element=TensorProto.COMPLEX64), tmp_path / "m.onnx")
    with pytest.raises(InvalidArtifact, match="input 'x' is COMPLEX64"):
        import_model(file)


@pytest.mark.parametrize(
    ("given", "returned", "batched"),
    [
        (["batch", 2], ["batch", 2], True),
        ([None, 2], [None, 2], True),
        (["batch", 2], [None, 2], True),
        (["unk__1", 2], ["unk__2", 2], True),
        (["batch", 2], ["other", 2], False),
        ([1, 2], [1, 2], False),
        (["batch", 2], [1, 2], False),
        (["batch", 2], [], False),
    ],
)
def test_rows_share_a_batch_only_where_every_tensor_has_the_same_open_first_dimension(
    tmp_path: Path, given: list[int | str | None], returned: list[int | str | None], batched: bool
) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    manifest = imported(tmp_path, nodes=nodes, inputs=[("x", FLOAT, given)], outputs=[("y", FLOAT, returned)])
    assert (manifest.batching.max_rows > 1) is batched


def test_batching_a_graph_without_rows_is_refused(tmp_path: Path) -> None:
    file = save(identity([1, 2]), tmp_path / "m.onnx")
    with pytest.raises(InvalidArtifact, match=r"max_rows is 8, but the graph's 'x' has the shape \[1, 2\]"):
        import_model(file, settings={"batching": {"max_rows": 8}})


def test_weights_that_an_old_graph_lists_among_its_inputs_are_no_inputs(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones(2, np.float32), "w")
    manifest = imported(
        tmp_path,
        nodes=[helper.make_node("Add", ["x", "w"], ["y"])],
        inputs=[ROWS, ("w", FLOAT, [2])],
        outputs=[("y", FLOAT, ["batch", 2])],
        weights=[weight],
    )
    assert [spec.name for spec in manifest.inputs] == ["x"]


OUT: Value = ("y", FLOAT, ["batch", 2])


def dropout(switch: list[str]) -> list[object]:
    return [helper.make_node("Dropout", ["x", *switch], ["y"])]


def boolean(value: bool) -> TensorProto:
    return numpy_helper.from_array(np.array(value), "training")


@pytest.mark.parametrize(
    ("nodes", "weights", "cached"),
    [
        ([helper.make_node("RandomNormalLike", ["x"], ["y"])], [], False),
        ([helper.make_node("Bernoulli", ["x"], ["y"])], [], False),
        (dropout([]), [], True),
        (dropout(["", "training"]), [boolean(False)], True),
        (dropout(["", "training"]), [boolean(True)], False),
        ([helper.make_node("Constant", [], ["training"], value=boolean(False)), *dropout(["", "training"])], [], True),
        ([helper.make_node("Identity", ["x"], ["y"])], [], True),
    ],
)
def test_answers_of_a_graph_that_draws_at_random_are_not_cached(
    tmp_path: Path, nodes: list[object], weights: list[TensorProto], cached: bool
) -> None:
    manifest = imported(tmp_path, nodes=nodes, inputs=[ROWS], outputs=[OUT], weights=weights)
    assert (manifest.cache_ttl_s > 0) is cached


def test_randomness_inside_a_branch_or_a_function_is_seen(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("RandomUniformLike", ["x"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", FLOAT, [])],
    )
    condition = numpy_helper.from_array(np.array(True), "condition")
    branching = helper.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch)
    assert imported(tmp_path, nodes=[branching], inputs=[ROWS], outputs=[OUT], weights=[condition]).cache_ttl_s == 0

    body = [helper.make_node("Multinomial", ["a"], ["b"])]
    function = helper.make_function("local", "Draw", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    call = helper.make_node("Draw", ["x"], ["y"], domain="local")
    assert imported(tmp_path, nodes=[call], inputs=[ROWS], outputs=[OUT], functions=[function]).cache_ttl_s == 0


def test_a_dynamically_quantised_graph_is_not_batch_invariant(tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    weight = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    plain = save(model_of(nodes, [ROWS], [OUT], [weight]), tmp_path / "plain.onnx")
    quantize_dynamic(plain, tmp_path / "quantised.onnx")
    assert import_model(plain).manifest.batching.batch_invariant
    batching = import_model(tmp_path / "quantised.onnx").manifest.batching
    assert (batching.batch_invariant, batching.tolerance) == (False, None)


@pytest.mark.parametrize(
    "estimator", ["LogisticRegression", "Ridge", "RandomForestClassifier", "RandomForestRegressor", "SVR"]
)
def test_a_scikit_learn_graph_of_trees_or_linear_operators_is_not_batch_invariant(
    tmp_path: Path, estimator: str
) -> None:
    from skl2onnx import to_onnx
    from sklearn import ensemble, linear_model, svm

    kind = next(getattr(module, estimator) for module in (ensemble, linear_model, svm) if hasattr(module, estimator))
    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    fitted = kind().fit(rows, [0, 0, 1, 1])
    options = {"zipmap": False} if hasattr(fitted, "classes_") else None
    batching = import_model(save(to_onnx(fitted, rows, options=options), tmp_path / "m.onnx")).manifest.batching
    assert (batching.batch_invariant, batching.tolerance) == (False, None)


def test_a_bound_that_somebody_knows_can_be_told(tmp_path: Path) -> None:
    told = {"batch_invariant": False, "tolerance": 0.02}
    batching = import_model(save(identity(), tmp_path / "m.onnx"), settings={"batching": told}).manifest.batching
    assert (batching.batch_invariant, batching.tolerance) == (False, 0.02)


def test_a_graph_that_changes_while_it_is_imported_is_refused(tmp_path: Path) -> None:
    save(identity(), tmp_path / "m.onnx")
    draft = import_onnx_file(tmp_path / "m.onnx")
    save(identity(["other", 2]), tmp_path / "m.onnx")
    with pytest.raises(InvalidArtifact, match=r"m\.onnx was changed while it was imported"):
        finish(draft, None, {})


def test_a_scikit_learn_classifier_is_imported_with_zipmap_off_and_refused_with_it_on(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    classifier = LogisticRegression().fit(rows, [0, 0, 1, 1])
    good = save(to_onnx(classifier, rows, options={"zipmap": False}), tmp_path / "good.onnx")
    manifest = import_model(good).manifest
    assert [(spec.datatype, spec.shape) for spec in manifest.outputs] == [("INT64", (-1,)), ("FP32", (-1, 2))]
    assert manifest.batching.max_rows > 1
    bad = save(to_onnx(classifier, rows), tmp_path / "bad.onnx")
    with pytest.raises(InvalidArtifact, match="zipmap"):
        import_model(bad)


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x0a\x3a\xff\xff\xff\xff\x0f"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InvalidArtifact, match=r"m\.onnx"):
        import_model(tmp_path / "m.onnx")


def test_an_output_without_a_shape_is_refused_with_what_to_do(tmp_path: Path) -> None:
    model = identity()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    with pytest.raises(InvalidArtifact, match="infer_shapes"):
        import_model(save(model, tmp_path / "m.onnx"))


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.safetensors", "model"])
def test_other_weights_are_refused_with_how_to_export_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(InvalidArtifact, match="export it to ONNX"):
        import_model(tmp_path / name)


def test_what_is_not_there_is_named_and_the_hub_suggested(tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact, match=r"there is no file or folder /nowhere/at/all$"):
        import_model("/nowhere/at/all")
    with pytest.raises(InvalidArtifact, match="write hf:owner/name"):
        import_model("owner/name")


def test_the_same_file_in_another_place_is_the_same_artifact(tmp_path: Path) -> None:
    first = import_model(save(identity(), tmp_path / "one" / "m.onnx"))
    second = import_model(save(identity(), tmp_path / "two" / "m.onnx"))
    assert first.manifest.digest == second.manifest.digest


def test_a_path_that_the_system_refuses_is_told_plainly() -> None:
    with pytest.raises(InvalidArtifact, match=r"cannot be read: .*too long"):
        import_model("x" * 5000)

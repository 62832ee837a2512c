"""A bare .onnx file: what the importer reads from the graph alone."""

import gc
import hashlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from storage.errors import InvalidArtifact
from storage.importers import import_model
from storage.importers.draft import finish
from storage.importers.onnx_file import import_onnx_file
from storage.manifest import Manifest, TensorSpec
from tests.unit.storage.import_sources import FLOAT, INT64, ROWS, Value, identity, model_of, save


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
        (TensorProto.DOUBLE, "FP64"),
        (TensorProto.STRING, "BYTES"),
    ],
)
def test_every_datatype_has_its_name_in_the_protocol(tmp_path: Path, element: int, datatype: str) -> None:
    manifest = import_model(save(identity(element=element), tmp_path / "m.onnx")).manifest
    assert [spec.datatype for spec in (*manifest.inputs, *manifest.outputs)] == [datatype, datatype]


def test_an_empty_file_is_told_from_a_graph_without_inputs(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    with pytest.raises(InvalidArtifact, match=r"m\.onnx is empty"):
        import_model(tmp_path / "m.onnx")


LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123\n"


@pytest.mark.parametrize("name", ["m.onnx", "tokenizer.json"])
def test_a_file_that_git_has_not_fetched_is_to_be_fetched(tmp_path: Path, name: str) -> None:
    save(identity(), tmp_path / "m.onnx")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text(LFS_POINTER)
    with pytest.raises(InvalidArtifact, match=rf"{name} is only .* `git lfs pull`"):
        import_model(tmp_path)


@pytest.mark.parametrize(
    ("element", "instead"),
    [
        ("COMPLEX64", "FLOAT"),
        ("BFLOAT16", "FLOAT"),
        ("FLOAT8E4M3FN", "FLOAT"),
        ("FLOAT8E5M2", "FLOAT"),
        ("FLOAT4E2M1", "FLOAT"),
        ("INT4", "INT8"),
        ("UINT4", "UINT8"),
        ("UNDEFINED", "FLOAT"),
    ],
)
def test_a_datatype_that_no_worker_can_serve_is_refused_with_what_to_take_instead(
    tmp_path: Path, element: str, instead: str
) -> None:
    file = save(identity(element=TensorProto.DataType.Value(element)), tmp_path / "m.onnx")
    with pytest.raises(InvalidArtifact, match=f"input 'x' is {element}, .* with {instead} for it and a Cast behind it"):
        import_model(file)
    answer = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.DataType.Value(element))]
    model = model_of(answer, [ROWS], [("y", TensorProto.DataType.Value(element), ["batch", 2])])
    with pytest.raises(InvalidArtifact, match=f"output 'y' is {element}, .* and a Cast before it"):
        import_model(save(model, tmp_path / "m.onnx"))


def test_an_input_of_any_rank_is_refused_with_what_gives_it_one(tmp_path: Path) -> None:
    model = identity()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(
        InvalidArtifact, match=r"input 'x' has no shape: export the graph with one, as in make_tensor_va"
    ):
        import_model(save(model, tmp_path / "m.onnx"))


@pytest.mark.parametrize("kind", ["sequence", "optional", "map", "sparse tensor"])
def test_what_is_no_tensor_is_refused_with_what_to_do(tmp_path: Path, kind: str) -> None:
    tensor = helper.make_tensor_type_proto(FLOAT, ["batch", 2])
    types = {
        "sequence": helper.make_sequence_type_proto(tensor),
        "optional": helper.make_optional_type_proto(tensor),
        "map": helper.make_map_type_proto(INT64, tensor),
        "sparse tensor": helper.make_sparse_tensor_type_proto(FLOAT, ["batch", 2]),
    }
    for name, where in (("x", "input"), ("y", "output")):
        model = identity()
        value = (model.graph.input if name == "x" else model.graph.output)[0]
        value.type.CopyFrom(types[kind])
        with pytest.raises(InvalidArtifact, match=rf"the {where} '{name}' is an? {kind}, and only tensors are served"):
            import_model(save(model, tmp_path / "m.onnx"))


@pytest.mark.parametrize(("op", "told"), [("Add", True), ("Transpose", False)])
def test_what_cpus_cannot_compute_in_bfloat16_is_told_before_a_worker_fails_on_it(
    tmp_path: Path, op: str, told: bool
) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.BFLOAT16),
        helper.make_node(op, ["a", "a"] if op == "Add" else ["a"], ["b"], name="middle"),
        helper.make_node("Cast", ["b"], ["y"], to=FLOAT),
    ]
    file = save(model_of(nodes, [ROWS], [("y", FLOAT, ["batch", 2])]), tmp_path / "m.onnx")
    notes = import_model(file).notes
    assert any(f"'middle' ({op}) computes in BFLOAT16" in note for note in notes) is told
    with pytest.raises(Exception, match="NOT_IMPLEMENTED") if told else nullcontext():
        onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


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


@pytest.mark.parametrize(("ir_version", "noted"), [(3, False), (10, True)])
def test_weights_among_a_graph_s_inputs_are_no_inputs_and_noted_where_they_are_meant_to_be(
    tmp_path: Path, ir_version: int, noted: bool
) -> None:
    graph = model_of(
        nodes=[helper.make_node("Add", ["x", "w"], ["y"])],
        inputs=[ROWS, ("w", FLOAT, [2])],
        outputs=[("y", FLOAT, ["batch", 2])],
        weights=[numpy_helper.from_array(np.ones(2, np.float32), "w")],
    )
    graph.ir_version = ir_version  # old graphs list all their weights
    found = import_model(save(graph, tmp_path / "graph.onnx"))
    assert [spec.name for spec in found.manifest.inputs] == ["x"]
    assert any("no input of the version: 'w'" in note for note in found.notes) is noted


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
    assert (manifest.cache_reason == "") is cached


def test_answers_that_are_drawn_at_random_cannot_be_set_to_be_cached_and_the_reason_is_told(tmp_path: Path) -> None:
    nodes = [helper.make_node("Bernoulli", ["x"], ["y"], name="coin")]
    file = save(model_of(nodes, [ROWS], [OUT]), tmp_path / "m.onnx")
    manifest = import_model(file, settings={"cache_ttl_s": 0}).manifest
    assert manifest.cache_reason == "the node 'coin' (Bernoulli) draws at random"
    with pytest.raises(
        InvalidArtifact, match=r"cache_ttl_s is 60, but .* the node 'coin' \(Bernoulli\) draws at random"
    ):
        import_model(file, settings={"cache_ttl_s": 60})
    assert manifest.model_copy(update={"cache_reason": "said otherwise"}).digest == manifest.digest


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


def test_a_scikit_learn_classifier_is_imported_with_zipmap_off(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    classifier = LogisticRegression().fit(rows, [0, 0, 1, 1])
    good = save(to_onnx(classifier, rows, options={"zipmap": False}), tmp_path / "good.onnx")
    manifest = import_model(good).manifest
    assert [(spec.datatype, spec.shape) for spec in manifest.outputs] == [("INT64", (-1,)), ("FP32", (-1, 2))]
    assert manifest.batching.max_rows > 1


def outputs_of(path: Path, rows: object) -> list[object]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: rows}))


@pytest.mark.parametrize("classes", [[3, 5, 9], ["cat", "dog", "emu"]])
@pytest.mark.parametrize("kind", ["LogisticRegression", "RandomForestClassifier", "Pipeline", "VotingClassifier"])
@pytest.mark.filterwarnings("ignore")
def test_probabilities_that_scikit_learn_wraps_in_maps_are_served_as_the_tensor_that_they_are_made_of(
    tmp_path: Path, kind: str, classes: list[object]
) -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier, VotingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    forest, regression = RandomForestClassifier(3, random_state=0), LogisticRegression()
    kinds = {
        "LogisticRegression": regression,
        "RandomForestClassifier": forest,
        "Pipeline": make_pipeline(StandardScaler(), regression),
        "VotingClassifier": VotingClassifier(
            [("a", forest), ("b", regression)], voting="soft", flatten_transform=False
        ),
    }
    rows = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
    fitted = kinds[kind].fit(rows, np.array(classes)[np.arange(30) % 3])
    wrapped = save(to_onnx(fitted, rows), tmp_path / "m.onnx")
    imported = import_model(wrapped)
    manifest = imported.manifest
    assert [(spec.datatype, spec.shape[1:]) for spec in manifest.outputs][1] == ("FP32", (3,))
    named = f"in this order: {', '.join(map(str, classes))}"
    assert named in imported.notes[0]
    assert named in manifest.description
    label, expected = outputs_of(wrapped, rows)
    served, probabilities = outputs_of(imported.files[manifest.model], rows)
    np.testing.assert_array_equal(served, label)
    by_class = [[row[name] for name in classes] for row in expected]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(probabilities, np.array(by_class, np.float32))
    assert import_model(wrapped).manifest.digest == manifest.digest


@pytest.mark.filterwarnings("ignore")
def test_a_list_of_tensors_is_served_as_one_output_for_each(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import MultiOutputClassifier

    rows = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
    targets = np.stack([np.arange(30) % 2, np.arange(30) % 3 + 5], axis=1)
    fitted = MultiOutputClassifier(LogisticRegression()).fit(rows, targets)
    classes = "with a column for each class in this order: probabilities_0: 0, 1; probabilities_1: 5, 6, 7"
    for options in ({}, {id(fitted): {"zipmap": False}}):
        wrapped = save(to_onnx(fitted, rows, options=options), tmp_path / "m.onnx")
        imported = import_model(wrapped)
        names = [spec.name for spec in imported.manifest.outputs]
        assert names == ["label", "probabilities_0", "probabilities_1"]
        told = f"'probabilities' is answered as the tensors probabilities_0, probabilities_1, {classes}"
        assert told in imported.notes[0]
        assert told in imported.manifest.description
        assert [spec.shape for spec in imported.manifest.outputs] == [(-1, 2), (-1, 2), (-1, 3)]
        label, expected = outputs_of(wrapped, rows)
        served = outputs_of(imported.files[imported.manifest.model], rows)
        np.testing.assert_array_equal(served[0], label)
        for one, other in zip(served[1:], expected, strict=True):  # type: ignore[call-overload]
            np.testing.assert_array_equal(one, other)
        assert imported.manifest.batching.max_rows > 1


@pytest.mark.parametrize(
    ("kind", "told", "shapes"),
    [
        ("RandomForestClassifier", True, [(-1, 2), (-1, 4)]),
        ("GradientBoostingClassifier", True, [(-1, 2), (-1, 4)]),
        ("GaussianNB", False, [(-1, 2), (-1, 4)]),  # its classes are in no node, its shapes can be inferred
        ("SVC", False, [(-1,), (-1,)]),  # it compares classes by twos: four of them have six columns
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_classes_and_shapes_of_a_list_are_those_of_scikit_learn_or_said_to_be_unknown(
    tmp_path: Path, kind: str, told: bool, shapes: list[tuple[int, ...]]
) -> None:
    from skl2onnx import to_onnx
    from sklearn import ensemble, naive_bayes, svm
    from sklearn.multioutput import MultiOutputClassifier

    module = next(module for module in (ensemble, naive_bayes, svm) if hasattr(module, kind))
    rows = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    targets = np.stack([np.array(["n", "y"])[np.arange(40) % 2], np.array(list("abcd"))[np.arange(40) % 4]], axis=1)
    fitted = MultiOutputClassifier(getattr(module, kind)()).fit(rows, targets)
    imported = import_model(save(to_onnx(fitted, rows), tmp_path / "m.onnx"))
    manifest = imported.manifest
    assert ("in this order: probabilities_0: n, y; probabilities_1: a, b, c, d" in manifest.description) is told
    assert [spec.shape for spec in manifest.outputs[1:]] == shapes
    unknown = "the shape of 'probabilities_0', 'probabilities_1' is not known"
    assert (unknown in manifest.description) is (kind == "SVC")
    _, *served = outputs_of(imported.files[manifest.model], rows)
    if kind != "SVC":
        for one, other in zip(served, fitted.predict_proba(rows), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)  # type: ignore[call-overload]


def test_what_was_written_for_an_import_is_deleted_with_it(tmp_path: Path) -> None:
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    model = model_of([node], [ROWS], [])
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, None))
    )
    model.graph.output.append(helper.make_value_info("y", maps))
    imported = import_model(save(model, tmp_path / "m.onnx"))
    (written,) = imported.files.values()
    assert written.is_file()
    del imported
    gc.collect()
    assert not written.exists()


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x0a\x3a\xff\xff\xff\xff\x0f"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InvalidArtifact, match=r"m\.onnx"):
        import_model(tmp_path / "m.onnx")


def test_an_output_without_a_shape_has_the_one_that_can_be_inferred(tmp_path: Path) -> None:
    model = identity()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    manifest = import_model(save(model, tmp_path / "m.onnx")).manifest
    assert manifest.outputs == (TensorSpec(name="y", datatype="FP32", shape=(-1, 2)),)
    assert manifest.batching.max_rows > 1


def test_an_output_whose_shape_nobody_can_tell_is_served_one_request_at_a_time(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["sizes"], to=TensorProto.INT64),
        helper.make_node("ConstantOfShape", ["sizes"], ["y"]),
    ]
    model = model_of(nodes, [("x", FLOAT, ["n"])], [("y", FLOAT, [])])
    model.graph.output[0].type.tensor_type.ClearField("shape")
    imported = import_model(save(model, tmp_path / "m.onnx"))
    manifest = imported.manifest
    assert (manifest.outputs[0].shape, manifest.batching.max_rows) == ((-1,), 1)
    assert "the shape of 'y' is not known" in manifest.description
    assert manifest.description in imported.notes


MEAN = [helper.make_node("ReduceMean", ["x", "axis"], ["mean"]), helper.make_node("Sub", ["x", "mean"], ["y"])]


def mixing(folder: Path) -> Path:
    axis = numpy_helper.from_array(np.array([0]), "axis")
    return save(model_of(MEAN, [ROWS], [("y", FLOAT, ["batch", 2])], [axis]), folder / "m.onnx")


def test_rows_share_a_batch_only_where_they_are_known_to_be_independent_and_the_reason_is_told(tmp_path: Path) -> None:
    batching = import_model(mixing(tmp_path)).manifest.batching
    assert (batching.max_rows, batching.reason) == (1, "the node 'mean' (ReduceMean) adds up over the rows")
    batching = import_model(save(identity(), tmp_path / "other.onnx")).manifest.batching
    assert batching.max_rows > 1
    assert "each row of the graph's outputs is made of the same row of its inputs" in batching.reason


def test_whoever_sets_max_rows_has_their_way_and_is_told_what_speaks_against_it(tmp_path: Path) -> None:
    batching = import_model(mixing(tmp_path), settings={"batching": {"max_rows": 4}}).manifest.batching
    assert batching.max_rows == 4
    assert "was set, though" in batching.reason
    assert "'mean' (ReduceMean)" in batching.reason
    assert import_model(mixing(tmp_path), settings={"batching": {"max_rows": 1}}).manifest.batching.max_rows == 1


def test_the_reason_is_no_part_of_the_artifacts_identity(tmp_path: Path) -> None:
    manifest = import_model(save(identity(), tmp_path / "m.onnx")).manifest
    other = manifest.batching.model_copy(update={"reason": "said otherwise"})
    assert manifest.model_copy(update={"batching": other}).digest == manifest.digest


@pytest.mark.parametrize(
    ("told", "shared"), [({}, False), ({"batch_invariant": False}, False), ({"tolerance": 0.05}, True)]
)
def test_a_scale_of_numbers_that_one_row_can_spoil_for_the_others_keeps_rows_apart(
    tmp_path: Path, told: dict[str, object], shared: bool
) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    file = save(model_of(nodes, [ROWS], [("y", FLOAT, ["batch", 2])]), tmp_path / "m.onnx")
    batching = import_model(file, settings={"batching": told}).manifest.batching
    assert (batching.max_rows > 1) is shared
    assert "dynamic quantisation" in batching.reason


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

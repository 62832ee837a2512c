from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from model_service.engines.base import NUMPY_DTYPES, EngineError
from model_service.engines.open import open_engine
from model_service.tasks.arrays import to_array, to_tensor
from model_service.tasks.base import Answer
from model_service.tasks.open import open_task
from model_service.tasks.tensors import TensorsTask
from storage.manifest import Manifest, TensorSpec
from tests.unit.model_service.graphs import manifest, save_graph, save_identity
from wire.datatypes import DATATYPES, SIZES
from wire.errors import EngineFailed, InvalidInput
from wire.messages import InferRequest
from wire.tensors import Tensor, bytes_tensor

SIZE = st.sampled_from([-1, 0, 1, 2, 3, 2**31, 2**40, 2**63])


def fp32(name: str, *shape: int) -> Tensor:
    return Tensor(name, "FP32", shape, np.arange(prod(shape), dtype=np.float32).tobytes())


def request(*tensors: Tensor) -> InferRequest:
    return InferRequest("small", None, list(tensors))


class Loaded:
    """A task and its engine, without a batcher: what one request becomes on its own."""

    def __init__(self, described: Manifest, folder: Path) -> None:
        self.engine = open_engine(described, folder, threads=1)
        task = open_task(described, folder, self.engine)
        assert isinstance(task, TensorsTask)
        self.task = task

    def answer(self, asked: InferRequest) -> Answer:
        items = self.task.prepare(asked)
        results = [self.task.scatter([item], self.engine.run(self.task.collate([item])))[0] for item in items]
        return self.task.respond(asked, items, results)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """y = a + b, FP32 `[-1, 2]` each, and z = a; four rows a batch."""
    folder = tmp_path_factory.mktemp("pair")
    two: list[int | str] = ["n", 2]
    save_graph(
        folder / "model.onnx",
        [helper.make_node("Add", ["a", "b"], ["y"]), helper.make_node("Identity", ["a"], ["z"])],
        [("a", TensorProto.FLOAT, two), ("b", TensorProto.FLOAT, two)],
        [("y", TensorProto.FLOAT, two), ("z", TensorProto.FLOAT, two)],
    )
    specs = [{"name": name, "datatype": "FP32", "shape": [-1, 2]} for name in "abzy"]
    return Loaded(manifest(inputs=specs[:2], outputs=specs[2:], batching={"max_rows": 4}), folder)


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """y = x, FP32 `[-1, -1]`; four rows a batch."""
    folder = tmp_path_factory.mktemp("ragged")
    save_identity(folder / "model.onnx", TensorProto.FLOAT, ["n", "s"])
    spec = {"datatype": "FP32", "shape": [-1, -1]}
    return Loaded(
        manifest(inputs=[{"name": "x", **spec}], outputs=[{"name": "y", **spec}], batching={"max_rows": 4}), folder
    )


def test_answers_come_in_the_manifest_s_order_with_their_rows_in_the_request_s(pair: Loaded) -> None:
    answer = pair.answer(request(fp32("b", 11, 2), fp32("a", 11, 2)))
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in answer.outputs] == [
        ("z", "FP32", (11, 2)),
        ("y", "FP32", (11, 2)),
    ]
    expected = np.arange(22, dtype=np.float32)
    assert answer.outputs[0].data == expected.tobytes()
    assert answer.outputs[1].data == (2 * expected).tobytes()


def test_no_item_has_more_rows_than_a_batch_takes_and_none_is_copied(pair: Loaded) -> None:
    a = fp32("a", 11, 2)
    items = pair.task.prepare(request(a, fp32("b", 11, 2)))
    assert [item.rows for item in items] == [4, 4, 3]
    whole = np.frombuffer(a.data, np.float32)
    assert all(np.shares_memory(item.features["a"], whole) for item in items)


def test_requests_that_share_a_batch_get_their_own_rows(pair: Loaded) -> None:
    asked = [request(fp32("a", rows, 2), fp32("b", rows, 2)) for rows in (1, 2, 1)]
    items = [pair.task.prepare(one)[0] for one in asked]
    results = pair.task.scatter(items, pair.engine.run(pair.task.collate(items)))
    for one, item, result in zip(asked, items, results, strict=True):
        assert pair.task.respond(one, [item], [result]) == pair.answer(one)


def test_only_rows_of_the_same_shape_share_a_group(ragged: Loaded) -> None:
    groups = [ragged.task.prepare(request(fp32("x", *shape)))[0].group for shape in ((1, 3), (2, 3), (1, 4))]
    assert groups[0] == groups[1] != groups[2]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([fp32("a", 1, 2)], r"takes 'a' \(FP32 \[-1, 2\]\), 'b' .*; 'a' came"),
        ([fp32("a", 1, 2), fp32("b", 1, 2), fp32("c", 1, 2)], "'c' came"),
        ([fp32("a", 1, 2), fp32("b", 1, 2), fp32("b", 1, 2)], "takes 'a'"),
        ([], "nothing came"),
        ([fp32("a", 1, 3), fp32("b", 1, 2)], r"'a' must be FP32 of shape \[-1, 2\].*not FP32 of shape \[1, 3\]"),
        ([fp32("a", 2), fp32("b", 1, 2)], r"not FP32 of shape \[2\]"),
        ([Tensor("a", "INT32", (1, 2), bytes(8)), fp32("b", 1, 2)], "not INT32"),
        ([fp32("a", 1, 2), fp32("b", 2, 2)], "'a' has 1, 'b' has 2"),
        ([Tensor("a", "FP32", (2, 2), bytes(12)), fp32("b", 2, 2)], "12 bytes are not FP32 of shape"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(pair: Loaded, tensors: list[Tensor], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        pair.task.prepare(request(*tensors))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize("max_rows", [1, 32])
def test_a_request_without_elements_gets_what_the_runtime_makes_of_it(
    tmp_path: Path, shape: tuple[int, int], max_rows: int
) -> None:
    save_graph(
        tmp_path / "model.onnx",
        [helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=1)],
        [("x", TensorProto.FLOAT, ["n", "m"])],
        [("y", TensorProto.FLOAT, ["n", "one"])],
        {"axis": np.array([1])},
    )
    spec = {"datatype": "FP32", "shape": [-1, -1]}
    tensors = {"inputs": [{"name": "x", **spec}], "outputs": [{"name": "y", **spec}]}
    loaded = Loaded(manifest(**tensors, batching={"max_rows": max_rows}), tmp_path)
    (item,) = loaded.task.prepare(request(fp32("x", *shape)))
    (result,) = loaded.task.scatter([item], loaded.engine.run(loaded.task.collate([item])))
    np.testing.assert_array_equal(result["y"], np.zeros((shape[0], 1), np.float32))


def test_a_request_without_elements_shares_no_batch(ragged: Loaded) -> None:
    ((one,), (other,)) = (ragged.task.prepare(request(fp32("x", 2, 0))) for _ in range(2))
    assert one.group != other.group


@pytest.mark.parametrize("max_rows", [1, 32])
def test_sizes_that_cost_nothing_have_a_limit(tmp_path: Path, max_rows: int) -> None:
    save_identity(tmp_path / "model.onnx", shape=("n", "m"))
    tensors = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]}
    loaded = Loaded(manifest(**tensors, batching={"max_rows": max_rows}), tmp_path)
    for shape in ((2**40, 0), (0, 2**40)):
        with pytest.raises(InvalidInput, match="none of its sizes that the model leaves open may be over 2048"):
            loaded.task.prepare(request(Tensor("x", "FP32", shape, b"")))


@pytest.mark.parametrize("max_rows", [1, 32])
def test_no_rows_of_a_size_that_the_model_itself_has_are_answered(tmp_path: Path, max_rows: int) -> None:
    save_identity(tmp_path / "model.onnx", shape=("n", 4096))
    tensors = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4096]}]}
    loaded = Loaded(manifest(**tensors, batching={"max_rows": max_rows}), tmp_path)
    (item,) = loaded.task.prepare(request(fp32("x", 0, 4096)))
    assert item.features["x"].shape == (0, 4096)


def test_a_batch_answered_with_other_rows_is_an_engine_error(tmp_path: Path) -> None:
    save_graph(
        tmp_path / "model.onnx",
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        [("x", TensorProto.FLOAT, ["n", 2])],
        [("y", TensorProto.FLOAT, [])],
    )
    loaded = Loaded(manifest(outputs=[{"name": "y", "datatype": "FP32", "shape": []}]), tmp_path)
    with pytest.raises(EngineError, match="max_rows 1"):
        loaded.answer(request(fp32("x", 3, 2)))


def test_a_model_of_one_row_gets_each_request_as_it_came(tmp_path: Path) -> None:
    save_graph(
        tmp_path / "model.onnx",
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        [("x", TensorProto.FLOAT, ["n", 2])],
        [("y", TensorProto.FLOAT, [])],
    )
    one = {"outputs": [{"name": "y", "datatype": "FP32", "shape": []}], "batching": {"max_rows": 1}}
    loaded = Loaded(manifest(**one), tmp_path)
    assert [item.rows for item in loaded.task.prepare(request(fp32("x", 3, 2)))] == [1]
    answer = loaded.answer(request(fp32("x", 3, 2)))
    assert answer.outputs == [Tensor("y", "FP32", (), np.float32(15).tobytes())]
    assert loaded.answer(request(fp32("x", 0, 2))).outputs[0].data == np.float32(0).tobytes()


def test_parts_that_came_out_in_different_shapes_are_a_failure_that_says_how_many_rows_go(ragged: Loaded) -> None:
    asked = request(fp32("x", 8, 3))
    items = ragged.task.prepare(asked)
    parts = [{"y": np.zeros((4, 3), np.float32)}, {"y": np.zeros((4, 2), np.float32)}]
    with pytest.raises(EngineFailed, match="at most 4 rows"):
        ragged.task.respond(asked, items, parts)


def test_text_goes_through_and_must_be_utf_8(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx", TensorProto.STRING, ["n"])
    spec = {"datatype": "BYTES", "shape": [-1]}
    loaded = Loaded(manifest(inputs=[{"name": "x", **spec}], outputs=[{"name": "y", **spec}]), tmp_path)
    assert loaded.answer(request(bytes_tensor("x", [b"a", "é".encode()]))).outputs == [
        bytes_tensor("y", [b"a", "é".encode()])
    ]
    with pytest.raises(InvalidInput, match="element 1: not UTF-8"):
        loaded.task.prepare(request(bytes_tensor("x", [b"a", b"\xff"])))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inputs": [{"name": "w", "datatype": "FP32", "shape": [-1, 2]}]}, "input 'w' .* not in the graph"),
        ({"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]}, r"input 'x' \(FP64"),
        ({"outputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}, "output 'x' .* not in the graph"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2]}]}, "batching.max_rows 1"),
    ],
)
def test_a_manifest_that_does_not_fit_its_graph_does_not_load(
    tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    save_identity(tmp_path / "model.onnx")
    with pytest.raises(EngineError, match=message):
        Loaded(manifest(**fields), tmp_path)


def test_a_graph_of_fixed_rows_loads_only_without_batches(tmp_path: Path) -> None:
    save_identity(tmp_path / "model.onnx", TensorProto.FLOAT, [3, 2])
    with pytest.raises(EngineError, match=r"batching\.max_rows 1"):
        Loaded(manifest(), tmp_path)
    loaded = Loaded(manifest(batching={"max_rows": 1}), tmp_path)
    assert loaded.answer(request(fp32("x", 3, 2))).outputs[0].shape == (3, 2)


def test_an_input_that_the_manifest_leaves_out_does_not_load(tmp_path: Path) -> None:
    save_graph(
        tmp_path / "model.onnx",
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", 2]), ("w", TensorProto.FLOAT, ["n", 2])],
        [("y", TensorProto.FLOAT, ["n", 2])],
    )
    with pytest.raises(EngineError, match="does not name: w"):
        Loaded(manifest(), tmp_path)


def test_any_byte_but_zero_is_true() -> None:
    spec = TensorSpec(name="x", datatype="BOOL", shape=(-1,))
    array = to_array(Tensor("x", "BOOL", (4,), b"\0\1\2\xff"), spec)
    assert to_tensor(spec, array).data == b"\0\1\1\1"


@given(
    datatype=st.sampled_from(sorted(NUMPY_DTYPES.keys() - {"BOOL", "BYTES"})),
    shape=st.lists(st.integers(0, 4), max_size=4).map(tuple),
    data=st.data(),
)
def test_arrays_and_tensors_are_the_same_bytes(datatype: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    size = prod(shape) * SIZES[datatype]
    tensor = Tensor("x", datatype, shape, data.draw(st.binary(min_size=size, max_size=size)))
    spec = TensorSpec.model_validate({"name": "x", "datatype": datatype, "shape": [-1] * len(shape)})
    array = to_array(tensor, spec)
    assert array.shape == shape
    assert to_tensor(spec, array) == tensor


def fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(b in (-1, a) for a, b in zip(shape, wanted, strict=True))


def holds(datatype: str, shape: tuple[int, ...], data: bytes) -> bool:
    """Whether numpy has such an array and the bytes fill it; BYTES of no elements need no parsing."""
    if min(shape, default=0) < 0 or prod(size for size in shape if size) >= 2**60:
        return False
    return prod(shape) * SIZES.get(datatype, 0) == len(data) if datatype != "BYTES" else not prod(shape) and not data


@given(
    spec=st.tuples(st.sampled_from(sorted(NUMPY_DTYPES)), st.lists(st.integers(-1, 3), max_size=3)),
    datatype=st.sampled_from(sorted(DATATYPES)),
    shape=st.lists(SIZE, max_size=4).map(tuple),
    data=st.binary(max_size=64),
)
def test_a_tensor_that_lies_is_refused_or_is_what_it_says(
    spec: tuple[str, list[int]], datatype: str, shape: tuple[int, ...], data: bytes
) -> None:
    wanted = TensorSpec.model_validate({"name": "x", "datatype": spec[0], "shape": spec[1]})
    try:
        array = to_array(Tensor("x", datatype, shape, data), wanted)
    except InvalidInput:
        assert datatype != spec[0] or not fits(shape, wanted.shape) or not holds(datatype, shape, data)
    else:
        assert fits(shape, wanted.shape)
        assert array.dtype == NUMPY_DTYPES[datatype]
        assert array.shape == shape
        if datatype not in ("BOOL", "BYTES"):
            assert array.tobytes() == data


@given(
    rows=st.tuples(st.integers(0, 13), st.integers(0, 13)) | st.integers(0, 13).map(lambda count: (count, count)),
    lie=st.sampled_from([0, 0, 0, -8, 1, 8]),
)
def test_items_hold_the_request_s_rows_and_no_others(pair: Loaded, rows: tuple[int, int], lie: int) -> None:
    tensors = [
        Tensor(name, "FP32", (count, 2), bytes(range(max(0, 8 * count + lie))))
        for name, count in zip("ab", rows, strict=True)
    ]
    honest = rows[0] == rows[1] and all(len(tensor.data) == 8 * rows[0] for tensor in tensors)
    try:
        items = pair.task.prepare(request(*tensors))
    except InvalidInput:
        assert not honest
        return
    assert honest
    assert sum(item.rows for item in items) == rows[0]
    for tensor in tensors:
        assert b"".join(item.features[tensor.name].tobytes() for item in items) == tensor.data

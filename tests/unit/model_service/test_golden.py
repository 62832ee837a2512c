import math
import struct
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from model_service.golden import GoldenMismatch, check, difference, read
from model_service.loaded_model import LoadedModel
from model_service.opening import open_here
from tests.unit.model_service.graphs import manifest, save_graph
from wire.tensors import Tensor, bytes_tensor, from_json

X = {"name": "x", "datatype": "FP32", "shape": [1, 2]}
Y = {**X, "name": "y"}


@pytest.fixture
def doubling(tmp_path: Path) -> LoadedModel:
    row = ("n", 2)
    add = helper.make_node("Add", ["x", "x"], ["y"])
    save_graph(tmp_path / "model.onnx", [add], [("x", TensorProto.FLOAT, row)], [("y", TensorProto.FLOAT, row)])
    return open_here("small", 1, manifest(), tmp_path, threads=1)


def golden_file(folder: Path, *cases: tuple[list[float], list[float]], **more: Any) -> Path:
    made = [{"inputs": [{**X, "data": x}], "outputs": [{**Y, "data": y}]} for x, y in cases]
    return write(folder, {"cases": made, **more})


def write(folder: Path, document: Any) -> Path:
    path = folder / "golden.json"
    path.write_bytes(document if isinstance(document, bytes) else orjson.dumps(document))
    return path


async def test_a_model_that_reproduces_its_cases_passes(doubling: LoadedModel, tmp_path: Path) -> None:
    await check(doubling, golden_file(tmp_path, ([1, 2], [2, 4]), ([0, -3], [0, -6])))


async def test_a_model_that_does_not_is_told_which_case_and_how_far_off(doubling: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(GoldenMismatch, match=r"case 2, output 'y': the largest difference is 0\.5, 0\.0001 is allowed"):
        await check(doubling, golden_file(tmp_path, ([1, 2], [2, 4]), ([0, 0], [0.25, 0.5])))


async def test_the_file_says_how_much_off_is_allowed(doubling: LoadedModel, tmp_path: Path) -> None:
    await check(doubling, golden_file(tmp_path, ([0, 0], [0.25, 0.5]), tolerance=0.5))


async def test_a_case_that_the_model_refuses_is_a_mismatch(doubling: LoadedModel, tmp_path: Path) -> None:
    case = {"inputs": [{**X, "name": "z", "data": [1, 2]}], "outputs": [{**Y, "data": [2, 4]}]}
    with pytest.raises(GoldenMismatch, match="case 1: the model takes 'x'"):
        await check(doubling, write(tmp_path, {"cases": [case]}))


async def test_an_expected_output_that_the_model_lacks_is_a_mismatch(doubling: LoadedModel, tmp_path: Path) -> None:
    case = {"inputs": [{**X, "data": [1, 2]}], "outputs": [{**Y, "name": "z", "data": [2, 4]}]}
    with pytest.raises(GoldenMismatch, match="no output 'z'"):
        await check(doubling, write(tmp_path, {"cases": [case]}))


@pytest.mark.parametrize(
    "document",
    [
        b"{",
        [],
        {},
        {"cases": 3},
        {"cases": []},
        {"cases": [{}]},
        {"cases": [{"inputs": [{**X, "data": [1]}], "outputs": []}]},
        {"cases": [{"inputs": [{**X, "data": [1, 2]}], "outputs": [{**Y, "data": [2, 4]}]}], "tolerance": "much"},
        *(
            b'{"cases": [{"inputs": [%b], "outputs": [%b]}], "tolerance": %b}'
            % (orjson.dumps({**X, "data": [1, 2]}), orjson.dumps({**Y, "data": [2, 4]}), tolerance)
            for tolerance in (b"true", b'"1e-4"', b"-1", b"null", b"1" + b"0" * 400)
        ),
    ],
)
def test_a_file_that_proves_nothing_is_refused(tmp_path: Path, document: Any) -> None:
    with pytest.raises(GoldenMismatch, match=r"golden\.json"):
        read(write(tmp_path, document), "small")


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GoldenMismatch, match=r"golden\.json"):
        read(tmp_path / "golden.json", "small")


def numbers(*values: float, datatype: str = "FP64") -> Tensor:
    return from_json("y", datatype, (len(values),), list(values))


@given(st.lists(st.floats(), min_size=1, max_size=5))
def test_every_tensor_equals_itself(values: list[float]) -> None:
    packed = Tensor("y", "FP64", (len(values),), b"".join(map(_double, values)))
    assert difference(packed, packed, 0.0) is None


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1.0), st.sampled_from([-1, 1]))
def test_off_by_more_than_the_tolerance_is_a_difference_and_by_less_is_none(
    value: float, tolerance: float, sign: int
) -> None:
    allowed = tolerance * max(1.0, abs(value))
    assert difference(numbers(value), numbers(value + sign * allowed * 0.9), tolerance) is None
    assert difference(numbers(value), numbers(value + sign * allowed * 1.1), tolerance) is not None


@pytest.mark.parametrize(
    ("expected", "got"), [(1.0, math.nan), (math.nan, 1.0), (math.inf, -math.inf), (1.0, math.inf), (math.inf, 1.0)]
)
def test_what_is_no_number_equals_only_itself(expected: float, got: float) -> None:
    tensors = [Tensor("y", "FP64", (1,), _double(value)) for value in (expected, got)]
    assert difference(tensors[0], tensors[1], 1.0) is not None


@pytest.mark.parametrize(("datatype", "values"), [("INT64", (2**62, 2**62 + 1)), ("INT32", (10**6, 10**6 + 1))])
def test_whole_numbers_must_be_equal_whatever_the_tolerance(datatype: str, values: tuple[int, int]) -> None:
    expected, got = (from_json("y", datatype, (2,), [7, value]) for value in values)
    assert difference(expected, expected, 0.0) is None
    assert difference(expected, got, 1.0) == f"element 1 is {values[1]}, {values[0]} is expected"


def test_booleans_must_be_equal_whatever_the_tolerance() -> None:
    assert difference(from_json("y", "BOOL", (1,), [True]), from_json("y", "BOOL", (1,), [False]), 1.0) is not None


def test_datatype_and_shape_must_be_the_same() -> None:
    assert "datatype is FP32" in str(difference(numbers(1), numbers(1, datatype="FP32"), 1.0))
    assert "shape is [2]" in str(difference(numbers(1), numbers(1, 1), 1.0))


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ('{"label":"a","score":0.5}', '{"label":"a","score":0.50001}', True),
        ('{"label":"a","score":0.5}', '{"label":"a","score":0.6}', False),
        ('{"label":"a","score":0.5}', '{"label":"b","score":0.5}', False),
        ('{"label":"a"}', '{"label":"a","score":0.5}', False),
        ("[1,2]", "[1]", False),
        ("[1,[2.0]]", "[1,[2.00001]]", True),
        ("1", "true", False),
        ("1.0", "1", True),
        ("1000000", "1000001", False),
        ('{"start":70000}', '{"start":70001}', False),
        ("true", "false", False),
        ("null", "0", False),
        ("plain", "plain", True),
        ("plain", "other", False),
    ],
)
def test_json_in_bytes_is_compared_as_what_it_says(expected: str, got: str, same: bool) -> None:
    found = difference(bytes_tensor("y", [expected.encode()]), bytes_tensor("y", [got.encode()]), 1e-4)
    assert (found is None) is same


def _double(value: float) -> bytes:
    return struct.pack("<d", value)

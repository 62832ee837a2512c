import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import InvalidInput
from wire.tensors import (
    Tensor,
    bytes_tensor,
    check_shape,
    from_binary,
    from_json,
    join_bytes,
    split_bytes,
    to_json,
)

RANGES = {
    "INT8": (-(2**7), 2**7 - 1),
    "INT16": (-(2**15), 2**15 - 1),
    "INT32": (-(2**31), 2**31 - 1),
    "INT64": (-(2**63), 2**63 - 1),
    "UINT8": (0, 2**8 - 1),
    "UINT16": (0, 2**16 - 1),
    "UINT32": (0, 2**32 - 1),
    "UINT64": (0, 2**64 - 1),
}


@pytest.mark.parametrize("datatype", RANGES)
@given(data=st.data())
def test_integers_come_back_as_they_went(datatype: str, data: st.DataObject) -> None:
    low, high = RANGES[datatype]
    values = data.draw(st.lists(st.integers(low, high), max_size=20))
    assert to_json(from_json("x", datatype, (len(values),), values)) == values


@pytest.mark.parametrize("datatype", RANGES)
def test_an_integer_out_of_range_is_refused(datatype: str) -> None:
    low, high = RANGES[datatype]
    for value in (low - 1, high + 1):
        with pytest.raises(InvalidInput, match="tensor 'x'"):
            from_json("x", datatype, (1,), [value])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_doubles_come_back_as_they_went(values: list[float]) -> None:
    assert to_json(from_json("x", "FP64", (len(values),), values)) == values


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_floats_are_packed_little_endian(values: list[float]) -> None:
    assert from_json("x", "FP32", (len(values),), values).data == struct.pack(f"<{len(values)}f", *values)


@given(st.lists(st.text(), max_size=20))
def test_texts_come_back_as_they_went(values: list[str]) -> None:
    assert to_json(from_json("x", "BYTES", (len(values),), values)) == values


@given(st.lists(st.binary(), max_size=20))
def test_bytes_come_back_as_they_went(elements: list[bytes]) -> None:
    assert split_bytes(join_bytes(elements), len(elements), "x") == elements
    assert bytes_tensor("x", elements).elements() == elements


@given(st.binary(max_size=64), st.integers(0, 8))
def test_lying_lengths_are_refused_or_true(data: bytes, count: int) -> None:
    try:
        elements = split_bytes(data, count, "x")
    except InvalidInput:
        return
    assert len(elements) == count
    assert join_bytes(elements) == data


def test_nested_and_flat_data_are_the_same() -> None:
    flat = from_json("x", "INT32", (2, 2), [1, 2, 3, 4])
    assert from_json("x", "INT32", (2, 2), [[1, 2], [3, 4]]) == flat


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("INT32", (2,), [1]),
        ("INT32", (1,), [1, 2]),
        ("INT32", (2,), [[1], 2]),
        ("INT32", (2,), [1, [2]]),
        ("INT32", (3,), [[1, 2], [3]]),
        ("BYTES", (3,), [["ab"], "cd"]),
        ("INT32", (1,), [1.5]),
        ("INT32", (1,), ["1"]),
        ("INT32", (1,), [None]),
        ("FP32", (1,), ["a"]),
        ("FP32", (1,), [1e39]),
        ("FP16", (1,), [1.0]),
        ("FP32", (2,), [0.5, True]),
        ("INT32", (2,), [[False], [1]]),
        ("BOOL", (1,), [1]),
        ("BYTES", (1,), [1]),
        ("BYTES", (1,), ["\ud800"]),
        ("INT32", (1,), {"0": 1}),
        ("INT32", (1,), None),
    ],
)
def test_data_that_does_not_fit_is_refused_by_name(datatype: str, shape: tuple[int, ...], data: object) -> None:
    with pytest.raises(InvalidInput, match="tensor 'x'"):
        from_json("x", datatype, shape, data)


@pytest.mark.parametrize(
    ("datatype", "element", "why"),
    [
        ("INT8", 128, "128 is no whole number from -128 to 127"),
        ("UINT16", -1, "-1 is no whole number from 0 to 65535"),
        ("UINT64", 2.0**64, r"1.8446744073709552e\+19 is no whole number from 0 to 18446744073709551615"),
        ("INT64", 2**63, "from -9223372036854775808 to 9223372036854775807"),
        ("INT32", 1.0, "1.0 is no whole number"),
        ("INT32", "1", "'1' is no number"),
        ("FP32", "1", "'1' is no number"),
        ("FP64", {"a": 1}, "an object of 1 is no number"),
        ("BOOL", 1, "1 is not true or false"),
        ("BYTES", 1, "1 is not a string"),
        ("BYTES", None, "null is not a string"),
        ("BYTES", True, "true is not a string"),
    ],
)
def test_an_element_that_does_not_fit_is_told_in_the_words_of_json(datatype: str, element: object, why: str) -> None:
    good = {"BOOL": True, "BYTES": "a"}.get(datatype, 1)
    with pytest.raises(InvalidInput, match=f"an element is not {datatype}: .*{why}"):
        from_json("x", datatype, (2,), [good, element])


def test_a_missing_value_is_told_how_to_go() -> None:
    with pytest.raises(InvalidInput, match=r"null is no number: a missing value is NaN, .* send it as binary data"):
        from_json("x", "FP32", (2,), [1.0, None])
    with pytest.raises(InvalidInput, match=r"null is no number$"):
        from_json("x", "INT64", (2,), [1, None])


@pytest.mark.parametrize(("datatype", "size"), [("FP16", 2), ("BOOL", 1), ("INT64", 8)])
def test_binary_data_must_have_the_exact_size(datatype: str, size: int) -> None:
    from_binary("x", datatype, (3,), bytes(3 * size))
    for wrong in (3 * size - 1, 3 * size + 1):
        with pytest.raises(InvalidInput, match=f"takes {3 * size} bytes"):
            from_binary("x", datatype, (3,), bytes(wrong))


def test_an_overflowing_shape_is_refused() -> None:
    with pytest.raises(InvalidInput):
        from_binary("x", "INT64", (2**62, 2**62), b"")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("datatype", "code"), [("FP32", "f"), ("FP64", "d")])
def test_non_finite_numbers_have_no_json_form(datatype: str, code: str, value: float) -> None:
    with pytest.raises(InvalidInput, match="binary_data"):
        to_json(Tensor("x", datatype, (2,), struct.pack(f"<2{code}", 1.0, value)))


def test_finite_doubles_whose_sum_overflows_are_fine() -> None:
    huge = [1.7e308, 1.7e308]
    assert to_json(Tensor("x", "FP64", (2,), struct.pack("<2d", *huge))) == huge


def test_bytes_that_are_not_utf8_have_no_json_form() -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        to_json(bytes_tensor("x", [b"\xff"]))


@pytest.mark.parametrize(("shape", "told"), [([-1, 4], "-1 is none"), ([1, "4"], "'4' is none"), (4, "not 4")])
def test_what_is_wrong_with_a_shape_is_told(shape: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=f"a list of non-negative integers, {told}$"):
        check_shape("x", shape)

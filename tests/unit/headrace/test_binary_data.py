"""Requests as bytes, where JSON does not hold their numbers, and answers read back."""

import json
import math
import struct
from typing import Any

import pytest

from headrace.binary_data import JSON_LENGTH, decode_answer, encode_request
from headrace.errors import CommandError
from wire.codec import decode_request, encode_response
from wire.messages import InferRequest, InferResponse
from wire.tensors import Tensor


def tensor(datatype: str, *data: Any, **more: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "shape": [len(data)], "data": list(data), **more}


def sent(*tensors: dict[str, Any]) -> InferRequest:
    """What the platform reads."""
    body, headers = encode_request({"inputs": list(tensors), "id": "7"}, binary_output=False)
    return decode_request(body, int(headers[JSON_LENGTH]), "m", None)


@pytest.mark.parametrize(
    ("datatype", "number", "bytes_"),
    [
        ("FP16", 0.1, struct.pack("<e", 0.1)),
        ("FP16", 2, struct.pack("<e", 2)),
        ("BF16", 1, b"\x80\x3f"),
        ("BF16", 1.00390625, b"\x80\x3f"),  # half way between two: the even one
        ("BF16", 1.01171875, b"\x82\x3f"),
        ("BF16", math.nan, b"\xc0\x7f"),
        ("BF16", -math.inf, b"\x80\xff"),
        ("FP32", math.nan, struct.pack("<f", math.nan)),
        ("FP64", -math.inf, struct.pack("<d", -math.inf)),
    ],
)
def test_a_number_that_json_cannot_hold_is_sent_as_its_bytes(datatype: str, number: float, bytes_: bytes) -> None:
    assert sent(tensor(datatype, number)).inputs == [Tensor("x", datatype, (1,), bytes_)]


def test_each_tensor_s_bytes_stand_in_its_order_and_rows_may_be_nested() -> None:
    first = tensor("FP16", 1, 2)
    second = {"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [[math.inf], [2]]}
    third = {"name": "z", "datatype": "INT8", "shape": [1], "data": [3]}
    inputs = sent(first, third, second).inputs
    assert [each.data for each in inputs] == [struct.pack("<2e", 1, 2), b"\3", struct.pack("<2f", math.inf, 2)]


def test_what_json_holds_stays_json_and_the_request_s_own_wish_for_the_answer_counts() -> None:
    request = {"inputs": [tensor("FP32", 0.5), tensor("INT8", 1)], "parameters": {"timeout": 5}}
    body, headers = encode_request(request, binary_output=False)
    assert json.loads(body) == request
    assert headers == {"content-type": "application/json"}
    for own, asked in (({}, True), ({"binary_data_output": False}, False)):
        body, _ = encode_request({**request, "parameters": own}, binary_output=True)
        assert json.loads(body)["parameters"] == {"binary_data_output": asked}


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([tensor("FP16", "a")], "tensor 'x': \"a\" is no number"),
        ([tensor("FP16", True)], "true is no number"),
        ([tensor("FP32", math.nan, None)], "null is no number"),
        ([tensor("FP16", 65520)], "too large for FP16"),
        ([tensor("BF16", 10**400)], "too large for BF16"),
        ([tensor("FP16", [1, 2], [3])], "nested unevenly"),
        ([tensor("INT64", math.nan)], "NaN or Infinity outside"),
        ([{"data": [math.inf]}], "NaN or Infinity outside"),
        ([tensor("FP32", math.nan, parameters=[1])], "NaN or Infinity outside"),
    ],
)
def test_what_is_no_number_of_its_datatype_is_refused(inputs: list[Any], said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        encode_request({"inputs": inputs}, binary_output=True)
    assert refused.value.hint


@pytest.mark.parametrize("datatype", ["BF16", "FP16", "FP32", "FP64", "INT8", "BOOL"])
def test_a_large_answer_is_read_as_a_small_one(datatype: str) -> None:
    count = 70_000
    data = {
        "BF16": b"\x80\x3f",
        "FP16": struct.pack("<e", 1),
        "FP32": struct.pack("<f", 1),
        "FP64": struct.pack("<d", 1),
    }
    response = InferResponse("m", "1", (Tensor("y", datatype, (count,), data.get(datatype, b"\1") * count),))
    body, length = encode_response(response, InferRequest("m", None, [], binary_output=True))
    assert length is not None
    assert decode_answer(body, length)["outputs"][0]["data"] == [1] * count


@pytest.mark.parametrize(
    ("datatype", "data", "shown"),
    [
        ("FP16", struct.pack("<2e", 0.5, math.inf), [0.5, math.inf]),
        ("BF16", b"\x80\x3f\x80\xff", [1, -math.inf]),
        ("FP64", struct.pack("<2d", 0.1, 2), [0.1, 2]),
        ("INT8", b"\1\xff", [1, -1]),
        ("BOOL", b"\1\0", [True, False]),
        ("BYTES", b"\1\0\0\0a\2\0\0\0\xc3\xbc", ["a", "\u00fc"]),
    ],
)
def test_an_answer_in_bytes_is_read_as_its_elements(datatype: str, data: bytes, shown: list[Any]) -> None:
    response = InferResponse("m", "1", (Tensor("y", datatype, (2,), data), Tensor("z", "INT8", (1,), b"\5")))
    body, length = encode_response(response, InferRequest("m", None, [], id="7", binary_output=True))
    assert length is not None
    assert decode_answer(body, length) == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "y", "datatype": datatype, "shape": [2], "data": shown},
            {"name": "z", "datatype": "INT8", "shape": [1], "data": [5]},
        ],
    }

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.codec import (
    MAX_TENSORS,
    SHARED_BYTES,
    bytes_to_read,
    decode_request,
    decode_response,
    encode_request,
    encode_request_parts,
    encode_response,
)
from wire.errors import InvalidInput, TooLarge
from wire.json_body import JsonLimits
from wire.messages import InferRequest, InferResponse, RequestedOutput
from wire.tensors import Tensor, bytes_tensor, from_json

X = {"name": "x", "datatype": "INT32", "shape": [2], "data": [1, 2]}


WIDE = JsonLimits(bytes=1 << 30, values=1 << 30)


def decode(head: Any, blobs: bytes = b"", json_length: int | None = None) -> InferRequest:
    text = orjson.dumps(head)
    return decode_request(text + blobs, json_length if json_length is not None else len(text), "m", None, limits=WIDE)


def test_json_and_binary_inputs_mix_in_the_order_of_the_json() -> None:
    request = decode(
        {
            "inputs": [
                {"name": "a", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}},
                X,
                {"name": "b", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
            ]
        },
        b"\x01\x02" + b"\x02\x00\x00\x00hi",
    )
    a, x, b = request.inputs
    assert a.data == b"\x01\x02"
    assert x == from_json("x", "INT32", (2,), [1, 2])
    assert b.elements() == [b"hi"]


@pytest.mark.parametrize("size", [SHARED_BYTES, SHARED_BYTES + 1])
def test_a_large_tensor_is_not_copied_on_its_way_and_lets_nobody_change_the_body(size: int) -> None:
    entry = {"name": "x", "datatype": "UINT8", "shape": [size], "parameters": {"binary_data_size": size}}
    text, blob = orjson.dumps({"inputs": [entry]}), bytes(range(256)) * (size // 256 + 1)
    body = bytearray(text + blob[:size])
    request = decode_request(body, len(text), "m", None)
    head, data = encode_request_parts(request)
    assert data is request.inputs[0].data
    assert data == blob[:size]
    assert b"".join((head, data)) == encode_request(request)[0]
    if size <= SHARED_BYTES:
        assert isinstance(data, bytes)
    else:
        assert isinstance(data, memoryview)
        assert data.obj is body
        assert data.readonly


@pytest.mark.parametrize("length", [None, -1, 10_000])
def test_of_a_body_without_a_part_that_is_json_all_is_read(length: int | None) -> None:
    assert bytes_to_read(b"{}" + bytes(100), length) == 102


def test_of_tensors_in_binary_the_json_is_read_and_elements_of_bytes() -> None:
    def head(datatype: str) -> bytes:
        return orjson.dumps({"inputs": [{**X, "datatype": datatype, "parameters": {"binary_data_size": 100}}]})

    numbers, texts = head("UINT8"), head("BYTES")
    assert bytes_to_read(numbers + bytes(100), len(numbers)) == len(numbers)
    assert bytes_to_read(bytearray(texts + bytes(100)), len(texts)) == len(texts) + 100


def test_a_request_survives_the_hop_to_a_worker() -> None:
    sent = InferRequest(
        "m", None, [from_json("x", "FP32", (1, 2), [1.5, 2.5]), bytes_tensor("t", [b"\xff"])],
        (RequestedOutput("y"),), {"top_k": 3}, "id-1",
    )  # fmt: skip
    body, length = encode_request(sent)
    got = decode_request(body, length, "m", None)
    assert got.inputs == sent.inputs
    assert got.outputs == (RequestedOutput("y", binary=True),)
    assert got.parameters == {"top_k": 3}
    assert got.id == "id-1"
    assert got.binary_output


def test_an_output_that_names_its_form_wins_over_the_default() -> None:
    outputs = [{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}]
    request = decode({"inputs": [X], "outputs": outputs, "parameters": {"binary_data_output": True}, "id": "7"})
    response = InferResponse("m", "1", (from_json("a", "INT32", (1,), [5]), from_json("b", "INT32", (1,), [6])))
    body, length = encode_response(response, request)
    assert length is not None
    head = orjson.loads(body[:length])
    assert head["outputs"][0]["data"] == [5]
    assert "data" not in head["outputs"][1]
    assert body[length:] == b"\x06\x00\x00\x00"
    assert head["id"] == "7"
    assert decode_response(body, length) == response


def test_json_answers_have_no_header_length() -> None:
    body, length = encode_response(
        InferResponse("m", "1", (from_json("a", "INT32", (1,), [5]),)), decode({"inputs": [X]})
    )
    assert length is None
    assert orjson.loads(body) == {
        "model_name": "m",
        "model_version": "1",
        "outputs": [{"name": "a", "datatype": "INT32", "shape": [1], "data": [5]}],
    }


BINARY = {"name": "a", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}


@pytest.mark.parametrize(
    ("head", "blobs"),
    [
        ([], b""),
        ({}, b""),
        ({"inputs": []}, b""),
        ({"inputs": {}}, b""),
        ({"inputs": [1]}, b""),
        ({"inputs": [{**X, "name": ""}]}, b""),
        ({"inputs": [{**X, "datatype": "FLOAT"}]}, b""),
        ({"inputs": [{**X, "shape": [-2]}]}, b""),
        ({"inputs": [{**X, "shape": [True, 2]}]}, b""),
        ({"inputs": [{**X, "shape": 2}]}, b""),
        ({"inputs": [{**X, "parameters": []}]}, b""),
        ({"inputs": [X, X]}, b""),
        ({"inputs": [{**X, "name": "x" * 2000}]}, b""),
        ({"inputs": [X], "id": "x" * 2000}, b""),
        ({"inputs": [X], "id": 7}, b""),
        ({"inputs": [X], "outputs": {}}, b""),
        ({"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": 3}}]}, b""),
        ({"inputs": [X], "parameters": 1}, b""),
        ({"inputs": [X]}, b"trailing"),
        ({"inputs": [BINARY]}, b"\x01"),
        ({"inputs": [BINARY]}, b"\x01\x02\x03"),
        ({"inputs": [{**BINARY, "parameters": {"binary_data_size": -1}}]}, b""),
        ({"inputs": [{**BINARY, "data": [1, 2]}]}, b"\x01\x02"),
        ({"inputs": [{**BINARY, "parameters": {"binary_data_size": "2"}}]}, b"\x01\x02"),
        ({"inputs": [{**BINARY, "shape": [3]}]}, b"\x01\x02"),
    ],
)
def test_a_malformed_request_is_invalid_input(head: Any, blobs: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(head, blobs)


@pytest.mark.parametrize("json_length", [10**9, -1])
def test_a_header_length_beyond_the_body_is_refused(json_length: int) -> None:
    with pytest.raises(InvalidInput, match="Inference-Header-Content-Length"):
        decode({"inputs": [X]}, json_length=json_length)


def test_a_request_of_raw_bytes_is_told_that_json_must_describe_them() -> None:
    with pytest.raises(InvalidInput, match="raw binary requests are not offered: send JSON that describes the tensors"):
        decode_request(b"\0\0\0\0", 0, "m", None)


def test_what_is_no_json_is_told_what_is_often_meant() -> None:
    text = orjson.dumps({"inputs": [{**BINARY}]})
    with pytest.raises(InvalidInput, match="Inference-Header-Content-Length says how long"):
        decode_request(text + b"\0\xff", None, "m", None)
    with pytest.raises(InvalidInput, match="no NaN and no infinity: send such a tensor as binary data"):
        decode_request(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [NaN]}]}', None, "m", None)


def test_parameters_nested_too_deep_are_refused() -> None:
    deep = b'{"parameters":{"a":' + b"[" * 300 + b"]" * 300 + b'},"inputs":[' + orjson.dumps(X) + b"]}"
    with pytest.raises(InvalidInput, match="too deep"):
        decode_request(deep, None, "m", None)


def test_an_output_that_is_named_twice_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidInput, match="'y' more than once"):
        decode({"inputs": [X], "outputs": [{"name": "y"}, {"name": "z"}, {"name": "y"}]})


@pytest.mark.parametrize("what", ["inputs", "outputs"])
def test_a_request_names_only_so_many_tensors(what: str) -> None:
    many = [{**X, "name": f"x{number}"} for number in range(MAX_TENSORS + 1)]
    with pytest.raises(InvalidInput, match=f"{what} name 1025 tensors, a request may name 1024"):
        decode({"inputs": [X], what: many})


def test_parameters_are_only_so_large() -> None:
    assert decode({"inputs": [X], "parameters": {"a": "x" * 60_000}}).parameters
    with pytest.raises(InvalidInput, match="this server takes 65536"):
        decode({"inputs": [X], "parameters": {"a": ["x"] * 20_000}})


LIMITS = JsonLimits(bytes=1000, values=100)


def limited(head: Any, blobs: bytes = b"") -> InferRequest:
    text = orjson.dumps(head)
    return decode_request(text + blobs, len(text), "m", None, limits=LIMITS)


@pytest.mark.parametrize("data", [[1] * 99, [[]] * 120, [{}] * 120, {"a": {"b": 1}} | {f"{n}": n for n in range(60)}])
def test_json_of_more_values_than_the_limit_is_refused_unread(data: Any) -> None:
    with pytest.raises(TooLarge, match="more than 100 values"):
        limited({"inputs": [{**X, "data": data}]})


def test_json_of_more_bytes_than_the_limit_is_refused_with_the_other_way() -> None:
    with pytest.raises(TooLarge, match=r"this server reads 1000: send tensors in binary"):
        limited({"inputs": [X], "parameters": {"text": "x" * 1000}})


def test_tensors_in_binary_are_no_json() -> None:
    entry = {"name": "x", "datatype": "FP32", "shape": [2000], "parameters": {"binary_data_size": 8000}}
    assert limited({"inputs": [entry]}, bytes(8000)).inputs[0].shape == (2000,)


def test_a_bytes_tensor_has_no_more_elements_than_json_has_values() -> None:
    entry = {"name": "x", "datatype": "BYTES", "shape": [101], "parameters": {"binary_data_size": 404}}
    with pytest.raises(TooLarge, match="101 elements, BYTES may have 100"):
        limited({"inputs": [entry]}, bytes(404))


@pytest.mark.parametrize("tensor", [from_json("y", "FP32", (101,), [0.5] * 101), bytes_tensor("y", [b"x" * 1001])])
def test_an_answer_too_large_for_json_can_be_had_in_binary(tensor: Tensor) -> None:
    response = InferResponse("m", "1", (tensor,))
    with pytest.raises(InvalidInput, match="ask for it in binary"):
        encode_response(response, decode({"inputs": [X]}), LIMITS)
    body, length = encode_response(
        response, decode({"inputs": [X], "parameters": {"binary_data_output": True}}), LIMITS
    )
    assert decode_response(body, length) == response


@pytest.mark.parametrize("value", ["x" * 10_000_000, [0] * 1_000_000, {str(n): n for n in range(100_000)}])
def test_an_error_shows_of_a_value_no_more_than_one_reads(value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode({"inputs": [{**X, "datatype": value}]})
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("shape", [[2**63 - 1] * 30, [1] * 40_000, [2**63], [2**62, 2]])
def test_a_shape_that_nothing_can_have_is_refused_in_a_sentence(shape: list[int]) -> None:
    with pytest.raises(InvalidInput, match="32 dimensions"):
        decode({"inputs": [{**X, "shape": shape}]})


def test_json_nested_too_deep_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not JSON"):
        decode_request(b'{"inputs":' + b"[" * 100_000, None, "m", None)


@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(-5, 300)))
def test_rubbish_is_invalid_input_and_nothing_worse(body: bytes, json_length: int | None) -> None:
    with pytest.raises(InvalidInput):
        decode_request(body, json_length, "m", None)


def test_an_output_without_a_json_form_says_how_to_get_it() -> None:
    response = InferResponse("m", "1", (Tensor("y", "FP16", (1,), b"\0\0"),))
    with pytest.raises(InvalidInput, match="binary_data"):
        encode_response(response, decode({"inputs": [X]}))

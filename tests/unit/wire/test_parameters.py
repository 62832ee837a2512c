from time import monotonic
from typing import Any

import orjson
import pytest

from wire.codec import decode_request, encode_request
from wire.errors import InvalidInput
from wire.messages import InferRequest

X = {"name": "x", "datatype": "INT8", "shape": [2], "data": [1, 2]}


def decode(deadline: float | None = None, /, **parameters: dict[str, Any]) -> InferRequest:
    """A request with these parameters: `request`'s, its input's or its output's."""
    body = {
        "inputs": [{**X, "parameters": parameters.get("input")}],
        "outputs": [{"name": "y", "parameters": parameters.get("output")}],
        "parameters": parameters.get("request"),
    }
    return decode_request(orjson.dumps(body), None, "m", None, deadline)


HARMLESS: list[tuple[str, dict[str, Any]]] = [
    ("request", {"sequence_id": 0, "sequence_start": False, "sequence_end": False, "priority": 0, "timeout": 0}),
    ("request", {"sequence_id": "", "priority": None, "timeout": None, "binary_data_output": None, "anything": None}),
    ("request", {"binary_data_output": False, "content_type": "np", "triton_enable_empty_final_response": False}),
    ("input", {"binary_data_size": None, "content_type": "str", "shared_memory_offset": 0, "anything": None}),
    ("output", {"binary_data": None, "classification": 0, "content_type": "pd", "shared_memory_region": None}),
]


@pytest.mark.parametrize(("of", "parameters"), HARMLESS)
def test_what_says_nothing_is_as_good_as_left_out(of: str, parameters: dict[str, Any]) -> None:
    assert decode(**{of: parameters}) == decode()


@pytest.mark.parametrize(
    ("of", "name", "value", "words"),
    [
        ("input", "shared_memory_region", "mine", "tensor 'x': parameter 'shared_memory_region': shared memory is not"),
        ("input", "shared_memory_byte_size", 8, "'shared_memory_byte_size': shared memory is not offered"),
        (
            "output",
            "shared_memory_region",
            "mine",
            "output 'y': parameter 'shared_memory_region': shared memory is not",
        ),
        ("output", "shared_memory_offset", 8, "'shared_memory_offset': shared memory is not offered"),
        ("output", "classification", 3, "'classification': the classification extension is not offered"),
        ("output", "binary_data", 1, "output 'y': parameter 'binary_data' must be true or false, not 1"),
        ("output", "binary_data", "true", "'binary_data' must be true or false, not 'true'"),
        ("output", "binary", True, "output 'y': parameter 'binary' is unknown"),
        ("input", "binary_data", True, "tensor 'x': parameter 'binary_data' is unknown"),
        ("input", "content_type", "base64", "'content_type' is unknown"),
        ("request", "binary_data_output", 1, "parameter 'binary_data_output' must be true or false, not 1"),
        ("request", "priority", 1, "parameter 'priority': priorities are not offered"),
        ("request", "sequence_id", 7, "parameter 'sequence_id': sequences are not offered"),
        ("request", "sequence_id", "seven", "parameter 'sequence_id': sequences are not offered"),
        ("request", "sequence_start", True, "parameter 'sequence_start': sequences are not offered"),
        ("request", "sequence_end", True, "parameter 'sequence_end': sequences are not offered"),
        ("request", "triton_enable_empty_final_response", True, "every request has one answer"),
        ("request", "timeout", -1, "'timeout' must be a whole number of microseconds, not -1"),
        ("request", "timeout", 1.5, "'timeout' must be a whole number of microseconds, not 1.5"),
        ("request", "timeout", True, "'timeout' must be a whole number of microseconds, not true"),
        ("request", "timeout", "1s", "'timeout' must be a whole number of microseconds, not '1s'"),
        ("request", "timeout", 2**63, "'timeout' must be a whole number of microseconds, not 9223372036854775808"),
    ],
)
def test_what_is_not_obeyed_is_refused_by_name(of: str, name: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(**{of: {name: value}})
    assert words in str(refused.value)


def test_a_timeout_brings_the_deadline_nearer_and_never_puts_it_off() -> None:
    began = monotonic()
    for deadline, microseconds, soonest, latest in (
        (None, 2_000_000, 2, 60),
        (began + 1, 2_000_000, 1, 1),
        (began + 1000, 2_000_000, 2, 60),
        (began + 1, 0, 1, 1),
    ):
        found = decode(deadline, request={"timeout": microseconds}).deadline
        assert found is not None
        assert soonest <= found - began <= latest


def test_what_was_obeyed_or_says_nothing_is_not_handed_on() -> None:
    for of, parameters in (*HARMLESS, ("request", {"timeout": 10})):
        asked = decode(**{of: parameters})
        assert asked.parameters == {}
        assert encode_request(asked) == encode_request(decode())


@pytest.mark.parametrize("levels", [200, 900, 980, 1000, 1010])
def test_a_wrong_value_is_refused_however_deep_it_is_nested(levels: int) -> None:
    deep = b"[" * levels + b"]" * levels
    for tensor in (
        b'"datatype":"INT8","shape":%b,"data":[1]',
        b'"datatype":%b,"shape":[1],"data":[1]',
        b'"datatype":"BYTES","shape":[1],"data":[{"a":%b}]',
        b'"datatype":"INT8","shape":[1],"data":[1],"parameters":{"binary_data_size":%b}',
        b'"datatype":"INT8","shape":[1],"data":[1],"parameters":{"content_type":%b}',
    ):
        with pytest.raises(InvalidInput) as refused:
            decode_request(b'{"inputs":[{"name":"x",%b}]}' % (tensor % deep), None, "m", None)
        assert len(str(refused.value)) < 300

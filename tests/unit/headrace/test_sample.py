"""Requests made from what was typed."""

import random
from typing import Any

import pytest

from headrace.errors import CommandError
from headrace.sample import made_up_request, request_of

TEXT: dict[str, Any] = {"name": "minilm", "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}]}
ROWS: dict[str, Any] = {"name": "digits", "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 2]}]}
TWO: dict[str, Any] = {
    "name": "two",
    "inputs": [
        {"name": "a", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "b", "datatype": "INT64", "shape": [-1]},
    ],
}


def test_texts_become_one_row_each_even_where_they_look_like_json() -> None:
    assert request_of(TEXT, ["[1, 2]", "a river"]) == {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["[1, 2]", "a river"]}]
    }


@pytest.mark.parametrize("typed", ["[[1, 2]]", "[1, 2]", '{"pixels": [1, 2]}'])
def test_a_row_alone_is_a_batch_of_one(typed: str) -> None:
    (tensor,) = request_of(ROWS, [typed])["inputs"]
    assert tensor["shape"] == [1, 2]


def test_a_whole_request_is_sent_as_it_is() -> None:
    typed = '{"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}], "id": "7"}'
    assert request_of(ROWS, [typed])["id"] == "7"


def test_several_inputs_go_by_name() -> None:
    tensors = request_of(TWO, ['{"a": [[1, 2], [3, 4]], "b": [5, 6]}'])["inputs"]
    assert {tensor["name"]: tensor["shape"] for tensor in tensors} == {"a": [2, 2], "b": [2]}


@pytest.mark.parametrize(
    ("metadata", "typed", "said"),
    [
        (ROWS, ["not json"], "not JSON"),
        (ROWS, ["[[1, 2], [3]]"], "differ in length"),
        (ROWS, ['{"pixel": [1, 2]}'], "no input pixel"),
        (ROWS, ["[1, 2]", "[3, 4]"], "takes tensors"),
        (TWO, ["[1, 2]"], "2 inputs"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(metadata: dict[str, Any], typed: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        request_of(metadata, typed)
    assert refused.value.hint


def test_made_up_requests_have_the_models_shapes() -> None:
    (pixels,) = made_up_request(ROWS, 3, random.Random(1))["inputs"]
    assert pixels["shape"] == [3, 2]
    assert len(pixels["data"]) == 6
    (text,) = made_up_request(TEXT, 2, random.Random(1))["inputs"]
    assert len(set(text["data"])) == 2

"""Requests made from what was typed."""

import random
from typing import Any

import pytest

from headrace.errors import CommandError
from headrace.sample import invent_request, request_of


def column_of(datatype: str, shape: list[int], task: str = "tensors") -> dict[str, Any]:
    """The metadata of a model with one input."""
    return {"name": "one", "task": task, "inputs": [{"name": "x", "datatype": datatype, "shape": shape}]}


TEXT = column_of("BYTES", [-1], "sentence-embedding")
ROWS = column_of("FP32", [-1, 2], "tabular")
TWO: dict[str, Any] = {
    "name": "two",
    "task": "tensors",
    "inputs": [
        {"name": "a", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "b", "datatype": "INT64", "shape": [-1]},
    ],
}


def test_texts_become_one_row_each_even_where_they_look_like_json() -> None:
    assert request_of(TEXT, ["[1, 2]", "a river"]) == {
        "inputs": [{"name": "x", "datatype": "BYTES", "shape": [2], "data": ["[1, 2]", "a river"]}]
    }


def test_what_is_typed_for_a_task_that_this_command_has_not_heard_of_is_refused() -> None:
    with pytest.raises(CommandError, match="one: there is no task 'poetry'; there are tensors") as refused:
        request_of({**ROWS, "task": "poetry"}, ["[1, 2]"])
    assert refused.value.hint == "take the headrace that the platform runs"


def test_a_text_for_each_row_may_stand_in_a_column() -> None:
    (tensor,) = request_of(column_of("BYTES", [-1, 1]), ["a river", "a gate"])["inputs"]
    assert (tensor["shape"], tensor["data"]) == ([2, 1], ["a river", "a gate"])


def test_several_texts_for_each_row_are_one_json_value() -> None:
    (tensor,) = request_of(column_of("BYTES", [-1, 2]), ['[["a", "b"]]'])["inputs"]
    assert (tensor["shape"], tensor["data"]) == ([1, 2], [["a", "b"]])


def test_a_scalar_is_a_number() -> None:
    (tensor,) = request_of(column_of("FP32", []), ["2"])["inputs"]
    assert (tensor["shape"], tensor["data"]) == ([], [2])


@pytest.mark.parametrize("typed", ["[[1, 2]]", "[1, 2]", '{"x": [1, 2]}'])
def test_a_row_alone_is_a_batch_of_one(typed: str) -> None:
    (tensor,) = request_of(ROWS, [typed])["inputs"]
    assert tensor["shape"] == [1, 2]


@pytest.mark.parametrize(
    ("shape", "typed", "sent"), [([-1, 2], "[]", [0, 2]), ([-1], "[]", [0]), ([-1, -1], "[]", [1, 0])]
)
def test_no_rows_are_a_batch_of_none_where_a_row_has_elements(shape: list[int], typed: str, sent: list[int]) -> None:
    (tensor,) = request_of(column_of("FP32", shape), [typed])["inputs"]
    assert tensor["shape"] == sent


def test_a_whole_request_is_sent_as_it_is() -> None:
    typed = '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}], "id": "7"}'
    assert request_of(ROWS, [typed])["id"] == "7"


def test_several_inputs_go_by_name() -> None:
    tensors = request_of(TWO, ['{"a": [[1, 2], [3, 4]], "b": [5, 6]}'])["inputs"]
    assert {tensor["name"]: tensor["shape"] for tensor in tensors} == {"a": [2, 2], "b": [2]}


@pytest.mark.parametrize(
    ("metadata", "typed", "said"),
    [
        (ROWS, ["not json"], "not JSON"),
        (ROWS, ["[[1, 2], [3]]"], "differ in length"),
        (ROWS, ['{"y": [1, 2]}'], "no input y"),
        (ROWS, ["[1, 2]", "[3, 4]"], "takes tensors"),
        (TWO, ["[1, 2]"], "2 inputs"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(metadata: dict[str, Any], typed: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        request_of(metadata, typed)
    assert refused.value.hint


def test_invent_requests_have_the_models_shapes() -> None:
    (pixels,) = invent_request(ROWS, 3, random.Random(1))["inputs"]
    assert pixels["shape"] == [3, 2]
    assert len(pixels["data"]) == 6
    (text,) = invent_request(TEXT, 2, random.Random(1))["inputs"]
    assert len(set(text["data"])) == 2

"""How answers are shown to people."""

from typing import Any

import pytest

from headrace.infer_command import brief, rows_of


@pytest.mark.parametrize(
    ("shape", "data", "rows"),
    [([2], ["a", "b"], ["a", "b"]), ([2, 2], [1, 2, 3, 4], [[1, 2], [3, 4]]), ([0, 3], [], []), ([], [5], [5])],
)
def test_flat_data_is_cut_into_the_rows_of_its_shape(shape: list[int], data: list[Any], rows: list[Any]) -> None:
    assert rows_of({"shape": shape, "data": data}) == rows


def test_a_row_is_one_line() -> None:
    assert brief([0.5] * 384).endswith("... (384)")
    assert brief([1, 2]) == "1 2"
    assert brief('{"label": "gut", "score": 0.9}') == '{"label": "gut", "score": 0.9}'
    assert brief("plain text") == "plain text"
    assert brief(0.25) == "0.25"

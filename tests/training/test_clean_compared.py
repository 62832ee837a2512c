"""What of a row clean compares: the same as data, after it has changed the text."""

from pathlib import Path
from typing import Any

import pytest

from tests.training.clean_stage import Cleaned, by_rules, of
from training.data.canonical import row_id
from training.recipe.block import RecipeError

LONG = "The plot is thin, the acting is good and the music is better than both of them"


def test_a_training_row_that_masks_make_ask_what_a_test_row_asks_is_dropped_whatever_its_answer(tmp_path: Path) -> None:
    rows = [
        {"source": "mail a@example.com", "target": "schreib a@example.com"},
        {"source": "Not bad", "target": "Nicht schlecht"},
    ]
    test = [{"source": "mail b@example.com", "target": "eine Mail an b@example.com"}]
    found = Cleaned(tmp_path, rows, {}, test, task="translation")
    assert found.rows == rows[1:]
    assert found.reasons() == {0: "held-out"}


def test_what_a_recipe_takes_along_makes_no_row_another(tmp_path: Path) -> None:
    rows = of("mail a@example.com", "Pas mal", "pas  mal", "It is so-so.", "It is so-so.", f"{LONG}.", f"{LONG}!")
    rows[4]["label"] = "b"
    every = [{**row, "id": at, "source": f"page {at}"} for at, row in enumerate([*rows, *of("mail b@example.com")])]
    found = Cleaned(tmp_path, every[:-1], {}, every[-1:])
    assert found.reasons() == {0: "held-out", 2: "duplicate", 3: "conflict", 4: "conflict", 6: "near-duplicate"}


def test_a_dropped_row_has_the_id_that_suspects_and_answers_know_it_by(tmp_path: Path) -> None:
    texts = ["by a@example.com", "A film that is long enough."]
    rows = [{**row, "id": at} for at, row in enumerate(of(*texts))]
    (line,) = by_rules(tmp_path, rows, length={"min": 20}).dropped
    assert line["id"] == row_id({"text": texts[0]})
    assert line["row"] == rows[0]


@pytest.mark.parametrize(
    ("task", "asked", "answers", "conflicting"),
    [
        ("pair-classification", {"text": "x", "text_pair": "y"}, {"label": ["a", "b"]}, 2),
        ("token-classification", {"tokens": ["May", "left"]}, {"tags": [["O", "O"], ["B-PER", "O"]]}, 0),
        ("tabular-classification", {"width": 1.0, "text": "taken along"}, {"label": ["a", "b"]}, 0),
        ("masked-lm", {"text": "x", "text_pair": "taken along"}, {"label": ["so is", "this"]}, 0),
    ],
)
def test_rows_contradict_each_other_where_an_input_has_one_label(
    tmp_path: Path, task: str, asked: dict[str, Any], answers: dict[str, list[Any]], conflicting: int
) -> None:
    rows = [{**asked, name: answer} for name, given in answers.items() for answer in given]
    block = {"rules": {"conflicts": "keep", "duplicates": False}}
    found = Cleaned(tmp_path, rows, block, task=task, config={"columns": ["width"]})
    assert found.outcome["rules"]["conflicting_rows"] == conflicting


def test_rows_that_may_have_several_answers_stay_with_each_of_them(tmp_path: Path) -> None:
    rows = [{"tokens": ["May", "left"], "tags": [tag, "O"]} for tag in ("O", "B-PER")]
    assert Cleaned(tmp_path, rows, {}, task="token-classification").rows == rows


def test_numbers_alone_are_nothing_to_clean(tmp_path: Path) -> None:
    rows = [{"width": 1.0, "target": 2.0}] * 2
    with pytest.raises(RecipeError, match=r"no column is known to hold text: .*leave clean out"):
        Cleaned(tmp_path, rows, {}, task="tabular-regression", config={"columns": ["width"]})


def test_rows_of_numbers_are_no_near_duplicates_for_what_is_taken_along(tmp_path: Path) -> None:
    rows = [{"width": 1.0, "text": "taken along", "label": "a"}] * 2
    block = {"rules": {"duplicates": False}}
    found = Cleaned(tmp_path, rows, block, task="tabular-classification", config={"columns": ["width"]})
    assert found.rows == rows

"""Data as spreadsheets, databases and other programs write them: read as they are meant, or told with what to do."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from datasets import load_from_disk

from tests.training.data_stage import data, recipe
from training.pipeline import plan
from training.recipe.block import RecipeError

LINES = "".join(f"a text, of number {number};{'yes' if number % 2 else 'no'}\r\n" for number in range(12))
TABLE = {"task": "tabular-classification", "model": {"config": {"model_type": "headrace-tabular", "columns": ["x"]}}}


def test_excels_line_about_the_delimiter_is_obeyed_and_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"sep=;\r\ntext;label\r\n{LINES}", newline="")
    outcome, _ = data(tmp_path, datasets=[{"path": "a.csv"}])
    assert outcome["read"] == 12
    (tmp_path / "a.csv").write_text(f"sep=;\r\ntext;label\r\n{LINES}one;two;three\r\n", newline="")
    with pytest.raises(RecipeError, match=r"line 15: 3 cells, but there are 2 columns"):
        data(tmp_path, datasets=[{"path": "a.csv"}])


def test_names_of_columns_have_no_blanks_around_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text , label\nfine,y\nnone,z\n")
    outcome, _ = data(tmp_path, datasets=[{"path": "a.csv"}])
    assert outcome["read"] == 2


@pytest.mark.parametrize(("sign", "shown"), [(";", '";"'), ("\t", r'"\\t"'), ("|", r'"\|"')])
def test_a_delimiter_that_was_not_said_is_named(tmp_path: Path, sign: str, shown: str) -> None:
    (tmp_path / "a.csv").write_text(f"text{sign}label\nfine{sign}y\n")
    with pytest.raises(RecipeError, match=rf"is one cell.*options: {{delimiter: {shown}}}"):
        data(tmp_path, datasets=[{"path": "a.csv"}])


def test_a_list_deep_in_an_object_is_found_and_taken(tmp_path: Path) -> None:
    rows = [{"doc": {"body": text}, "kind": kind} for text, kind in (("fine", "y"), ("none", "z"))]
    (tmp_path / "a.json").write_text(json.dumps({"meta": [1], "data": {"items": rows}}))
    block: dict[str, Any] = {"path": "a.json", "columns": {"text": "doc.body", "label": "kind"}}
    with pytest.raises(RecipeError, match=r"options: {field: data\.items} takes one in it"):
        data(tmp_path, datasets=[block])
    outcome, folder = data(tmp_path, datasets=[{**block, "options": {"field": "data.items"}}])
    assert outcome["read"] == 2
    assert sorted(load_from_disk(folder / "rows")["train"]["text"]) == ["fine", "none"]


def test_columns_in_an_object_are_told_from_rows(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"text": {"0": "fine"}, "label": {"0": "y"}}))
    with pytest.raises(RecipeError, match=r'one object of columns.*orient="records"'):
        data(tmp_path, datasets=[{"path": "a.json"}])


@pytest.mark.parametrize(
    ("name", "words"), [("a.zip", "is an archive: unpack it"), ("a.xlsx", "is a spreadsheet: save it as CSV")]
)
@pytest.mark.parametrize("named", ["file", "format", "folder"])
def test_an_archive_or_a_spreadsheet_is_told_as_such(tmp_path: Path, name: str, words: str, named: str) -> None:
    (tmp_path / "d").mkdir()
    with zipfile.ZipFile(tmp_path / "d" / name, "w") as packed:
        packed.writestr("a.csv", "text,label\nfine,y\n")
    block = {"path": "d" if named == "folder" else f"d/{name}", **({"format": "csv"} if named == "format" else {})}
    with pytest.raises(RecipeError, match=words):
        data(tmp_path, datasets=[block])


@pytest.mark.parametrize("nothing", ["NA", "n/a", "NULL", "None", "-", "?", " "])
def test_what_stands_for_no_number_is_missing_and_not_a_mistake(tmp_path: Path, nothing: str) -> None:
    (tmp_path / "a.csv").write_text(f"x,label\n1,a\n{nothing},b\n2,b\n")
    outcome, _ = data(tmp_path, **TABLE, datasets=[{"path": "a.csv"}])
    assert outcome["dropped"] == {"missing": 1}


@pytest.mark.parametrize("number", ["1,5", "1.234,5", "1 234", "1'234"])
def test_a_number_in_the_writing_of_a_country_is_told_how_to_be_written(tmp_path: Path, number: str) -> None:
    (tmp_path / "a.csv").write_text(f"x;label\n{number};a\n")
    with pytest.raises(RecipeError, match="where a number is wanted: write it with a point"):
        data(tmp_path, **TABLE, datasets=[{"path": "a.csv", "options": {"delimiter": ";"}}])


def test_rows_of_one_class_are_refused_by_the_data_stage_where_a_model_is_to_be_trained(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"text {number},same\n" for number in range(30)))
    step, *_ = plan(recipe(tmp_path, datasets=[{"path": "a.csv"}]), tmp_path / "work", until="train")
    with pytest.raises(RecipeError, match="a classifier needs two labels or more, 'label' has same"):
        step.run({}, lambda line: None)

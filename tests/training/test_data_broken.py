"""Files that are broken, and options that are not theirs, are an error with the file, the place and what to do."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.data_stage import data
from training.data.annotations import answers
from training.recipe.block import RecipeError

LINES = b"text,label\n" + b"".join(b"text %d,%d\n" % (number, number % 2) for number in range(40))
PACKED = gzip.compress(LINES, mtime=0)
OBJECTS = gzip.compress(b"".join(b'{"text": "%d", "label": "x"}\n' % number for number in range(40)), mtime=0)
HALF = r'{"text": "a \ud83d", "label": "x"}'


def pixels(**options: Any) -> dict[str, Any]:
    return {"format": "pixels", "options": options}


@pytest.mark.parametrize(
    ("name", "content", "block", "message"),
    [
        ("a.csv", LINES, {"options": {"encoding": "utf-99"}}, "unknown encoding: utf-99: .*options: {encoding: 'utf-"),
        ("a.csv", LINES, {"options": {"delimiter": ",,"}}, "must be a 1-character string: .*{delimiter: ',,'}"),
        ("a.csv", LINES, {"options": {"header": True}}, "options.header: True is no list of names: .*leave it out"),
        ("a.csv", LINES, {"options": {"header": "xy"}}, "options.header: 'xy' is no list of names"),
        ("a.csv.gz", b"no gzip", {}, r"a\.csv\.gz: Not a gzipped file .*fetch or pack it anew"),
        ("a.jsonl.gz", OBJECTS[:-30], {}, r"a\.jsonl\.gz: Compressed file ended .*fetch or pack it anew"),
        ("a.csv.gz", PACKED[:-30], {}, r"after row \d\d: Compressed file ended .*fetch or pack it anew"),
        (
            "a.csv.gz",
            PACKED[:40] + bytes(90),
            {},
            "Error -3 while decompressing data: .*fetch or pack it",
        ),
        (
            "a.jsonl",
            f"{json.dumps({'text': 'x', 'label': 'y'})}\n{HALF}".encode(),
            {},
            r"line 2: has \\ud83d, half of a",
        ),
        ("a.json", f"[{HALF}]".encode(), {}, r"row 1: has \\ud83d, half of a character .*remove it, or write both"),
        ("a.json", b'{"x": []}', {"options": {"field": ["x"]}}, r"options: {field: \['x'\]} is no name"),
        ("a.csv", b"1,2,3,4,x\n1,2,a,4,y\n", pixels(shape=[2, 2]), "line 2: .*'a', where a grey is wanted"),
        ("a.csv", b"1,2,3,-4,x\n", pixels(shape=[2, 2]), "line 1: greys from -4 to 3, where 0 to 255 are wanted"),
        ("a.csv", b"1,2,3,nan,x\n", pixels(shape=[2, 2]), "line 1: greys from nan to nan, where 0 to 255 are wanted"),
        ("a.csv", b"1,17,3,4,x\n", pixels(shape=[2, 2], white=16), "to 17, where 0 to 16 are wanted: .*white: .* says"),
        ("a.csv", b"1,2,3,4,x\n", pixels(shape=4), r"needs options: \{shape: \[height, width\]\}"),
        ("a.csv", b"0,0,0,0,x\n", pixels(shape=[2, 2], white=0), "division by zero: .*white: 0"),
        ("a.csv", b"1,2,3,4,x\n", pixels(shape=[2, 2], white="w"), "to float: 'w': .*white: 'w'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_place_and_what_to_do(
    tmp_path: Path, name: str, content: bytes, block: dict[str, Any], message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    task = "image-classification" if "format" in block else "text-classification"
    with pytest.raises(RecipeError, match=message) as raised:
        data(tmp_path, task=task, datasets=[{"path": name, **block}])
    assert name in str(raised.value) or "datasets.options" in str(raised.value)


def test_a_key_that_the_reader_of_a_folder_does_not_take_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.csv").write_bytes(LINES.replace(b",", b";"))
    for wrong, nearest in (("data_fils", "data_files"), ("delimeter", "delimiter")):
        with pytest.raises(RecipeError) as raised:
            data(tmp_path, datasets=[{"path": "rows", "options": {"split": "train", wrong: ";"}}])
        told = f"datasets.options.{wrong}: datasets.load_dataset takes no such key, did you mean {nearest}?"
        assert str(raised.value) == told
    outcome, _ = data(tmp_path, datasets=[{"path": "rows", "options": {"split": "train", "sep": ";"}}])
    assert outcome["read"] == 40


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        (
            "question-answering",
            {"question": "?", "context": "a", "answers": {"text": "a", "answer_start": 4}},
            "answers has the text 'a', where a list is wanted",
        ),
        (
            "question-answering",
            {"question": "?", "context": "a", "answers": r'{"text": ["\ud83d"], "answer_start": [0]}'},
            r"answers has \\ud83d, half of a character",
        ),
        (
            "object-detection",
            {"image": "a", "boxes": {"bbox": None, "category": None}},
            r"boxes has the bbox None, where a list is wanted: \[\] where there is none",
        ),
        ("image-classification", {"image": 300 * "a", "label": "x"}, "image .*File name too long"),
        ("tabular-regression", {"target": 10**400}, "target is a number, 1000.*, where a number is wanted"),
    ],
)
def test_a_value_of_another_shape_is_named_with_its_row(
    tmp_path: Path, task: str, row: dict[str, Any], message: str
) -> None:
    from PIL import Image

    Image.new("L", (4, 4)).save(tmp_path / "a", "PNG")
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    with pytest.raises(RecipeError, match=f"datasets: rows.jsonl, row 1: {message}"):
        data(tmp_path, task=task, model={"base": "none", "config": {"columns": []}}, datasets=[{"path": "rows.jsonl"}])


@pytest.mark.parametrize(
    "tasks", [[1], [{"data": 1}], [{"data": {"row": "a"}, "annotations": [{"result": [{"from_name": "label"}]}]}]]
)
def test_answers_that_label_studio_did_not_write_are_named(tmp_path: Path, tasks: Any) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps([{"id": 1, "row": "b", "label": "x"}, *tasks]))
    with pytest.raises(RecipeError, match=r"answers.json: task 2 is not as Label Studio exports it .*: export .* anew"):
        answers(path)

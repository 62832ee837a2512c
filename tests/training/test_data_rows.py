"""Rows whose columns do not fit together are refused where they are read, with their place and what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.training.data_stage import data
from training.recipe.block import RecipeError

CONTEXT = "Ada wrote it in 1843."
ANSWERED = {"question": "When?", "context": CONTEXT}
ASKED = {"role": "user", "content": "When?"}
SAID = {"role": "assistant", "content": "In 1843."}


def run(folder: Path, task: str, row: dict[str, Any], **block: Any) -> dict[str, Any]:
    path = folder / "rows.jsonl"
    path.write_text(json.dumps(row))
    return data(folder, task=task, datasets=[{"path": str(path), **block}])[0]


@pytest.mark.parametrize(
    ("task", "row", "words"),
    [
        ("token-classification", {"tokens": ["Ada", "wrote"], "tags": ["B-PER"]}, "2 tokens and 1 tags: give each"),
        (
            "question-answering",
            {**ANSWERED, "answers": {"text": ["1843"], "answer_start": ["three"]}},
            "answers has '1843' at 'three', where a text and the number of a character are wanted",
        ),
        (
            "question-answering",
            {**ANSWERED, "answers": {"text": ["1843"], "answer_start": [0]}},
            "at answer_start 0 is 'Ada ', not the answer '1843': it is at 16",
        ),
        (
            "question-answering",
            {**ANSWERED, "answers": {"text": ["1815"], "answer_start": [16]}},
            "not the answer '1815': the context does not have it",
        ),
        (
            "reranking",
            {"text": "When?", "text_pair": CONTEXT, "label": "yes"},
            "label is 'yes', where 1 or 0 is wanted: `labels: .*` maps it",
        ),
        ("chat", {"messages": [ASKED, SAID, ASKED]}, "turns of user, assistant, user: end it with the assistant's"),
        ("chat", {"messages": [SAID]}, "turns of assistant: end it with the assistant's answer to a turn before it"),
        ("dpo", {"prompt": "When?", "chosen": "In 1843.", "rejected": "In 1843. "}, "chosen and rejected are the same"),
    ],
)
def test_a_row_whose_columns_do_not_fit_together_is_named(
    tmp_path: Path, task: str, row: dict[str, Any], words: str
) -> None:
    with pytest.raises(RecipeError, match=f"datasets: rows.jsonl, row 1: .*{words}"):
        run(tmp_path, task, row)


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("token-classification", {"tokens": ["Ada", "wrote"], "tags": ["B-PER", "O"]}),
        ("question-answering", {**ANSWERED, "answers": {"text": ["1843"], "answer_start": [16]}}),
        ("question-answering", {**ANSWERED, "answers": {"text": [], "answer_start": []}}),
        ("reranking", {"text": "When?", "text_pair": CONTEXT, "label": 1.0}),
        ("zero-shot", {"text": CONTEXT, "label": "computing"}),
        ("chat", {"messages": [ASKED, SAID]}),
        ("dpo", {"prompt": "When?", "chosen": "In 1843.", "rejected": "Never."}),
    ],
)
def test_a_row_whose_columns_fit_together_is_taken(tmp_path: Path, task: str, row: dict[str, Any]) -> None:
    assert run(tmp_path, task, row)["rows"]["train"] == 1


@pytest.mark.parametrize(
    ("mode", "size", "words"),
    [
        ("L", (4, 8), r"a mask of \(4, 8\) pixels for an image of \(8, 4\)"),
        ("RGB", (8, 4), "the mask is in RGB: write the number of each pixel's class"),
        ("L", (8, 4), None),
    ],
)
def test_a_mask_is_as_large_as_its_image_and_in_grey(
    tmp_path: Path, mode: str, size: tuple[int, int], words: str | None
) -> None:
    Image.new("RGB", (8, 4)).save(tmp_path / "image.png")
    Image.new(mode, size).save(tmp_path / "mask.png")
    row = {"image": "image.png", "mask": "mask.png"}
    if words is None:
        assert run(tmp_path, "image-segmentation", row)["rows"]["train"] == 1
    else:
        with pytest.raises(RecipeError, match=f"datasets: rows.jsonl, row 1: {words}"):
            run(tmp_path, "image-segmentation", row)


def test_a_label_is_looked_at_as_the_recipe_maps_it(tmp_path: Path) -> None:
    row = {"text": "When?", "text_pair": CONTEXT, "label": "yes"}
    assert run(tmp_path, "reranking", row, labels={"1": "yes", "0": "no"})["rows"]["train"] == 1

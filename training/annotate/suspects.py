"""Rows whose labels deserve a person's look: those that contradict each other, and those that a model doubts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from training.annotate.label_studio import interface, task_of
from training.annotate.quick import quick
from training.data.canonical import LABEL
from training.data.compared import Compared
from training.data.run import DROPPED
from training.pipeline import Step, plan
from training.recipe.block import RecipeError
from training.stage import ROWS
from training.tasks.base import Task
from training.tasks.open import open_task

if TYPE_CHECKING:
    from datasets import Dataset

    from training.recipe.recipe import Recipe

QUICK: Final = "cross-validated"
TRAINED: Final = "trained"  # asked about rows that it has not seen


@dataclass(frozen=True)
class Suspect:
    """`quality` is how likely the label is right, from 0; `scores` those of the labels, none for a contradiction."""

    row: Mapping[str, Any]
    split: str
    quality: float
    scores: Mapping[str, float]
    model: str


def export(recipe: "Recipe", work: Path, out: Path, limit: int) -> dict[str, Any]:
    """Write Label Studio's tasks to `out`, the most suspect first, and its labelling interface beside it."""
    task = open_task(recipe.task)
    compared = Compared(task, recipe)
    if LABEL not in task.columns or not {"text", "image"} & task.columns.keys():
        raise RecipeError(f"task: suspects are found among labelled texts and images, {task.name} has none")
    steps = {step.name: step for step in plan(recipe, work, until="train")}
    data = replace(steps["data"], needed={})  # nothing is trained here
    read = data.run({}, lambda line: None)["read"]
    doubts = list(_find_doubtful(steps, task, recipe.seed))
    found = [*_find_contradictions(data.folder, compared), *sorted(doubts, key=lambda suspect: suspect.quality)]
    labels = sorted({suspect.row[LABEL] for suspect in found} | _labels(data.folder))
    shown = "text" if "text" in task.columns else "image"
    tasks = [
        task_of(compared.id(one.row), one.row, one.split, one.quality, one.scores, one.model, shown)
        for one in found[:limit]
    ]
    out.write_text(json.dumps(tasks, indent=1, ensure_ascii=False))
    page = out.with_suffix(".xml")
    page.write_text(interface(labels, shown, [column for column in task.columns if column != LABEL]))
    return {
        "tasks": str(out),
        "interface": str(page),
        "suspects": len(tasks),
        "found": len(found),
        "rows": read,
    }


def _find_doubtful(steps: Mapping[str, Step], task: Task, seed: int) -> Iterator[Suspect]:
    """Rows whose label a model doubts: the trained one of those it has not seen, a quick one of all others."""
    from datasets import Image, concatenate_datasets, load_from_disk

    rows = load_from_disk(str(steps["data"].folder / ROWS))
    trained = steps["train"] if "train" in steps and steps["train"].done else None
    everything = concatenate_datasets(list(rows.values()))
    packed = everything
    if "image" in everything.column_names:
        packed = everything.cast_column("image", Image(decode=False))  # as the data stage named the rows
    splits = [name for name, part in rows.items() for _ in range(len(part))]
    labels, probabilities = quick(everything, seed)
    if trained is None:
        yield from _judge(packed, splits, labels, probabilities, QUICK)
        return
    seen = len(rows["train"])
    yield from _judge(packed.select(range(seen)), splits[:seen], labels, probabilities[:seen], QUICK)
    if seen < len(everything):
        unseen = everything.select(range(seen, len(everything)))
        model = task.load(trained.folder / "model")
        scores = task.predict(task.eager(model), model, unseen)
        table = np.array([[one.get(label, 0.0) for label in labels] for one in scores])
        yield from _judge(packed.select(range(seen, len(packed))), splits[seen:], labels, table, TRAINED)


def _judge(
    rows: "Dataset", splits: Sequence[str], labels: Sequence[str], probabilities: NDArray[np.float64], model: str
) -> Iterator[Suspect]:
    """Those of the rows whose label cleanlab takes for an error. Probabilities are FP64 `[rows, labels]`."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    numbers = {label: number for number, label in enumerate(labels)}
    given = np.array([numbers[label] for label in rows[LABEL]])
    quality = get_label_quality_scores(given, probabilities)
    wrong = find_label_issues(given, probabilities, n_jobs=1)
    for index in np.flatnonzero(wrong).tolist():
        scores = dict(zip(labels, probabilities[index].tolist(), strict=True))
        yield Suspect(rows[index], splits[index], float(quality[index]), scores, model)


def _find_contradictions(folder: Path, compared: Compared) -> Iterator[Suspect]:
    """One of each group of equal texts that were dropped for their different labels."""
    seen: set[str] = set()
    for line in (folder / DROPPED).read_text().splitlines():
        dropped = json.loads(line)
        if (
            dropped["kind"] == "contradiction"
            and "image" not in dropped["row"]
            and (row := compared.id(dropped["row"])) not in seen
        ):
            seen.add(row)
            yield Suspect(dropped["row"], "none", 0.0, {}, "contradiction")


def _labels(folder: Path) -> set[str]:
    from datasets import load_from_disk

    return {label for part in load_from_disk(str(folder / ROWS)).values() for label in part[LABEL]}

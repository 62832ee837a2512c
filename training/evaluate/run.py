"""The evaluate stage: the model in torch and each variant, on rows that nothing was trained or chosen by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, load_from_disk

from training.data.canonical import fingerprint
from training.evaluate import classes
from training.evaluate.against import ServingUnknown, ask
from training.evaluate.generated import signatures
from training.evaluate.intervals import Interval, Measure, differences, intervals
from training.export.run import ARTIFACT
from training.export.session import session
from training.export.variants import FILES
from training.stage import Work
from training.tasks.base import Model, Run, Task
from training.tasks.open import open_task

TORCH: Final = "torch"
MISTAKES: Final = 10


def run(work: Work) -> dict[str, Any]:
    """The metrics of every variant with their intervals; of the one that serves, what it gets wrong."""
    recipe, block = work.recipe, work.recipe.evaluate
    task = open_task(recipe.task)
    rows = load_from_disk(str(work.rows))["test"]
    if block.rows is not None:
        rows = rows.select(range(min(block.rows, len(rows))))
    model = task.load(work.inputs["train"] / "model")
    artifact, exported = work.inputs["export"] / ARTIFACT, work.outcomes["export"]
    runs = {TORCH: task.eager(model), **_variants(artifact, exported["variants"])}

    predictions, metrics = {}, {}
    for name, one in runs.items():
        work.say(f"evaluate: {name} on {len(rows)} rows")
        predictions[name] = task.predict(one, model, rows)
        measure = measured(task, predictions[name], rows)
        metrics[name] = _told(intervals(measure, len(rows), block.resamples, block.confidence, recipe.seed))
    served = exported["served"]
    return {
        "rows": len(rows),
        "rows_digest": fingerprint(_undecoded(rows)),
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "confidence": block.confidence,
        "served": served,
        "metrics": metrics,
        **_details(predictions[served], rows, block.bins),
        "against": _against(work, task, model, runs[served], predictions[served], rows),
    }


def measured(task: Task, predictions: Sequence[Any], rows: Dataset) -> Measure:
    """The metrics of these predictions on whichever rows are asked for."""

    def measure(picked: Sequence[int]) -> dict[str, float]:
        return task.measure([predictions[index] for index in picked], rows.select(picked))

    return measure


def _undecoded(rows: Dataset) -> Dataset:
    """With images and sounds as the bytes that they were read from."""
    for name, feature in rows.features.items():
        if hasattr(feature, "decode"):
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows


def _variants(artifact: Path, exported: dict[str, Any]) -> dict[str, Run]:
    return {name: session(artifact / FILES[name]) for name in FILES if name in exported}


def _details(predictions: Sequence[Any], rows: Dataset, bins: int) -> dict[str, Any]:
    if "label" in rows.column_names and classes.is_classified(predictions):
        truth = rows["label"][:]
        texts = rows["text"][:] if "text" in rows.column_names else [""] * len(rows)
        return {
            "classes": classes.details(predictions, truth, bins),
            "mistakes": classes.mistakes(predictions, truth, texts)[:MISTAKES],
        }
    if "target" in rows.column_names and all(isinstance(text, str) for text in predictions):
        return {"signatures": signatures(predictions, rows["target"][:])}
    return {}


def _against(
    work: Work, task: Task, model: Model, run: Run, predictions: Sequence[Any], rows: Dataset
) -> dict[str, Any] | None:
    """The metrics of the version that serves now, and by how much the new one's are above them."""
    recipe, block = work.recipe, work.recipe.evaluate
    if block.against is None:
        return None
    work.say(f"evaluate: {block.against.url}, {block.against.alias}, on the same rows")
    where = {"url": block.against.url, "alias": block.against.alias, "model": block.against.model or recipe.name}
    try:
        version, theirs = ask(block.against, recipe.name, task, model, run, rows)
    except ServingUnknown as error:
        return {**where, "unknown": str(error)}
    settings = len(rows), block.resamples, block.confidence, recipe.seed
    mine, old = measured(task, predictions, rows), measured(task, theirs, rows)
    return {
        **where,
        "version": int(version),
        "metrics": _told(intervals(old, *settings)),
        "differences": _told(differences(mine, old, *settings)),
    }


def _told(found: dict[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: interval.as_json() for name, interval in found.items()}

"""The evaluate stage: the model in torch and each variant, on rows that nothing was trained or chosen by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, load_from_disk

from training.data.canonical import LABEL, fingerprint
from training.evaluate import classes
from training.evaluate.intervals import Interval, Measure, intervals
from training.export.run import ARTIFACT
from training.export.session import session
from training.export.variants import FILES
from training.recipe.block import RecipeError
from training.stage import Work
from training.tasks.base import Run, Task
from training.tasks.generated import signatures
from training.tasks.open import open_task

TORCH: Final = "torch"
MISTAKES: Final = 10
WRITTEN: Final = ("target", "caption")  # what a text of the model's own is held against


def run(work: Work) -> dict[str, Any]:
    """The metrics of every variant with their intervals; of the one that serves, what it gets wrong."""
    recipe, block = work.recipe, work.recipe.evaluate
    task = open_task(recipe.task)
    rows = load_judged_rows(work)
    model = task.load(work.inputs["train"] / "model")
    artifact, exported = work.inputs["export"] / ARTIFACT, work.outcomes["export"]
    runs = {TORCH: task.eager(model), **_variants(artifact, exported["variants"])}

    predictions, metrics = {}, {}
    for name, one in runs.items():
        work.say(f"evaluate: {name} on {len(rows)} rows")
        predictions[name] = task.predict(one, model, rows)
        measure = measure_on(task, predictions[name], rows)
        metrics[name] = as_json(intervals(measure, len(rows), block.resamples, block.confidence, recipe.seed))
    served = exported["served"]
    return {
        "rows": len(rows),
        "rows_digest": fingerprint(_undecode(rows)),
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "confidence": block.confidence,
        "served": served,
        "metrics": metrics,
        **details(predictions[served], rows, block.bins),
    }


def load_judged_rows(work: Work) -> Dataset:
    """The test rows that the recipe has the model judged on. Raises RecipeError where no metric is defined on them."""
    rows, count = load_from_disk(str(work.rows))["test"], work.recipe.evaluate.rows
    rows = rows if count is None else rows.select(range(min(count, len(rows))))
    if LABEL in rows.column_names:
        try:
            open_task(work.recipe.task).check_labels(rows.unique(LABEL))
        except ValueError as error:
            raise RecipeError(f"evaluate.rows: the first {len(rows)} test rows {error}; raise it") from error
    return rows


def measure_on(task: Task, predictions: Sequence[Any], rows: Dataset) -> Measure:
    """A function from row numbers to the metrics of these predictions on those rows."""

    def measure(picked: Sequence[int]) -> dict[str, float]:
        return task.measure([predictions[index] for index in picked], rows.select(picked))

    return measure


def _undecode(rows: Dataset) -> Dataset:
    """The rows with images and sounds as the bytes that they were read from."""
    for name, feature in rows.features.items():
        if hasattr(feature, "decode"):
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows


def _variants(artifact: Path, exported: dict[str, Any]) -> dict[str, Run]:
    return {name: session(artifact / FILES[name]) for name in FILES if name in exported}


def details(predictions: Sequence[Any], rows: Dataset, bins: int) -> dict[str, Any]:
    """What else there is to say of the answers: what a classifier got wrong, how texts were counted."""
    if "label" in rows.column_names and classes.is_classified(predictions):
        truth = rows["label"][:]
        texts = rows["text"][:] if "text" in rows.column_names else [""] * len(rows)
        return {
            "classes": classes.details(predictions, truth, bins),
            "mistakes": classes.mistakes(predictions, truth, texts)[:MISTAKES],
        }
    column = next((name for name in WRITTEN if name in rows.column_names), None)
    if column is not None and all(isinstance(text, str) for text in predictions):
        return {"signatures": signatures(predictions, rows[column][:])}
    return {}


def as_json(found: dict[str, Interval]) -> dict[str, dict[str, float]]:
    """The intervals as JSON."""
    return {name: interval.as_json() for name, interval in found.items()}

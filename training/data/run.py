"""The data stage: one form for all rows, each once, in three splits."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from datasets import Dataset, DatasetDict, Features

from training.data.canonical import LABEL, fingerprint
from training.data.columns import kind_of
from training.data.compared import Compared
from training.data.duplicates import deduplicate
from training.data.gather import gather
from training.data.rows import Dropped, Found
from training.data.split import split
from training.recipe.block import RecipeError
from training.stage import Work
from training.tasks.open import open_task

if TYPE_CHECKING:
    from training.tasks.base import Task

DROPPED: Final = "dropped.jsonl"
_REASONS: Final = 5  # of rows that are left out, which a line names


def run(work: Work) -> dict[str, Any]:
    """Write the rows, and `dropped.jsonl` with those that are not among them and why."""
    recipe, task = work.recipe, open_task(work.recipe.task)
    gathered = gather(recipe, task)
    rows, dropped = gathered.rows, gathered.dropped
    if recipe.split.deduplicate:
        rows, again = deduplicate(rows, Compared(task, recipe))
        dropped = dropped + again
        if not rows:
            raise RecipeError(f"split: {again[0].reason}, and so it is with all rows: `deduplicate: false` keeps them")
    splits = split(rows, recipe.split, recipe.seed)
    counts = {name: len(found) for name, found in splits.items()}
    work.say(f"{len(rows)} of {gathered.read} rows: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    if lacking := [one for one in gathered.dropped if one.kind == "missing"]:
        work.say(_describe_lacking(lacking, gathered.read, task))

    features = _features(rows, task)
    work.write_rows(DatasetDict({name: _dataset(found, features) for name, found in splits.items()}))
    _write(work.folder / DROPPED, dropped)
    return {
        "fingerprint": fingerprint(found.row for found in gathered.rows),
        "read": gathered.read,
        "rows": counts,
        "labels": {name: _labels(found) for name, found in splits.items()} if LABEL in task.columns else {},
        "dropped": dict(Counter(one.kind for one in dropped).most_common()),
        "not_sampled": gathered.read - len(gathered.rows) - len(gathered.dropped),
        "corrected": gathered.corrected,
        "answers_without_a_row": gathered.unanswered,
        "unused_columns": sorted(gathered.unused),
    }


def _describe_lacking(lacking: Sequence[Dropped], read: int, task: "Task") -> str:
    """A warning of what dropped rows lacked: a model trained without such rows may be asked about them all the same."""
    reasons = Counter(one.reason for one in lacking).most_common(_REASONS)
    told = ", ".join(f"{reason} in {count}" for reason, count in reasons)
    hint = ": fill them in, or take the column out of model.config.columns" if task.numeric_rows else ""
    return f"warning: {len(lacking)} of {read} rows are left out: {told}{hint}"


def _features(rows: Sequence[Found], task: "Task") -> Features:
    """The columns' types: those that the task's kinds say, and for others what the values are."""
    names = list(dict.fromkeys(name for found in rows for name in found.row))
    features = {}
    for name in names:
        kind = kind_of(name, task)
        if kind is not None:
            features[name] = kind.feature()
            continue
        try:
            features[name] = Dataset.from_dict({name: [found.row.get(name) for found in rows]}).features[name]
        except (ValueError, TypeError) as error:  # pyarrow's, of which both are
            raise RecipeError(f"datasets: column {name!r} has values of different types: {error}") from error
    return Features(features)


def _dataset(rows: Sequence[Found], features: Features) -> Dataset:
    return Dataset.from_dict({name: [found.row.get(name) for found in rows] for name in features}, features)


def _labels(rows: Sequence[Found]) -> dict[str, int]:
    return dict(sorted(Counter(found.row[LABEL] for found in rows).items()))


def _write(path: Path, dropped: Sequence[Dropped]) -> None:
    with path.open("w") as file:
        for one in dropped:
            where = {"source": one.source, "number": one.number, "kind": one.kind, "reason": one.reason}
            file.write(json.dumps({**where, "row": one.row}, ensure_ascii=False, default=_show) + "\n")


def _show(value: Any) -> str:
    return f"sha256 {hashlib.sha256(value).hexdigest()}" if isinstance(value, bytes) else str(value)

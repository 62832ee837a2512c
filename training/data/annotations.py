"""Reads a person's answers back from Label Studio: the label of each row that was looked at."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from training.block import RecipeError

ROW: Final = "row"  # of a task's data: which row it shows
CHOICE: Final = "label"  # the name of the control in the labelling interface


def answers(path: Path) -> dict[str, str]:
    """The label that people chose for each row, by the row's id; what most chose, where several did.

    Both of Label Studio's exports can be read, JSON and JSON-MIN. Raises RecipeError where it is something else.
    """
    try:
        tasks = json.loads(path.read_bytes())
    except OSError as error:
        raise RecipeError(f"datasets: annotations: {path}: {error.strerror}") from error
    except ValueError as error:
        raise RecipeError(f"datasets: annotations: {path} is not JSON: {error}") from error
    if not isinstance(tasks, list):
        raise RecipeError(f"datasets: annotations: {path} must be Label Studio's export: a list of tasks")
    chosen: dict[str, Counter[str]] = {}
    for number, task in enumerate(tasks, 1):
        try:
            row = task.get("data", task).get(ROW)
            if row is None:
                raise RecipeError(
                    f"datasets: annotations: {path}: task {task.get('id')} has no {ROW!r} to say which it is"
                )
            for choice in _full(task) if "annotations" in task else _short(task):
                chosen.setdefault(row, Counter())[choice] += 1
        except (AttributeError, TypeError, LookupError) as error:
            raise RecipeError(
                f"datasets: annotations: {path}: task {number} is not as Label Studio exports it ({error!r}): "
                "export the project anew, as JSON or JSON-MIN"
            ) from error
    return {row: counter.most_common(1)[0][0] for row, counter in chosen.items()}


def _full(task: dict[str, Any]) -> list[str]:
    return [
        result["value"]["choices"][0]
        for annotation in task["annotations"]
        if not annotation.get("was_cancelled")
        for result in annotation["result"]
        if result.get("from_name") == CHOICE and result["value"].get("choices")
    ]


def _short(task: dict[str, Any]) -> list[str]:
    return [task[CHOICE]] if isinstance(task.get(CHOICE), str) else []

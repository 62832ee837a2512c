"""Reads a person's answers back from Label Studio: the label of each row that was looked at."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from training.data.value import short
from training.recipe.block import RecipeError
from training.recipe.labels import as_text

ROW: Final = "row"  # of a task's data: which row it shows
CHOICE: Final = "label"  # the name of the control in the labelling interface


def answers(path: Path) -> dict[str, str]:
    """The label that people chose for each row, by the row's id; what most chose, where several did.

    Both of Label Studio's exports can be read, JSON and JSON-MIN. Raises RecipeError where it is something else, and
    for an answer that is not one choice.
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
            for given in _full(task) if "annotations" in task else _short(task):
                chosen.setdefault(row, Counter())[_choice(given, f"{path}: task {number}")] += 1
        except (AttributeError, TypeError, LookupError) as error:
            raise RecipeError(
                f"datasets: annotations: {path}: task {number} is not as Label Studio exports it ({error!r}): "
                "export the project anew, as JSON or JSON-MIN"
            ) from error
    return {row: counter.most_common(1)[0][0] for row, counter in chosen.items()}


def _full(task: dict[str, Any]) -> list[Any]:
    """The values that people gave in a full export; none where they skipped the task."""
    return [
        result["value"].get("choices", result["value"])
        for annotation in task["annotations"]
        if not annotation.get("was_cancelled")
        for result in annotation["result"]
        if result.get("from_name") == CHOICE
    ]


def _short(task: dict[str, Any]) -> list[Any]:
    given = task.get(CHOICE)
    return [] if given is None else [given.get("choices", given) if isinstance(given, dict) else given]


def _choice(given: Any, where: str) -> str:
    """The one that was chosen."""
    match given:
        case str() | int() | float() as one:
            pass
        case [str() | int() | float() as one]:
            pass
        case _:
            raise RecipeError(
                f"datasets: annotations: {where}: the answer to {CHOICE!r} is {short(given)}, where one choice is "
                "wanted: have it answered anew, or take the task out of the export"
            )
    return as_text(one).strip()

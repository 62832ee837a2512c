"""A task's template as a test tries it: with its own rows, model and training, read as a user's recipe is."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset, DatasetDict

from training.data.run import run
from training.recipe.recipe import Recipe, load
from training.stage import Work
from training.templates.files import Rows
from training.templates.open import recipe_of, write

# The best checkpoint is what a user wants; writing them takes longer than the steps.
LAST = {"save_strategy": "no", "load_best_model_at_end": False}


def case(task: str, folder: Path, rows: int, train: Mapping[str, Any], **blocks: Any) -> tuple[Recipe, Path]:
    """The template's recipe, with these blocks in the place of its own, and the folder that its data stage left.

    Of the train block these options alone are changed.
    """
    path = write(task, folder / "template", rows).recipe
    whole = yaml.safe_load(path.read_text())
    whole["train"] |= {**LAST, **train}
    path.write_text(yaml.safe_dump({**whole, **blocks}))
    recipe, data = load(path), folder / "data"
    data.mkdir()
    run(Work(recipe, data, {}, {}, print))
    return recipe, data


def model_of(task: str) -> dict[str, Any]:
    """The model block of a task's template."""
    model: dict[str, Any] = yaml.safe_load(recipe_of(task))["model"]
    return model


def split(rows: Rows, held_out: int) -> DatasetDict:
    """The last rows are held out, after the order has been shuffled."""
    rows = random.Random(7).sample(rows, len(rows))
    parts = {"train": rows[: -2 * held_out], "validation": rows[-2 * held_out : -held_out], "test": rows[-held_out:]}
    return DatasetDict({name: Dataset.from_list(part) for name, part in parts.items()})

"""Runs the data stage of a recipe that a test writes."""

from pathlib import Path
from typing import Any

import yaml

from training.pipeline import plan
from training.recipe.recipe import Recipe, load


def recipe(folder: Path, **parts: Any) -> Recipe:
    """A recipe in `folder`, for the classification of texts unless `parts` say otherwise."""
    whole = {"name": "tried", "task": "text-classification", "model": {"base": "none"}, **parts}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(whole))
    return load(path)


def data(folder: Path, **parts: Any) -> tuple[dict[str, Any], Path]:
    """What the stage says of itself, and its folder."""
    (step,) = plan(recipe(folder, **parts), folder / "work", until="data")
    return step.run({}, lambda line: None), step.folder

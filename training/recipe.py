"""A recipe: everything that makes a version, in one YAML file.

Where a block is handed to a library's class as it is, that class's documentation is the block's.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, PrivateAttr, ValidationError

from training import strict_yaml
from training.augment.block import Augment
from training.block import Block, RecipeError, told
from training.clean.block import Clean
from training.data.block import DatasetBlock, Split
from training.evaluate.block import Evaluate
from training.export.block import Export
from training.profile.block import Profile
from training.register.block import Register
from training.train.block import Distributed, ModelBlock, Peft


class Recipe(Block):
    """`name` is the model's in the registry, `task` one of `headrace train templates`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    task: str
    description: str = ""
    seed: int = 7
    model: ModelBlock
    datasets: list[DatasetBlock] = Field(min_length=1)
    split: Split = Split()
    clean: Clean | None = None
    augment: Augment | None = None
    peft: Peft | None = None
    train: dict[str, Any] = Field({})  # of transformers.TrainingArguments
    distributed: Distributed | None = None
    profile: Profile | None = None
    evaluate: Evaluate = Evaluate()
    export: Export = Export()
    register_: Register | None = Field(None, alias="register")

    _folder: Path = PrivateAttr(Path())

    @property
    def folder(self) -> Path:
        """Where the recipe lies: its relative paths begin there."""
        return self._folder


def load(path: Path) -> Recipe:
    """Read a recipe. Raises RecipeError with a line for everything that is wrong with it."""
    try:
        given = strict_yaml.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {error}") from error
    if not isinstance(given, dict):
        raise RecipeError(f"{path} must hold keys and values: name, task, model, datasets ...")
    try:
        recipe = Recipe.model_validate(given)
    except ValidationError as error:
        raise told(error, Recipe) from error
    recipe._folder = path.parent.resolve()
    return recipe

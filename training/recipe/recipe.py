"""A recipe: everything that makes a version, in one YAML file.

Where a block is handed to a library's class as it is, that class's documentation is the block's.
"""

from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, PrivateAttr, ValidationError

from storage.model_name import check_new_name
from training.recipe import strict_yaml
from training.recipe.augment import Augment
from training.recipe.block import Block, RecipeError, explain
from training.recipe.clean import Clean
from training.recipe.data import DatasetBlock, Split
from training.recipe.evaluate import Evaluate
from training.recipe.export import Export
from training.recipe.profile import Profile
from training.recipe.register import Register
from training.recipe.train import Distributed, ModelBlock, Peft


class Recipe(Block):
    """`name` is the model's in the registry, `task` one of `headrace train templates`."""

    name: Annotated[str, AfterValidator(check_new_name)] = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
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
    recipe, wrong = read(path)
    if recipe is None or wrong:
        raise RecipeError("\n".join(wrong))
    return recipe


def read(path: Path) -> tuple[Recipe | None, list[str]]:
    """What can be read of a recipe, without the parts that are wrong, and a line for each of those.

    None where too little is left. Raises RecipeError where the file is no YAML with keys and values.
    """
    try:
        given, wrong = strict_yaml.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {error}") from error
    if not isinstance(given, dict):
        raise RecipeError(f"{path} must hold keys and values: name, task, model, datasets ...")
    wrong = [f"{path}, {line}" for line in wrong]
    recipe = None
    try:
        recipe = Recipe.model_validate(given)
    except ValidationError as error:
        wrong += str(explain(error, Recipe)).splitlines()
        with suppress(ValidationError):
            recipe = Recipe.model_validate(_without(given, [detail["loc"] for detail in error.errors()]))
    if recipe is not None:
        recipe._folder = path.parent.resolve()
    return recipe, wrong


def _without(given: dict[str, Any], places: list[tuple[int | str, ...]]) -> dict[str, Any]:
    """The same without what stands at these places; items of a list are taken out from its end."""
    left = deepcopy(given)
    for place in sorted(places, key=lambda place: [str(step).zfill(9) for step in place], reverse=True):
        block: Any = left
        inner: Any = None
        for step in place:
            try:
                after = block[step]
            except (LookupError, TypeError):
                break  # the name of a union's member, or a key that is missing
            inner, block = (block, step), after
        if inner is not None:
            del inner[0][inner[1]]
    return left

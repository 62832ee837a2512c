"""The templates: a recipe for each task, and small real rows that it can be tried on at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.recipe.block import RecipeError, nearest
from training.recipe.package import PACKAGE
from training.recipe.recipe import load
from training.templates.files import write_rows

RECIPE: Final = "recipe.yaml"
COUNT: Final = 500  # of rows, where there are as many
_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True)
class Written:
    """What there is in the folder now."""

    recipe: Path
    rows: Path
    count: int


def names() -> list[str]:
    """What the templates are called: as their tasks, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def recipe_of(name: str) -> str:
    """The recipe as it is written down. Raises RecipeError, with the nearest there is, where there is none."""
    if name not in names():
        raise RecipeError(f"there is no template {name!r}{nearest(name, names())}")
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def write(name: str, folder: Path, count: int = COUNT) -> Written:
    """Write the recipe, and what it names beside it: `count` rows at most, and a tokenizer where that is no package's.

    Raises RecipeError where there is no such template, or where something of the kind lies in the folder already.
    """
    text = recipe_of(name)
    recipe = load(_FOLDER / f"{name}.yaml")
    (data,) = recipe.datasets
    rows, tokenizer = folder / data.paths[0], recipe.model.tokenizer
    if folder.exists() and not folder.is_dir():
        raise RecipeError(f"{folder} is not a folder: name one, which need not be there yet")
    for path in (folder / RECIPE, rows):
        if path.exists():
            raise RecipeError(f"{folder} holds {path.name} already: name another folder, or remove what is in this one")
    # What makes rows takes packages that reading a recipe does not.
    from training.templates.rows import ROWS
    from training.templates.tokenizer import write_chat_tokenizer

    made = ROWS[name](count)
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None and not tokenizer.startswith(PACKAGE):
        write_chat_tokenizer(folder / tokenizer)
    write_rows(made, rows)
    (folder / RECIPE).write_text(text, encoding="utf-8")
    return Written(folder / RECIPE, rows, len(made))

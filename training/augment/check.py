"""Whether the block augment of a recipe can be followed, said before anything that takes long."""

from typing import TYPE_CHECKING

from training.augment import image, text
from training.augment.block import TextAugment
from training.tasks.open import open_task
from training.tasks.source import locate

if TYPE_CHECKING:
    from training.recipe import Recipe


def check(recipe: "Recipe") -> None:
    """Raises RecipeError for columns that cannot be augmented, and for what isn't there that they would be with."""
    block = recipe.augment
    if block is None:
        return
    columns = list(open_task(recipe.task).columns)
    if block.text_augment is not None:
        _check_text(block.text_augment, columns, recipe)
    if block.image_augment is not None:
        image.check_columns(columns, block.image_augment)


def _check_text(block: TextAugment, columns: list[str], recipe: "Recipe") -> None:
    params = block.params
    text.columns_of([*columns, *params.columns], params.columns)
    for source in params.models.values():
        locate(source, recipe.folder)
    if params.language is not None:  # else it is found out from the rows
        text.check_engines(block, params.language, recipe.folder)

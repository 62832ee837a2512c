"""Whether the block augment of a recipe can be followed, said before anything that takes long."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.augment import image, text
from training.recipe.augment import Augment, ImageAugment, TextAugment
from training.tasks.open import open_task
from training.tasks.source import locate
from training.tasks.weights import require_weights

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe


def check(recipe: "Recipe") -> None:
    """Raises RecipeError for columns that cannot be augmented, and for what isn't there that they would be with."""
    block = recipe.augment
    if block is None:
        return
    texts, _ = parts(block, list(open_task(recipe.task).columns))
    if texts is not None:
        _check_engines(texts, recipe)


def parts(block: Augment, columns: Sequence[str]) -> tuple[TextAugment | None, ImageAugment | None]:
    """Of the block, what is for rows with these columns. Raises RecipeError where nothing is, or one of them is wrong.

    A block for texts and images may stand in many recipes: rows with only one of them have only that part done.
    """
    texts, images = block.text_augment, block.image_augment
    if texts is not None and images is not None:
        has_texts = bool(texts.params.columns) or any(name in columns for name in text.INPUTS)
        has_images = image.COLUMN in columns
        texts, images = (texts if has_texts or not has_images else None), (images if has_images else None)
    if texts is not None:
        text.columns_of([*columns, *texts.params.columns], texts.params.columns)
    if images is not None:
        image.check_columns(columns, images)
    return texts, images


def _check_engines(block: TextAugment, recipe: "Recipe") -> None:
    params = block.params
    for source in params.models.values():
        require_weights(locate(source, recipe.folder), "augment.text_augment.params.models")
    if params.language is not None:  # else it is found out from the rows
        text.check_engines(block, params.language, recipe.folder)

"""Whether the block clean of a recipe can be followed, said before anything that takes long."""

from typing import TYPE_CHECKING

from training.clean.rules import wording_rules
from training.clean.sample import read_sample
from training.tasks.source import pin_source
from training.tasks.weights import require_weights

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe


def check(recipe: "Recipe") -> None:
    """Raises RecipeError for a file, a model or a language that isn't there."""
    block, beside = recipe.clean, recipe.folder
    if block is None:
        return
    if block.rules is not None:
        wording_rules(block.rules, beside)
    if block.semantic is not None:
        read_sample(beside / block.semantic.sample)
        found, _ = pin_source(block.semantic.model, block.semantic.revision, beside)
        require_weights(found, "clean.semantic.model")
    if block.hard is not None and block.hard.model is not None:
        found, _ = pin_source(block.hard.model, block.hard.revision, beside)
        require_weights(found, "clean.hard.model", block.hard.gguf_file)

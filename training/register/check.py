"""Whether the block register of a recipe can be followed, said before anything that takes long."""

from typing import TYPE_CHECKING

from training.recipe.block import RecipeError, nearest
from training.tasks.open import open_task

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe


def check(recipe: "Recipe") -> None:
    """Raises RecipeError for gates on what the task does not measure."""
    block, task = recipe.register_, open_task(recipe.task)
    asked = () if block is None else [gate.metric for gate in block.gates]
    wrong = [
        f"register.gates: {task.name} has no metric {metric!r}{nearest(metric, task.metrics)}"
        for metric in asked
        if metric not in task.metrics
    ]
    if wrong:
        raise RecipeError("\n".join(wrong))

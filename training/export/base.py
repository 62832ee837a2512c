"""The base model, from which the trained one must differ for its training to have changed anything."""

from typing import TYPE_CHECKING

import torch

from training.tasks.base import Model, Task

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe


def base_of(task: Task, trained: Model, recipe: "Recipe") -> Model:
    """The recipe's base with the trained model's labels, and its head on it.

    Cleaning may have taken all rows of a label away, so that those of the rows are others than those of the model.
    A head that training began from random numbers would answer differently whatever became of the rest: an adapter that
    was never merged, say.
    """
    torch.manual_seed(recipe.seed)
    base = task.start(recipe, task.own_labels(trained))
    base.network.float().eval()
    if getattr(trained.network, "peft_config", None):
        return base  # its weights are the base's, and what was trained stands beside them
    body = base.network.base_model_prefix
    own, weights = base.network.state_dict(), trained.network.state_dict()
    if any(name.startswith(f"{body}.") for name in own):
        head = {
            name: weights[name]
            for name, tensor in own.items()
            if not name.startswith(f"{body}.") and name in weights and weights[name].shape == tensor.shape
        }
        base.network.load_state_dict(head, strict=False)
    return base

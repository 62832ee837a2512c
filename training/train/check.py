"""Whether a recipe can be trained, said before anything that takes long."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.block import RecipeError, check_keys
from training.data.columns import takes_numbers
from training.tasks.base import Task
from training.tasks.open import open_task
from training.tasks.text import TextTask, require_room
from training.train.adapter import options
from training.train.arguments import arguments
from training.train.check_model import check_model, configured

if TYPE_CHECKING:
    from training.recipe import Recipe

# Of TrainingArguments, what the loop over sharded weights goes by.
OBEYED: Final = (
    "learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "num_train_epochs",
    "max_steps", "per_device_train_batch_size", "per_device_eval_batch_size", "warmup_steps", "lr_scheduler_type",
    "eval_steps", "bf16",
)  # fmt: skip


def check(recipe: "Recipe") -> None:
    """Raises RecipeError where the blocks model, peft, train or distributed cannot be what they say."""
    task = open_task(recipe.task)
    given = arguments(recipe, task, Path())
    check_model(recipe, task)
    if takes_numbers(task) and given.per_device_train_batch_size == 1:
        raise RecipeError(
            "train.per_device_train_batch_size: numbers are scaled by their batch: give it 2 rows or more"
        )
    if recipe.peft is not None:
        options(recipe, task)
    if isinstance(task, TextTask):
        require_room(recipe, configured(recipe))
    if recipe.distributed is not None and recipe.distributed.strategy != "ddp":
        _check_sharded(recipe, task, recipe.distributed.strategy)


def _check_sharded(recipe: "Recipe", task: Task, strategy: str) -> None:
    from transformers import Trainer

    if task.trainer() is not Trainer:
        raise RecipeError(f"distributed: {task.name} has a loss of its own, which ddp knows, but not {strategy}")
    if not task.tensors_only:
        raise RecipeError(f"distributed: the labels of {task.name} are lists, which ddp shares out, but not {strategy}")
    if recipe.peft is not None:
        raise RecipeError(f"distributed: adapters are trained with ddp only, not {strategy}")
    check_keys(recipe.train, OBEYED, "train", f"training with the strategy {strategy}")

"""Whether a recipe can be trained, said before anything that takes long."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.recipe.block import RecipeError, all_of, check_keys
from training.tasks.base import Task
from training.tasks.open import open_task
from training.train.adapter import options
from training.train.arguments import arguments
from training.train.check_model import check_model

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe

# Of TrainingArguments, what the loop over sharded weights goes by.
OBEYED: Final = (
    "learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "num_train_epochs",
    "max_steps", "per_device_train_batch_size", "per_device_eval_batch_size", "warmup_steps", "lr_scheduler_type",
    "eval_steps", "bf16",
)  # fmt: skip


def check(recipe: "Recipe") -> None:
    """Raises RecipeError where the blocks model, peft, train or distributed cannot be what they say."""
    task = open_task(recipe.task)
    all_of(
        lambda: arguments(recipe, task, Path()),
        lambda: check_model(recipe, task),
        lambda: options(recipe, task) if recipe.peft is not None else None,
        lambda: _check_sharded(recipe, task),
    )


def _check_sharded(recipe: "Recipe", task: Task) -> None:
    from training.tasks.exact_trainer import ExactTrainer

    if recipe.distributed is None or recipe.distributed.strategy == "ddp":
        return
    strategy = recipe.distributed.strategy
    if task.trainer() is not ExactTrainer:
        raise RecipeError(f"distributed: {task.name} has a loss of its own, which ddp knows, but not {strategy}")
    if not task.tensors_only:
        raise RecipeError(f"distributed: the labels of {task.name} are lists, which ddp shares out, but not {strategy}")
    if recipe.peft is not None:
        raise RecipeError(f"distributed: adapters are trained with ddp only, not {strategy}")
    check_keys(recipe.train, OBEYED, "train", f"training with the strategy {strategy}")

"""Whether a recipe can be trained, said before anything that takes long."""

from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.block import RecipeError, check_keys
from training.tasks.base import Task
from training.tasks.open import open_task
from training.tasks.source import locate
from training.train.adapter import options
from training.train.arguments import arguments

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
    arguments(recipe, task, Path())
    if recipe.peft is not None:
        options(recipe.peft, task)
    if recipe.model.config:
        _check_config(recipe)
    if recipe.distributed is not None and recipe.distributed.strategy != "ddp":
        _check_sharded(recipe, task, recipe.distributed.strategy)


def _check_config(recipe: "Recipe") -> None:
    from transformers import CONFIG_MAPPING, AutoConfig

    given = recipe.model.config
    if recipe.model.base is None:
        kind = given["model_type"]
        if kind not in CONFIG_MAPPING:
            check_keys({kind: None}, CONFIG_MAPPING.keys(), "model.config.model_type", "transformers")
        found = CONFIG_MAPPING[kind]
    else:
        found = type(AutoConfig.from_pretrained(locate(recipe.model.base, recipe.folder)))
    check_keys(given, {*signature(found).parameters, "model_type"}, "model.config", f"transformers.{found.__name__}")


def _check_sharded(recipe: "Recipe", task: Task, strategy: str) -> None:
    from transformers import Trainer

    if task.trainer() is not Trainer:
        raise RecipeError(f"distributed: {task.name} has a loss of its own, which ddp knows, but not {strategy}")
    if not task.tensors_only:
        raise RecipeError(f"distributed: the labels of {task.name} are lists, which ddp shares out, but not {strategy}")
    if recipe.peft is not None:
        raise RecipeError(f"distributed: adapters are trained with ddp only, not {strategy}")
    check_keys(recipe.train, OBEYED, "train", f"training with the strategy {strategy}")

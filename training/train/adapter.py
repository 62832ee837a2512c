"""Puts peft's adapters on a model, and into its weights once they are trained."""

import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.recipe.block import RecipeError, all_of, check_keys
from training.tasks.base import Model, Task
from training.tasks.network import ADAPTER
from training.tasks.prompt import hide_prompt
from training.tasks.text import tokenizer_source
from training.train.values import check_values

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe

_OWNED: Final = (
    "task_type",
    "peft_type",
    "auto_mapping",
    "peft_version",
    "revision",
    "inference_mode",
    "runtime_config",
)
# Heads that peft trains whole, and then can't put adapters on, though `all-linear` says so.
_WHOLE: Final[Mapping[str, tuple[str, ...]]] = {
    "TOKEN_CLS": ("classifier", "score"),
    "QUESTION_ANS": ("qa_outputs",),
}


def options(recipe: "Recipe", task: Task) -> Any:
    """peft's configuration of the recipe's adapter. Raises RecipeError where a key or a value cannot be its class's."""
    from peft import LoraConfig, PromptTuningConfig, PromptTuningInit, TaskType

    peft = recipe.peft
    assert peft is not None
    if task.peft is None:
        raise RecipeError(f"peft: the task {task.name} has no adapters; leave the block out")
    kind, given = LoraConfig if peft.type == "lora" else PromptTuningConfig, peft.options
    known = {field.name for field in fields(kind)}
    all_of(
        lambda: check_keys(given, known - set(_OWNED), "peft", f"peft.{kind.__name__}"),
        lambda: check_values({key: value for key, value in given.items() if key in known}, kind, "peft"),
    )
    if kind is PromptTuningConfig and "num_virtual_tokens" not in given:
        raise RecipeError("peft.num_virtual_tokens: prompt-tuning needs it: how many tokens it learns, 20 for example")
    if given.get("prompt_tuning_init") == "TEXT" and "tokenizer_name_or_path" not in given:
        source, opened_with = tokenizer_source(recipe)
        given = {"tokenizer_kwargs": opened_with, **given, "tokenizer_name_or_path": source}
    if given.get("target_modules") == "all-linear" and task.peft in _WHOLE:
        given = {"exclude_modules": list(_WHOLE[task.peft]), **given}
    try:
        if "prompt_tuning_init" in given:
            PromptTuningInit(given["prompt_tuning_init"])  # peft takes any word, and what it does not know for RANDOM
        return kind(task_type=TaskType[task.peft], **given)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"peft: {error}") from error


def adapt(model: Model, recipe: "Recipe", task: Task) -> Model:
    """The model with the recipe's adapters, its own weights fixed."""
    from peft import get_peft_model

    try:
        network = get_peft_model(model.network, options(recipe, task), revision=recipe.model.revision)
        return Model(hide_prompt(network), model.processor)
    except (TypeError, ValueError) as error:  # no such target modules, for example
        raise RecipeError(f"peft: {error}") from error


def save(model: Model, task: Task, folder: Path) -> None:
    """Write `folder/adapter`, and `folder/model` with the adapter in its weights, or beside them where it must stay.

    Raises RuntimeError where the merged weights are those that training began with.
    """
    network: Any = model.network
    network.save_pretrained(folder / ADAPTER)
    if not hasattr(network, "merge_and_unload") or network.peft_config["default"].is_prompt_learning:
        task.save(Model(_unwrap(network), model.processor), folder / "model")
        shutil.copytree(folder / ADAPTER, folder / "model" / ADAPTER, dirs_exist_ok=True)
        return
    before = {name: module.weight.detach().clone() for name, module in _targets(network)}
    task.save(Model(network.merge_and_unload(safe_merge=True), model.processor), folder / "model")
    merged = dict(network.base_model.model.named_modules())
    if all(merged[name].weight.equal(weight) for name, weight in before.items()):
        raise RuntimeError("the merged model equals its base: the adapters have learned nothing")


def _targets(network: Any) -> list[tuple[str, Any]]:
    """The layers that have a LoRA adapter, by their names in the model."""
    from peft.tuners.lora import LoraLayer

    return [
        (name, module.base_layer)
        for name, module in network.base_model.model.named_modules()
        if isinstance(module, LoraLayer)
    ]


def _unwrap(network: Any) -> Any:
    """The base with the layers that were trained whole, such as a classifier's head."""
    from peft.utils import ModulesToSaveWrapper

    base = network.get_base_model()
    for name, module in list(base.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            base.set_submodule(name, module.modules_to_save["default"])
    return base

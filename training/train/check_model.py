"""Whether the model that a recipe names can be had, and takes what the recipe gives it."""

from collections.abc import Mapping
from contextlib import nullcontext
from inspect import signature
from typing import TYPE_CHECKING, Any

from training.recipe.block import RecipeError, all_of, check_keys
from training.tasks.base import Task
from training.tasks.source import base_source, pin_source, under_key
from training.tasks.text import start_tokenizer
from training.tasks.weights import require_weights

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe


def check_model(recipe: "Recipe", task: Task) -> None:
    """Raises RecipeError where it is not there, or where `config` or `processor` has a key that goes nowhere."""
    block = recipe.model
    named = ("base", block.base, block.revision), ("tokenizer", block.tokenizer, block.tokenizer_revision)
    all_of(*(lambda one=one: _check_source(recipe, *one) for one in named if one[1] is not None))
    # A revision, or a file, that is not there is missed now, not after the data.
    all_of(
        lambda: _check_config(_config_class(recipe), block.config, "model.config"),
        lambda: _check_processor(recipe, task),
        lambda: _check_weights(recipe),
    )
    if block.tokenizer is not None:
        start_tokenizer(recipe)
    task.check_recipe(recipe, load_config(recipe))


def _check_source(recipe: "Recipe", key: str, source: str, revision: str | None) -> None:
    with under_key(f"model.{key}"):
        pin_source(source, revision, recipe.folder)


def _check_weights(recipe: "Recipe") -> None:
    if recipe.model.base is not None:
        require_weights(base_source(recipe)[0], "model.base", recipe.model.gguf_file)


def load_config(recipe: "Recipe") -> Any:
    """The configuration of the model: the base's, with what the recipe changes of it, or the recipe's alone."""
    from transformers import AutoConfig

    if recipe.model.base is None:
        with under_key("model.config"):
            return AutoConfig.for_model(**recipe.model.config)
    return _of_base(recipe, **recipe.model.config)


def _config_class(recipe: "Recipe") -> type:
    if recipe.model.base is None:
        return _find_config_class(recipe.model.config["model_type"], "model.config.model_type")
    return type(_of_base(recipe))


def _of_base(recipe: "Recipe", **changes: Any) -> Any:
    from transformers import AutoConfig

    with under_key("model.base"):
        source, pin = base_source(recipe)
        return AutoConfig.from_pretrained(source, **pin, **changes)


def _find_config_class(model_type: Any, where: str) -> type:
    """The configuration class of a type of model."""
    from transformers import CONFIG_MAPPING

    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        check_keys({str(model_type): None}, CONFIG_MAPPING.keys(), where, "transformers")
    found: type = CONFIG_MAPPING[model_type]
    return found


def _check_config(kind: Any, given: Mapping[str, Any], where: str) -> None:
    """Its keys, and those of the configurations in it: of a backbone, an encoder, a decoder."""
    from transformers import AutoConfig

    # A backbone's way to choose its layers is in no signature.
    known = {*signature(kind).parameters, "model_type", *({"out_features", "out_indices"} & {*dir(kind)})}
    check_keys(given, known, where, f"transformers.{kind.__name__}")
    for key, inner in given.items():
        part = kind.sub_configs.get(key)
        if part is None or not isinstance(inner, Mapping):
            continue
        if part is AutoConfig:
            if "model_type" not in inner:
                raise RecipeError(f"{where}.{key} needs its model_type: resnet, vit, bert ...")
            part = _find_config_class(inner["model_type"], f"{where}.{key}.model_type")
        _check_config(part, inner, f"{where}.{key}")


def _check_processor(recipe: "Recipe", task: Task) -> None:
    with under_key("model.base") if recipe.model.base else nullcontext():
        processor = task.plain_processor(recipe)
    if not recipe.model.processor:
        return
    if processor is None:
        raise RecipeError(f"model.processor: {task.name} sees no images and hears no sounds: leave it out")
    kind = type(processor)
    # Classes name what they take in their signature or in a TypedDict; some take it out of what is left.
    typed = getattr(kind, "valid_kwargs", None)
    known = {*signature(kind).parameters, *(typed.__annotations__ if typed else ()), *processor.to_dict()} - {"kwargs"}
    check_keys(recipe.model.processor, known, "model.processor", f"transformers.{kind.__name__}")

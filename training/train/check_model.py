"""Whether the model that a recipe names can be had, and takes what the recipe gives it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from inspect import signature
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import StrictDataclassError

from training.block import RecipeError, check_keys
from training.tasks.base import Task
from training.tasks.image import require_whole, start_processor
from training.tasks.image_segmentation import ImageSegmentation
from training.tasks.object_detection import ObjectDetection
from training.tasks.source import base_source, pinned
from training.tasks.text import start_tokenizer

if TYPE_CHECKING:
    from training.recipe import Recipe


def check_model(recipe: "Recipe", task: Task) -> None:
    """Raises RecipeError where it is not there, or where `config` or `processor` has a key that goes nowhere."""
    block = recipe.model
    named = ("base", block.base, block.revision), ("tokenizer", block.tokenizer, block.tokenizer_revision)
    for key, source, revision in named:
        if source is not None:
            with _told(f"model.{key}"):
                pinned(source, revision, recipe.folder)
    if block.config or block.revision is not None:  # a revision that is not there is missed now, not after the data
        _check_config(_config_class(recipe), block.config, "model.config")
    if block.tokenizer_revision is not None:
        with _told("model.tokenizer"):
            start_tokenizer(recipe)
    if block.processor:
        _check_processor(recipe, task)
    if isinstance(task, ImageSegmentation | ObjectDetection):
        with _told("model.base"):
            processor = start_processor(recipe)
        require_whole(processor)


def configured(recipe: "Recipe") -> Any:
    """The configuration of the model: the base's, with what the recipe changes of it, or the recipe's alone."""
    from transformers import AutoConfig

    if recipe.model.base is None:
        with _told("model.config"):
            return AutoConfig.for_model(**recipe.model.config)
    return _of_base(recipe, **recipe.model.config)


def _config_class(recipe: "Recipe") -> type:
    if recipe.model.base is None:
        return _named(recipe.model.config["model_type"], "model.config.model_type")
    return type(_of_base(recipe))


def _of_base(recipe: "Recipe", **changes: Any) -> Any:
    from transformers import AutoConfig

    with _told("model.base"):
        source, pin = base_source(recipe)
        return AutoConfig.from_pretrained(source, **pin, **changes)


def _named(model_type: Any, where: str) -> type:
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
            part = _named(inner["model_type"], f"{where}.{key}.model_type")
        _check_config(part, inner, f"{where}.{key}")


def _check_processor(recipe: "Recipe", task: Task) -> None:
    with _told("model.base") if recipe.model.base else nullcontext():
        processor = task.plain_processor(recipe)
    if processor is None:
        raise RecipeError(f"model.processor: {task.name} sees no images and hears no sounds: leave it out")
    kind = type(processor)
    # Classes name what they take in their signature or in a TypedDict; some take it out of what is left.
    typed = getattr(kind, "valid_kwargs", None)
    known = {*signature(kind).parameters, *(typed.__annotations__ if typed else ()), *processor.to_dict()} - {"kwargs"}
    check_keys(recipe.model.processor, known, "model.processor", f"transformers.{kind.__name__}")


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Begin what is said of a model that can't be had with the key that names it."""
    try:
        yield
    except (RecipeError, OSError, ValueError, StrictDataclassError) as error:  # of a name, a way there, a value
        raise RecipeError(f"{where}: {error}") from error

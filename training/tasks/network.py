"""Opens the network that a recipe starts from, and those that training left."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from training.tasks.source import base_source

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from training.recipe.recipe import Recipe

ADAPTER: Final = "adapter"  # inside a model's folder: a peft adapter that could not be merged


def start(
    auto: str, recipe: "Recipe", labels: Sequence[str] = (), more: Mapping[str, Any] = MappingProxyType({})
) -> "PreTrainedModel":
    """The recipe's base, or its config with weights drawn anew, as the class `auto` of transformers.

    `more` is what the task asks of the model's configuration.
    """
    import torch
    import transformers

    opens, block = getattr(transformers, auto), recipe.model
    options: dict[str, Any] = {"dtype": getattr(torch, block.dtype)}
    if block.attention:
        options["attn_implementation"] = block.attention
    settings = {**more, **_classes(labels), **block.config}
    if block.base is None:
        return opens.from_config(transformers.AutoConfig.for_model(**settings), **options)
    options |= settings
    if labels or more:
        # A base that was trained for something else brings a head of another shape, which is drawn anew.
        options["ignore_mismatched_sizes"] = True
    source, pin = base_source(recipe)
    network = opens.from_pretrained(source, **pin, **options)
    return _unmark(network) if block.gguf_file else network


def load(auto: str, folder: Path) -> "PreTrainedModel":
    """What `save_pretrained` wrote into `folder`, in the eval mode, with the adapter that stands in it."""
    import transformers

    network = getattr(transformers, auto).from_pretrained(folder)
    if (folder / ADAPTER).is_dir():
        from peft import PeftModel

        from training.tasks.prompt import hide_prompt

        network = hide_prompt(PeftModel.from_pretrained(network, folder / ADAPTER))
    return network.eval()


def _classes(labels: Sequence[str]) -> dict[str, Any]:
    if not labels:
        return {}
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}


def _unmark(network: "PreTrainedModel") -> "PreTrainedModel":
    """The same weights without the mark of their quantised file, with which `save_pretrained` refuses to write them."""
    config = type(network.config)(**{k: v for k, v in network.config.to_dict().items() if k != "quantization_config"})
    plain = type(network)(config).to(network.dtype)
    plain.load_state_dict(network.state_dict())
    plain.generation_config = network.generation_config
    return plain

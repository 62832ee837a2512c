"""What the tasks share that feed a tokenizer's output to a graph."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from training.recipe.block import RecipeError, all_of
from training.tasks.base import Arrays, Model, Run, Task
from training.tasks.network import start
from training.tasks.source import base_source, pin_source

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from training.recipe.recipe import Recipe

BATCH: Final = 32
EXAMPLES: Final = 2
_FEWEST_WORDS: Final = 2


class TextTask(Task):
    """Tokens to the graph: `input_ids`, `attention_mask` and, where the model knows it, `token_type_ids`."""

    def check_recipe(self, recipe: "Recipe", config: Any) -> None:
        all_of(lambda: require_words(recipe, config), lambda: require_room(recipe, config))

    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        tokenizer = start_tokenizer(recipe)
        network = start(self.auto, recipe, labels, self.options())
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # as decoders bring none; the mask hides it
        network.config.pad_token_id = tokenizer.pad_token_id
        require_room(recipe, network.config)
        return Model(network, tokenizer)

    def options(self) -> dict[str, Any]:
        """What the task asks of the model's configuration."""
        return {}

    def load_processor(self, folder: Path) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder)

    def inputs(self, model: Model) -> Sequence[str]:
        """The graph's inputs."""
        names: list[str] = model.processor.model_input_names
        return names

    @abstractmethod
    def encode(self, rows: "dict[str, list[Any]]", tokenizer: Any) -> dict[str, list[Any]]:
        """A batch of rows as the graph's inputs, not padded."""

    def collator(self, model: Model) -> Any:
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(model.processor)

    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        import torch

        lengths = [len(ids) for ids in self.encode(rows[:BATCH], model.processor)["input_ids"]]
        # Of different lengths, so that the mask has zeros and no dimension is taken for a constant.
        picked = sorted(np.argsort(lengths, kind="stable")[[0, -1]].tolist()) if len(lengths) > 1 else [0]
        encoded = self.encode(rows[picked], model.processor)
        return {name: torch.from_numpy(array) for name, array in self._pad(model, encoded).items()}

    def batches(self, run: Run, model: Model, rows: "Dataset") -> Iterator[tuple[list[int], Arrays, Arrays]]:
        """Which rows, what the graph was given for them, and what it answered: those of like length together."""
        encoded = self.encode(rows[:], model.processor)
        order = np.argsort([-len(ids) for ids in encoded["input_ids"]], kind="stable").tolist()
        for at in range(0, len(order), BATCH):
            picked = order[at : at + BATCH]
            inputs = self._pad(model, {name: [column[index] for index in picked] for name, column in encoded.items()})
            yield picked, inputs, run(inputs)

    def _pad(self, model: Model, encoded: dict[str, list[Any]]) -> dict[str, Any]:
        names = self.inputs(model)
        batch = model.processor.pad({name: encoded[name] for name in names}, return_tensors="np")
        return {name: np.asarray(batch[name], np.int64) for name in names}


def require_room(recipe: "Recipe", config: Any) -> None:
    """Raises RecipeError where a model of that configuration has fewer positions than a text may have tokens.

    Those that prompt tuning learns stand before the text's.
    """
    longest = getattr(config, "max_position_embeddings", None)
    length, learned = recipe.model.max_length, recipe.peft.options.get("num_virtual_tokens", 0) if recipe.peft else 0
    if longest is None or length + learned <= longest:
        return
    if not learned:
        raise RecipeError(f"model.max_length: {length} tokens, but the model takes {longest}: lower it")
    raise RecipeError(
        f"model.max_length: {length} tokens after the {learned} of peft.num_virtual_tokens, but the model takes "
        f"{longest} in all: lower one of the two by {length + learned - longest}"
    )


def require_words(recipe: "Recipe", config: Any) -> None:
    """Raises RecipeError without a tokenizer, or with one that has more words than a model drawn anew would."""
    tokenizer = start_tokenizer(recipe)
    known = getattr(config.get_text_config(), "vocab_size", None)
    needed = max(tokenizer.get_vocab().values()) + 1
    if recipe.model.base is None and known is not None and needed > known:
        raise RecipeError(f"model.config.vocab_size: {known}, but the tokenizer has {needed} tokens: raise it")


def start_tokenizer(recipe: "Recipe") -> Any:
    """The tokenizer of the recipe's base, or the one that the recipe names. It cuts at the recipe's `max_length`.

    Raises RecipeError where it can't be opened, or has no words: of a folder without a tokenizer's files transformers
    makes one of the special tokens alone, for which every text is the same.
    """
    from transformers import AutoTokenizer

    source, options = tokenizer_source(recipe)
    key = "model.tokenizer" if recipe.model.tokenizer else "model.base"
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, model_max_length=recipe.model.max_length, **options)
    except (OSError, TypeError, ValueError, LookupError, ImportError) as error:
        raise RecipeError(f"{key}: the tokenizer of {source} can't be opened: {str(error).splitlines()[0]}") from error
    words = {*tokenizer.get_vocab().values()} - {*tokenizer.all_special_ids}
    if len(words) < _FEWEST_WORDS:
        raise RecipeError(
            f"{key}: {source} has no tokenizer: add its tokenizer.json, or the files of its vocabulary"
            + ("" if recipe.model.tokenizer else ", or name another in model.tokenizer")
        )
    return tokenizer


def tokenizer_source(recipe: "Recipe") -> tuple[str, dict[str, str]]:
    """What `from_pretrained` opens it by: where it lies, and the options. Raises RecipeError where none is named."""
    block = recipe.model
    if block.tokenizer is not None:
        return pin_source(block.tokenizer, block.tokenizer_revision, recipe.folder)
    if block.base is None:
        raise RecipeError("model.tokenizer: a model from 'config' alone needs one, such as that of a base")
    return base_source(recipe)

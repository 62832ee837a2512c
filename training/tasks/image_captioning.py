"""An image in, a text about it out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from training.tasks import tensors
from training.tasks.base import Model, Run
from training.tasks.image import ImageTask, size_of, start_processor
from training.tasks.language import TEXT_METRICS, pad_labels
from training.tasks.network import start
from training.tasks.seq2seq import generate
from training.tasks.text import start_tokenizer

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from training.recipe.recipe import Recipe


class ImageCaptioning(ImageTask):
    """A vision model reads the image, a decoder writes the caption: `vision-encoder-decoder`, of any two that fit.

    The graph takes the image and what was written so far, and answers with the logits of what may follow.
    """

    name = "image-captioning"
    about = "a text about an image: alternative texts, catalogues"
    columns: ClassVar = {"image": "the image", "caption": "a text about it"}
    wanted = ("caption",)
    auto = "AutoModelForImageTextToText"
    metrics = TEXT_METRICS
    metric = "rougeL"

    def check_recipe(self, recipe: "Recipe", config: Any) -> None:
        start_tokenizer(recipe)

    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        tokenizer = start_tokenizer(recipe)
        # A base brings its own; what a text begins and ends with has another name in tokenizers of BERT's kind.
        signs = (
            {}
            if recipe.model.base
            else {
                "pad_token_id": tokenizer.pad_token_id,
                "decoder_start_token_id": _first(tokenizer.bos_token_id, tokenizer.cls_token_id),
                "eos_token_id": _first(tokenizer.eos_token_id, tokenizer.sep_token_id),
            }
        )
        return Model(start(self.auto, recipe, more=signs), _pair(start_processor(recipe), tokenizer))

    def load_processor(self, folder: Path) -> Any:
        from transformers import AutoImageProcessor, AutoTokenizer

        return _pair(AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))

    def save(self, model: Model, folder: Path) -> None:
        model.network.save_pretrained(folder)
        model.processor.image_processor.save_pretrained(folder)
        model.processor.tokenizer.save_pretrained(folder)

    def image_processor(self, model: Model) -> Any:
        return model.processor.image_processor

    def channels(self, model: Model) -> int:
        channels: int = model.config.encoder.num_channels
        return channels

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        def encode(batch: dict[str, list[Any]]) -> dict[str, Any]:
            labels = model.processor.tokenizer(batch["caption"], truncation=True)["input_ids"]
            return {"pixel_values": list(self.pixels(batch["image"], model)), "labels": labels}

        return rows.with_transform(encode)

    def collator(self, model: Model) -> Any:
        def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
            import torch

            return {
                "pixel_values": torch.from_numpy(np.stack([row["pixel_values"] for row in features])),
                "labels": torch.from_numpy(pad_labels([row["labels"] for row in features])),
            }

        return collate

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[str]:
        """The likeliest next token, again and again."""

        def write(inputs: Any) -> Any:
            return {"written": generate(run, inputs, model.config, model.processor.tokenizer.model_max_length)}

        return [
            text.strip()
            for _, outputs in self.batches(write, model, rows)
            for text in model.processor.tokenizer.batch_decode(outputs["written"], skip_special_tokens=True)
        ]

    def measure(self, predictions: Sequence[str], rows: "Dataset") -> dict[str, float]:
        from training.tasks.generated import measure_texts

        return measure_texts(predictions, rows["caption"][:])

    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        some = self.features(rows.select(range(min(2, len(rows)))), model)
        batch = self.collator(model)([some[index] for index in range(len(some))])
        network: Any = model.network
        begun = network.prepare_decoder_input_ids_from_labels(batch["labels"])
        return {"pixel_values": batch["pixel_values"], "decoder_input_ids": begun}

    def serving(self, model: Model) -> dict[str, Any]:
        return tensors.serving_fields(
            {"logits": [-1, -1, model.config.decoder.vocab_size]},
            floats={"pixel_values": [-1, self.channels(model), *size_of(self.image_processor(model))]},
            integers={"decoder_input_ids": [-1, -1]},
        )


def _pair(image_processor: Any, tokenizer: Any) -> Any:
    from transformers import TrOCRProcessor

    return TrOCRProcessor(image_processor, tokenizer)


def _first(*tokens: int | None) -> int | None:
    return next((token for token in tokens if token is not None), None)

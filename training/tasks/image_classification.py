"""An image in, how likely each of several labels is out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from training.tasks import tensors
from training.tasks.base import Model, Run, Task
from training.tasks.classes import Scores, labels_of, measure_classes, scored
from training.tasks.network import load, start
from training.tasks.source import locate

if TYPE_CHECKING:
    import torch
    from datasets import Dataset, DatasetDict

    from training.recipe import Recipe

BATCH: Final = 32


class ImageClassification(Task):
    """One label for each image. Images are in grey where the model's `num_channels` is 1, and in colour else."""

    name = "image-classification"
    about = "a label for an image: what it shows, whether it is fit to be shown"
    columns: ClassVar = {"image": "the image", "label": "its class, a string"}
    auto = "AutoModelForImageClassification"
    metric = "accuracy"

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        return labels_of(rows, recipe)

    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        from transformers import AutoImageProcessor, ViTImageProcessorPil

        given = recipe.model.processor
        if recipe.model.base is None:
            processor = ViTImageProcessorPil(**given)
        else:
            processor = AutoImageProcessor.from_pretrained(locate(recipe.model.base, recipe.folder), **given)
        return Model(start(self.auto, recipe, labels), processor)

    def load(self, folder: Path) -> Model:
        return Model(load(self.auto, folder), self.load_processor(folder))

    def load_processor(self, folder: Path) -> Any:
        from transformers import AutoImageProcessor

        return AutoImageProcessor.from_pretrained(folder)

    def save(self, model: Model, folder: Path) -> None:
        model.network.save_pretrained(folder)
        model.processor.save_pretrained(folder)

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        numbers = {label: index for index, label in enumerate(model.labels)}

        def seen(batch: dict[str, list[Any]]) -> dict[str, Any]:
            return {"pixel_values": list(_pixels(batch, model)), "labels": [numbers[one] for one in batch["label"]]}

        # When they are asked for: all at once they would not fit into memory.
        return rows.with_transform(seen)

    def collator(self, model: Model) -> Any:
        from transformers import DefaultDataCollator

        return DefaultDataCollator()

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Scores]:
        return [
            scores
            for batch in _batches(rows)
            for scores in scored(run({"pixel_values": _pixels(batch, model)})["logits"], model.labels)
        ]

    def measure(self, predictions: Sequence[Scores], rows: "Dataset") -> dict[str, float]:
        return measure_classes(predictions, rows["label"][:])

    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        import torch

        return {"pixel_values": torch.from_numpy(_pixels(rows[:2], model))}

    def serving(self, model: Model) -> dict[str, Any]:
        channels = model.config.num_channels
        inputs = {"pixel_values": [-1, channels, *_size(model)]}
        return tensors.served(inputs, {"logits": [-1, len(model.labels)]}, "FP32")

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)


def _pixels(batch: dict[str, list[Any]], model: Model) -> NDArray[np.float32]:
    """FP32 `[images, channels, height, width]`, as the model's processor scales them."""
    mode = "L" if model.config.num_channels == 1 else "RGB"
    images = [np.asarray(image.convert(mode)) for image in batch["image"]]
    images = [image[None] if image.ndim == 2 else image.transpose(2, 0, 1) for image in images]
    found = model.processor(images, input_data_format="channels_first", return_tensors="np")["pixel_values"]
    return np.asarray(found, np.float32)


def _size(model: Model) -> tuple[int, int]:
    size = getattr(model.processor, "crop_size", None) or model.processor.size
    return (size["height"], size["width"]) if "height" in size else (-1, -1)


def _batches(rows: "Dataset") -> Iterator[dict[str, list[Any]]]:
    return (rows[at : at + BATCH] for at in range(0, len(rows), BATCH))

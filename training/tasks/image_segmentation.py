"""An image in, out which class each of its pixels is of."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from training.recipe.block import RecipeError
from training.tasks.base import Model, Run
from training.tasks.image import ImageTask, check_whole, require_whole

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from training.recipe.recipe import Recipe

IGNORED: Final = 255  # of a mask: pixels that do not count
Counts = NDArray[np.int64]  # [classes, classes]: how many pixels of each class were told to be of each


class ImageSegmentation(ImageTask):
    """Semantic segmentation, as SegFormer does it: the graph answers with logits for every few pixels."""

    name = "image-segmentation"
    about = "the class of each pixel: roads, tissue, defects"
    columns: ClassVar = {
        "image": "the image",
        "mask": f"an image as large, in grey: the number of each pixel's class, {IGNORED} where it does not count",
    }
    wanted = ("mask",)
    auto = "AutoModelForSemanticSegmentation"
    metrics = ("mean_iou", "pixel_accuracy")
    metric = "mean_iou"

    def check_recipe(self, recipe: "Recipe", config: Any) -> None:
        check_whole(recipe)

    def check_row(self, row: Mapping[str, Any]) -> None:
        from datasets import Image

        image, mask = (Image().decode_example(row[name]) for name in ("image", "mask"))  # turned as a camera says
        if mask.size != image.size:
            raise ValueError(f"a mask of {mask.size} pixels for an image of {image.size}: bring it to the same size")
        if len(mask.getbands()) != 1:
            raise ValueError(f"the mask is in {mask.mode}: write the number of each pixel's class, in grey")

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        """The recipe's, in the order of their numbers; the numbers themselves, up to the highest, without."""
        highest = {name: max((_highest(mask) for mask in split["mask"]), default=0) for name, split in rows.items()}
        labels = recipe.model.labels or tuple(str(number) for number in range(highest["train"] + 1))
        for name, number in highest.items():
            if number >= len(labels):
                raise RecipeError(f"datasets: a mask of the {name} rows has the class {number}, of {len(labels)}")
        return labels

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        require_whole(model.processor)

        from PIL.Image import Resampling

        def encode(batch: dict[str, list[Any]]) -> dict[str, Any]:
            pixels = self.pixels(batch["image"], model)
            height, width = pixels.shape[2:]
            # Between two classes there is no third, as there would be between two greys.
            masks = [mask.resize((width, height), Resampling.NEAREST) for mask in batch["mask"]]
            return {
                "pixel_values": list(pixels),
                "labels": [np.asarray(mask, np.int64) for mask in masks],
            }

        return rows.with_transform(encode)

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Counts]:
        """For each row, at its own size, its pixels by what they are and what they were told to be."""
        return [
            _count(np.asarray(mask), _choose_classes(logits, image.size), len(model.labels))
            for batch, outputs in self.batches(run, model, rows)
            for image, mask, logits in zip(batch["image"], batch["mask"], outputs["logits"], strict=True)
        ]

    def measure(self, predictions: Sequence[Counts], rows: "Dataset") -> dict[str, float]:
        """Intersection over union, as the mean over the classes that there are; the part of the pixels that is right.

        Both are counted over all pixels of all rows.
        """
        counts = np.sum(predictions, axis=0)
        right = np.diag(counts)
        either = counts.sum(axis=0) + counts.sum(axis=1) - right
        return {
            "mean_iou": float((right[either > 0] / either[either > 0]).mean()),
            "pixel_accuracy": float(right.sum() / counts.sum()),
        }


def _highest(mask: Any) -> int:
    numbers = np.asarray(mask)
    return int(numbers[numbers != IGNORED].max(initial=0))


def _choose_classes(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.int64]:
    """The likeliest class of each pixel of an image of that width and height."""
    from PIL import Image

    large = [np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR)) for plane in logits]
    told: NDArray[np.int64] = np.stack(large).argmax(axis=0)
    return told


def _count(real: NDArray[Any], told: NDArray[np.int64], classes: int) -> Counts:
    there = real != IGNORED
    places = real[there].astype(np.int64) * classes + told[there]
    counts: Counts = np.bincount(places, minlength=classes**2).reshape(classes, classes)
    return counts

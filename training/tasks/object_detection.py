"""An image in, out what it shows and where."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.tasks.average_precision import METRICS, Detected, measure_boxes
from training.tasks.base import Arrays, Model, Run
from training.tasks.classes import find_labels, softmax
from training.tasks.image import ImageTask, check_whole, require_whole

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from training.recipe.recipe import Recipe


class ObjectDetection(ImageTask):
    """A set of boxes for each image, as DETR, Conditional DETR and YOLOS tell them: each query is one thing, or none.

    The graph's boxes are the centre's x and y, width and height, in parts of the image's size.
    """

    name = "object-detection"
    about = "what an image shows, and where: parts, damage, people"
    columns: ClassVar = {
        "image": "the image",
        "boxes": "what it shows: in `bbox` a list of [x, y, width, height] in pixels, in `category` the label of each",
    }
    wanted = ("boxes",)
    auto = "AutoModelForObjectDetection"
    outputs = ("logits", "pred_boxes")
    tensors_only = False  # as many boxes as each image has
    metrics = METRICS
    metric = "average_precision"

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        found = {name: {one for boxes in split["boxes"] for one in boxes["category"]} for name, split in rows.items()}
        return find_labels(found, recipe)

    def check_recipe(self, recipe: "Recipe", config: Any) -> None:
        check_whole(recipe)

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        require_whole(model.processor)
        numbers = {label: index for index, label in enumerate(model.labels)}

        def encode(batch: dict[str, list[Any]]) -> dict[str, Any]:
            pairs = zip(batch["image"], batch["boxes"], strict=True)
            return {
                "pixel_values": list(self.pixels(batch["image"], model)),
                "labels": [_targets(boxes, image.size, numbers) for image, boxes in pairs],
            }

        return rows.with_transform(encode)

    def collator(self, model: Model) -> Any:
        def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
            import torch

            return {
                "pixel_values": torch.from_numpy(np.stack([row["pixel_values"] for row in features])),
                "labels": [
                    {name: torch.from_numpy(array) for name, array in row["labels"].items()} for row in features
                ],
            }

        return collate

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[list[Detected]]:
        """For each row one thing for each query, however unlikely."""
        return [
            found
            for batch, outputs in self.batches(run, model, rows)
            for found in _detect(outputs, [image.size for image in batch["image"]], model.labels)
        ]

    def measure(self, predictions: Sequence[Sequence[Detected]], rows: "Dataset") -> dict[str, float]:
        return measure_boxes(predictions, rows["boxes"][:])


def _targets(boxes: Mapping[str, Any], size: tuple[int, int], numbers: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """What the models' losses are taken against."""
    found = np.asarray(boxes["bbox"], np.float32).reshape(-1, 4) / np.asarray([*size, *size], np.float32)
    found[:, :2] += found[:, 2:] / 2
    return {"class_labels": np.asarray([numbers[label] for label in boxes["category"]], np.int64), "boxes": found}


def _detect(outputs: Arrays, sizes: Sequence[tuple[int, int]], labels: Sequence[str]) -> list[list[Detected]]:
    found = []
    for scores, boxes, (width, height) in zip(
        _scores(outputs["logits"], len(labels)), outputs["pred_boxes"], sizes, strict=True
    ):
        corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)
        places = (corners * [width, height, width, height]).tolist()
        best = scores.argmax(axis=-1).tolist()
        certain = scores.max(axis=-1).tolist()
        found.append([Detected(labels[one], *rest) for one, *rest in zip(best, certain, places, strict=True)])
    return found


def _scores(logits: NDArray[Any], labels: int) -> NDArray[np.float64]:
    """`[images, queries, labels]`."""
    if logits.shape[-1] == labels + 1:
        return softmax(logits)[..., :-1]  # the last one is for nothing at all
    scores: NDArray[np.float64] = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return scores

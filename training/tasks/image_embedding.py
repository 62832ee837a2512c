"""An image in, a vector out: near each other where the images show the same."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.tasks.base import Model, Run
from training.tasks.image import ImageTask

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer


class ImageEmbedding(ImageTask):
    """Images of the same label are pulled together, and apart from the others of a batch.

    What it is asked for later need not be one of the labels. The graph's vector is the model's pooled output, of no
    particular length.
    """

    name = "image-embedding"
    about = "a vector for an image: search by example, duplicates, the same product or person"
    columns: ClassVar = {"image": "the image", "label": "what other images show as well, a string"}
    auto = "AutoModel"
    outputs = ("pooler_output",)
    metrics = ("recall_at_1", "recall_at_5", "margin")
    metric = "recall_at_1"

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        return self.label(rows, model, sorted(rows.unique("label")))

    def trainer(self) -> "type[Trainer]":
        from training.tasks.metric_loss import MetricTrainer

        return MetricTrainer

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[NDArray[np.float64]]:
        """The unit vector of each row."""
        return [
            vector / np.linalg.norm(vector)
            for _, outputs in self.batches(run, model, rows)
            for vector in outputs["pooler_output"].reshape(len(outputs["pooler_output"]), -1).astype(np.float64)
        ]

    def measure(self, predictions: Sequence[NDArray[np.float64]], rows: "Dataset") -> dict[str, float]:
        """How often the nearest other image has the same label, and one of the five nearest; and by how much the
        cosines with images of the same label are above those with others."""
        vectors, labels = np.stack(predictions), np.asarray(rows["label"][:])
        # A resample draws a row more than once, which is no other image.
        _, number = np.unique(vectors, axis=0, return_inverse=True)
        other = number[:, None] != number[None]
        same = labels[:, None] == labels[None]
        cosines = np.where(other, vectors @ vectors.T, -np.inf)
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :5]
        found = np.take_along_axis(same & other, nearest, axis=1)
        return {
            "recall_at_1": float(found[:, 0].mean()),
            "recall_at_5": float(found.any(axis=1).mean()),
            "margin": _mean(cosines[same & other]) - _mean(cosines[~same]),
        }


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else 0.0

"""An image in, how likely each of several labels is out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from training.tasks.base import Model, Run
from training.tasks.classes import METRICS, Scores, labels_of, measure_classes, score
from training.tasks.image import ImageTask

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from training.recipe.recipe import Recipe


class ImageClassification(ImageTask):
    """One label for each image."""

    name = "image-classification"
    about = "a label for an image: what it shows, whether it is fit to be shown"
    columns: ClassVar = {"image": "the image", "label": "its class, a string"}
    auto = "AutoModelForImageClassification"
    metrics = METRICS
    metric = "accuracy"

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        return labels_of(rows, recipe)

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        return self.label(rows, model, model.labels)

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Scores]:
        return [
            scores for _, outputs in self.batches(run, model, rows) for scores in score(outputs["logits"], model.labels)
        ]

    def measure(self, predictions: Sequence[Scores], rows: "Dataset") -> dict[str, float]:
        return measure_classes(predictions, rows["label"][:])

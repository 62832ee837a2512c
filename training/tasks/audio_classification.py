"""A sound in, how likely each of several labels is out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from training.tasks.audio import AudioTask
from training.tasks.base import Model, Run
from training.tasks.classes import METRICS, Scores, labels_of, measure_classes, score

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from training.recipe.recipe import Recipe


class AudioClassification(AudioTask):
    """One label for each sound."""

    name = "audio-classification"
    about = "a label for a sound: language, speaker, command, alarm"
    columns: ClassVar = {"audio": "the sound", "label": "its class, a string"}
    auto = "AutoModelForAudioClassification"
    metrics = METRICS
    metric = "accuracy"

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        return labels_of(rows, recipe)

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        numbers = {label: index for index, label in enumerate(model.labels)}

        def heard(batch: dict[str, list[Any]]) -> dict[str, Any]:
            return {"sound": self.waves(batch, model), "labels": [numbers[label] for label in batch["label"]]}

        # When they are asked for: all at once they would not fit into memory.
        return rows.with_transform(heard)

    def collator(self, model: Model) -> Any:
        def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
            import torch

            inputs = self.encode([row["sound"] for row in features], model)
            return {
                **{name: torch.from_numpy(array) for name, array in inputs.items()},
                "labels": torch.tensor([row["labels"] for row in features]),
            }

        return collate

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Scores]:
        return [
            scores for outputs in self.one_by_one(run, model, rows) for scores in score(outputs["logits"], model.labels)
        ]

    def measure(self, predictions: Sequence[Scores], rows: "Dataset") -> dict[str, float]:
        return measure_classes(predictions, rows["label"][:])

    def serving(self, model: Model) -> dict[str, Any]:
        return self.serving_fields(model, {"logits": [-1, len(model.labels)]})

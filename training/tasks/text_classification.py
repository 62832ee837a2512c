"""A text in, how likely each of several labels is out."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from training.tasks.base import Model, Run
from training.tasks.classes import METRICS, Scores, labels_of, measure_classes, score
from training.tasks.text import TextTask

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from training.recipe.recipe import Recipe


class TextClassification(TextTask):
    """One label for each text."""

    name = "text-classification"
    about = "a label for a text: sentiment, topic, spam"
    columns: ClassVar = {"text": "the text", "label": "its class, a string"}
    auto = "AutoModelForSequenceClassification"
    peft = "SEQ_CLS"
    served_as = "text-classification"
    metrics = METRICS
    metric = "accuracy"

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        return labels_of(rows, recipe)

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        return dict(tokenizer(rows["text"], truncation=True))

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        numbers = {label: index for index, label in enumerate(model.labels)}

        def encoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            return {**self.encode(batch, model.processor), "labels": [numbers[label] for label in batch["label"]]}

        return rows.map(encoded, batched=True, remove_columns=rows.column_names, desc="tokenise")

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Scores]:
        answers: dict[int, Scores] = {}
        for picked, _, outputs in self.batches(run, model, rows):
            answers.update(zip(picked, score(outputs["logits"], model.labels), strict=True))
        return [answers[index] for index in range(len(rows))]

    def measure(self, predictions: Sequence[Scores], rows: "Dataset") -> dict[str, float]:
        return measure_classes(predictions, rows["label"][:])

    def serving(self, model: Model) -> dict[str, Any]:
        return {
            "task": self.served_as,
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
            "outputs": [{"name": "labels", "datatype": "BYTES", "shape": [-1]}],
            "text": {"max_length": model.processor.model_max_length, "labels": model.labels},
        }

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return [
            (
                {"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]},
                {"name": "labels", "datatype": "BYTES", "shape": [1], "data": [json.dumps(_rank(scores))]},
            )
            for text, scores in zip(rows["text"], self.predict(run, model, rows), strict=True)
        ]


def _rank(scores: Scores) -> list[dict[str, Any]]:
    """As a worker answers: the likeliest first."""
    order = sorted(scores, key=lambda label: -scores[label])
    return [{"label": label, "score": scores[label]} for label in order]

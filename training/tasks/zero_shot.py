"""A text and labels that were never seen in, how likely each of them is out."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from training.tasks.base import Model, Run
from training.tasks.classes import METRICS, Scores, measure_classes, score
from training.tasks.reranking import Reranking

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

TEMPLATE: Final = "This is about {}."


class ZeroShot(Reranking):
    """A cross-encoder says how well a sentence with the label in it follows from the text.

    The labels among which a text is told are those of the rows at hand, so that others than the training rows' will do.
    """

    name = "zero-shot"
    about = "a label for a text, among labels that are only named when it is asked"
    columns: ClassVar = {"text": "the text", "label": "what it is about, in words"}
    metrics = METRICS
    metric = "accuracy"

    def check_row(self, row: Mapping[str, Any]) -> None:
        return  # the label is any text

    def check_labels(self, labels: Collection[str]) -> None:
        return  # accuracy is always defined

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        from datasets import Dataset

        labels = sorted(rows.unique("label"))
        pairs = [
            {"text": row["text"], "text_pair": TEMPLATE.format(label), "label": float(label == row["label"])}
            for row in rows
            for label in labels
        ]
        return super().features(Dataset.from_list(pairs), model)

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Scores]:  # type: ignore[override]
        from datasets import Dataset

        labels = sorted(rows.unique("label"))
        pairs = [{"text": text, "text_pair": TEMPLATE.format(label)} for text in rows["text"] for label in labels]
        logits = np.array(super().predict(run, model, Dataset.from_list(pairs))).reshape(len(rows), len(labels))
        return score(logits, labels)

    def measure(self, predictions: Sequence[Scores], rows: "Dataset") -> dict[str, float]:  # type: ignore[override]
        return measure_classes(predictions, rows["label"][:])

    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        pairs = rows.select_columns(["text", "label"]).map(lambda row: {"text_pair": TEMPLATE.format(row["label"])})
        return super().example(model, pairs)

"""A question and a text in, how well the text answers it out: a cross-encoder."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from training.tasks import tensors
from training.tasks.base import Model, Run
from training.tasks.text import TextTask

if TYPE_CHECKING:
    from datasets import Dataset


class Reranking(TextTask):
    """One logit for each pair, the higher the better it fits."""

    name = "reranking"
    about = "how well a text answers a question: the second look at what a search has found"
    columns: ClassVar = {
        "text": "the question",
        "text_pair": "the text",
        "label": "1 where it answers the question, 0 where not",
    }
    auto = "AutoModelForSequenceClassification"
    peft = "SEQ_CLS"
    metrics: ClassVar[tuple[str, ...]] = ("average_precision", "roc_auc")
    metric = "average_precision"

    def check_row(self, row: Mapping[str, Any]) -> None:
        if row["label"] not in ("0", "1"):
            raise ValueError(
                f'label is {row["label"]!r}, where 1 or 0 is wanted: `labels: {{"1": ..., "0": ...}}` maps it'
            )

    def check_labels(self, labels: Collection[str]) -> None:
        if len(labels) < 2:
            raise ValueError(f"all have the label {''.join(labels)}: {self.metric} needs rows with 1 and rows with 0")

    def options(self) -> dict[str, Any]:
        return {"num_labels": 1, "problem_type": "multi_label_classification"}  # whose loss is that of a yes or no

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        return dict(tokenizer(rows["text"], rows["text_pair"], truncation=True))

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        def encoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            return {**self.encode(batch, model.processor), "labels": [[float(label)] for label in batch["label"]]}

        return rows.map(encoded, batched=True, remove_columns=rows.column_names, desc="tokenise")

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[float]:
        scores = np.empty(len(rows))
        for picked, _, outputs in self.batches(run, model, rows):
            scores[picked] = outputs["logits"][:, 0]
        return [float(score) for score in scores]

    def measure(self, predictions: Sequence[float], rows: "Dataset") -> dict[str, float]:
        """Nothing where all rows are of one kind: neither says anything then."""
        from sklearn.metrics import average_precision_score, roc_auc_score

        truth = [int(label) for label in rows["label"]]
        if len(set(truth)) < 2:
            return {}
        return {
            "average_precision": float(average_precision_score(truth, predictions)),
            "roc_auc": float(roc_auc_score(truth, predictions)),
        }

    def serving(self, model: Model) -> dict[str, Any]:
        return tensors.token_serving_fields(model, {"logits": [-1, 1]})

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)

"""A text in, a vector out: near each other where the meanings are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from training.tasks.base import Arrays, Model, Run
from training.tasks.text import TextTask

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import Trainer

_PAIR: Final = "pair_"


class Embedding(TextTask):
    """Sentence pairs that belong together; the other pairs of a batch are what each is told apart from."""

    name = "embedding"
    about = "a vector for a text: search, clustering, deduplication"
    columns: ClassVar = {"text": "a text", "text_pair": "one that means the same, or that answers it"}
    wanted = ("text_pair",)
    auto = "AutoModel"
    peft = "FEATURE_EXTRACTION"
    served_as = "sentence-embedding"
    outputs = ("last_hidden_state",)
    metrics = ("reciprocal_rank", "recall_at_1", "recall_at_10", "cosine")
    metric = "reciprocal_rank"

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        return dict(tokenizer(rows["text"], truncation=True))

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        def encoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            pairs = self.encode({"text": batch["text_pair"]}, model.processor)
            return {**self.encode(batch, model.processor), **{_PAIR + name: ids for name, ids in pairs.items()}}

        return rows.map(encoded, batched=True, remove_columns=rows.column_names, desc="tokenise")

    def collator(self, model: Model) -> Any:
        from transformers import DataCollatorWithPadding

        pad = DataCollatorWithPadding(model.processor)
        names = model.processor.model_input_names

        def collate(features: list[dict[str, Any]]) -> dict[str, "torch.Tensor"]:
            import torch

            texts = pad([{name: row[name] for name in names} for row in features])
            pairs = pad([{name: row[_PAIR + name] for name in names} for row in features])
            # The label of a text is the number of its pair.
            return {
                **texts,
                **{_PAIR + name: ids for name, ids in pairs.items()},
                "labels": torch.arange(len(features)),
            }

        return collate

    def trainer(self) -> "type[Trainer]":
        from training.tasks.contrastive import ContrastiveTrainer

        return ContrastiveTrainer

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[NDArray[np.float64]]:
        """For each row the unit vectors of both texts, `[2, dimension]`."""
        pairs = rows.remove_columns("text").rename_column("text_pair", "text")
        return list(np.stack([self._vectors(run, model, rows), self._vectors(run, model, pairs)], axis=1))

    def measure(self, predictions: Sequence[NDArray[np.float64]], rows: "Dataset") -> dict[str, float]:
        """How far up each text finds its own pair among those of all rows."""
        texts, pairs = np.stack(predictions, axis=1)
        cosines = texts @ pairs.T
        own = np.diag(cosines)[:, None]
        rank = 1 + (cosines > own).sum(axis=1)
        return {
            "reciprocal_rank": float((1 / rank).mean()),
            "recall_at_1": float((rank == 1).mean()),
            "recall_at_10": float((rank <= 10).mean()),
            "cosine": float(own.mean()),
        }

    def serving(self, model: Model) -> dict[str, Any]:
        return {
            "task": self.served_as,
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
            "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, model.config.hidden_size]}],
            "text": {"max_length": model.processor.model_max_length, "pooling": "mean", "normalize": True},
        }

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return [
            (
                {"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]},
                {"name": "embedding", "datatype": "FP32", "shape": [1, len(vector)], "data": vector.tolist()},
            )
            for text, vector in zip(rows["text"], self._vectors(run, model, rows), strict=True)
        ]

    def _vectors(self, run: Run, model: Model, rows: "Dataset") -> NDArray[np.float64]:
        vectors = np.empty((len(rows), model.config.hidden_size))
        for picked, inputs, outputs in self.batches(run, model, rows):
            vectors[picked] = _mean(inputs, outputs)
        return vectors


def _mean(inputs: Arrays, outputs: Arrays) -> NDArray[np.float64]:
    mask = inputs["attention_mask"][..., None]
    mean = (outputs["last_hidden_state"].astype(np.float64) * mask).sum(axis=1) / mask.sum(axis=1)
    vectors: NDArray[np.float64] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return vectors

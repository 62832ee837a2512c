"""Two texts in, how likely each of several labels is out."""

from typing import TYPE_CHECKING, Any, ClassVar

from training.tasks import tensors
from training.tasks.base import Model, Run
from training.tasks.text_classification import TextClassification

if TYPE_CHECKING:
    from datasets import Dataset


class PairClassification(TextClassification):
    """One label for each pair; the model reads both at once."""

    name = "pair-classification"
    about = "a label for two texts: entailment, the same question or not, an answer that fits"
    columns: ClassVar = {"text": "the first text", "text_pair": "the second one", "label": "their class, a string"}

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        return dict(tokenizer(rows["text"], rows["text_pair"], truncation=True))

    def serving(self, model: Model) -> dict[str, Any]:
        return tensors.token_serving_fields(model, {"logits": [-1, len(model.labels)]})

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)

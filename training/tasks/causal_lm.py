"""Text goes on: a decoder learns to guess the next token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from training.tasks import tensors
from training.tasks.base import Model, Run
from training.tasks.language import IGNORED, METRICS, Guessed, guess, measure_guesses
from training.tasks.text import TextTask

if TYPE_CHECKING:
    from datasets import Dataset


class CausalLM(TextTask):
    """The next token of a text, from those before it."""

    name = "causal-lm"
    about = "a language model that goes on with a text"
    columns: ClassVar = {"text": "the text"}
    auto = "AutoModelForCausalLM"
    peft = "CAUSAL_LM"
    metrics = METRICS
    metric = "perplexity"
    higher_is_better = False

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        end = tokenizer.eos_token or ""  # else it never learns where to stop
        tokens = tokenizer([text + end for text in rows["text"]], truncation=True)
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def guesses(self, rows: dict[str, list[Any]], encoded: dict[str, list[Any]], tokenizer: Any) -> list[list[int]]:
        """The label of each token, IGNORED for those that need not be guessed."""
        labels: list[list[int]] = encoded["input_ids"]
        return labels

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        def encoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            tokens = self.encode(batch, model.processor)
            return {**tokens, "labels": self.guesses(batch, tokens, model.processor)}

        return rows.map(encoded, batched=True, remove_columns=rows.column_names, desc="tokenise")

    def inputs(self, model: Model) -> Sequence[str]:
        return ("input_ids", "attention_mask")

    def collator(self, model: Model) -> Any:
        from transformers import DataCollatorForSeq2Seq

        return DataCollatorForSeq2Seq(model.processor, label_pad_token_id=IGNORED)

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Guessed]:
        answers: dict[int, Guessed] = {}
        for picked, _, outputs in self.batches(run, model, rows):
            batch = rows[picked]
            labels = self.guesses(batch, self.encode(batch, model.processor), model.processor)
            left = model.processor.padding_side == "left"
            for at, row in enumerate(picked):
                length = len(labels[at])
                logits = outputs["logits"][at]
                own = logits[logits.shape[0] - length :] if left else logits[:length]
                answers[row] = guess(own[:-1], np.array(labels[at][1:], np.int64))
        return [answers[index] for index in range(len(rows))]

    def measure(self, predictions: Sequence[Guessed], rows: "Dataset") -> dict[str, float]:
        return measure_guesses(predictions)

    def serving(self, model: Model) -> dict[str, Any]:
        inputs = {name: [-1, -1] for name in self.inputs(model)}
        return tensors.serving_fields({"logits": [-1, -1, model.config.vocab_size]}, integers=inputs)

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)

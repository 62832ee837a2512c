"""Words that were left out: an encoder learns to guess them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from training.tasks import tensors
from training.tasks.base import Model, Run
from training.tasks.language import IGNORED, METRICS, Guessed, guessed, measure_guesses
from training.tasks.text import TextTask

if TYPE_CHECKING:
    from datasets import Dataset

_EVERY: Final = 7  # of the tokens is left out where answers are measured, which are the same each time


class MaskedLM(TextTask):
    """Tokens in the place of masks: 15% of a text's, others in each epoch."""

    name = "masked-lm"
    about = "an encoder that gets to know a kind of text, before it is trained for something else"
    columns: ClassVar = {"text": "the text"}
    auto = "AutoModelForMaskedLM"
    metrics = METRICS
    metric = "perplexity"
    higher_is_better = False

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        tokens = dict(tokenizer(rows["text"], truncation=True))
        for ids in tokens["input_ids"]:
            for at in _places(ids, tokenizer):
                ids[at] = tokenizer.mask_token_id
        return tokens

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        def encoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            return dict(model.processor(batch["text"], truncation=True, return_special_tokens_mask=True))

        return rows.map(encoded, batched=True, remove_columns=rows.column_names, desc="tokenise")

    def collator(self, model: Model) -> Any:
        from transformers import DataCollatorForLanguageModeling

        return DataCollatorForLanguageModeling(model.processor, mlm_probability=0.15)

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Guessed]:
        answers: dict[int, Guessed] = {}
        for picked, _, outputs in self.batches(run, model, rows):
            whole = model.processor(rows[picked]["text"], truncation=True)["input_ids"]
            for row, ids, logits in zip(picked, whole, outputs["logits"], strict=True):
                labels = np.full(len(ids), IGNORED, np.int64)
                places = _places(ids, model.processor)
                labels[places] = np.array(ids)[places]
                answers[row] = guessed(logits[: len(ids)], labels)
        return [answers[index] for index in range(len(rows))]

    def measure(self, predictions: Sequence[Guessed], rows: "Dataset") -> dict[str, float]:
        return measure_guesses(predictions)

    def serving(self, model: Model) -> dict[str, Any]:
        return tensors.served_tokens(model, {"logits": [-1, -1, model.config.vocab_size]})

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)


def _places(ids: Sequence[int], tokenizer: Any) -> list[int]:
    special = set(tokenizer.all_special_ids)
    return [at for at, token in enumerate(ids) if at % _EVERY == _EVERY // 2 and token not in special]

"""Words that were left out: an encoder learns to guess them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from training.tasks import tensors
from training.tasks.base import Model, Run
from training.tasks.language import IGNORED, METRICS, Guessed, guess, measure_guesses
from training.tasks.text import TextTask

if TYPE_CHECKING:
    from datasets import Dataset

_EVERY: Final = 7  # of the tokens is left out where answers are measured, which are the same each time


class MaskedLM(TextTask):
    """Tokens in the place of masks: 15% of a text's, others in each epoch, and the same ones where it is measured."""

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

    def held_out_features(self, rows: "Dataset", model: Model) -> "Dataset":
        def encoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            whole = model.processor(batch["text"], truncation=True)["input_ids"]
            return {**self.encode(batch, model.processor), "labels": [_labels(ids, model.processor) for ids in whole]}

        return rows.map(encoded, batched=True, remove_columns=rows.column_names, desc="tokenise")

    def collator(self, model: Model) -> Any:
        from transformers import DataCollatorForLanguageModeling, DataCollatorForTokenClassification

        masks = DataCollatorForLanguageModeling(model.processor, mlm_probability=0.15)
        pads = DataCollatorForTokenClassification(model.processor, label_pad_token_id=IGNORED)

        def collate(features: list[dict[str, Any]]) -> Any:
            return (pads if "labels" in features[0] else masks)(features)

        return collate

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Guessed]:
        answers: dict[int, Guessed] = {}
        for picked, _, outputs in self.batches(run, model, rows):
            whole = model.processor(rows[picked]["text"], truncation=True)["input_ids"]
            for row, ids, logits in zip(picked, whole, outputs["logits"], strict=True):
                answers[row] = guess(logits[: len(ids)], np.array(_labels(ids, model.processor), np.int64))
        return [answers[index] for index in range(len(rows))]

    def measure(self, predictions: Sequence[Guessed], rows: "Dataset") -> dict[str, float]:
        return measure_guesses(predictions)

    def serving(self, model: Model) -> dict[str, Any]:
        return tensors.token_serving_fields(model, {"logits": [-1, -1, model.config.vocab_size]})

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)


def _places(ids: Sequence[int], tokenizer: Any) -> list[int]:
    special = set(tokenizer.all_special_ids)
    own = [at for at, token in enumerate(ids) if token not in special]
    return [at for at in own if at % _EVERY == _EVERY // 2] or own[:1]


def _labels(ids: Sequence[int], tokenizer: Any) -> list[int]:
    places = set(_places(ids, tokenizer))
    return [token if at in places else IGNORED for at, token in enumerate(ids)]

"""What the tasks share whose models write one text for another."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from training.tasks import tensors
from training.tasks.base import Arrays, Model, Run
from training.tasks.language import IGNORED, TEXT_METRICS
from training.tasks.text import TextTask

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

LONGEST: Final = 96  # tokens that are written for a text


class Seq2Seq(TextTask):
    """An encoder reads the source, a decoder writes the target.

    The graph takes what was written so far, and answers with the logits of what may follow each token of it: the
    longest loop around it is here, and the same for the torch model and its exported graph.
    """

    columns: ClassVar = {"source": "the text to read", "target": "the text to write"}
    wanted = ("target",)
    auto = "AutoModelForSeq2SeqLM"
    peft = "SEQ_2_SEQ_LM"
    metrics = TEXT_METRICS

    def inputs(self, model: Model) -> Sequence[str]:
        return ("input_ids", "attention_mask")

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        tokens = tokenizer(rows["source"], truncation=True)
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        def encoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            labels = model.processor(text_target=batch["target"], truncation=True)["input_ids"]
            return {**self.encode(batch, model.processor), "labels": labels}

        return rows.map(encoded, batched=True, remove_columns=rows.column_names, desc="tokenise")

    def collator(self, model: Model) -> Any:
        from transformers import DataCollatorForSeq2Seq

        network: Any = model.network
        inner = network.get_base_model() if hasattr(network, "get_base_model") else network
        return DataCollatorForSeq2Seq(model.processor, model=inner, label_pad_token_id=IGNORED)

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[str]:
        """The likeliest next token, again and again."""
        answers: dict[int, str] = {}

        def write(inputs: Arrays) -> Arrays:
            return {"written": generate(run, inputs, model.config, model.processor.model_max_length)}

        for picked, _, outputs in self.batches(write, model, rows):
            texts = model.processor.batch_decode(outputs["written"], skip_special_tokens=True)
            answers.update(zip(picked, texts, strict=True))
        return [answers[index].strip() for index in range(len(rows))]

    def measure(self, predictions: Sequence[str], rows: "Dataset") -> dict[str, float]:
        from training.tasks.generated import measure_texts

        return measure_texts(predictions, rows["target"][:])

    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        batch = self.collator(model)([dict(row) for row in self.features(rows.select(range(min(2, len(rows)))), model)])
        return {name: batch[name] for name in (*self.inputs(model), "decoder_input_ids")}

    def serving(self, model: Model) -> dict[str, Any]:
        inputs = {name: [-1, -1] for name in (*self.inputs(model), "decoder_input_ids")}
        return tensors.serving_fields({"logits": [-1, -1, model.config.vocab_size]}, integers=inputs)

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)


def generate(run: Run, inputs: Arrays, config: Any, most: int) -> NDArray[np.int64]:
    """The tokens that a decoder writes for each of the inputs, `[rows, length]`: the likeliest next one each time.

    `most` is how many the model was trained to write.
    """
    begin, end = config.decoder_start_token_id, config.eos_token_id
    tokens = np.full((len(next(iter(inputs.values()))), 1), begin, np.int64)
    over = np.zeros(len(tokens), bool)
    while tokens.shape[1] <= min(LONGEST, most) and not over.all():
        logits = run({**inputs, "decoder_input_ids": tokens})["logits"][:, -1]
        following = np.where(over, config.pad_token_id, logits.argmax(-1))
        tokens = np.concatenate([tokens, following[:, None]], axis=1)
        over |= following == end
    return tokens[:, 1:]

"""A question and a text in, the part of the text that answers it out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from training.tasks import tensors
from training.tasks.base import Model, Run
from training.tasks.text import TextTask

if TYPE_CHECKING:
    from datasets import Dataset

_LONGEST: Final = 30  # tokens of an answer


class QuestionAnswering(TextTask):
    """Where in the context an answer begins and ends. A question without an answer has none in its `answers`."""

    name = "question-answering"
    about = "the passage of a text that answers a question"
    columns: ClassVar = {
        "question": "the question",
        "context": "the text",
        "answers": "{text: [...], answer_start: [...]}, in characters; empty lists where there is none",
    }
    wanted = ("answers",)
    auto = "AutoModelForQuestionAnswering"
    peft = "QUESTION_ANS"
    outputs = ("start_logits", "end_logits")
    targets = ("start_positions", "end_positions")
    metrics = ("exact_match", "f1")
    metric = "f1"

    def check_row(self, row: Mapping[str, Any]) -> None:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            if not isinstance(text, str) or not isinstance(start, int):
                raise ValueError(
                    f"answers has {text!r} at {start!r}, where a text and the number of a character are wanted"
                )
            stands = row["context"][start : start + len(text)]
            if stands != text:
                at = row["context"].find(text)
                hint = "the context does not have it" if at < 0 else f"it is at {at}; count characters, from 0"
                raise ValueError(f"at answer_start {start} is {stands!r}, not the answer {text!r}: {hint}")

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        return dict(tokenizer(rows["question"], rows["context"], truncation="only_second"))

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        def encoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            tokens = model.processor(
                batch["question"], batch["context"], truncation="only_second", return_offsets_mapping=True
            )
            spans = [_tokens_of(tokens, row, answers) for row, answers in enumerate(batch["answers"])]
            given = {name: tokens[name] for name in self.inputs(model)}
            starts, ends = ([span[side] for span in spans] for side in (0, 1))
            return {**given, "start_positions": starts, "end_positions": ends}

        return rows.map(encoded, batched=True, remove_columns=rows.column_names, desc="tokenise")

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[str]:
        """The passages, and "" where the model finds no answer."""
        tokens = model.processor(
            rows["question"][:], rows["context"][:], truncation="only_second", return_offsets_mapping=True
        )
        answers: dict[int, str] = {}
        for picked, _, outputs in self.batches(run, model, rows):
            for at, row in enumerate(picked):
                inside = np.array([part == 1 for part in tokens.sequence_ids(row)])
                starts, ends = (outputs[name][at, : len(inside)] for name in self.outputs)
                span = _best(starts, ends, inside)
                offsets = tokens["offset_mapping"][row]
                answers[row] = rows[row]["context"][offsets[span[0]][0] : offsets[span[1]][1]] if span else ""
        return [answers[index] for index in range(len(rows))]

    def measure(self, predictions: Sequence[str], rows: "Dataset") -> dict[str, float]:
        """The part that is right to the word, and F1 over the words, against the answer that fits best."""
        truths = [answers["text"] or [""] for answers in rows["answers"]]
        pairs = list(zip(predictions, truths, strict=True))
        return {
            "exact_match": float(np.mean([max(_words(said) == _words(one) for one in those) for said, those in pairs])),
            "f1": float(np.mean([max(_overlap(_words(said), _words(one)) for one in those) for said, those in pairs])),
        }

    def serving(self, model: Model) -> dict[str, Any]:
        return tensors.token_serving_fields(model, {name: [-1, -1] for name in self.outputs})

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)


def _tokens_of(tokens: Any, row: int, answers: dict[str, list[Any]]) -> tuple[int, int]:
    """The first and the last token of the answer; those of the text's beginning where there is none, or it was cut."""
    if not answers["text"]:
        return 0, 0
    begin = answers["answer_start"][0]
    end = begin + len(answers["text"][0])
    context = [at for at, part in enumerate(tokens.sequence_ids(row)) if part == 1]
    offsets = tokens["offset_mapping"][row]
    inside = [at for at in context if offsets[at][0] < end and offsets[at][1] > begin]
    if not inside or offsets[context[-1]][1] < end:
        return 0, 0
    return inside[0], inside[-1]


def _best(starts: NDArray[Any], ends: NDArray[Any], inside: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The likeliest passage; None where the beginning of the whole, which stands for no answer, is likelier still."""
    sums = starts[:, None] + ends[None, :]
    allowed = np.triu(np.ones_like(sums, bool)) & ~np.triu(np.ones_like(sums, bool), _LONGEST)
    allowed &= inside[:, None] & inside[None, :]
    if not allowed.any():
        return None
    flat = int(np.where(allowed, sums, -np.inf).argmax())
    start, end = divmod(flat, sums.shape[1])
    return (start, end) if sums[start, end] > sums[0, 0] else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _overlap(said: list[str], truth: list[str]) -> float:
    both = sum((Counter(said) & Counter(truth)).values())
    return 2 * both / (len(said) + len(truth)) if said or truth else 1.0

"""A text in, a label for each of its words out."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from training.recipe.block import RecipeError
from training.tasks.base import Model, Run
from training.tasks.classes import softmax
from training.tasks.text import TextTask

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from training.recipe.recipe import Recipe

_IGNORED: Final = -100  # what the loss passes over


class TokenClassification(TextTask):
    """The label of a word is read from its first token; the others learn that they are of the same entity."""

    name = "token-classification"
    about = "a label for each word: names, places, parts of speech"
    columns: ClassVar = {"tokens": "the words, a list of strings", "tags": "their labels, such as B-PER, I-PER and O"}
    wanted = ("tags",)
    auto = "AutoModelForTokenClassification"
    peft = "TOKEN_CLS"
    served_as = "token-classification"
    metrics = ("accuracy", "precision", "recall", "f1")
    metric = "f1"

    def check_row(self, row: Mapping[str, Any]) -> None:
        words, tags = len(row["tokens"]), len(row["tags"])
        if words != tags:
            raise ValueError(
                f"it has {words} tokens and {tags} tags: give each token one tag, O where it is of no entity"
            )

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        found = {tag for split in rows.values() for tags in split["tags"] for tag in tags}
        labels = recipe.model.labels or tuple(sorted(found))
        if unknown := found - set(labels):
            raise RecipeError(f"datasets: the rows have tags {sorted(unknown)}, the model's are {labels}")
        return labels

    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        model = super().start(recipe, labels)
        if not model.processor.is_fast:
            raise RecipeError("model.tokenizer: only a fast tokenizer tells which word a token is of")
        return model

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        return dict(tokenizer(rows["tokens"], is_split_into_words=True, truncation=True))

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        numbers = {label: index for index, label in enumerate(model.labels)}
        # The rest of a word that begins an entity stands inside it: a worker puts entities together of all tokens.
        inside = {label: numbers.get(f"I-{_kind(label)}", number) for label, number in numbers.items()}

        def encoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            tokens = model.processor(batch["tokens"], is_split_into_words=True, truncation=True)
            labels = []
            for row, tags in enumerate(batch["tags"]):
                words = tokens.word_ids(row)
                labels.append(
                    [
                        _IGNORED if word is None else (numbers if first is not None else inside)[tags[word]]
                        for word, first in zip(words, _first(words), strict=True)
                    ]
                )
            return {**tokens, "labels": labels}

        return rows.map(encoded, batched=True, remove_columns=rows.column_names, desc="tokenise")

    def collator(self, model: Model) -> Any:
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(model.processor)

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[list[str]]:
        """The tags of each row's words, as many as the model has read of them."""
        words = model.processor(rows["tokens"][:], is_split_into_words=True, truncation=True)
        answers: dict[int, list[str]] = {}
        for picked, _, outputs in self.batches(run, model, rows):
            for row, logits in zip(picked, outputs["logits"], strict=True):
                firsts = [at for at, word in enumerate(_first(words.word_ids(row))) if word is not None]
                answers[row] = [model.labels[index] for index in logits[firsts].argmax(-1)]
        return [answers[index] for index in range(len(rows))]

    def measure(self, predictions: Sequence[list[str]], rows: "Dataset") -> dict[str, float]:
        """Accuracy over the words; precision, recall and F1 over the entities, which must be right from end to end."""
        tags = [tags[: len(answer)] for tags, answer in zip(rows["tags"], predictions, strict=True)]
        pairs = [pair for row, answer in zip(tags, predictions, strict=True) for pair in zip(row, answer, strict=True)]
        truth = {(n, *span) for n, row in enumerate(tags) for span in spans(row)}
        found = {(n, *span) for n, row in enumerate(predictions) for span in spans(row)}
        both = len(truth & found)
        return {
            "accuracy": float(np.mean([tag == said for tag, said in pairs])),
            "precision": both / len(found) if found else 0.0,
            "recall": both / len(truth) if truth else 0.0,
            "f1": 2 * both / (len(truth) + len(found)) if truth or found else 0.0,
        }

    def serving(self, model: Model) -> dict[str, Any]:
        return {
            "task": self.served_as,
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
            "outputs": [{"name": "entities", "datatype": "BYTES", "shape": [-1]}],
            "text": {"max_length": model.processor.model_max_length, "labels": model.labels},
        }

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        texts = [" ".join(words) for words in rows["tokens"]]
        return [
            (
                {"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]},
                {
                    "name": "entities",
                    "datatype": "BYTES",
                    "shape": [1],
                    "data": [json.dumps(_entities(run, model, text))],
                },
            )
            for text in texts
        ]


def _entities(run: Run, model: Model, text: str) -> list[dict[str, Any]]:
    """As a worker answers: neighbouring tokens of an entity put together, with their mean score."""
    tokens = model.processor(
        text, truncation=True, return_offsets_mapping=True, return_special_tokens_mask=True, return_tensors="np"
    )
    (logits,) = run({name: tokens[name] for name in model.processor.model_input_names})["logits"]
    groups: list[dict[str, Any]] = []
    last = "O"
    rows = zip(softmax(logits), tokens["offset_mapping"][0].tolist(), tokens["special_tokens_mask"][0], strict=True)
    for scores, (start, end), special in rows:
        if special:
            continue
        label, score = model.labels[int(scores.argmax())], float(scores.max())
        if label != "O" and last != "O" and not label.startswith("B-") and _kind(label) == _kind(last):
            groups[-1]["scores"].append(score)
            groups[-1]["end"] = end
        elif label != "O":
            groups.append({"kind": _kind(label), "scores": [score], "start": start, "end": end})
        last = label
    return [
        {
            "entity_group": group["kind"],
            "score": float(np.mean(group["scores"])),
            "word": text[group["start"] : group["end"]],
            "start": group["start"],
            "end": group["end"],
        }
        for group in groups
    ]


def _kind(label: str) -> str:
    return label[2:] if label[:2] in ("B-", "I-") else label


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The entities that BIO tags name, as kind, first word and the word after the last. A tag without B- or I- stands
    for its one word, and O for none."""
    found: list[tuple[str, int, int]] = []
    for at, tag in enumerate(tags):
        kind = _kind(tag)
        if tag == "O":
            continue
        if tag.startswith("I-") and found and found[-1][0] == kind and found[-1][2] == at:
            found[-1] = (kind, found[-1][1], at + 1)
        else:
            found.append((kind, at, at + 1))
    return found


def _first(words: Sequence[int | None]) -> list[int | None]:
    """The words' numbers at their first tokens, and None elsewhere."""
    return [word if word is not None and (at == 0 or words[at - 1] != word) else None for at, word in enumerate(words)]

"""Texts in, the entities named in them out. The task `token-classification`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from model_service.engines.base import Array, Arrays, Engine, EngineError
from model_service.tasks.base import Answer, Item, Task
from model_service.tasks.finite import require_finite
from model_service.tasks.text import TextTask, graph_output
from model_service.tasks.text_classification import class_labels, scores
from storage.manifest import Manifest
from wire.messages import InferRequest
from wire.tasks.token_classification import AGGREGATION, CONTRACT
from wire.tensors import bytes_tensor


@dataclass(slots=True)
class Token:
    """A token's likeliest label with its score, and its place: `index` in tokens, `start` and `end` in characters."""

    label: str
    score: float
    index: int
    start: int
    end: int


class TokenClassificationTask(TextTask):
    """Answers one BYTES row of JSON for each text, in the order of the text.

    With the request's parameter `aggregation_strategy` "simple", which it is without one, the tokens of an entity are
    put together: `[{"entity_group", "score", "word", "start", "end"}, ...]`, the score being their mean. With "none"
    each token that is not outside stands for itself: `[{"entity", "score", "index", "word", "start", "end"}, ...]`.
    `start` and `end` count characters of the text as it came, and `word` is what stands there, without blanks around
    it.
    """

    def __init__(self, manifest: Manifest, folder: Path, engine: Engine) -> None:
        super().__init__(manifest, folder, engine, offsets=True)
        assert manifest.text is not None
        self._graph_output = graph_output(engine, CONTRACT.logits_rank, "logits", named=manifest.text.output)
        self._labels = class_labels(manifest, engine, self._graph_output)

    def prepare(self, request: InferRequest) -> list[Item]:
        AGGREGATION.read(request.parameters)
        return super().prepare(request)

    def scatter(self, items: Sequence[Item], outputs: Arrays) -> list[Array]:
        logits = outputs[self._graph_output]
        if logits.shape[2] != len(self._labels):
            raise EngineError(f"{len(self._labels)} labels, but logits of shape {list(logits.shape)}")
        return [scores(self._own(row, item), "softmax") for row, item in zip(logits, items, strict=True)]

    def respond(self, request: InferRequest, items: Sequence[Item], results: Sequence[Array]) -> Answer:
        aggregate = AGGREGATION.read(request.parameters) == AGGREGATION.default
        rows = []
        for number, (text, item, result) in enumerate(zip(self.texts(request), items, results, strict=True)):
            require_finite(result, number)
            tokens = self._tokens(item, result)
            rows.append(orjson.dumps(group_entities(text, tokens) if aggregate else _alone(text, tokens)))
        return Answer([bytes_tensor(self._output.name, rows)], {"prompt_tokens": sum(item.length for item in items)})

    def _tokens(self, item: Item, result: Array) -> list[Token]:
        best = np.argmax(result, axis=1)
        offsets = item.features["offsets"].tolist()
        return [
            Token(self._labels[best[index]], float(result[index, best[index]]), int(index), *offsets[index])
            for index in np.flatnonzero(~item.features["special"])
        ]


def group_entities(text: str, tokens: Sequence[Token]) -> list[dict[str, Any]]:
    """The entities that BIO or BIOES labels spell: a B, an S or another kind begins one, an E or an S ends it."""
    return [
        {
            "entity_group": _kind(group[0].label)[1],
            "score": sum(token.score for token in group) / len(group),
            **_place(text, group[0].start, group[-1].end),
        }
        for group in _groups(tokens)
        if group[0].label != "O"
    ]


def _groups(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    group: list[Token] = []
    for token in tokens:
        if group:
            (last, last_kind), (place, kind) = _kind(group[-1].label), _kind(token.label)
            if kind != last_kind or place in "BS" or last in "ES":
                yield group
                group = []
        group.append(token)
    if group:
        yield group


def _kind(label: str) -> tuple[str, str]:
    """Where in an entity the label stands (B, I, E or S), and the entity's kind; a bare label stands inside one."""
    place, dash, kind = label.partition("-")
    return (place, kind) if dash and place in ("B", "I", "E", "S") else ("I", label)


def _alone(text: str, tokens: Sequence[Token]) -> list[dict[str, Any]]:
    return [
        {
            "entity": token.label,
            "score": token.score,
            "index": token.index,
            **_place(text, token.start, token.end),
        }
        for token in tokens
        if token.label != "O"
    ]


def _place(text: str, start: int, end: int) -> dict[str, Any]:
    """The word and where it stands, without the blanks that some tokenizers make a part of the token behind them."""
    word = text[start:end]
    if stripped := word.strip():
        start += len(word) - len(word.lstrip())
        word, end = stripped, start + len(stripped)
    return {"word": word, "start": start, "end": end}


def open_task(manifest: Manifest, folder: Path, engine: Engine) -> Task:
    """Raises EngineError where the artifact in `folder` does not fit the task."""
    return TokenClassificationTask(manifest, folder, engine)

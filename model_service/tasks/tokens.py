"""Texts in, the entities named in them out. The task `token-classification`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from model_service.engines.base import Array, Arrays, Engine, EngineError
from model_service.protocol.errors import InvalidInput
from model_service.protocol.messages import InferRequest
from model_service.protocol.tensors import bytes_tensor
from model_service.tasks.base import Answer, Item
from model_service.tasks.classification import class_labels, require_finite, scores
from model_service.tasks.text import TextTask, graph_output
from storage.manifest import Manifest


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
    `start` and `end` count characters of the text as it came, and `word` is what stands there.
    """

    def __init__(self, manifest: Manifest, folder: Path, engine: Engine) -> None:
        super().__init__(manifest, folder, engine, offsets=True)
        self._graph_output = graph_output(engine, 3, "logits")
        self._labels = class_labels(manifest, engine, self._graph_output)

    def prepare(self, request: InferRequest) -> list[Item]:
        _aggregates(request)
        return super().prepare(request)

    def scatter(self, items: Sequence[Item], outputs: Arrays) -> list[Array]:
        logits = outputs[self._graph_output]
        if logits.shape[2] != len(self._labels):
            raise EngineError(f"{len(self._labels)} labels, but logits of shape {list(logits.shape)}")
        return [scores(row[: item.length], "softmax") for row, item in zip(logits, items, strict=True)]

    def respond(self, request: InferRequest, items: Sequence[Item], results: Sequence[Array]) -> Answer:
        aggregate = _aggregates(request)
        rows = []
        for text, item, result in zip(self.texts(request), items, results, strict=True):
            require_finite(result)
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
            "word": text[group[0].start : group[-1].end],
            "start": group[0].start,
            "end": group[-1].end,
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
            "word": text[token.start : token.end],
            "start": token.start,
            "end": token.end,
        }
        for token in tokens
        if token.label != "O"
    ]


def _aggregates(request: InferRequest) -> bool:
    strategy = request.parameters.get("aggregation_strategy", "simple")
    if strategy not in ("simple", "none"):
        raise InvalidInput(f"parameter 'aggregation_strategy' must be 'simple' or 'none', not {strategy!r:.40}")
    return bool(strategy == "simple")

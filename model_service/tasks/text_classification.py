"""Texts in, labels with scores out. The task `text-classification`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson

from model_service.engines.base import Array, Arrays, Engine, EngineError
from model_service.tasks.base import Answer, Item, Task
from model_service.tasks.finite import require_finite
from model_service.tasks.text import TextTask, graph_output
from storage.manifest import Manifest
from wire.messages import InferRequest
from wire.tasks.text_classification import CONTRACT, TOP_K
from wire.tensors import bytes_tensor


class TextClassificationTask(TextTask):
    """Answers one BYTES row of JSON for each text: `[{"label": str, "score": float}, ...]`, the likeliest first.

    The request's parameter `top_k` keeps that many; all without it. `prompt_tokens` says how many tokens were read.
    """

    def __init__(self, manifest: Manifest, folder: Path, engine: Engine) -> None:
        super().__init__(manifest, folder, engine)
        assert manifest.text is not None
        self._activation = manifest.text.activation
        self._graph_output = graph_output(engine, CONTRACT.logits_rank, "logits", named=manifest.text.output)
        self._labels = class_labels(manifest, engine, self._graph_output)

    def prepare(self, request: InferRequest) -> list[Item]:
        TOP_K.read(request.parameters)
        return super().prepare(request)

    def scatter(self, items: Sequence[Item], outputs: Arrays) -> list[Array]:
        logits = outputs[self._graph_output]
        if logits.shape != (len(items), len(self._labels)):
            raise EngineError(f"{len(self._labels)} labels for {len(items)} texts, but logits of {list(logits.shape)}")
        return list(scores(logits, self._activation))

    def respond(self, request: InferRequest, items: Sequence[Item], results: Sequence[Array]) -> Answer:
        top_k = TOP_K.read(request.parameters)
        require_finite(np.stack(results))
        rows = [orjson.dumps(self._ranked(result)[:top_k]) for result in results]
        return Answer([bytes_tensor(self._output.name, rows)], {"prompt_tokens": sum(item.length for item in items)})

    def _ranked(self, result: Array) -> list[dict[str, Any]]:
        order = np.argsort(-result, kind="stable")
        return [{"label": self._labels[index], "score": float(result[index])} for index in order]


def scores(logits: Array, activation: Literal["softmax", "sigmoid"]) -> Array:
    """FP64 scores of logits `[..., classes]`, each row's from that row alone."""
    logits = logits.astype(np.float64)
    result: Array
    if activation == "sigmoid":
        powers = np.exp(-np.abs(logits))  # of the absolute value, as it cannot overflow
        result = np.where(logits < 0, powers, 1) / (1 + powers)
    else:
        with np.errstate(invalid="ignore"):  # of infinity, which is found in the answer
            powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        result = powers / powers.sum(axis=-1, keepdims=True)
    return result


def class_labels(manifest: Manifest, engine: Engine, output: str) -> tuple[str, ...]:
    """The manifest's labels, or `LABEL_0` and so on where it has none.

    Raises EngineError where their number is not that of the graph's classes.
    """
    assert manifest.text is not None
    labels = manifest.text.labels
    classes = next(spec.shape[-1] for spec in engine.outputs if spec.name == output)
    if not labels and classes == -1:
        raise EngineError("neither the manifest's text.labels nor the graph says how many classes there are")
    if labels and classes not in (-1, len(labels)):
        raise EngineError(f"the manifest's text.labels names {len(labels)} classes, the graph has {classes}")
    return labels or tuple(f"LABEL_{index}" for index in range(classes))


def open_task(manifest: Manifest, folder: Path, engine: Engine) -> Task:
    """Raises EngineError where the artifact in `folder` does not fit the task."""
    return TextClassificationTask(manifest, folder, engine)

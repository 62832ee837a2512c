"""Texts in, one vector each out. The task `sentence-embedding`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model_service.engines.base import Array, Arrays, Engine
from model_service.protocol.messages import InferRequest
from model_service.tasks.arrays import to_tensor
from model_service.tasks.base import Answer, Item
from model_service.tasks.text import TextTask, graph_output
from storage.manifest import Manifest


class EmbeddingTask(TextTask):
    """Answers FP32 `[n, dim]`, and in the parameter `prompt_tokens` how many tokens were read."""

    def __init__(self, manifest: Manifest, folder: Path, engine: Engine) -> None:
        super().__init__(manifest, folder, engine)
        assert manifest.text is not None
        self._pooling = manifest.text.pooling
        self._normalize = manifest.text.normalize
        if self._pooling == "none":
            self._graph_output = graph_output(engine, 2, "sentence_embedding", "embeddings")
        else:
            self._graph_output = graph_output(engine, 3, "last_hidden_state", "token_embeddings")

    def scatter(self, items: Sequence[Item], outputs: Arrays) -> list[Array]:
        vectors = self._pool(items, outputs[self._graph_output])
        if self._normalize:
            norms = np.sqrt(np.add.reduce(vectors * vectors, axis=1, keepdims=True))
            vectors = vectors / np.maximum(norms, np.float32(1e-12))
        return list(vectors)

    def respond(self, request: InferRequest, items: Sequence[Item], results: Sequence[Array]) -> Answer:
        tokens = sum(item.length for item in items)
        return Answer([to_tensor(self._output, np.stack(results))], {"prompt_tokens": tokens})

    def _pool(self, items: Sequence[Item], values: Array) -> Array:
        if self._pooling == "none":
            return values.astype(np.float32, copy=False)
        if self._pooling == "cls":
            return values[:, 0].astype(np.float32, copy=False)
        means = np.empty((len(items), values.shape[2]), np.float32)
        # Each row over its own tokens alone: how long the longest neighbour is, and what the graph made of the
        # padding, changes no bit of the sum.
        for mean, hidden, item in zip(means, values, items, strict=True):
            np.add.reduce(hidden[: item.length], axis=0, dtype=np.float32, out=mean)
            mean /= np.float32(item.length)
        return means

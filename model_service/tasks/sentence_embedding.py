"""Texts in, one vector each out. The task `sentence-embedding`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from model_service.engines.base import Array, Arrays, Engine, EngineError
from model_service.tasks.arrays import to_tensor
from model_service.tasks.base import Answer, Item, Task
from model_service.tasks.finite import require_finite
from model_service.tasks.text import TextTask, graph_output
from storage.manifest import Manifest
from wire.errors import InvalidInput
from wire.messages import InferRequest
from wire.quote import quote
from wire.tasks.vectors import DIMENSIONS, PROMPT_NAME

# sentence-transformers has these for every model; where a folder does not fill them they are empty.
_ALWAYS: Final = ("query", "document")


class EmbeddingTask(TextTask):
    """Answers FP32 `[n, dim]`, and in the parameter `prompt_tokens` how many tokens were read.

    The request's parameter `prompt_name` names what goes before each text, in place of the model's own default;
    `dimensions` keeps so many numbers of a vector, and makes its length 1 again where the model does.
    """

    def __init__(self, manifest: Manifest, folder: Path, engine: Engine) -> None:
        super().__init__(manifest, folder, engine)
        assert manifest.text is not None
        text = manifest.text
        self._pooling, self._normalize, self._dim = text.pooling, text.normalize, text.dimensions
        self._prompts, self._default_prompt = text.prompts, text.default_prompt
        # How many of a text's first tokens are the prompt's, by prompt, where those do not count.
        self._uncounted: dict[str, int] = {}
        if not text.include_prompt:
            prompts = {prompt for prompt in text.prompts.values() if prompt}
            self._uncounted = {prompt: self._tokenizer.prefix_length(prompt) for prompt in prompts}
        if self._pooling == "none":
            self._graph_output = graph_output(engine, 2, "sentence_embedding", "embeddings", named=text.output)
        else:
            self._graph_output = graph_output(engine, 3, "last_hidden_state", "token_embeddings", named=text.output)

    def prepare(self, request: InferRequest) -> list[Item]:
        DIMENSIONS.read(request.parameters, self._output.shape[-1])
        items = super().prepare(request)
        if skip := self._uncounted.get(self._prompt(request)):
            for item in items:
                item.features["skip"] = np.array(skip)
        return items

    def texts(self, request: InferRequest) -> list[str]:
        prompt, texts = self._prompt(request), super().texts(request)
        return [prompt + text for text in texts] if prompt else texts

    def scatter(self, items: Sequence[Item], outputs: Arrays) -> list[Array]:
        vectors = self._pool(items, outputs[self._graph_output])
        wanted = self._output.shape[-1]
        if vectors.shape[1] < (self._dim or 1) or (self._dim is None and wanted not in (-1, vectors.shape[1])):
            raise EngineError(
                f"the graph's '{self._graph_output}' gives vectors of {vectors.shape[1]} numbers, the manifest promises"
                f" {self._dim or wanted}"
            )
        if self._normalize:
            vectors = _of_length_1(vectors)
        return list(vectors[:, : self._dim])

    def respond(self, request: InferRequest, items: Sequence[Item], results: Sequence[Array]) -> Answer:
        vectors = np.stack(results)
        dimensions = DIMENSIONS.read(request.parameters, self._output.shape[-1])
        if dimensions is not None and dimensions < vectors.shape[1]:
            vectors = vectors[:, :dimensions]
            vectors = _of_length_1(vectors) if self._normalize else np.ascontiguousarray(vectors)
        require_finite(vectors)
        return Answer([to_tensor(self._output, vectors)], {"prompt_tokens": sum(item.length for item in items)})

    def _prompt(self, request: InferRequest) -> str:
        name = request.parameters.get(PROMPT_NAME.name)
        if name is None:
            name = self._default_prompt
            return "" if name is None else self._prompts[name]
        if isinstance(name, str) and (name in self._prompts or name in _ALWAYS):
            return self._prompts.get(name, "")
        known = ", ".join(map(repr, self._prompts)) or "none"
        raise InvalidInput(f"parameter 'prompt_name': the model has no prompt {quote(name)}; it has {known}")

    def _pool(self, items: Sequence[Item], values: Array) -> Array:
        if self._pooling == "none":
            return values.astype(np.float32, copy=False)
        if self._pooling == "cls":
            firsts = [self._counted(row, item, 1)[0] for row, item in zip(values, items, strict=True)]
            return np.stack(firsts).astype(np.float32, copy=False)
        means = np.empty((len(items), values.shape[2]), np.float32)
        # Each row over its own tokens alone: how long the longest neighbour is, and what the graph made of the
        # padding, changes no bit of the sum.
        for mean, row, item in zip(means, values, items, strict=True):
            hidden = self._counted(row, item, 0)
            np.add.reduce(hidden, axis=0, dtype=np.float32, out=mean)
            mean /= np.float32(max(1, len(hidden)))
        return means

    def _counted(self, row: Array, item: Item, least: int) -> Array:
        """What the graph made of the item's own tokens, less the prompt's where they do not count.

        All of them where fewer than `least` would be left.
        """
        own = self._own(row, item)
        if (skip := item.features.get("skip")) is None:
            return own
        return own[int(skip) :] if item.length - int(skip) >= least else own


def _of_length_1(vectors: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):  # what has no length is found in the answer
        norms = np.sqrt(np.add.reduce(vectors * vectors, axis=1, keepdims=True))
        result: Array = vectors / np.maximum(norms, np.float32(1e-12))
    return result


def open_task(manifest: Manifest, folder: Path, engine: Engine) -> Task:
    """Raises EngineError where the artifact in `folder` does not fit the task."""
    return EmbeddingTask(manifest, folder, engine)

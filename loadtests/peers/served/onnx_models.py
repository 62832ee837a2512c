"""The two models as every peer serves them, and as the bare measurement runs them.

It needs onnxruntime, numpy and tokenizers and nothing else: the peers import it in environments of their own.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MAX_TOKENS = 256


def open_session(model: Path, threads: int, optimization: str = "all") -> ort.InferenceSession:
    """A CPU session with `threads` intra-op threads and that level of graph optimisation."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{optimization.upper()}")
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


class Mlp:
    """FP32 rows [n, 64] -> FP32 scores [n, 10]."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._session = open_session(folder / "model.onnx", threads)

    def __call__(self, rows: Floats) -> Floats:
        scores: Floats = self._session.run(["y"], {"x": rows})[0]
        return scores


class TextGraph:
    """A graph over token ids, with the tokenizer that it wants."""

    def __init__(
        self,
        session: ort.InferenceSession,
        tokenizer: Path,
        output: str,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        from tokenizers import Tokenizer

        self._session = session
        self._output = output
        self._names = {given.name for given in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """The token ids of each text, unpadded."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]

    def inputs(self, tokens: list[list[int]]) -> dict[str, NDArray[np.int64]]:
        """The graph's inputs [n, s] of one batch, padded to its longest text."""
        lengths = np.array([len(values) for values in tokens])
        ids = np.zeros((len(tokens), lengths.max()), np.int64)
        for row, values in zip(ids, tokens, strict=True):
            row[: len(values)] = values
        mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
        named = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return {name: value for name, value in named.items() if name in self._names}

    def run(self, inputs: dict[str, NDArray[np.int64]]) -> Floats:
        """The graph and nothing else."""
        found: Floats = self._session.run([self._output], inputs)[0]
        return found


class MiniLM(TextGraph):
    """Texts -> FP32 unit vectors [n, 384]: tokenise, run, mean over the tokens, normalise."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        session = open_session(folder / "model.onnx", threads)
        super().__init__(session, folder / "tokenizer.json", "last_hidden_state")

    def __call__(self, texts: list[str]) -> Floats:
        return self.embed(self.tokenize(texts))

    def embed(self, tokens: list[list[int]]) -> Floats:
        """The unit vectors of one batch."""
        inputs = self.inputs(tokens)
        mask = inputs["attention_mask"].astype(np.float32)[:, :, None]
        means = (self.run(inputs) * mask).sum(axis=1) / mask.sum(axis=1)
        vectors: Floats = means / np.linalg.norm(means, axis=1, keepdims=True)
        return vectors

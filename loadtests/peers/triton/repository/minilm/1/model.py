"""Triton's python backend: one call brings the requests that the dynamic batcher gathered."""

import os
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb
from onnx_models import MiniLM


class TritonPythonModel:
    """BYTES `text [n, 1]` -> FP32 `embedding [n, 384]`."""

    def initialize(self, args):
        self.run = MiniLM(Path(os.environ["MODEL_FOLDER"]), int(os.environ["THREADS"]))

    def execute(self, requests):
        texts = [pb.get_input_tensor_by_name(request, "text").as_numpy().ravel() for request in requests]
        vectors = self.run([text.decode() for block in texts for text in block])
        blocks = np.split(vectors, np.cumsum([len(block) for block in texts])[:-1])
        return [pb.InferenceResponse([pb.Tensor("embedding", block)]) for block in blocks]

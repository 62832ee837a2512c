"""Triton's python backend: one call brings the requests that the dynamic batcher gathered."""

import os
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb
from onnx_models import Mlp


class TritonPythonModel:
    """FP32 `x [n, 64]` -> FP32 `y [n, 10]`."""

    def initialize(self, args):
        self.run = Mlp(Path(os.environ["MODEL_FOLDER"]))

    def execute(self, requests):
        rows = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        scores = np.split(self.run(np.concatenate(rows)), np.cumsum([len(block) for block in rows])[:-1])
        return [pb.InferenceResponse([pb.Tensor("y", block)]) for block in scores]

"""MLServer's custom runtimes: its adaptive batching joins requests along the first dimension, these run the batch."""

import os
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from onnx_models import MiniLM, Mlp

FOLDER = Path(os.environ["MODEL_FOLDER"])


class OverheadModel(MLModel):
    """FP32 `x [n, 64]` -> FP32 `y [n, 10]`."""

    async def load(self) -> bool:
        self._run = Mlp(FOLDER)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        tensor = payload.inputs[0]
        rows = np.array(tensor.data.root, np.float32).reshape(tensor.shape)
        return answer(self.name, self._run(rows))


class MiniLMModel(MLModel):
    """BYTES `text [n]` -> FP32 `embedding [n, 384]`."""

    async def load(self) -> bool:
        self._run = MiniLM(FOLDER, int(os.environ["THREADS"]))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = [text.decode() if isinstance(text, bytes) else text for text in payload.inputs[0].data.root]
        return answer(self.name, self._run(texts))


def answer(model: str, values: np.ndarray) -> InferenceResponse:
    output = ResponseOutput(name="y", datatype="FP32", shape=list(values.shape), data=values.ravel().tolist())
    return InferenceResponse(model_name=model, outputs=[output])

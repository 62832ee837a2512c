"""BentoML: each worker process serves HTTP and batches adaptively what comes to it."""

import os
from pathlib import Path

import bentoml
import numpy as np
from onnx_models import MiniLM, Mlp

FOLDER = Path(os.environ["MODEL_FOLDER"])
WORKERS = int(os.environ["WORKERS"])
BATCHING = {"max_batch_size": int(os.environ["MAX_BATCH"]), "max_latency_ms": int(os.environ["MAX_LATENCY_MS"])}


@bentoml.service(name="overhead", workers=WORKERS, traffic={"timeout": 60})
class Overhead:
    """`{"x": [[64 numbers]]}` -> `[[10 numbers]]`."""

    def __init__(self) -> None:
        self.run = Mlp(FOLDER)

    @bentoml.api(route="/infer", batchable=True, **BATCHING)
    def infer(self, x: np.ndarray) -> np.ndarray:
        return self.run(x.astype(np.float32))


@bentoml.service(name="minilm", workers=WORKERS, traffic={"timeout": 60})
class Embedding:
    """`{"x": ["a text"]}` -> `[[384 numbers]]`."""

    def __init__(self) -> None:
        self.run = MiniLM(FOLDER, int(os.environ["THREADS"]))

    @bentoml.api(route="/infer", batchable=True, **BATCHING)
    def infer(self, x: list[str]) -> np.ndarray:
        return self.run(x)


service = {"overhead": Overhead, "minilm": Embedding}[os.environ["MODEL"]]

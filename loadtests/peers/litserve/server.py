"""LitServe: API processes, a queue, and worker processes that run what the queue gathered."""

import os
from pathlib import Path

import litserve as ls
import numpy as np
from onnx_models import MiniLM, Mlp

FOLDER = Path(os.environ["MODEL_FOLDER"])


class Overhead(ls.LitAPI):
    """`{"x": [64 numbers]}` -> `{"y": [10 numbers]}`."""

    def setup(self, device: str) -> None:
        self.run = Mlp(FOLDER)

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["x"], np.float32)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.run(rows)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict:
        return {"y": output.tolist()}


class Embedding(Overhead):
    """`{"x": "a text"}` -> `{"y": [384 numbers]}`."""

    def setup(self, device: str) -> None:
        self.run = MiniLM(FOLDER, int(os.environ["THREADS"]))

    def decode_request(self, request: dict) -> str:
        return request["x"]

    def batch(self, inputs: list[str]) -> list[str]:
        return list(inputs)


if __name__ == "__main__":
    api = {"overhead": Overhead, "minilm": Embedding}[os.environ["MODEL"]]
    server = ls.LitServer(
        api(max_batch_size=int(os.environ["MAX_BATCH"]), batch_timeout=float(os.environ["BATCH_TIMEOUT_S"])),
        accelerator="cpu",
        workers_per_device=int(os.environ["WORKERS"]),
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=int(os.environ["API_SERVERS"]),
        log_level="warning",
        generate_client_file=False,
    )

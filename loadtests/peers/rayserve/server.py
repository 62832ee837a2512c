"""Ray Serve: a proxy process, and replicas whose method gathers its concurrent calls into a batch."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import ray
from onnx_models import Mlp
from ray import serve
from starlette.requests import Request

FOLDER = Path(os.environ["MODEL_FOLDER"])


@serve.deployment(
    num_replicas=int(os.environ["REPLICAS"]), max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5}
)
class Overhead:
    """`{"x": [64 numbers]}` -> `[10 numbers]`."""

    def __init__(self) -> None:
        self._model = Mlp(FOLDER)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=float(os.environ["BATCH_TIMEOUT_S"]))
    async def _run(self, rows: list[list[float]]) -> list[list[float]]:
        return self._model(np.array(rows, np.float32)).tolist()

    async def __call__(self, request: Request) -> list[float]:
        return await self._run((await request.json())["x"])


if __name__ == "__main__":
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])}, logging_config={"enable_access_log": False}
    )
    serve.run(Overhead.bind(), route_prefix="/infer")
    stop.wait()
    serve.shutdown()
    ray.shutdown()

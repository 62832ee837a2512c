"""A worker's memory under inputs that never have the same shape twice."""

import random
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.platform import LocalPlatform
from tests.unit.model_service.graphs import Port, save_graph
from training.export.manifest import write_manifest
from wire.codec import encode_request
from wire.messages import InferRequest
from wire.tensors import Tensor, bytes_tensor

MB = 1 << 20
SHAPES = 20_000
SETTLED = 4_000  # shapes after which nothing grows any more
PLATEAU = 50 * MB


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ever_new_shapes_take_no_ever_new_memory(platform: LocalPlatform, tmp_path: Path) -> None:
    (worker,) = platform.workers()
    _make_convolution(tmp_path)
    platform.publish(tmp_path, "pictures", "stable")
    platform.wait_until_ready("pictures")
    chance = random.Random(1)
    makers: dict[str, Callable[[random.Random], Tensor]] = {"pictures": _pictures, "sentiment": _texts}
    settled = most = 0
    with httpx.Client(base_url=platform.worker_url, timeout=60) as http:
        for number in range(SHAPES):
            model = ("pictures", "sentiment")[number % 2]
            body, length = encode_request(InferRequest(model, None, [makers[model](chance)]))
            headers = {"inference-header-content-length": str(length)}
            assert http.post(f"/v2/models/{model}/infer", content=body, headers=headers).status_code == 200
            if number == SETTLED:
                settled = _resident(int(worker))
            elif number > SETTLED and number % 500 == 0:
                most = max(most, _resident(int(worker)))
    assert most - settled < PLATEAU


def _pictures(chance: random.Random) -> Tensor:
    shape = (chance.randint(1, 4), 3, chance.randint(8, 96), chance.randint(8, 96))
    return Tensor("x", "FP32", shape, bytes(4 * int(np.prod(shape))))


def _texts(chance: random.Random) -> Tensor:
    return bytes_tensor("text", [b"good " * chance.randint(1, 60) for _ in range(chance.randint(1, 8))])


def _resident(process: int) -> int:
    """Bytes that it holds, with all that it has started."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    own = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return own + sum(_resident(int(child)) for child in children)


def _make_convolution(folder: Path) -> None:
    weights = np.random.default_rng(1)
    shapes = {"w1": (16, 3, 3, 3), "w2": (32, 16, 3, 3), "w3": (32, 10)}
    constants = [
        helper.make_node(
            "Constant", [], [name], value=numpy_helper.from_array(weights.normal(size=shape).astype(np.float32))
        )
        for name, shape in shapes.items()
    ]
    nodes = [
        *constants,
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "w3"], ["y"]),
    ]
    inputs: list[Port] = [("x", TensorProto.FLOAT, ["n", 3, "h", "w"])]
    save_graph(folder / "model.onnx", nodes, inputs, [("y", TensorProto.FLOAT, ["n", 10])])
    write_manifest(
        folder,
        ["model.onnx"],
        {
            "name": "pictures",
            "model": "model.onnx",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3, -1, -1]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 10]}],
        },
    )

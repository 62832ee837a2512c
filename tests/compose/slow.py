"""A model that takes as long as it is asked to."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.unit.model_service.graphs import Port, save_graph
from training.export.manifest import write_manifest

LONG = 200  # turns: half a second, and more where there is less of a processor
WIDTH = 512  # of the matrices: a multiplication is some milliseconds of one core


def make_slow(folder: Path) -> None:
    """The artifact `slow`. Its input is how often it multiplies two matrices; the zeros of a warm-up cost nothing."""
    matrix = helper.make_tensor_type_proto(TensorProto.FLOAT, [WIDTH, WIDTH])
    turn = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["go_on"]), helper.make_node("MatMul", ["before", "one"], ["after"])],
        "turn",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_value_info("before", matrix),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), helper.make_value_info("after", matrix)],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "", "one"], ["product"], body=turn),
        helper.make_node("ReduceMax", ["product"], ["highest"], keepdims=0),
        helper.make_node("Mul", ["x", "highest"], ["y"]),
    ]
    ports: list[Port] = [(name, TensorProto.FLOAT, ["n", 1]) for name in ("x", "y")]
    save_graph(folder / "model.onnx", nodes, ports[:1], ports[1:], {"one": np.eye(WIDTH, dtype=np.float32)})
    spec = {"datatype": "FP32", "shape": [-1, 1]}
    fields = {
        "name": "slow",
        "model": "model.onnx",
        "inputs": [{"name": "x", **spec}],
        "outputs": [{"name": "y", **spec}],
        "batching": {"max_rows": 1},  # each by itself, so that others wait
    }
    write_manifest(folder, ["model.onnx"], fields)


def turns(number: int) -> dict[str, Any]:
    """A request that takes `number` multiplications, and is answered with `number`."""
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [number]}]}

"""Graphs that do to their process what graphs do: end it, or never come back."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from model_service.engines.base import Arrays
from storage.manifest import Manifest
from tests.unit.model_service.graphs import Port, manifest, save_graph

LOWEST = -(2**31)


def dividing(folder: Path, **fields: Any) -> Manifest:
    """INT32 `y = a / b`: the lowest number by -1 ends the process with SIGFPE, on x86."""
    ports: list[Port] = [(name, TensorProto.INT32, ["n", 1]) for name in ("a", "b")]
    node = helper.make_node("Div", ["a", "b"], ["y"])
    save_graph(folder / "model.onnx", [node], ports, [("y", TensorProto.INT32, ["n", 1])])
    tensors = [{"name": name, "datatype": "INT32", "shape": [-1, 1]} for name in ("a", "b", "y")]
    return manifest(inputs=tensors[:2], outputs=tensors[2:], **fields)


def looping(folder: Path) -> Manifest:
    """Runs as often as INT64 `times`, a scalar, says."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["same"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("same", TensorProto.INT64, []),
        ],
    )
    node = helper.make_node("Loop", ["times", "true", "times"], ["y"], body=body)
    port: Port = ("times", TensorProto.INT64, [])
    save_graph(folder / "model.onnx", [node], [port], [("y", TensorProto.INT64, [])], {"true": True})
    tensors: list[Any] = [{"name": name, "datatype": "INT64", "shape": []} for name in ("times", "y")]
    return manifest(inputs=tensors[:1], outputs=tensors[1:], batching={"max_rows": 1})


def expanding(folder: Path) -> Manifest:
    """FP32 `y` of the shape that INT64 `shape` says."""
    node = helper.make_node("Expand", ["one", "shape"], ["y"])
    port: Port = ("shape", TensorProto.INT64, [2])
    one = {"one": np.float32(1)}
    save_graph(folder / "model.onnx", [node], [port], [("y", TensorProto.FLOAT, ["n", "m"])], one)
    return manifest(
        inputs=[{"name": "shape", "datatype": "INT64", "shape": [2]}],
        outputs=[{"name": "y", "datatype": "FP32", "shape": [-1, -1]}],
        batching={"max_rows": 1},
    )


def save_endless(path: Path) -> Path:
    """FP32 `y = x` for rows of two, after more turns than anyone waits for."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["kept"], ["same"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, ["n", 2]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("same", TensorProto.FLOAT, ["n", 2]),
        ],
    )
    node = helper.make_node("Loop", ["times", "true", "x"], ["y"], body=body)
    ports: list[Port] = [(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
    return save_graph(path, [node], ports[:1], ports[1:], {"times": 2**62, "true": True})


def hang_at_load(folder: Path) -> None:
    """Whoever loads the graph that was there waits for ever."""
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")


def quotient(a: int, b: int) -> Arrays:
    return {"a": np.array([[a]], np.int32), "b": np.array([[b]], np.int32)}

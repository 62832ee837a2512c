"""Small real ONNX graphs, and manifests for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from storage.manifest import Manifest

Port = tuple[str, int, Sequence[int | str] | None]
TOKENS: Sequence[Port] = (
    ("input_ids", TensorProto.INT64, ["n", "s"]),
    ("attention_mask", TensorProto.INT64, ["n", "s"]),
)


def save_graph(
    path: Path,
    nodes: Sequence[NodeProto],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    constants: dict[str, Any] | None = None,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*port) for port in inputs],
        [helper.make_tensor_value_info(*port) for port in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def save_identity(path: Path, kind: int = TensorProto.FLOAT, shape: Sequence[int | str] | None = ("n", 2)) -> Path:
    return save_graph(path, [helper.make_node("Identity", ["x"], ["y"])], [("x", kind, shape)], [("y", kind, shape)])


def save_token_table(path: Path, table: Mapping[int, Sequence[float]], vocabulary: int, *, pooled: bool) -> Path:
    """A graph whose logits are looked up by token: `[n, s, k]`, or their sum over a text's tokens `[n, k]`."""
    width = len(next(iter(table.values())))
    values = np.zeros((vocabulary, width), np.float32)
    for token, logits in table.items():
        values[token] = logits
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["looked_up"])]
    constants: dict[str, Any] = {"table": values}
    if pooled:
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["wide_mask"]),
            helper.make_node("Mul", ["looked_up", "wide_mask"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
        ]
        constants |= {"last": np.array([2]), "middle": np.array([1])}
    else:
        nodes.append(helper.make_node("Identity", ["looked_up"], ["logits"]))
    shape: list[int | str] = ["n", width] if pooled else ["n", "s", width]
    return save_graph(path, nodes, TOKENS, [("logits", TensorProto.FLOAT, shape)], constants)


def manifest(**fields: Any) -> Manifest:
    """A manifest of FP32 `x` `[-1, 2]` to `y`, but for `fields`; its files' hashes are not those of any file."""
    given = {
        "name": "small",
        "model": "model.onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
        **fields,
    }
    paths = [
        given["model"],
        *([given["text"].get("tokenizer", "tokenizer.json")] if given.get("text") is not None else []),
    ]
    return Manifest.model_validate(
        {**given, "files": [{"path": path, "sha256": "0" * 64, "size": 1} for path in paths]}
    )

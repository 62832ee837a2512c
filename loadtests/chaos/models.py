"""Models whose right answers are known, and some that are made to do harm."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from storage.importers import Import, import_model

COLUMNS: Final = 4
WIDE: Final = 250_000
INT32_MIN: Final = -(2**31)
Value = onnx.ValueInfoProto


def doubled(name: str = "doubled", cache_ttl_s: int = 0) -> Import:
    """`y = 2 x` for rows of four numbers."""
    return _imported(
        name,
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [_value("x", TensorProto.FLOAT, ["n", COLUMNS])],
        [_value("y", TensorProto.FLOAT, ["n", COLUMNS])],
        cache_ttl_s=cache_ttl_s,
    )


def wide() -> Import:
    """One number in, a quarter of a million out: answers of megabytes, which are cached."""
    return _imported(
        "wide",
        [helper.make_node("MatMul", ["x", "ones"], ["y"])],
        [_value("x", TensorProto.FLOAT, ["n", 1])],
        [_value("y", TensorProto.FLOAT, ["n", WIDE])],
        constants=[numpy_helper.from_array(np.ones((1, WIDE), np.float32), "ones")],
        cache_ttl_s=3600,
    )


def quotient() -> Import:
    """`y = a / (b + 1)` of integers: with b = -1 or at the end of their range it ends the process that computes it."""
    return _imported(
        "quotient",
        [helper.make_node("Add", ["b", "one"], ["c"]), helper.make_node("Div", ["a", "c"], ["y"])],
        [_value(name, TensorProto.INT32, ["n", 1]) for name in "ab"],
        [_value("y", TensorProto.INT32, ["n", 1])],
        constants=[numpy_helper.from_array(np.array([1], np.int32), "one")],
    )


def endless() -> Import:
    """`y = 2^times x`, in a loop that goes round as often as the input says."""
    return _imported(
        "endless",
        [helper.make_node("Loop", ["times", "", "x"], ["y"], body=_round())],
        [_value("times", TensorProto.INT64, []), _value("x", TensorProto.FLOAT, [COLUMNS])],
        [_value("y", TensorProto.FLOAT, [COLUMNS])],
    )


def hanging() -> Import:
    """Goes round and round whatever it is asked, its trial included."""
    return _imported(
        "hanging",
        [helper.make_node("Loop", ["for_ever", "", "x"], ["y"], body=_round())],
        [_value("x", TensorProto.FLOAT, [COLUMNS])],
        [_value("y", TensorProto.FLOAT, [COLUMNS])],
        constants=[numpy_helper.from_array(np.array(2**62, np.int64), "for_ever")],
    )


def _round() -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Add", ["in", "in"], ["out"]), helper.make_node("Identity", ["go_on"], ["going_on"])],
        "round",
        [
            _value("number", TensorProto.INT64, []),
            _value("go_on", TensorProto.BOOL, []),
            _value("in", TensorProto.FLOAT, [COLUMNS]),
        ],
        [_value("going_on", TensorProto.BOOL, []), _value("out", TensorProto.FLOAT, [COLUMNS])],
    )


def _value(name: str, kind: int, shape: Sequence[str | int]) -> Value:
    return helper.make_tensor_value_info(name, kind, shape)


def _imported(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    *,
    constants: Sequence[onnx.TensorProto] = (),
    cache_ttl_s: int = 0,
) -> Import:
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    path = _folder() / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return import_model(path, name, settings={"cache_ttl_s": cache_ttl_s})


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="headrace-chaos-"))

"""Graphs that compute in BFLOAT16, for most of which ONNX Runtime has nothing on CPUs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import onnx.shape_inference
from google.protobuf.message import Message
from onnx import ModelProto, NodeProto, TensorProto

from storage.importers.rows import describe_node

# What ONNX Runtime 1.32 runs in BFLOAT16 on CPUs: it moves numbers, and normalises them, but hardly computes.
_ON_CPUS: Final = frozenset((
    "BitCast", "Cast", "Compress", "Concat", "Constant", "ConstantOfShape", "Flatten", "Gather",
    "GatherElements", "GatherND", "Identity", "If", "IsInf", "IsNaN", "LayerNormalization", "Loop", "Optional",
    "OptionalGetElement", "OptionalHasElement", "Pad", "RandomNormalLike", "RandomUniformLike", "Reshape",
    "ReverseSequence", "Scan", "ScatterElements", "ScatterND", "SequenceAt", "SequenceConstruct", "Shape",
    "Shrink", "Sign", "SimplifiedLayerNormalization", "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization", "Slice", "Split", "SplitToSequence", "Squeeze", "TensorScatter",
    "Transpose", "Unsqueeze",
))  # fmt: skip


def beyond_cpus(model: ModelProto, messages: Sequence[Message]) -> Iterator[str]:
    """A note, where a node of the graph takes or gives BFLOAT16 and is known to have no implementation on CPUs."""
    if not _mentions(messages):
        return
    try:
        model = onnx.shape_inference.infer_shapes(model)
    except Exception:  # of more than 2 GB, or wrong in a way that the runtime will tell of
        return
    graph = model.graph
    values = {
        value.name
        for value in (*graph.value_info, *graph.input, *graph.output)
        if _is_bfloat16(value.type.tensor_type.elem_type)
    }
    values |= {tensor.name for tensor in graph.initializer if _is_bfloat16(tensor.data_type)}
    node = next((node for node in graph.node if node.op_type not in _ON_CPUS and _touches(node, values)), None)
    if node is not None:
        yield (
            f"{describe_node(node)} computes in BFLOAT16, which ONNX Runtime does not on CPUs: where workers have no"
            " GPU, the version will fail to load, and the graph must be exported in FLOAT or FLOAT16"
        )


def _mentions(messages: Iterable[Message]) -> bool:
    for message in messages:
        if isinstance(message, TensorProto) and _is_bfloat16(message.data_type):
            return True
        if isinstance(message, NodeProto) and any(a.name == "to" and _is_bfloat16(a.i) for a in message.attribute):
            return True
    return False


def _is_bfloat16(element: int) -> bool:
    return element == TensorProto.BFLOAT16


def _touches(node: NodeProto, values: set[str]) -> bool:
    return not values.isdisjoint((*node.input, *node.output))

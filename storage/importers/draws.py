"""What in a graph draws at random, so that two answers to the same question differ."""

from collections.abc import Sequence
from typing import Final

from onnx import NodeProto, TensorProto, numpy_helper

from storage.importers.rows import describe_node

_RANDOM: Final = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Sampling")
)
# Dropouts, and which of their inputs says whether they are at work.
_SWITCH: Final = {"Dropout": 2, "BitmaskDropout": 2, "BiasDropout": 4, "BitmaskBiasDropout": 4}


def find_draw(nodes: Sequence[NodeProto], tensors: Sequence[TensorProto]) -> str | None:
    """The node that draws, or may do so, in words; None where none does."""
    for node in nodes:
        if node.op_type in _RANDOM:
            return f"{describe_node(node)} draws at random"
    if (dropout := _find_training_dropout(nodes, tensors)) is not None:
        return f"{describe_node(dropout)} may draw at random, as in training"
    return None


def _find_training_dropout(nodes: Sequence[NodeProto], tensors: Sequence[TensorProto]) -> NodeProto | None:
    """A Dropout that is not known to be switched off: by default it is, and an input can switch it on."""
    dropouts = [(node, node.input[_SWITCH[node.op_type] :]) for node in nodes if node.op_type in _SWITCH]
    switched = [(node, switch[0]) for node, switch in dropouts if switch and switch[0]]
    if not switched:
        return None
    known = [(tensor.name, tensor) for tensor in tensors]
    for node in nodes:
        if node.op_type == "Constant":
            known += [(node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value"]
    # Two scopes may use one name: it is off where it is off in both.
    off = {name for name, _ in known} - {name for name, tensor in known if not _is_false(tensor)}
    return next((node for node, switch in switched if switch not in off), None)


def _is_false(tensor: TensorProto) -> bool:
    if tensor.data_type != TensorProto.BOOL or tensor.data_location == TensorProto.EXTERNAL:
        return False
    return not numpy_helper.to_array(tensor).any()

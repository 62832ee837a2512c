"""Outputs that converters wrap up in lists and maps, as scikit-learn's class probabilities are: unwrapped.

A ZipMap gives the numbers of each row the names of their classes, and a SequenceConstruct makes one list of several
tensors. What goes into them are tensors with the same numbers: these are served in their place.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from weakref import finalize

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

_MOST_NAMED = 20


class Written:
    """A graph that was written anew, in a folder that goes when nobody holds this any more."""

    def __init__(self, content: bytes) -> None:
        folder = mkdtemp(prefix="headrace-")
        finalize(self, rmtree, folder, ignore_errors=True)
        self.path = Path(folder, "model.onnx")
        self.path.write_bytes(content)


def unwrap(model: ModelProto) -> list[str]:
    """Put tensors in the place of such outputs of the model; says for each of them what people should know."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    inner = {name for node in _nodes(graph) for name in node.input}
    names = inner | makers.keys() | {value.name for value in (*graph.input, *graph.output)}
    notes, outputs, instead = [], list[ValueInfoProto](), dict[str, list[NodeProto]]()
    for value in graph.output:
        node = makers.get(value.name)
        wrapped = value.type.HasField("sequence_type") and node is not None and value.name not in inner
        made = _tensors(value, node) if wrapped and node is not None else []
        if not made or names.intersection(one.name for one in made) - {value.name}:
            outputs.append(value)
            continue
        assert node is not None
        outputs += made
        instead[value.name] = [
            helper.make_node("Identity", [given], [one.name]) for given, one in zip(node.input, made, strict=True)
        ]
        notes.append(_describe(value, node, made))
    if notes:
        nodes = [new for node in graph.node for new in instead.get(node.output[0] if node.output else "", [node])]
        _replace(graph.node, nodes)
        _replace(graph.output, outputs)
    return notes


def _tensors(value: ValueInfoProto, node: NodeProto) -> list[ValueInfoProto]:
    if node.op_type == "ZipMap":
        return [helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [None, len(_classes(node))])]
    if node.op_type == "SequenceConstruct" and value.type.sequence_type.elem_type.HasField("tensor_type"):
        kind = value.type.sequence_type.elem_type
        return [helper.make_value_info(f"{value.name}_{at}", kind) for at in range(len(node.input))]
    return []


def _describe(value: ValueInfoProto, node: NodeProto, made: list[ValueInfoProto]) -> str:
    if node.op_type != "ZipMap":
        return f"the list '{value.name}' is answered as the tensors {', '.join(one.name for one in made)}"
    classes = _classes(node)
    more = ", ..." if len(classes) > _MOST_NAMED else ""
    return (
        f"'{value.name}' is answered as a tensor, with a column for each class in this order:"
        f" {', '.join(classes[:_MOST_NAMED])}{more}"
    )


def _classes(node: NodeProto) -> list[str]:
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    texts = [label.decode("utf-8", "replace") for label in found.get("classlabels_strings", ())]
    return texts or [str(label) for label in found.get("classlabels_int64s", ())]


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of the graph and of those within."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
            for within in graphs:
                yield from _nodes(within)


def _replace(field: Any, parts: Sequence[Any]) -> None:
    kept = [type(part).FromString(part.SerializeToString()) for part in parts]
    del field[:]
    field.extend(kept)

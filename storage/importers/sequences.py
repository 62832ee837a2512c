"""Outputs that converters wrap up in lists and maps, as scikit-learn's class probabilities are: unwrapped.

A ZipMap gives the numbers of each row the names of their classes, and a SequenceConstruct makes one list of several
tensors. What goes into them are tensors with the same numbers: these are served in their place.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final
from weakref import finalize

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

_MOST_NAMED = 20
# These keep each column where it is.
_KEEPING: Final = frozenset(("Cast", "Identity", "Normalizer"))
# The second output of these has a column for each class, in the order of its labels.
_CLASSIFIERS: Final = frozenset(("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"))


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
        classes = _columns(node, makers) if wrapped and node is not None else []
        made = _tensors(value, node, classes) if wrapped and node is not None else []
        if not made or names.intersection(one.name for one in made) - {value.name}:
            outputs.append(value)
            continue
        assert node is not None
        outputs += made
        instead[value.name] = [
            helper.make_node("Identity", [given], [one.name]) for given, one in zip(node.input, made, strict=True)
        ]
        notes.append(_describe(value, node, made, classes))
    if notes:
        nodes = [new for node in graph.node for new in instead.get(node.output[0] if node.output else "", [node])]
        _replace(graph.node, nodes)
        _replace(graph.output, outputs)
    return notes


def _tensors(value: ValueInfoProto, node: NodeProto, classes: Sequence[Sequence[str]]) -> list[ValueInfoProto]:
    if node.op_type == "ZipMap":
        return [helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [None, len(classes[0])])]
    if node.op_type == "SequenceConstruct" and value.type.sequence_type.elem_type.HasField("tensor_type"):
        kind = value.type.sequence_type.elem_type
        return [
            helper.make_tensor_value_info(f"{value.name}_{at}", kind.tensor_type.elem_type, [None, len(labels)])
            if labels
            else helper.make_value_info(f"{value.name}_{at}", kind)
            for at, labels in enumerate(classes)
        ]
    return []


def _describe(
    value: ValueInfoProto, node: NodeProto, made: Sequence[ValueInfoProto], classes: Sequence[Sequence[str]]
) -> str:
    if node.op_type == "ZipMap":
        return (
            f"'{value.name}' is answered as a tensor, with a column for each class in this order: {_list(classes[0])}"
        )
    told = f"the list '{value.name}' is answered as the tensors {', '.join(one.name for one in made)}"
    named = [f"{one.name}: {_list(labels)}" for one, labels in zip(made, classes, strict=True) if labels]
    if not named:
        return told
    more = "; ..." if len(named) > _MOST_NAMED else ""
    return f"{told}, with a column for each class in this order: {'; '.join(named[:_MOST_NAMED])}{more}"


def _list(classes: Sequence[str]) -> str:
    return ", ".join(classes[:_MOST_NAMED]) + (", ..." if len(classes) > _MOST_NAMED else "")


def _columns(node: NodeProto, makers: Mapping[str, NodeProto]) -> list[list[str]]:
    """The classes of each tensor that `node` wraps, by column; none where the graph does not tell them."""
    return [_classes(node)] if node.op_type == "ZipMap" else [_followed(name, makers) for name in node.input]


def _followed(name: str, makers: Mapping[str, NodeProto]) -> list[str]:
    while (node := makers.get(name)) is not None and node.op_type in _KEEPING:
        name = node.input[0]
    if node is None or node.op_type not in _CLASSIFIERS or list(node.output).index(name) != 1:
        return []
    # Without probabilities an SVMClassifier compares classes by twos.
    if node.op_type == "SVMClassifier" and not any(one.name == "prob_a" and one.floats for one in node.attribute):
        return []
    return _classes(node)


def _classes(node: NodeProto) -> list[str]:
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    texts = [label.decode("utf-8", "replace") for label in found.get("classlabels_strings", ())]
    numbers = found.get("classlabels_ints" if "classlabels_ints" in found else "classlabels_int64s", ())
    return texts or [str(label) for label in numbers]


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

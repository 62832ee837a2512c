"""Follows rows through a graph, node by node, from its inputs to its outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.checker import ValidationError
from onnx.reference import ReferenceEvaluator

from storage.importers.rows import exact, texts
from storage.importers.rows.layout import chooses_rows, with_own_rows
from storage.importers.rows.operators import (
    ELEMENTWISE,
    INDEXING,
    PARAMETERS,
    REPEATING,
    RULES,
    SCALED_BY_BATCH,
    VARYING,
)
from storage.importers.rows.sizes import sizes
from storage.importers.rows.value import (
    COUNTS,
    ROWS,
    Array,
    Call,
    Misfit,
    NotFollowed,
    NotShown,
    Value,
    constant,
    settle,
    value_of,
)

Scope = dict[str, Value]
# What has more elements is no shape arithmetic: only its sizes are followed.
_MOST_ELEMENTS: Final = 1 << 20
_MOST_OF_A_WEIGHT: Final = 1 << 16
_NOT_COMPUTED: Final = frozenset(("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli",
                                  "Multinomial", "Loop", "Scan", "Dropout"))  # fmt: skip
# What breaks ONNX's own rules shows in as many ways as there are operators. The runtime, which loads the version on
# trial, has the say whether it can be served.
_MALFORMED: Final = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, ValidationError)


class Walk:
    """One walk through a graph of these opset versions. `scaled`: whether something took its scale from a batch."""

    def __init__(self, versions: Mapping[str, int]) -> None:
        self._versions = versions
        self.scaled = False

    def through(self, graph: GraphProto, given: Mapping[str, Value], outer: Scope | None = None) -> list[Value]:
        """The graph's outputs. Raises NotShown, which names the node or the weight at fault, and Misfit."""
        scope: Scope = dict(outer or {})
        for tensor in graph.initializer:
            try:
                scope[tensor.name] = _weight(tensor)
            except _MALFORMED as error:
                raise NotShown(f"the weight '{tensor.name}' is malformed: {_first_line(error)}") from error
        for sparse in graph.sparse_initializer:
            shape = tuple(sparse.dims)
            scope[sparse.values.name] = Value(sparse.values.data_type, (shape,) * len(ROWS))
        scope.update(given)
        for node in graph.node:
            try:
                made = self._step(node, scope)
            except NotFollowed as reason:
                raise NotShown(f"{describe_node(node)} {reason}") from None
            except _MALFORMED as error:
                raise NotShown(f"{describe_node(node)} is malformed: {_first_line(error)}") from error
            scope.update((name, value) for name, value in zip(node.output, made, strict=False) if name)
        missing = [value.name for value in graph.output if value.name not in scope]
        if missing:
            raise Misfit(f"nothing makes {missing[0]}")
        return [scope[value.name] for value in graph.output]

    def _step(self, node: NodeProto, scope: Scope) -> Sequence[Value]:
        domain = "" if node.domain == "ai.onnx" else node.domain
        attributes = {found.name: helper.get_attribute_value(found) for found in node.attribute}
        if unmade := [name for name in node.input if name and name not in scope]:
            raise NotFollowed(f"reads '{unmade[0]}', which nothing before it makes")
        inputs = [scope[name] if name else None for name in node.input]
        call = Call(node, domain, self._versions.get(domain, 1), inputs, attributes)
        padding = texts.padding_of(call)
        match domain, node.op_type:
            case "", "Constant":
                return [_constant(node)]
            case "", "Shape":
                return [_shape(call)]
            case "", "Size":
                return [_line(value_of([np.array(prod(shape), np.int64) for shape in call.at(0).shapes]))]
            case "", "If":
                return self._branch(call, scope)
        if any(found.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for found in node.attribute):
            raise NotFollowed("has a graph of its own, which is not followed")
        if (values := self._compute(call)) is not None:
            return values
        if node.op_type == "Concat" and (indices := _indices(call)) is not None:
            return [indices]
        try:
            settled_call = _settle(call)
        except NotFollowed:
            if (counting := _follow_count(call)) is None:
                raise
            return [counting]
        return [replace(value, padding=padding) for value in self._apply_rule(settled_call)]

    def _branch(self, call: Call, scope: Scope) -> Sequence[Value]:
        condition = call.at(0)
        if condition.axis is not None:
            raise NotFollowed("goes one way for all rows together")
        if condition.counts:
            raise NotFollowed("goes one way or the other by the number of rows")
        branches = [call.attributes[name] for name in ("then_branch", "else_branch")]
        if condition.known is None:
            both = [[settle(value) for value in self.through(branch, {}, scope)] for branch in branches]
            if [(v.axis, v.shapes) for v in both[0]] != [(v.axis, v.shapes) for v in both[1]]:
                raise NotFollowed("has branches whose rows lie in different places")
            return both[0]
        if condition.varies:
            raise NotFollowed("goes one way or the other by the number of rows")
        return self.through(branches[0 if condition.known[0].all() else 1], {}, scope)

    def _compute(self, call: Call) -> Sequence[Value] | None:
        """The outputs where they follow from constants and sizes, however many rows there are."""
        node = call.node
        if call.domain or node.op_type in _NOT_COMPUTED or node.op_type in SCALED_BY_BATCH:
            return None
        inputs = [value for value in call.inputs if value is not None]
        if any(value.known is None for value in inputs) or not exact.follows(call):
            return None
        try:
            made = sizes(call)
        except (NotFollowed, Misfit):
            made = []
        if any(prod(shape) > _MOST_ELEMENTS for _, shapes in made for shape in shapes):
            return None
        values = _evaluate(call, ReferenceEvaluator(_alone(node), opsets=dict(self._versions)))
        return values if values is not None and all(map(exact.is_line, values)) else None

    def _apply_rule(self, call: Call) -> Sequence[Value]:
        op = call.node.op_type
        if not call.rows:
            return _without_rows(call)
        if (rule := RULES.get((call.domain, op))) is None:
            of = f" of {call.domain}" if call.domain else ""
            raise NotFollowed(f"is an operator{of} of which it is not known what it does to rows")
        if op in SCALED_BY_BATCH:
            self.scaled = True
        axes = rule(call)
        made = sizes(call)
        if isinstance(axes, int):
            axes = [axes] * len(made)
        return [_check(Value(element, shapes, axis)) for (element, shapes), axis in zip(made, axes, strict=False)]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _settle(call: Call) -> Call:
    parameters = PARAMETERS.get(call.node.op_type, ()) if not call.domain else ()
    inputs: list[Value | None] = []
    for at, value in enumerate(call.inputs):
        if value is None or (at in parameters and value.known is not None):
            if value is not None and value.varies and at not in VARYING.get(call.node.op_type, ()):
                raise NotFollowed(COUNTS)
            inputs.append(value)
            continue
        if at in parameters and call.node.op_type in INDEXING:
            inputs.append(value if value.own is not None else settle(value))
            continue
        if at == 1 and chooses_rows(call):
            inputs.append(value)
            continue
        if at in parameters:
            raise NotFollowed("takes a parameter that is computed from the rows or lies outside the graph")
        inputs.append(settle(value))
    return Call(call.node, call.domain, call.version, inputs, call.attributes)


def _follow_count(call: Call) -> Value | None:
    """The value computed element by element from row counts and row indices, of which often only the size matters."""
    made_of_rows = any(value is not None and (value.axis is not None or value.own is not None) for value in call.inputs)
    if call.domain or call.node.op_type not in ELEMENTWISE or len(call.node.output) > 1 or made_of_rows:
        return None
    ((element, shapes),) = sizes(call)
    return _line(Value(element, shapes, counts=True))


def _indices(call: Call) -> Value | None:
    axis = call.axis(0, call.at(0).rank)
    found = with_own_rows(call.inputs, axis)
    if found is None:
        return None
    ((element, shapes),) = sizes(call)
    return _check(Value(element, shapes, found[0], own=found[1]))


def _without_rows(call: Call) -> Sequence[Value]:
    """The outputs of a node that reads constants alone, though its size may depend on the number of rows."""
    values = [Value(element, shapes) for element, shapes in sizes(call)]
    counts = any(value is not None and value.varies for value in call.inputs)
    if call.node.op_type not in REPEATING and (counts or any(value.varies for value in values)):
        raise NotFollowed(COUNTS)
    if not any(value.varies for value in values):
        return values
    return [_check(Value(value.element, value.shapes, _find_growing_axis(value))) for value in values]


def _find_growing_axis(value: Value) -> int:
    growing = [axis for axis in range(value.rank) if len({shape[axis] for shape in value.shapes}) > 1]
    if len(growing) != 1:
        raise NotFollowed(COUNTS)
    return growing[0]


def _check(value: Value) -> Value:
    """The value. Raises NotFollowed where its sizes contradict the axis on which its rows are said to lie."""
    if any(len(shape) != value.rank for shape in value.shapes):
        raise NotFollowed("has another number of dimensions where there is one row")
    for axis in range(value.rank):
        grows = len({shape[axis] for shape in value.shapes}) > 1
        if grows and axis != value.axis:
            raise NotFollowed("makes a second dimension of rows")
    if value.axis is not None and not value.share(value.axis):
        raise NotFollowed("does not give the same to each row")
    return value


def _evaluate(call: Call, evaluator: Any) -> Sequence[Value] | None:
    made: list[list[Array]] = []
    for sample in range(len(ROWS)):
        if made and not any(value is not None and value.varies for value in call.inputs):
            made.append(made[0])
            continue
        feeds = {
            name: value.known[sample]
            for name, value in zip(call.node.input, call.inputs, strict=False)
            if value is not None and value.known is not None
        }
        try:
            with np.errstate(all="ignore"):  # a graph may well take the logarithm of 0, and not use it
                made.append([np.asarray(array) for array in evaluator.run(None, feeds)])
        except Exception:  # whatever the reference implementation lacks or refuses
            return None
    return [value_of(arrays) for arrays in zip(*made, strict=True)]


def _alone(node: NodeProto) -> GraphProto:
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in dict.fromkeys(names) if name]
        for names in (node.input, node.output)
    )
    return helper.make_graph([node], "node", inputs, outputs)


def _constant(node: NodeProto) -> Value:
    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return _weight(value)
    if attribute.name == "sparse_value":
        return Value(value.values.data_type, (tuple(value.dims),) * len(ROWS))
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    array = np.array(value, kinds.get(attribute.name, object))
    return constant(helper.np_dtype_to_tensor_dtype(array.dtype), array)


def _shape(call: Call) -> Value:
    start, end = (call.attributes.get(name) for name in ("start", "end"))
    return _line(value_of([np.array(shape[start:end], np.int64) for shape in call.at(0).shapes]))


def _line(value: Value) -> Value:
    if not exact.is_line(value):
        raise NotFollowed(COUNTS)
    return value


def _weight(tensor: TensorProto) -> Value:
    shape = tuple(tensor.dims)
    if tensor.data_location == TensorProto.EXTERNAL or prod(shape) > _MOST_OF_A_WEIGHT:
        return Value(tensor.data_type, (shape,) * len(ROWS))
    return constant(tensor.data_type, numpy_helper.to_array(tensor))


def describe_node(node: NodeProto) -> str:
    """The node's name and operator, for people to read."""
    name = node.name or next((name for name in node.output if name), "")
    return f"the node '{name}' ({node.op_type})"

"""What is computed from sizes: which of it is known for any number of rows, and not only for those that were tried.

Each size and each whole number that follows from the sizes is `a * rows + b`. Two such lines that agree for some
numbers of rows agree for all of them; but of what no line describes, the numbers that were tried say nothing:
`rows == 4` is false for each of ROWS. So operators are computed with numbers that vary with the rows only where they
make lines of lines.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from onnx import TensorProto

from storage.importers.rows.value import ROWS, Array, Call, Shape, Value

# What elements move, or add up. By the places of those inputs that may vary; of the others each is a constant.
_ANY: Final = tuple(range(64))
_VARYING: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys(("Flatten", "Gather", "Identity", "Neg", "ReduceSum", "Squeeze", "Transpose"), (0,)),
    **dict.fromkeys(("Expand", "Reshape", "Tile"), (0, 1)),
    **dict.fromkeys(("Add", "Concat", "Sub", "Sum"), _ANY),
    **dict.fromkeys(("ScatterElements", "ScatterND"), (0, 2)),
    **dict.fromkeys(("Slice", "Split", "Unsqueeze", "ConstantOfShape"), (0,)),
    "Where": (1, 2),
}
# Of these the sizes must be constant: how much they take, or where they put it, may depend on how much there is.
_OF_CONSTANT_SIZE: Final = frozenset(("ScatterElements", "ScatterND", "Slice", "Split"))
_COMPUTING: Final = frozenset(("Add", "Neg", "ReduceSum", "Sub", "Sum"))
_COMPARING: Final = frozenset(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"))
# Up to these, as they are with the largest of ROWS, numbers are exact with any number of rows in a batch.
_EXACT: Final[Mapping[int, int]] = {
    TensorProto.INT32: 1 << 24,
    TensorProto.INT64: 1 << 56,
    TensorProto.FLOAT: 1 << 18,
    TensorProto.DOUBLE: 1 << 46,
}
_WHOLE: Final = frozenset((TensorProto.INT32, TensorProto.INT64))
# A polynomial of a lower degree than there are numbers of rows is known when it is known for each of them.
_MOST_FACTORS: Final = len(ROWS) - 1


def follows(call: Call) -> bool:
    """Whether the node makes lines of its inputs, of which all elements are known, whatever the number of rows."""
    varying = {at for at, value in enumerate(call.inputs) if value is not None and value.varies}
    if not varying:
        return True
    op = call.node.op_type
    if op in _COMPUTING and any(call.at(at).element not in _WHOLE for at in varying):
        return False
    if op == "Cast":
        return call.at(0).element in _EXACT and call.attributes["to"] in _EXACT
    if op in _OF_CONSTANT_SIZE and any(_grows(call.at(at)) for at in varying):
        return False
    if op in _COMPARING or op in _SPECIAL:
        if any(value is None or value.element not in _WHOLE for value in call.inputs):
            return False
        values = [value for value in call.inputs if value is not None]
        return bool(_SPECIAL.get(op, _compares_exactly)(values))
    if op == "NonZero":
        return call.at(0).rank == 1 and all(array.all() for array in call.at(0).known or ())
    return varying <= {*_VARYING.get(op, ())}


def is_line(value: Value) -> bool:
    """Whether the sizes and the elements each lie on a line, as far as they vary, on which numbers are exact."""
    if not value.varies:
        return True
    if any(len(shape) != value.rank for shape in value.shapes) or not _sizes_on_lines(value.shapes):
        return False
    if value.known is None:
        return True
    numbers = [array for array in value.known if array.size and array.dtype.kind in "if"]
    largest = max((float(np.abs(array.astype(np.float64)).max()) for array in numbers), default=0.0)
    if _grows(value):
        return value.element not in _EXACT or largest <= _EXACT[value.element]
    return value.element in _EXACT and largest <= _EXACT[value.element] and _on_lines(value.known)


def _grows(value: Value) -> bool:
    return any(shape != value.shapes[0] for shape in value.shapes)


def _sizes_on_lines(shapes: Sequence[Shape]) -> bool:
    return _on_lines([np.array(shape, np.int64) for shape in shapes])


def _on_lines(samples: Sequence[Array]) -> bool:
    first, slope = samples[0], samples[1] - samples[0]
    return all(
        np.array_equal(first + slope * (rows - ROWS[0]), array) for array, rows in zip(samples, ROWS, strict=True)
    )


def _signs(a: Value, b: Value) -> Array | None:
    """Of `a - b`, element by element: 1, 0 or -1 where it is that for any number of rows. None where it may change."""
    if _grows(a) or _grows(b):
        return None
    differences = [one.astype(object) - other for one, other in zip(a.known or (), b.known or (), strict=True)]
    signs = [np.sign(np.asarray(difference, np.float64)) for difference in differences]
    slope = np.sign(np.asarray(differences[-1] - differences[0], np.float64))
    same = all(np.array_equal(sign, signs[0]) for sign in signs)
    return signs[0] if same and np.all((slope == 0) | (slope == signs[0])) else None


def _compares_exactly(values: Sequence[Value]) -> bool:
    return len(values) == 2 and _signs(*values) is not None


def _keeps_order(values: Sequence[Value]) -> bool:
    """Whether the larger one of two is that for any number of rows."""
    if len(values) != 2 or any(map(_grows, values)):
        return False
    differences = [
        one.astype(object) - other for one, other in zip(values[0].known or (), values[1].known or (), strict=True)
    ]
    first, slope = differences[0], differences[-1] - differences[0]
    return bool(np.all(((first >= 0) & (slope >= 0)) | ((first <= 0) & (slope <= 0))))


def _multiplies_exactly(values: Sequence[Value]) -> bool:
    # Of what grows, elements are lines of their places as well.
    return sum(value.varies for value in values) < 2 or not any(map(_grows, values))


def _divides_exactly(values: Sequence[Value]) -> bool:
    """Whether a division leaves no remainder and its divisor is never 0."""
    a, b = values
    nothing = Value(b.element, ((),) * len(ROWS), known=(np.zeros((), np.int64),) * len(ROWS))
    signs = _signs(b, nothing)
    if signs is None or not signs.all() or _grows(a):
        return False
    pairs = [np.broadcast_arrays(x, y) for x, y in zip(a.known or (), b.known or (), strict=True)]
    constant = np.all([(x == pairs[0][0]) & (y == pairs[0][1]) for x, y in pairs], axis=0)
    return all(np.all(constant | (x % y == 0)) for x, y in pairs)


def _counts_by_one(values: Sequence[Value]) -> bool:
    """Whether a Range counts up by one, and holds one number at least."""
    start, limit, step = values
    signs = _signs(limit, start)
    one = not step.varies and all(bool(np.all(array == 1)) for array in step.known or ())
    return one and signs is not None and bool(np.all(signs > 0))


def _reduces_exactly(values: Sequence[Value]) -> bool:
    value = values[0]
    if _grows(value) or any(other.varies for other in values[1:]):
        return False
    varying = np.any([array != (value.known or (array,))[0] for array in value.known or ()], axis=0)
    return int(np.sum(varying)) <= _MOST_FACTORS


_SPECIAL: Final[Mapping[str, Callable[[Sequence[Value]], Any]]] = {
    "Mul": _multiplies_exactly,
    "Div": _divides_exactly,
    "Max": _keeps_order,
    "Min": _keeps_order,
    "Range": _counts_by_one,
    "ReduceProd": _reduces_exactly,
}

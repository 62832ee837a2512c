"""What is known of a graph's tensors while their rows are followed through it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# The graph is followed with each of these numbers of rows at once. What grows with the rows is told from what does not
# by comparing; with one row dimensions may vanish, an even number may be treated as no odd one is, and no
# limit that a graph sets is as high as the last.
ROWS: Final = (1, 2, 3, 1021)
COUNTS: Final = "works with the number of rows"


class NotFollowed(Exception):
    """What a node does to rows, or may do, for which they are not known to be independent. Reads on after its name."""


class NotShown(Exception):
    """Why a graph's rows are not known to be independent: the node, and what it does to them."""


class Misfit(Exception):
    """The graph takes no tensors of the sizes that were assumed for its open dimensions."""


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor, as it is with each number of rows in ROWS.

    `axis` is where its rows lie: of that dimension, which is n times as large with n rows, each row has an equal share,
    in order, that is made of this row alone. Without one no row has a part in it. `known` are the elements, where
    they follow from the graph's constants and the sizes of its inputs: these may still vary with the number of rows.
    `own` is the column, along the last dimension, in which indices have each row's own place among the others.
    `padding` is the text with which rows are filled up to the longest of them. `counts`: no elements are known, and
    they depend on how many rows there are, or on places among them: only the sizes are of use.
    """

    element: int  # TensorProto.DataType
    shapes: tuple[Shape, ...]
    axis: int | None = None
    known: tuple[Array, ...] | None = None
    own: int | None = None
    padding: bytes | None = None
    counts: bool = False

    @property
    def rank(self) -> int:
        return len(self.shapes[0])

    @property
    def varies(self) -> bool:
        """Whether there is more to it than constants: its sizes or its known elements depend on how many rows come."""
        if any(shape != self.shapes[0] for shape in self.shapes):
            return True
        known = self.known
        return known is not None and not all(np.array_equal(array, known[0]) for array in known)

    def share(self, axis: int) -> int | None:
        """How much of the dimension each row has, where it is n times that with n rows."""
        shares = {divmod(shape[axis], rows) for shape, rows in zip(self.shapes, ROWS, strict=True)}
        return shares.pop()[0] if len(shares) == 1 and not next(iter(shares))[1] else None


def constant(element: int, array: Array) -> Value:
    """The value of a constant array of the graph."""
    return Value(element, (array.shape,) * len(ROWS), known=(array,) * len(ROWS))


def value_of(arrays: Sequence[Array]) -> Value:
    """The value whose elements `arrays` are, one array for each number of rows that is tried."""
    element = helper.np_dtype_to_tensor_dtype(arrays[0].dtype)
    return Value(element, tuple(array.shape for array in arrays), known=tuple(arrays))


def settle(value: Value) -> Value:
    """The value as data: where it varies with the number of rows it must be the same for each of them, as zeros are.

    Raises NotFollowed for what counts the rows, such as their number or a row's place among the others.
    """
    if value.own is not None:
        raise NotFollowed("works with the places of rows")
    if value.counts:
        raise NotFollowed(COUNTS)
    if value.axis is not None or not value.varies:
        return value
    assert value.known is not None  # what is not known only varies along its axis
    if any(len(shape) != value.rank for shape in value.shapes):
        raise NotFollowed("loses a dimension where there is one row")
    varying = [axis for axis in range(value.rank) if len({shape[axis] for shape in value.shapes}) > 1]
    if len(varying) != 1 or (share := value.share(varying[0])) is None:
        raise NotFollowed(COUNTS)
    axis = varying[0]
    parts = []
    for array, rows in zip(value.known, ROWS, strict=True):
        by_row = np.moveaxis(array, axis, 0).reshape(rows, share, *np.delete(array.shape, axis))
        if not all(np.array_equal(row, by_row[0]) for row in by_row):
            raise NotFollowed("works with the places of rows")
        parts.append(by_row[0])
    if not all(np.array_equal(part, parts[0]) for part in parts):
        raise NotFollowed(COUNTS)
    return Value(value.element, value.shapes, axis)


@dataclass(frozen=True, slots=True)
class Call:
    """A node with what is known of its inputs, of which those that are left out are None.

    `inputs` are settled, but for the `parameters`, such as the shape that a Reshape is to make.
    """

    node: NodeProto
    domain: str
    version: int
    inputs: Sequence[Value | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[tuple[int, Value]]:
        """The inputs that have rows, each with its place."""
        return [(at, value) for at, value in enumerate(self.inputs) if value is not None and value.axis is not None]

    def has(self, at: int) -> bool:
        return at < len(self.inputs) and self.inputs[at] is not None

    def at(self, at: int) -> Value:
        """The input at that place. Raises NotFollowed where it was left out."""
        value = self.inputs[at] if at < len(self.inputs) else None
        if value is None:
            raise NotFollowed("lacks an input")
        return value

    def numbers(self, at: int) -> tuple[list[int], ...] | None:
        """A parameter's integers for each number of rows; None where it was left out. Raises NotFollowed if unknown."""
        if not self.has(at):
            return None
        value = self.at(at)
        if value.known is None:
            raise NotFollowed("takes a parameter that is computed from the rows or lies outside the graph")
        return tuple([int(number) for number in array.ravel()] for array in value.known)

    def axes(self, at: int, rank: int, name: str = "axes") -> list[int] | None:
        """Axes that an attribute or, in later opsets, the input at that place names; None where neither does."""
        found = self.attributes.get(name)
        if found is None and (numbers := self.numbers(at)) is not None:
            if any(those != numbers[0] for those in numbers):
                raise NotFollowed("takes axes that vary with the number of rows")
            found = numbers[0]
        if found is None:
            return None
        return [axis + rank if axis < 0 else axis for axis in ([found] if isinstance(found, int) else found)]

    def axis(self, default: int, rank: int, name: str = "axis") -> int:
        """The attribute `axis`, counted from the first."""
        axis = int(self.attributes.get(name, default))
        return axis + rank if axis < 0 else axis

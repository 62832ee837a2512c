"""Whether a graph answers each row by itself: shown by following the rows through it, or else not shown."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from onnx import ModelProto, TensorProto, TensorShapeProto, ValueInfoProto
from onnx.inliner import inline_local_functions

from storage.importers.rows.follow import Walk, describe_node
from storage.importers.rows.value import ROWS, Misfit, NotFollowed, NotShown, Shape, Value, settle

__all__ = ["Shown", "describe_node", "follow_rows"]

# Sizes for the open dimensions, which nothing divides: what is shown for them holds for others. Small ones first, then
# those that pictures and sound need, and last what many a graph was made for.
_PRIMES: Final = ((7, 11, 13, 17, 19, 23, 31, 37), (227, 229, 233, 239, 241, 251, 257, 263))
_USUAL: Final = (224, 3000, 128, 512, 64, 32, 28, 16, 8, 4, 2, 1)
_FLOATS: Final = frozenset((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE))


@dataclass(frozen=True, slots=True)
class Shown:
    """`why_not` is None where each row of the outputs is made of the same row of the inputs alone, however many come.

    `scaled`: but for a scale that is taken from the whole batch, as dynamic quantisation does. `bounded`: which no row
    can make large at will, as the graph takes no numbers but whole ones, which it looks up in tables.
    """

    why_not: str | None
    scaled: bool = False
    bounded: bool = True


def follow_rows(model: ModelProto) -> Shown:
    """Follow the first dimension of every input of the graph to its outputs."""
    if model.functions:
        model = inline_local_functions(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    versions = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}
    misfit = "its inputs are of unknown shapes"
    for given in _assume_sizes(inputs):
        walk = Walk(versions)
        try:
            outputs = walk.through(model.graph, given)
            for info, value in zip(model.graph.output, outputs, strict=True):
                _check_output(info.name, settle(value))
        except (NotShown, NotFollowed) as reason:
            return Shown(str(reason))
        except Misfit as reason:
            misfit = f"no sizes were found for its open dimensions ({reason})"
            continue
        return Shown(None, walk.scaled, not any(value.type.tensor_type.elem_type in _FLOATS for value in inputs))
    return Shown(misfit)


def _assume_sizes(inputs: Sequence[ValueInfoProto]) -> Iterator[dict[str, Value]]:
    """Sizes to try: dimensions of one name are of one size, or else those in one place, or else all of them."""
    if not all(value.type.tensor_type.HasField("shape") for value in inputs):
        return
    for primes in _PRIMES:
        yield _give_sizes(inputs, primes, by_name=True)
        yield _give_sizes(inputs, primes, by_name=False)
    for size in _USUAL:
        yield _give_sizes(inputs, (size,), by_name=False)


def _give_sizes(inputs: Sequence[ValueInfoProto], choice: Sequence[int], *, by_name: bool) -> dict[str, Value]:
    sizes: dict[Hashable, int] = {}
    batch = {value.type.tensor_type.shape.dim[0].dim_param for value in inputs} - {""}

    def size(place: int, dim: TensorShapeProto.Dimension, rows: int) -> int:
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0:
            return dim.dim_value
        if place == 0 or dim.dim_param in batch:
            return rows
        if dim.dim_param.isdecimal():  # as some exporters call a dimension that was to be open and is not
            return int(dim.dim_param)
        key = dim.dim_param if by_name and dim.dim_param else place
        return sizes.setdefault(key, choice[len(sizes) % len(choice)])

    def shape(value: ValueInfoProto, rows: int) -> Shape:
        return tuple(size(place, dim, rows) for place, dim in enumerate(value.type.tensor_type.shape.dim))

    return {
        value.name: Value(value.type.tensor_type.elem_type, tuple(shape(value, rows) for rows in ROWS), 0)
        for value in inputs
    }


def _check_output(name: str, value: Value) -> None:
    if value.padding is not None:
        raise NotShown(f"the output '{name}' is padded to the longest text of a batch")
    if value.axis != 0 or value.share(0) != 1:
        raise NotShown(f"the output '{name}' has no row for each of the inputs'")

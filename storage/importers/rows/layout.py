"""Where rows lie after operators that move elements about: shapes, axes, indices."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Final

import numpy as np

from storage.importers.rows.sizes import sizes
from storage.importers.rows.value import ROWS, Array, Call, Misfit, NotFollowed, Value

_TO_THE_END: Final = 2**31 - 1


def only_axis(call: Call, at: int = 0) -> int:
    """The axis of the input at that place. Raises NotFollowed where others have rows as well, or this one has none."""
    rows = call.rows
    if [place for place, _ in rows] != [at]:
        raise NotFollowed("takes rows where it should take constants")
    axis = rows[0][1].axis
    assert axis is not None
    return axis


def common_axis(call: Call, rank: int | None = None, places: range | None = None) -> int:
    """The axis that the inputs' rows have in common once shorter shapes are filled up on the left.

    Raises NotFollowed where some lie across others, or across the elements of a constant.
    """
    inputs = [v for at, v in enumerate(call.inputs) if v is not None and (places is None or at in places)]
    rank = rank or max(value.rank for value in inputs)
    axes = {value.axis + rank - value.rank for value in inputs if value.axis is not None}
    if len(axes) != 1:
        raise NotFollowed("takes the rows of one input across those of another")
    axis = axes.pop()
    shares = set()
    for value in inputs:
        own = axis - (rank - value.rank)
        if value.axis is not None:
            shares.add(value.share(own))
        elif own >= 0 and value.shapes[0][own] != 1:
            raise NotFollowed("takes rows by their places among others")
    if len(shares) != 1:
        raise NotFollowed("takes the rows of one input across those of another")
    return axis


def elementwise(call: Call) -> int:
    return common_axis(call)


def transpose(call: Call) -> int:
    axis, rank = only_axis(call), call.at(0).rank
    return list(call.attributes.get("perm", range(rank)[::-1])).index(axis)


def squeeze(call: Call) -> int:
    axis, rank = only_axis(call), call.at(0).rank
    axes = call.axes(1, rank)
    if axes is None:
        raise NotFollowed("drops the dimension of rows where there is one row")
    if axis in axes:
        raise NotFollowed("drops the dimension of rows")
    return axis - sum(dropped < axis for dropped in axes)


def unsqueeze(call: Call) -> int:
    axis, value = only_axis(call), call.at(0)
    numbers = call.attributes.get("axes") or (call.numbers(1) or ((),))[0]
    rank = value.rank + len(numbers)
    added = {number + rank if number < 0 else number for number in numbers}
    return [at for at in range(rank) if at not in added][axis]


def reshape(call: Call) -> int:
    """Elements keep their order: rows stay whole where a dimension has as many elements before and behind them."""
    axis, value = only_axis(call), call.at(0)
    target = (call.numbers(1) or ((),))[0]
    try:
        ((_, shapes),) = sizes(call)
    except Misfit as misfit:
        if target and target[0] == -1:  # with an odd number of rows or another size it may well fit, across them
            raise NotFollowed("may put parts of several rows into one") from misfit
        raise
    if [prod(shape) for shape in shapes] != [prod(shape) for shape in value.shapes]:
        raise Misfit("a Reshape to another number of elements")
    before = {prod(shape[:axis]) for shape in value.shapes}
    behind = [prod(shape[axis:]) // rows for shape, rows in zip(value.shapes, ROWS, strict=True)]
    made = Value(value.element, shapes)
    for place in range(made.rank):
        kept = [prod(shape[place:]) // rows for shape, rows in zip(shapes, ROWS, strict=True)]
        if {prod(shape[:place]) for shape in shapes} == before and made.share(place) is not None and kept == behind:
            return place
    raise NotFollowed("puts parts of several rows into one, or rows between others")


def expand(call: Call) -> int:
    axis, value = only_axis(call), call.at(0)
    ((_, shapes),) = sizes(call)
    return axis + len(shapes[0]) - value.rank


def tile(call: Call) -> int:
    axis = only_axis(call)
    for repeats in call.numbers(1) or ():
        if repeats[axis] != 1:
            raise NotFollowed("repeats the rows")
    return axis


def concatenate(call: Call) -> int:
    axis = common_axis(call)
    if axis == call.axis(0, call.at(0).rank):
        raise NotFollowed("puts other rows behind the rows")
    return axis


def split(call: Call) -> int:
    axis = only_axis(call)
    if axis == call.axis(0, call.at(0).rank):
        raise NotFollowed("takes the rows apart")
    return axis


def slice_(call: Call) -> int:
    axis, value = only_axis(call), call.at(0)
    if call.version < 10:
        starts, ends = ((list(call.attributes[name]),) * len(ROWS) for name in ("starts", "ends"))
        axes, steps = call.attributes.get("axes"), None
    else:
        starts, ends = call.numbers(1) or (), call.numbers(2) or ()
        axes, steps = (call.numbers(3) or (None,))[0], call.numbers(4)
    taken = [at + value.rank if at < 0 else at for at in (axes if axes is not None else range(len(starts[0])))]
    if any(len({those[at] for those in ends}) > 1 for at, along in enumerate(taken) if along != axis):
        raise NotFollowed("takes more of each row, or less, by the number of rows")
    if axis not in taken:
        return axis
    place = taken.index(axis)
    limits = {those[place] for those in ends}
    whole = (
        {those[place] for those in starts} == {0}
        and (steps is None or {those[place] for those in steps} == {1})
        # Up to how many there are, or without an end; any number may be too low once there are more rows.
        and (min(limits) >= _TO_THE_END or [those[place] for those in ends] == [shape[axis] for shape in value.shapes])
    )
    if not whole:
        raise NotFollowed("takes some of the rows")
    return axis


def gather(call: Call) -> int:
    data, indices = call.at(0), call.at(1)
    along = call.axis(0, data.rank)
    if data.axis is None:
        return along + _axis(indices)
    if indices.axis is not None:
        raise NotFollowed("looks things up in all rows for each of them")
    if along == data.axis:
        return along + _own_row(_with_a_column(indices), 0, data.share(along))
    return data.axis if data.axis < along else data.axis - 1 + indices.rank


def chooses_rows(call: Call) -> bool:
    """Whether it is a Gather that takes places in the dimension in which the rows lie, by their number."""
    data = call.inputs[0]
    chosen = not call.domain and call.node.op_type == "Gather" and data is not None and data.axis is not None
    return chosen and call.axis(0, call.at(0).rank) == call.at(0).axis and call.at(1).known is not None


def _with_a_column(indices: Value) -> Value:
    """Indices as GatherND has them: those of one element along their last dimension."""
    known = None if indices.known is None else tuple(array[..., np.newaxis] for array in indices.known)
    return replace(indices, shapes=tuple((*shape, 1) for shape in indices.shapes), known=known)


def elements_by_row(call: Call) -> int:
    axis = common_axis(call)
    if axis == call.axis(0, call.at(0).rank):
        raise NotFollowed("chooses among the rows")
    if len(call.rows) != len(call.inputs):
        raise NotFollowed("takes rows by their places among others")
    return axis


def with_own_rows(inputs: Sequence[Value | None], axis: int) -> tuple[int, int] | None:
    """Where indices that are put together of columns have rows, and in which column each row's own place.

    None where no column is that, or others are of no rows: then it is a Concat like any other.
    """
    values = [value for value in inputs if value is not None]
    if axis != values[0].rank - 1 or any(value.shapes[0][-1] != 1 for value in values):
        return None
    for column, value in enumerate(values):
        if value.known is None or not value.varies:
            continue
        try:
            rows = _own_row(value, 0)
        except NotFollowed:
            continue
        others = values[:column] + values[column + 1 :]
        if all(other.axis == rows and other.share(rows) == 1 and other.own is None for other in others):
            return rows, column
    return None


def gather_nd(call: Call) -> int:
    data, indices = call.at(0), call.at(1)
    shared = int(call.attributes.get("batch_dims", 0))
    depth = indices.shapes[0][-1]
    if indices.own is not None and (shared or data.axis != indices.own):
        raise NotFollowed("takes rows by their places among others")
    if data.axis is None:
        axis = _axis(indices)
        if shared or axis == indices.rank - 1:
            raise NotFollowed("takes rows by their places among others")
        return axis
    if data.axis < shared:
        if indices.axis != data.axis:
            raise NotFollowed("chooses among the rows")
        return data.axis
    if indices.axis is None and data.axis >= shared + depth and not indices.varies:
        return indices.rank - 1 + data.axis - shared - depth
    if not shared and data.axis < depth:
        return _own_row(indices, data.axis, data.share(data.axis))
    raise NotFollowed("chooses among the rows")


def _own_row(indices: Value, column: int, share: int | None = 1) -> int:
    """The axis of indices that take for each row, of all that they could, that row itself.

    `share`: how many places of the dimension in which the column chooses are one row's.
    """
    if indices.own is not None:
        if indices.own == column and indices.axis is not None and share == 1:
            return indices.axis
        raise NotFollowed("chooses among the rows")
    for axis in range(indices.rank - 1):
        if indices.known is not None and share is not None and indices.share(axis) == 1:
            by_row = [np.moveaxis(array, axis, 0) for array in indices.known]
            if all(_is_own_row(array, column, share, by_row[0][0]) for array in by_row):
                return axis
    raise NotFollowed("chooses among the rows")


def _is_own_row(by_row: Array, column: int, share: int, first: Array) -> bool:
    """Whether each row takes of itself what the first of one row does of it."""
    if by_row.shape[1:] != first.shape:
        return False
    expected = np.repeat(first[np.newaxis], len(by_row), axis=0)
    expected[..., column] += share * np.arange(len(by_row)).reshape(-1, *[1] * (first.ndim - 1))
    inside = (first[..., column] >= 0) & (first[..., column] < share)
    return bool(np.all(inside)) and np.array_equal(by_row, expected)


def scatter_nd(call: Call) -> int:
    data, indices, updates = call.at(0), call.at(1), call.at(2)
    depth = indices.shapes[0][-1]
    if data.axis is not None and data.axis < depth and data.share(data.axis) == 1:
        if updates.axis != _own_row(indices, data.axis):
            raise NotFollowed("writes to rows by their places among others")
        return data.axis
    if data.axis is None or indices.axis is not None or indices.varies or data.axis < depth:
        raise NotFollowed("writes to chosen rows")
    axis = indices.rank - 1 + data.axis - depth
    if updates.axis != axis:
        raise NotFollowed("writes to rows by their places among others")
    return data.axis


def pad(call: Call) -> int:
    axis, value = only_axis(call), call.at(0)
    pads = [list(call.attributes["pads"])] * len(ROWS) if "pads" in call.attributes else list(call.numbers(1) or ())
    axes = call.axes(3, value.rank) or list(range(value.rank))
    if axis in axes:
        at = axes.index(axis)
        if any(those[at] or those[at + len(axes)] for those in pads):
            raise NotFollowed("adds rows")
    return axis


def resize(call: Call) -> int:
    axis, value = only_axis(call), call.at(0)
    ((_, shapes),) = sizes(call)
    if call.attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize":
        raise NotFollowed("may cut rows off")
    if any(made[axis] != given[axis] for made, given in zip(shapes, value.shapes, strict=True)):
        raise NotFollowed("makes other rows of the rows")
    if (scale := _scale_of(call, axis)) is not None and scale != 1:  # by which so few rows may not grow yet
        raise NotFollowed("moves the rows")
    return axis


def _scale_of(call: Call, axis: int) -> float | None:
    """By how much a Resize is told to stretch the axis: None where it is told sizes, or not that axis."""
    at = {"Upsample": 1}.get(call.node.op_type, 1 if call.version < 11 else 2)
    if not call.has(at) or not (scales := (call.at(at).known or (np.empty(0),))[0]).size:
        return None
    axes = call.attributes.get("axes", range(scales.size))
    rank = call.at(0).rank
    return next((float(scale) for own, scale in zip(axes, scales, strict=True) if own % rank == axis), None)


def one_hot(call: Call) -> int:
    axis, rank = only_axis(call), call.at(0).rank + 1
    return axis + (call.axis(-1, rank) <= axis)


def reverse_sequences(call: Call) -> int:
    axis = call.at(0).axis
    if axis is None or axis != int(call.attributes.get("batch_axis", 1)) or call.at(1).axis != 0:
        raise NotFollowed("turns the order of rows round")
    return axis


def _axis(value: Value) -> int:
    if value.axis is None:
        raise NotFollowed("takes rows where it should take constants")
    return value.axis

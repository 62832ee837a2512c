"""Where rows lie after operators that compute: products, normalisations, sums, layers."""

from collections.abc import Callable
from math import prod
from typing import Final

from storage.importers.rows.layout import common_axis, only_axis
from storage.importers.rows.value import Call, NotFollowed

ADDS: Final = "adds up over the rows"


def product(call: Call, *, inputs: tuple[int, int] = (0, 1)) -> int:
    """`[..., m, k]` by `[..., k, n]`: rows may lie in m, in n, or in what stands before both."""
    a, b = (call.at(at) for at in inputs)
    if any(at not in inputs for at, _ in call.rows) or call.attributes.get("transBatchA", 0):
        raise NotFollowed("takes rows where it should take constants")
    if call.attributes.get("transBatchB", 0):
        raise NotFollowed("takes rows where it should take constants")
    rank = max(a.rank, b.rank)
    for value, other, name, summed in ((a, b, "transA", -1), (b, a, "transB", -2)):
        if value.axis is None:
            continue
        if value.rank == 1 or value.axis - value.rank == (summed if not call.attributes.get(name) else -3 - summed):
            raise NotFollowed(ADDS)
        if value.axis - value.rank >= -2:
            if other.axis is not None:
                raise NotFollowed("multiplies rows by rows")
            if other.rank == 1:
                return rank - 2
            return rank - 2 if summed == -1 else rank - 1
    return _outer(call, inputs, rank)


def _outer(call: Call, inputs: tuple[int, int], rank: int) -> int:
    pair = [call.at(at) for at in inputs]
    axes = {value.axis + rank - value.rank for value in pair if value.axis is not None}
    if len(axes) != 1:
        raise NotFollowed("multiplies rows by rows")
    axis = axes.pop()
    for value in pair:
        own = axis - (rank - value.rank)
        if value.axis is None and own >= 0 and value.shapes[0][own] != 1:
            raise NotFollowed("takes rows by their places among others")
    # The product with a vector has no last dimension.
    return axis


def gemm(call: Call) -> int:
    axes = set()
    for at, name, summed in ((0, "transA", 1), (1, "transB", 0)):
        axis = call.at(at).axis
        if axis is not None:
            if axis == (1 - summed if call.attributes.get(name) else summed):
                raise NotFollowed(ADDS)
            axes.add(at)
    if call.has(2) and (bias := call.at(2)).axis is not None:
        axes.add(bias.axis + 2 - bias.rank)
    if len(axes) != 1:
        raise NotFollowed("multiplies rows by rows")
    (axis,) = axes
    if call.has(2) and (bias := call.at(2)).axis is None:
        own = axis - (2 - bias.rank)
        if own >= 0 and bias.shapes[0][own] != 1:
            raise NotFollowed("takes rows by their places among others")
    return axis


def qlinear_product(call: Call) -> int:
    return product(call, inputs=(0, 3))


def packed_product(call: Call) -> int:
    axis = only_axis(call)
    if axis == call.at(0).rank - 1:
        raise NotFollowed(ADDS)
    return axis


def row_first(call: Call) -> int:
    """A layer whose first dimension is its batch. What else has rows has them there too; the others are constants."""
    if any(value.axis != 0 for _, value in call.rows) or call.at(0).axis is None:
        raise NotFollowed("takes another dimension than the first for its batch")
    if len({value.share(0) for _, value in call.rows}) > 1:
        raise NotFollowed("takes the rows of one input across those of another")
    return 0


def image_layer(call: Call) -> int:
    if only_axis(call) != 0:
        raise NotFollowed("takes another dimension than the first for its batch")
    return 0


def max_pool(call: Call) -> int:
    if len([name for name in call.node.output if name]) > 1:
        raise NotFollowed("gives places that count from the first row")
    return image_layer(call)


def batch_norm(call: Call) -> int:
    trains = call.attributes.get("training_mode", 0) or (call.version < 7 and not call.attributes.get("is_test", 0))
    if trains or len([name for name in call.node.output if name]) > 1:
        raise NotFollowed("takes the mean of a batch")
    if only_axis(call) == 1:
        raise NotFollowed("takes rows for channels")
    return only_axis(call)


def layer_norm(call: Call) -> int:
    return _before(call, call.axis(-1, call.at(0).rank), only_axis(call))


def skip_layer_norm(call: Call) -> int:
    axis = common_axis(call)
    return _before(call, call.at(0).rank - 1, axis)


def _before(call: Call, first: int, axis: int) -> int:
    if axis >= first:
        raise NotFollowed("normalises over the rows")
    return axis


def softmax(call: Call) -> int:
    axis, rank = only_axis(call), call.at(0).rank
    if call.version < 13 and call.domain == "":
        return _before(call, call.axis(1, rank), axis)
    return _across(call, call.axis(-1, rank), axis)


def across_axis(default: int) -> Callable[[Call], int]:
    def rule(call: Call) -> int:
        return _across(call, call.axis(default, call.at(0).rank), only_axis(call))

    return rule


def _across(call: Call, along: int, axis: int) -> int:
    if axis == along:
        raise NotFollowed("works along the rows")
    return axis


def cumulate(call: Call) -> int:
    axes = call.numbers(1)
    rank = call.at(0).rank
    if axes is None or any(those != axes[0] for those in axes):
        raise NotFollowed("works along an axis that cannot be told")
    return _across(call, axes[0][0] % rank, only_axis(call))


def mean_variance(call: Call) -> int:
    axis, rank = only_axis(call), call.at(0).rank
    if axis in [at % rank for at in call.attributes.get("axes", (0, 2, 3))]:
        raise NotFollowed("normalises over the rows")
    return axis


def reduce(call: Call) -> int:
    axis, rank = only_axis(call), call.at(0).rank
    axes = call.axes(1, rank)
    if not axes:
        if call.attributes.get("noop_with_empty_axes"):
            return axis
        axes = list(range(rank))
    if axis in axes:
        raise NotFollowed(ADDS if call.node.op_type in ("ReduceSum", "ReduceMean") else "reduces over the rows")
    return axis if call.attributes.get("keepdims", 1) else axis - sum(at < axis for at in axes)


def arg_reduced(call: Call) -> int:
    axis, rank = only_axis(call), call.at(0).rank
    along = call.axis(0, rank)
    _across(call, along, axis)
    return axis if call.attributes.get("keepdims", 1) else axis - (along < axis)


def triangle(call: Call) -> int:
    if (axis := only_axis(call)) >= call.at(0).rank - 2:
        raise NotFollowed("works along the rows")
    return axis


def einsum(call: Call) -> int:
    equation = call.attributes["equation"].decode().replace(" ", "")
    given, arrow, made = equation.partition("->")
    if not arrow or "." in equation:
        raise NotFollowed("has an equation that is not followed")
    terms = given.split(",")
    letters = {terms[at][value.axis] for at, value in call.rows if value.axis is not None}
    if len(letters) != 1 or (letter := letters.pop()) not in made:
        raise NotFollowed("adds up over the rows, or multiplies rows by rows")
    for at, term in enumerate(terms):
        if term.count(letter) > 1 or (letter in term and call.at(at).axis != term.index(letter)):
            raise NotFollowed("multiplies rows by rows")
    place: int = made.index(letter)
    return place


def recurrent(call: Call) -> list[int]:
    """X `[time, n, input]` and states `[directions, n, hidden]` or, with layout 1, both with n first."""
    place = 0 if call.attributes.get("layout") else 1
    if call.at(0).axis != place:
        raise NotFollowed(
            "takes one row after the other for time" if place else "takes another dimension for its batch"
        )
    for at, value in call.rows:
        if value.axis != {0: place, 4: 0, 5: place, 6: place}.get(at):
            raise NotFollowed("takes rows where it should take constants")
    return [0 if place == 0 else 2, place, place]


def quantise(call: Call) -> int:
    """A scale for all, or one for each index along an axis that is not the rows'."""
    axis, scale = only_axis(call), call.at(1)
    if scale.rank and scale.shapes[0] != (1,):
        if scale.rank > 1:
            return common_axis(call)
        return _across(call, call.axis(1, call.at(0).rank), axis)
    return axis


def quantise_dynamically(call: Call) -> list[int | None]:
    return [only_axis(call), None, None]


def attention(call: Call) -> int:
    """ONNX's own. A mask of fewer than four dimensions has none for the batch."""
    if call.has(3) and call.at(3).axis is not None and call.at(3).rank != 4:
        raise NotFollowed("takes the rows of one input across those of another")
    return row_first(call)


def packed_attention(call: Call) -> list[int]:
    """`com.microsoft.Attention`: its second output, keys and values to keep, has rows behind the two of them."""
    return [row_first(call), 1]


def of_columns(call: Call) -> int:
    """Of `ai.onnx.ml`: `[n, columns]`, where one dimension alone would be the columns of one row."""
    if common_axis(call) != 0 or call.at(0).rank < 2:
        raise NotFollowed("takes the rows for columns")
    return 0


def columns_chosen(call: Call) -> int:
    """Of the last dimension of the first input, those at the second one's places, in a row."""
    data, places = call.at(0), call.at(1)
    if data.axis is None and places.axis is not None and prod(places.shapes[0][: places.axis]) == 1:
        return max(data.rank, 2) - 1
    if (axis := only_axis(call)) == data.rank - 1:
        raise NotFollowed("chooses among the rows")
    return axis


def normalise_texts(call: Call) -> int:
    if call.attributes.get("stopwords") or call.at(0).rank != 1:
        raise NotFollowed("leaves rows out")
    return only_axis(call)

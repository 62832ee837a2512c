"""Answers that are too large for JSON, refused before they are computed where their size is known by then."""

from math import prod
from typing import Final

from gateway.routing import Target
from wire.json_body import JsonLimits, check_answer
from wire.messages import InferRequest
from wire.tasks.vectors import DIMENSIONS

# Requests of so few rows are not looked at: to compute them in vain costs little, and nearly all requests are such.
FEW_ROWS: Final = 16


def check_expected(request: InferRequest, target: Target, limits: JsonLimits, otherwise: str) -> None:
    """Raises InvalidInput, with `otherwise`, where what `target` will answer is known to be too much for JSON.

    Whatever it is not known of is counted once it is there.
    """
    check_answer(_expect_values(request, target), 0, limits, otherwise)


def _expect_values(request: InferRequest, target: Target) -> int:
    """How many values the answer has at least, in tensors that are wanted as JSON."""
    if target.max_rows == 1 and not target.task.takes_text:
        return 0  # nobody but the graph knows how many rows it answers
    named = {
        output.name: request.binary_output if output.binary is None else output.binary for output in request.outputs
    }
    widths = [
        _width(spec.shape, request, target)
        for spec in target.manifest.outputs
        if not (named.get(spec.name, True) if named else request.binary_output)
    ]
    return request.inputs[0].rows * sum(widths)


def _width(shape: tuple[int, ...], request: InferRequest, target: Target) -> int:
    """How many values a row has at least: of a dimension of any size nothing is known."""
    width = prod(max(size, 0) for size in shape[1:])
    wanted = request.parameters.get(DIMENSIONS.name) if DIMENSIONS.name in target.task.reads else None
    return min(width, wanted) if type(wanted) is int and wanted > 0 else width

"""Golden cases: requests and the answers that a version must reproduce before it is ready.

A golden file is `{"tolerance": 1e-4, "cases": [{"inputs": [...], "outputs": [...]}]}`; the tensors are those of the
Open Inference Protocol's JSON. A floating-point number may be off by the tolerance, or by that part of itself where it
is above one; everything else must be equal, and NaN is equal to NaN.
"""

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from model_service.engines.base import NUMPY_DTYPES
from wire.codec import decode_request, decode_response
from wire.errors import ServingError
from wire.messages import InferRequest, InferResponse
from wire.tensors import Tensor

TOLERANCE = 1e-4


class GoldenMismatch(Exception):
    """The version does not reproduce its golden cases."""


@dataclass(slots=True, frozen=True)
class Case:
    """A request, and the outputs that must come back."""

    request: InferRequest
    outputs: tuple[Tensor, ...]


class Answers(Protocol):
    """A loaded version."""

    @property
    def name(self) -> str: ...

    async def infer(self, request: InferRequest) -> InferResponse: ...


def read(path: Path, model: str) -> tuple[list[Case], float]:
    """The cases for `model` in the file, and the tolerance. Raises GoldenMismatch where the file makes no sense."""
    try:
        document = orjson.loads(path.read_bytes())
        tolerance = _tolerance(document.get("tolerance", TOLERANCE))
        cases = [
            Case(
                decode_request(orjson.dumps({"inputs": case["inputs"]}), None, model, None),
                decode_response(orjson.dumps({"outputs": case["outputs"]}), None).outputs,
            )
            for case in document["cases"]
        ]
    except (ValueError, ServingError) as error:
        raise GoldenMismatch(f"{path.name} is no golden file: {error!s:.200}") from error
    except (OSError, TypeError, KeyError, AttributeError) as error:
        raise GoldenMismatch(f"{path.name} is no golden file: {error!r:.200}") from error
    if not cases:
        raise GoldenMismatch(f"{path.name} holds no cases")
    return cases, tolerance


def _tolerance(value: Any) -> float:
    # JSON's `true` is 1 to Python, and within infinity everything is equal.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"the tolerance must be a number of 0 or more, it is {value!r:.40}")
    return float(value)


async def check(model: Answers, path: Path) -> None:
    """Run every case. Raises GoldenMismatch with the tensor and the largest difference."""
    cases, tolerance = await asyncio.to_thread(read, path, model.name)
    for number, case in enumerate(cases, 1):
        try:
            response = await model.infer(case.request)
        except ServingError as error:
            raise GoldenMismatch(f"golden case {number}: {error}") from error
        answers = {tensor.name: tensor for tensor in response.outputs}
        for expected in case.outputs:
            if (got := answers.get(expected.name)) is None:
                raise GoldenMismatch(f"golden case {number}: the model has no output '{expected.name}'")
            if (wrong := difference(expected, got, tolerance)) is not None:
                raise GoldenMismatch(f"golden case {number}, output '{expected.name}': {wrong}")


def difference(expected: Tensor, got: Tensor, tolerance: float) -> str | None:
    """What sets `got` apart from `expected`; None where nothing does."""
    for what, want, have in (
        ("datatype", expected.datatype, got.datatype),
        ("shape", list(expected.shape), list(got.shape)),
    ):
        if want != have:
            return f"its {what} is {have}, {want} is expected"
    if expected.datatype == "BYTES":
        pairs = zip(expected.elements(), got.elements(), strict=True)
        return next((wrong for a, b in pairs if (wrong := _element_difference(a, b, tolerance))), None)
    want_values, have_values = (np.frombuffer(t.data, NUMPY_DTYPES[expected.datatype]) for t in (expected, got))
    if want_values.dtype.kind != "f":
        places = np.flatnonzero(want_values != have_values)
        return (
            f"element {places[0]} is {have_values[places[0]]}, {want_values[places[0]]} is expected"
            if len(places)
            else None
        )
    want_values, have_values = want_values.astype(np.float64), have_values.astype(np.float64)
    same = (want_values == have_values) | (np.isnan(want_values) & np.isnan(have_values))
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(want_values - have_values)
        # Beside infinity everything would be within its tolerance, and NaN is above no limit.
        near = np.isfinite(off) & (off <= tolerance * np.maximum(1.0, np.abs(want_values)))
    wrong_places = ~(same | near)
    if not wrong_places.any():
        return None
    return f"the largest difference is {off[wrong_places].max():.3g}, {tolerance:g} is allowed"


def _element_difference(expected: bytes, got: bytes, tolerance: float) -> str | None:
    if expected == got:
        return None
    try:
        want, have = orjson.loads(expected), orjson.loads(got)
    except orjson.JSONDecodeError:
        return f"{got!r:.80} came, {expected!r:.80} is expected"
    return _json_difference(want, have, tolerance, "")


def _json_difference(want: Any, have: Any, tolerance: float, at: str) -> str | None:
    match want, have:
        # Of JSON's numbers one with a fraction is floating-point, and so is what stands in its place.
        case (float(), int() | float()) | (int(), float()) if not isinstance(want, bool) and not isinstance(have, bool):
            off = abs(want - have)
            if off <= tolerance * max(1.0, abs(want)):
                return None
            return f"at {at or '/'} the difference is {off:.3g}, {tolerance:g} is allowed"
        case list(), list() if len(want) == len(have):
            pairs = zip(want, have, strict=True)
            found = (_json_difference(a, b, tolerance, f"{at}/{n}") for n, (a, b) in enumerate(pairs))
            return next(filter(None, found), None)
        case dict(), dict() if want.keys() == have.keys():
            found = (_json_difference(want[key], have[key], tolerance, f"{at}/{key}") for key in want)
            return next(filter(None, found), None)
        case _:
            same = type(want) is type(have) and want == have
    return None if same else f"at {at or '/'} there is {have!r:.80}, {want!r:.80} is expected"

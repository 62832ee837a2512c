"""The first requests of a model, before anyone else's: a version that cannot answer them is never ready."""

import logging
from math import prod
from pathlib import Path

from model_service import golden
from model_service.loaded_model import LoadedModel
from storage.manifest import Manifest, TensorSpec
from wire.datatypes import SIZES
from wire.errors import ServingError
from wire.messages import InferRequest
from wire.tensors import Tensor, join_bytes

log = logging.getLogger(__name__)
TEXT = b"the quick brown fox jumps over the lazy dog"
ROWS = 8
ADVICE = "If it cannot take zeros, or prose, give it golden cases of its own: headrace models add --golden FILE"


class WarmUpFailed(Exception):
    """The model failed on its first input."""


def check_size(manifest: Manifest, most: int) -> None:
    """Raises WarmUpFailed where the smallest input is larger than `most`, which no request may be: making it to try the
    version would take the machine's memory."""
    # A number takes two bytes of JSON, with its comma, and its own size in binary.
    least = sum([prod(map(abs, spec.shape)) * min(SIZES.get(spec.datatype, 2), 2) for spec in manifest.inputs])
    if least > most:
        raise WarmUpFailed(
            f"its inputs take {least:,} bytes at the least, and a request may have {most:,}: no request can ask it."
            " Export it for smaller ones, or raise HEADRACE_WORKER_MAX_BODY_BYTES and HEADRACE_GATEWAY_MAX_BODY_BYTES"
        )


async def warm_up(model: LoadedModel, folder: Path) -> None:
    """Run the version's golden cases or, where it has none, inputs of zeros in the shapes that it says it takes.

    Raises GoldenMismatch or WarmUpFailed.
    """
    if model.manifest.golden is not None:
        await golden.check(model, folder / model.manifest.golden)
        return
    for request in _requests(model.manifest):
        try:
            await model.infer(request)
        except ServingError as error:
            raise WarmUpFailed(f"the model failed on an input made for its warm-up: {error}. {ADVICE}") from error


def _requests(manifest: Manifest) -> list[InferRequest]:
    if any(size < 0 for spec in manifest.inputs for size in spec.shape[1:]):
        # Guessing a size would prove nothing: the graph may well be right to refuse it.
        log.info(
            "%s: shapes are open and there are no golden cases; its first request will be a client's", manifest.name
        )
        return []
    limits = manifest.batching
    counts = sorted({1, min(ROWS, limits.max_rows, limits.max_queue_rows)})
    return [InferRequest(manifest.name, None, [_zeros(spec, rows) for spec in manifest.inputs]) for rows in counts]


def _zeros(spec: TensorSpec, rows: int) -> Tensor:
    shape = tuple(rows if size < 0 else size for size in spec.shape)
    count = prod(shape)
    data = join_bytes([TEXT] * count) if spec.datatype == "BYTES" else bytes(count * SIZES[spec.datatype])
    return Tensor(spec.name, spec.datatype, shape, data)

"""The first requests of a model, before anyone else's: a version that cannot answer them is never ready."""

import logging
from math import prod
from pathlib import Path

from model_service import golden
from model_service.models import LoadedModel
from model_service.protocol.datatypes import SIZES
from model_service.protocol.errors import ServingError
from model_service.protocol.messages import InferRequest
from model_service.protocol.tensors import Tensor, join_bytes
from storage.manifest import Manifest, TensorSpec

log = logging.getLogger(__name__)
TEXT = b"the quick brown fox jumps over the lazy dog"
ROWS = 8


class WarmUpFailed(Exception):
    """The model failed on its first input."""


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
            raise WarmUpFailed(
                f"the model failed on an input made for its warm-up: {error}."
                " If it cannot take zeros, give it golden cases of its own"
            ) from error


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

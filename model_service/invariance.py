"""Whether a row's answer depends on the rows beside it, beyond what the manifest says."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from model_service import golden
from model_service.engines.base import NUMPY_DTYPES
from model_service.models import LoadedModel
from model_service.protocol.errors import ServingError
from model_service.protocol.messages import InferRequest
from model_service.protocol.tensors import Tensor, join_bytes
from storage.manifest import Manifest, TensorSpec

ROWS: Final = 8
WORDS: Final = ("a", "cat", "headrace", "high", "is", "on", "river", "sits", "the", "warm", "water", "windowsill")


async def dependence(model: LoadedModel, folder: Path) -> str | None:
    """How answers differ once the questions are asked at the same time; None where they do not.

    The questions are the version's golden cases or, where it has none and its shapes are closed, rows of random numbers
    and words. What the model refuses among them says nothing.
    """
    batching = model.manifest.batching
    tolerance = 0.0 if batching.batch_invariant else batching.tolerance
    if batching.max_rows == 1 or tolerance is None:
        return None
    if model.manifest.golden is not None:
        cases, _ = await asyncio.to_thread(golden.read, folder / model.manifest.golden, model.name)
        requests = [case.request for case in cases]
    else:
        requests = _random(model.manifest)
    try:
        return await _compare(model, requests, tolerance)
    except ServingError:
        return None


async def _compare(model: LoadedModel, requests: Sequence[InferRequest], tolerance: float) -> str | None:
    alone = [await model.infer(request) for request in requests]
    together = await asyncio.gather(*(model.infer(request) for request in requests))
    for expected, got in zip(alone, together, strict=True):
        for one, other in zip(expected.outputs, got.outputs, strict=True):
            if (wrong := golden.difference(one, other, tolerance)) is not None:
                return (
                    f"output '{one.name}' differs for a row beside other rows ({wrong}): its manifest should say"
                    " batching.batch_invariant false, and no batching.tolerance or a larger one"
                )
    return None


def _random(manifest: Manifest) -> list[InferRequest]:
    if any(size < 0 for spec in manifest.inputs for size in spec.shape[1:]):
        return []
    generator = np.random.default_rng(0)
    return [InferRequest(manifest.name, None, [_row(spec, generator) for spec in manifest.inputs]) for _ in range(ROWS)]


def _row(spec: TensorSpec, generator: np.random.Generator) -> Tensor:
    shape = (1, *spec.shape[1:])
    if spec.datatype == "BYTES":
        texts = generator.choice(WORDS, (int(np.prod(shape)), ROWS)).tolist()
        return Tensor(spec.name, "BYTES", shape, join_bytes(" ".join(words).encode() for words in texts))
    # Whole numbers are places in some table more often than not, and 0 is in every one.
    dtype = NUMPY_DTYPES[spec.datatype]
    values = generator.standard_normal(shape) if dtype.kind == "f" else np.zeros(shape)
    return Tensor(spec.name, spec.datatype, shape, values.astype(dtype).tobytes())

"""Made-up rows to try a model with of which only the manifest is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np

from model_service.engines.base import NUMPY_DTYPES
from storage.manifest import Manifest, TensorSpec
from wire.messages import InferRequest
from wire.tensors import Tensor, join_bytes

ROWS: Final = 8
WORDS: Final = ("a", "cat", "headrace", "high", "is", "on", "river", "sits", "the", "warm", "water", "windowsill")
# For dimensions of any size: small ones, then what pictures, texts and sound are often made to.
_SIZES: Final = (8, 16, 4, 32, 3, 2, 1, 64, 128, 224, 512, 3000)
_FEW_SIZES: Final = _SIZES[:6]
# Whole numbers are places in some table more often than not, and fewer tables are too small for the lower ones.
# As lengths or counts they would cost memory and time, so they are never larger than that.
_BELOW: Final = (20_000, 1000, 100, 30, 8, 2, 1)
_LARGEST: Final = 1 << 20
# Of all inputs of one row: where many dimensions are open, one size for all of them soon is more than memory.
_MOST_ELEMENTS: Final = 1 << 21
_ELEMENTS_OF_A_TEXT: Final = 100  # that take as much memory and time to make
_STRANGE_TEXTS: Final = (
    b"",
    b"a",
    "😀🚰".encode(),
    b"0 1 2 3 4 5 6 7",
    b"WATER " * 12,
    b"[SEP] [PAD] <pad> </s>",
    b"\n\t ",
)


@dataclass(frozen=True, slots=True)
class Probe:
    """Rows as requests of one row each, and other rows of the same shapes, kind by kind, to put beside them."""

    rows: list[InferRequest]
    strange: dict[str, InferRequest]


def probes(manifest: Manifest) -> Iterator[Probe]:
    """One guess after the other at what the model takes, the likeliest first."""
    whole = any(spec.datatype != "BYTES" and NUMPY_DTYPES[spec.datatype].kind in "iu" for spec in manifest.inputs)
    for sizes in _guesses(manifest):
        if _elements(manifest, sizes) > _MOST_ELEMENTS:
            continue
        for below in _BELOW if whole else _BELOW[:1]:
            yield _probe(manifest, sizes, below)


def _guesses(manifest: Manifest) -> Iterator[dict[int, int]]:
    """Sizes by place: dimensions of any size that stand in the same place are tried with the same size."""
    places = sorted({at for spec in manifest.inputs for at, size in enumerate(spec.shape) if at and size < 0})
    if not places:
        yield {}
        return
    for size in _SIZES:
        yield dict.fromkeys(places, size)
    if len(places) > 1:
        for chosen in product(_FEW_SIZES, repeat=min(len(places), 3)):
            if len(set(chosen)) > 1:
                yield dict(zip(places, [*chosen, *[chosen[-1]] * len(places)], strict=False))


def _elements(manifest: Manifest, sizes: dict[int, int]) -> int:
    weights = ((_ELEMENTS_OF_A_TEXT if spec.datatype == "BYTES" else 1, spec) for spec in manifest.inputs)
    return sum(weight * prod(_shape(spec, sizes)) for weight, spec in weights)


def _shape(spec: TensorSpec, sizes: dict[int, int]) -> tuple[int, ...]:
    """Of one row."""
    return 1, *[sizes[at] if size < 0 else size for at, size in enumerate(spec.shape[1:], 1)]


def _probe(manifest: Manifest, sizes: dict[int, int], below: int) -> Probe:
    generator = np.random.default_rng(0)

    def request(make: Any) -> InferRequest:
        tensors = []
        for spec in manifest.inputs:
            tensors.append(_tensor(spec, _shape(spec, sizes), make))
        return InferRequest(manifest.name, None, tensors)

    rows = [request(lambda spec, shape: _ordinary(spec, shape, below, generator)) for _ in range(ROWS)]
    kinds = {
        "NaN": np.nan,
        "infinities": np.inf,
        "negative infinities": -np.inf,
        "the largest numbers": 3e38,
        "zeros": 0.0,
    }
    strange = {
        kind: request(lambda spec, shape, number=number, at=at: _extreme(spec, shape, number, at))
        for at, (kind, number) in enumerate(kinds.items())
    }
    return Probe(rows, strange)


def texts() -> tuple[list[bytes], Sequence[bytes]]:
    """Texts of many lengths, and strange ones to put beside them."""
    generator = np.random.default_rng(0)
    ordinary = [" ".join(generator.choice(WORDS, 2 + 2 * at).tolist()).encode() for at in range(ROWS)]
    return ordinary, _STRANGE_TEXTS


def _tensor(spec: TensorSpec, shape: tuple[int, ...], make: Any) -> Tensor:
    values = make(spec, shape)
    data = join_bytes(values) if spec.datatype == "BYTES" else values.astype(NUMPY_DTYPES[spec.datatype]).tobytes()
    return Tensor(spec.name, spec.datatype, shape, data)


def _ordinary(spec: TensorSpec, shape: tuple[int, ...], below: int, generator: np.random.Generator) -> Any:
    if spec.datatype == "BYTES":
        chosen = generator.choice(WORDS, (int(np.prod(shape)), ROWS)).tolist()
        return [" ".join(words).encode() for words in chosen]
    match NUMPY_DTYPES[spec.datatype].kind:
        case "f":
            return generator.standard_normal(shape)
        case "b":
            return generator.integers(0, 2, shape)
        case _:
            # Nothing can be divided by 0, but where a table has no more than two rows, it is one of the two.
            dtype: Any = NUMPY_DTYPES[spec.datatype]
            most = min(below, int(np.iinfo(dtype).max))
            return generator.integers(1 if most > 2 else 0, most, shape)


def _extreme(spec: TensorSpec, shape: tuple[int, ...], number: float, at: int) -> Any:
    if spec.datatype == "BYTES":
        return [_STRANGE_TEXTS[at]] * int(np.prod(shape))
    dtype: Any = NUMPY_DTYPES[spec.datatype]
    match dtype.kind:
        case "f":
            return np.full(shape, min(number, float(np.finfo(dtype).max)) if np.isfinite(number) else number)
        case "b":
            return np.full(shape, at % 2)
        case _:
            limits = np.iinfo(dtype)
            numbers = (min(_LARGEST, limits.max), max(-_LARGEST, limits.min), 1, min(19_999, limits.max), 0)
            return np.full(shape, numbers[at])

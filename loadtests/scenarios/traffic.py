"""What is asked: requests without end, of real sentences, by turns or as often as words are used."""

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.sentences import corpus

TENSOR = "text"
SEED = 7
EXPONENT = 1.0
MIX = {"sentiment": 0.9, "minilm": 0.1}


@dataclass(frozen=True, slots=True)
class Request:
    """One to send: which model it is counted for, the path, the JSON of the Open Inference Protocol."""

    model: str
    path: str
    body: bytes


def requests(model: str, texts: Sequence[str], run: str | None = None) -> list[Request]:
    """One for each text. With `run`, a hexadecimal number, they share no cached answer with requests of other runs.

    It stands behind each text as blanks, which tokenizers pass over: the same work, and another key.
    """
    path = f"/v2/models/{model}/infer"
    blanks = "" if run is None else f"{int(run, 16):b}".translate({ord("0"): " ", ord("1"): "\t"})
    return [
        Request(model, path, json.dumps({"inputs": [_tensor(text + blanks)]}, ensure_ascii=False).encode())
        for text in texts
    ]


def by_turns(asked: Sequence[Request]) -> Iterator[Request]:
    """Each once before any comes again."""
    return itertools.cycle(asked)


def by_zipf(asked: Sequence[Request], exponent: float, seed: int) -> Iterator[Request]:
    """The k-th most wanted is asked in proportion to k to the power of minus `exponent`: G. K. Zipf's law (1949).

    Which one is the k-th is drawn with the seed.
    """
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(asked))
    weights = np.arange(1, len(asked) + 1, dtype=float) ** -exponent
    shares = weights.cumsum() / weights.sum()
    while True:
        for rank in np.searchsorted(shares, draw.random(4096)).tolist():
            yield asked[order[min(rank, len(asked) - 1)]]


def mixed(parts: Sequence[tuple[float, Iterator[Request]]], seed: int) -> Iterator[Request]:
    """Of each part its share of the requests, in random order."""
    draw = random.Random(seed)
    weights, sources = [share for share, _ in parts], [source for _, source in parts]
    while True:
        for source in draw.choices(sources, weights, k=4096):
            yield next(source)


def zipf_mix(run: str | None = None) -> Iterator[Request]:
    """The corpus by Zipf's law, to two models, each of which has favourites of its own."""
    texts = corpus()
    parts = [
        (share, by_zipf(requests(model, texts, run), EXPONENT, seed)) for seed, (model, share) in enumerate(MIX.items())
    ]
    return mixed(parts, SEED)


def _tensor(text: str) -> dict[str, object]:
    return {"name": TENSOR, "datatype": "BYTES", "shape": [1], "data": [text]}

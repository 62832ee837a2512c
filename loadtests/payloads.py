"""The workloads, and how a request for each stands in the JSON of the protocols that servers speak."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from loadtests.models import FEATURES
from loadtests.sentences import sentences

Workload = Literal["overhead", "minilm", "sentiment", "large"]
Item = str | list[float]  # a text, or the features of one row


def items(workload: Workload) -> list[Item]:
    """What is asked, one item a request: 1,000 different rows, or the sentences. `large` has a benchmark of its own."""
    if workload != "overhead":
        return list(sentences())
    rows = np.random.default_rng(11).normal(size=(1000, FEATURES))
    # Rounded, as features are; 17 digits each would make it a benchmark of number parsers.
    return [[round(float(value), 4) for value in row] for row in rows]


@dataclass(frozen=True)
class Dialect:
    """`encode` makes a request's body of one item; `decode` reads the answer's numbers, in order."""

    encode: Callable[[Item], str]
    decode: Callable[[bytes], list[float]]


def oip(tensor: str, flat: bool = True) -> Dialect:
    """The Open Inference Protocol v2: a row becomes FP32 [1, 64], a text BYTES [1]; `tensor` is the input's name."""

    def encode(item: Item) -> str:
        entry: dict[str, Any]
        if isinstance(item, str):
            entry = {"name": tensor, "datatype": "BYTES", "shape": [1] if flat else [1, 1], "data": [item]}
        else:
            entry = {"name": tensor, "datatype": "FP32", "shape": [1, len(item)], "data": item}
        return json.dumps({"inputs": [entry]})

    def decode(body: bytes) -> list[float]:
        values: list[float] = np.ravel(json.loads(body)["outputs"][0]["data"]).tolist()
        return values

    return Dialect(encode, decode)


def plain(request: Callable[[Item], Any], answer: Callable[[Any], Any] = lambda body: body) -> Dialect:
    """A protocol of a server's own: `request` makes the JSON of one item, `answer` finds the numbers in the JSON."""
    return Dialect(
        lambda item: json.dumps(request(item)),
        lambda body: [float(value) for value in np.ravel(answer(json.loads(body)))],
    )

"""A running server under test, and whether it answers what the graph itself does."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from loadtests.models import minilm_folder, overhead_folder
from loadtests.payloads import Dialect, Item
from loadtests.peers.served.onnx_models import MiniLM, Mlp
from loadtests.processes import post

TOLERANCE = 5e-3  # int8 graphs answer a little differently beside different neighbours


@dataclass(frozen=True)
class Target:
    """A server that is ready for one workload; `url` takes the requests that `dialect` makes."""

    name: str
    url: str
    dialect: Dialect

    def check(self, item: Item) -> None:
        """Ask once. Raises RuntimeError where the answer is not what ONNX Runtime says without any server."""
        found = self.dialect.decode(post(self.url, self.dialect.encode(item)))
        right = _minilm()([item])[0] if isinstance(item, str) else _mlp()(np.array([item], np.float32))[0]
        if np.shape(found) != right.shape or not np.allclose(found, right, atol=TOLERANCE):
            raise RuntimeError(f"{self.name} answers {found[:3]}... where the graph says {right[:3].tolist()}...")


@cache
def _minilm() -> MiniLM:
    return MiniLM(minilm_folder())


@cache
def _mlp() -> Mlp:
    return Mlp(overhead_folder())

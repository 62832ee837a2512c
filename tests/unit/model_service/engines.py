"""Engines that do what a test says, for batchers and models without a graph."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from threading import Event

import numpy as np

from model_service.engines.base import Arrays, EngineError
from model_service.engines.cancel import CancelToken
from model_service.loaded_model import LoadedModel
from model_service.tasks.base import Item
from model_service.tasks.tensors import TensorsTask
from storage.manifest import Manifest
from tests.unit.model_service.graphs import manifest
from wire.errors import InvalidInput

TWO = manifest(
    outputs=[
        {"name": "twice", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "thrice", "datatype": "FP32", "shape": [-1, 2]},
    ]
)


def item(number: int, length: int = 0, rows: int = 1, group: str = "") -> Item:
    return Item({"number": np.array(number)}, rows, length, group)


class Negating:
    """Answers each item's number times -1; keeps the numbers of every batch that it ran.

    `gates` are waited for, one by each run as long as there are any. A batch with a number in `bad` fails.
    """

    def __init__(self, *gates: Event, bad: Collection[int] = ()) -> None:
        self.batches: list[list[int]] = []
        self.finished = 0
        self._gates = list(gates)
        self._bad = bad

    def __call__(self, items: Sequence[Item], cancel: CancelToken) -> Sequence[int]:
        numbers = [int(item.features["number"]) for item in items]
        self.batches.append(numbers)
        if self._gates:
            assert self._gates.pop(0).wait(30)
        self.finished += 1
        if wrong := [number for number in numbers if number in self._bad]:
            raise InvalidInput(f"{wrong} in it") if len(numbers) == 1 else RuntimeError("the batch is bad")
        return [-number for number in numbers]


class Multiplying:
    """An engine: twice and thrice `x`. Waits for `gate`, and fails on rows that are negative."""

    inputs = tuple(TWO.inputs)
    outputs = tuple(TWO.outputs)

    def __init__(self, gate: Event | None = None) -> None:
        self.gate = gate
        self.runs = 0
        self.closed = False
        self.close_error: Exception | None = None

    def run(self, inputs: Arrays, cancel: CancelToken | None = None) -> Arrays:
        self.runs += 1
        if self.gate is not None:
            assert self.gate.wait(30)
        if (inputs["x"] < 0).any():
            raise EngineError("no negative numbers")
        return {"twice": inputs["x"] * 2, "thrice": inputs["x"] * 3}

    def close(self) -> None:
        self.closed = True
        if self.close_error is not None:
            raise self.close_error


def model(engine: Multiplying, described: Manifest = TWO, number: int = 1, name: str = "small") -> LoadedModel:
    return LoadedModel(name, number, described, engine, TensorsTask(described, engine))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def turns(count: int = 5) -> None:
    """Let what is ready in the event loop run, and what that makes ready."""
    for _ in range(count):
        await asyncio.sleep(0)

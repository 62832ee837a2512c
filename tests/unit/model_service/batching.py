"""Batchers that a test can ask with numbers."""

from typing import Any

from model_service.batch import Run
from model_service.batcher import Batcher
from storage.manifest import Batching
from tests.unit.model_service.engines import item

FOREVER_MS = 10_000.0  # longer than a test may take: whoever were held for so long would fail it


def batcher(run: Run, instances: int = 1, **limits: Any) -> Batcher:
    return Batcher(run, Batching(**{"max_tokens": 0, "max_delay_ms": FOREVER_MS, **limits}), instances=instances)


async def answer(batching: Batcher, *numbers: int, deadline: float | None = None) -> list[int]:
    return await batching.submit([item(number) for number in numbers], deadline)

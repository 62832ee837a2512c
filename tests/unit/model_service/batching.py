"""Batchers that a test can ask with numbers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from model_service.batch import Run
from model_service.batcher import Batcher
from model_service.engines.cancel import CancelToken
from model_service.tasks.base import Item
from storage.manifest import Batching
from tests.unit.model_service.engines import item

FOREVER_MS = 10_000.0  # longer than a test may take: whoever were held for so long would fail it
Blocking = Callable[[Sequence[Item], CancelToken], Sequence[Any]]


def in_thread(run: Blocking) -> Run:
    return lambda items, cancel: asyncio.to_thread(run, items, cancel)


def batcher(run: Blocking, instances: int = 1, **limits: Any) -> Batcher:
    settings = Batching(**{"max_tokens": 0, "max_delay_ms": FOREVER_MS, **limits})
    return Batcher(in_thread(run), settings, instances=instances)


async def answer(batching: Batcher, *numbers: int, deadline: float | None = None) -> list[int]:
    return await batching.submit([item(number) for number in numbers], deadline)

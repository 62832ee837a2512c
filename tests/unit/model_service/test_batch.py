"""Whose fault it is when a batch fails: its items run once more, one by one."""

import asyncio
from asyncio import create_task, gather
from collections.abc import Sequence
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_service.batcher import Batcher
from model_service.engines.cancel import CancelToken
from model_service.tasks.base import Item
from tests.unit.model_service.batching import answer, batcher
from tests.unit.model_service.engines import Negating, turns, until
from wire.errors import EngineFailed, InvalidInput, ServingError


async def outcome(batching: Batcher, number: int) -> object:
    try:
        return (await answer(batching, number))[0]
    except ServingError as error:
        return type(error), str(error)


@given(st.lists(st.integers(1, 9), unique=True, min_size=2, max_size=9), st.sets(st.integers(1, 9)))
@settings(deadline=None, max_examples=50)
def test_a_bad_row_fails_alone_and_its_neighbours_get_what_they_get_alone(numbers: list[int], bad: set[int]) -> None:
    async def ask(together: bool) -> list[object]:
        batching = batcher(Negating(bad=bad))
        if together:
            return list(await gather(*(outcome(batching, number) for number in numbers)))
        return [await outcome(batching, number) for number in numbers]

    together = asyncio.run(ask(together=True))
    assert together == asyncio.run(ask(together=False))
    failed = {number for number, result in zip(numbers, together, strict=True) if result != -number}
    assert failed == bad & set(numbers)


async def test_a_call_that_failed_has_nothing_left_to_run() -> None:
    engine = Negating(bad=[1])
    batching = batcher(engine, max_rows=2)
    with pytest.raises(InvalidInput, match="1"):
        await answer(batching, 1, 2, 3, 4)
    assert batching.waiting_rows == 0
    await batching.close()
    assert engine.batches == [[1, 2], [1]]
    assert batching.statistics.dropped == 2


async def test_who_left_meanwhile_gets_no_second_run() -> None:
    engine = Negating(gate := Event(), bad=[1])
    batching = batcher(engine)
    bad, gone, good = [create_task(answer(batching, number)) for number in (1, 2, 3)]
    await until(lambda: engine.batches)
    gone.cancel()
    await turns()
    gate.set()
    assert await good == [-3]
    with pytest.raises(InvalidInput):
        await bad
    assert engine.batches == [[1, 2, 3], [1], [3]]


async def test_an_engine_that_gives_too_few_results_fails() -> None:
    with pytest.raises(EngineFailed, match="0 results for 1 items"):
        await answer(batcher(lambda items, cancel: []), 1)


async def test_what_an_engine_raises_becomes_an_error_that_says_so() -> None:
    def run(items: Sequence[Item], cancel: CancelToken) -> list[int]:
        raise ValueError("no such row")

    with pytest.raises(EngineFailed, match="no such row"):
        await answer(batcher(run), 1)

import asyncio
import time
from asyncio import create_task, gather
from collections.abc import Sequence
from threading import Event
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_service.engines.cancel import CancelToken
from model_service.tasks.base import Item
from tests.unit.garbage import garbage
from tests.unit.model_service.batching import FOREVER_MS, answer, batcher
from tests.unit.model_service.engines import Negating, item, turns, until
from wire.errors import DeadlineExceeded, ModelNotReady, Overloaded, TooLarge


def overtake(engine: Negating, gate: Event) -> None:
    """Let the run at `gate` end while the event loop stands still: its end waits there with whatever comes now."""
    before = engine.finished
    gate.set()
    while engine.finished == before:
        time.sleep(0.001)
    time.sleep(0.02)


async def test_an_idle_engine_runs_at_once() -> None:
    engine = Negating()
    async with asyncio.timeout(FOREVER_MS / 2000):
        assert await answer(batcher(engine), 7) == [-7]


async def test_what_comes_in_the_same_turn_shares_a_batch() -> None:
    engine = Negating()
    batching = batcher(engine)
    assert await gather(*(answer(batching, number) for number in (1, 2, 3))) == [[-1], [-2], [-3]]
    assert engine.batches == [[1, 2, 3]]


async def test_a_batch_forms_while_the_engine_is_busy() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine)
    answers = [create_task(answer(batching, 1))]
    await until(lambda: engine.batches)
    for number in (2, 3, 4):
        answers.append(create_task(answer(batching, number)))
        await turns()
    assert batching.waiting_rows == 3
    gate.set()
    assert await gather(*answers) == [[-1], [-2], [-3], [-4]]
    assert engine.batches == [[1], [2, 3, 4]]


async def test_beside_a_busy_instance_a_batch_waits_for_company() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine, instances=2)
    first = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    second = create_task(answer(batching, 2))
    await turns()
    third = create_task(answer(batching, 3))
    await turns()
    assert engine.batches == [[1]]
    gate.set()  # once nothing runs any more there is nothing to wait for
    await gather(first, second, third)
    assert engine.batches == [[1], [2, 3]]


async def test_a_batch_is_held_for_its_delay_at_most() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine, instances=2, max_delay_ms=1)
    first = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    assert await answer(batching, 2) == [-2]
    assert not first.done()
    gate.set()
    await first


async def test_a_full_batch_is_not_held() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine, instances=2, max_rows=2)
    first = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    assert list(await gather(answer(batching, 2), answer(batching, 3))) == [[-2], [-3]]
    gate.set()
    await first


async def test_as_many_batches_run_at_once_as_there_are_instances() -> None:
    gates = [Event(), Event()]
    engine = Negating(*gates)
    batching = batcher(engine, instances=2, max_rows=1)
    answers = [create_task(answer(batching, number)) for number in (1, 2, 3)]
    await until(lambda: len(engine.batches) == 2)
    await turns()
    assert sorted(engine.batches) == [[1], [2]]
    for gate in gates:
        gate.set()
    await gather(*answers)


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), max_size=6), max_size=8),
    st.integers(1, 2),
    st.integers(1, 8),
)
@settings(deadline=None, max_examples=50)
def test_every_call_gets_its_own_results_in_their_order(
    calls: list[list[tuple[int, int]]], instances: int, max_rows: int
) -> None:
    sizes: list[int] = []

    def run(items: Sequence[Item], cancel: CancelToken) -> list[int]:
        sizes.append(sum(item.rows for item in items))
        return [-int(item.features["number"]) for item in items]

    async def ask() -> list[list[int]]:
        batching = batcher(run, instances, max_rows=max_rows)
        numbered = [
            [item(100 * n + i, length, rows) for i, (length, rows) in enumerate(call)] for n, call in enumerate(calls)
        ]
        results = await gather(*(batching.submit(items) for items in numbered))
        await batching.close()
        return results

    assert asyncio.run(ask()) == [[-(100 * n + i) for i in range(len(call))] for n, call in enumerate(calls)]
    assert all(size <= max(max_rows, 4) for size in sizes)


async def test_a_call_of_nothing_is_answered_with_nothing() -> None:
    engine = Negating()
    assert await answer(batcher(engine)) == []
    assert engine.batches == []


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine, max_queue_rows=3)
    answers = [create_task(answer(batching, 1))]
    await until(lambda: engine.batches)
    answers.append(create_task(answer(batching, 2, 3)))
    await turns()
    with pytest.raises(Overloaded, match="2 rows wait, the request has 2 more, the model's queue holds 3") as refused:
        await answer(batching, 4, 5)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after > 0
    answers.append(create_task(answer(batching, 6)))  # for one more there is room
    gate.set()
    assert await gather(*answers) == [[-1], [-2, -3], [-6]]


async def test_what_no_queue_could_hold_is_refused_for_good() -> None:
    with pytest.raises(TooLarge, match=r"4 rows.* holds 3") as refused:
        await answer(batcher(Negating(), max_queue_rows=3), 1, 2, 3, 4)
    assert refused.value.retry_after is None


async def test_what_expires_is_answered_while_the_engine_is_busy_and_never_runs() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine)
    first = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    with pytest.raises(DeadlineExceeded):
        await answer(batching, 2, 3, deadline=monotonic() + 0.01)
    assert batching.waiting_rows == 0
    gate.set()
    await first
    await answer(batching, 4)
    assert engine.batches == [[1], [4]]
    assert batching.statistics.dropped == 2


async def test_what_comes_too_late_does_not_run() -> None:
    engine = Negating()
    with pytest.raises(DeadlineExceeded):
        await answer(batcher(engine), 1, deadline=monotonic() - 1)
    assert engine.batches == []


async def test_what_runs_past_its_deadline_is_answered_at_its_deadline() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine)
    with pytest.raises(DeadlineExceeded):
        await answer(batching, 1, deadline=monotonic() + 0.01)
    gate.set()
    assert await answer(batching, 2) == [-2]


async def test_what_is_abandoned_never_runs_and_takes_nobody_with_it() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine)
    first = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    gone, stays = create_task(answer(batching, 2)), create_task(answer(batching, 3))
    await turns()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert batching.waiting_rows == 1
    gate.set()
    assert list(await gather(first, stays)) == [[-1], [-3]]
    assert engine.batches == [[1], [3]]
    assert batching.statistics.dropped == 1


async def test_what_is_abandoned_just_as_a_batch_forms_takes_no_place_in_it() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine, max_rows=2)
    first = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    gone, *stay = [create_task(answer(batching, number)) for number in (2, 3, 4)]
    await turns()
    overtake(engine, gate)
    gone.cancel()
    assert await gather(first, *stay) == [[-1], [-3], [-4]]
    assert engine.batches == [[1], [3, 4]]
    assert batching.statistics.dropped == 1


async def test_what_expires_just_as_a_batch_forms_takes_no_place_in_it() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine, max_rows=2)
    first = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    late = create_task(answer(batching, 2, deadline=(deadline := monotonic() + 0.05)))
    stay = [create_task(answer(batching, number)) for number in (3, 4)]
    await turns()
    time.sleep(max(0.0, deadline - monotonic()))  # noqa: ASYNC251 - the loop must not see it pass
    overtake(engine, gate)
    assert await gather(first, *stay) == [[-1], [-3], [-4]]
    with pytest.raises(DeadlineExceeded):
        await late
    assert engine.batches == [[1], [3, 4]]
    assert batching.statistics.dropped == 1


async def test_closing_answers_all_that_is_queued_and_takes_no_more() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine, max_rows=1)
    answers = [create_task(answer(batching, number)) for number in (1, 2, 3)]
    await until(lambda: engine.batches)
    closing = create_task(batching.close())
    await turns()
    with pytest.raises(ModelNotReady, match="unloaded"):
        await answer(batching, 4)
    assert not closing.done()
    gate.set()
    await closing
    assert all(task.done() for task in answers)
    assert await gather(*answers) == [[-1], [-2], [-3]]


async def test_closing_lets_a_held_batch_go() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine, instances=2)
    first = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    held = create_task(answer(batching, 2))
    await turns()
    closing = create_task(batching.close())
    assert await held == [-2]
    gate.set()
    await gather(first, closing)


async def test_closing_ends_when_the_last_that_waits_is_abandoned() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine)
    first = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    second = create_task(answer(batching, 2))
    await turns()
    closing = create_task(batching.close())
    await turns()
    second.cancel()
    gate.set()
    await gather(first, closing)
    assert engine.batches == [[1]]


async def test_closing_does_not_wait_for_a_hung_engine_for_ever_and_answers_whoever_waits_for_it() -> None:
    engine = Negating(gate := Event())
    batching = batcher(engine)
    runs = create_task(answer(batching, 1))
    await until(lambda: engine.batches)
    waits = create_task(answer(batching, 2))
    await turns()
    await batching.close(timeout_s=0.01)
    for task in (runs, waits):
        with pytest.raises(ModelNotReady, match="unloaded before it could answer"):
            await task
    gate.set()
    await until(lambda: engine.finished)
    await turns()
    assert engine.batches == [[1]]


async def test_rows_that_are_being_prepared_have_their_place_in_the_queue() -> None:
    batching = batcher(Negating(), max_queue_rows=3)
    batching.admit(2)
    with batching.reserve(2):
        with pytest.raises(Overloaded, match="2 rows wait"):
            batching.admit(2)
        batching.admit(1)
    batching.admit(3)


async def test_closing_what_is_idle_ends() -> None:
    batching = batcher(Negating())
    await batching.close()
    await batching.close()


async def test_padding_and_waiting_are_counted() -> None:
    batching = batcher(Negating())
    await batching.submit([item(1, length=10), item(2, length=12)])
    statistics = batching.statistics
    assert (statistics.tokens, statistics.padded_tokens) == (22, 24)
    assert (statistics.queue.count, statistics.batch_rows.sum) == (2, 2)


async def test_a_call_leaves_nothing_for_the_garbage_collector() -> None:
    batching = batcher(Negating())
    await answer(batching, 0)
    with garbage() as left:
        assert await answer(batching, 1, 2) == [-1, -2]
    assert not {"Call", "Entry", "Item"}.intersection(left)

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from cache.lookup import Lookup
from cache.memory_store import MemoryStore
from cache.response_cache import ResponseCache
from cache.stats import CacheStats
from cache.store import LEASED, Entry, Leased, Store

KEY = b"k" * 16


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Shared:
    """A Store in a dict, whose writes wait for `writable` and whose keys in `leased` another process is computing."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.leased: set[bytes] = set()
        self.released: list[bytes] = []
        self.writable = asyncio.Event()
        self.writable.set()
        self.asked = 0
        self.asked_thrice = asyncio.Event()

    async def get(self, key: bytes) -> Entry | Leased | None:
        self.asked += 1
        if self.asked == 3:
            self.asked_thrice.set()
        await asyncio.sleep(0)
        return LEASED if key in self.leased else self.entries.get(key)

    async def set(self, key: bytes, value: bytes, ttl_s: float) -> None:
        await self.writable.wait()
        self.entries[key] = Entry(value, ttl_s)

    async def release(self, key: bytes) -> None:
        self.released.append(key)

    async def close(self) -> None:
        pass


class Model:
    """Computes `value`, once `go` is set; counts how often it was begun and cancelled."""

    def __init__(self, value: bytes = b"value", error: Exception | None = None) -> None:
        self.value, self.error = value, error
        self.go = asyncio.Event()
        self.started = self.cancelled = 0

    async def __call__(self) -> bytes:
        self.started += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return self.value


def make_cache(
    shared: Store | None = None,
    *,
    clock: Callable[[], float] = monotonic,
    max_value_bytes: int = 1000,
    lease_s: float = 60,
    max_writes: int = 8,
) -> ResponseCache:
    stats = CacheStats()
    return ResponseCache(
        MemoryStore(1_000_000, stats, clock),
        shared,
        stats,
        max_value_bytes=max_value_bytes,
        lease_s=lease_s,
        max_writes=max_writes,
    )


async def get_or_compute(
    cache: ResponseCache,
    key: bytes,
    ttl_s: float,
    compute: Callable[[], Awaitable[bytes]],
    lookup: Lookup | None = None,
    *,
    recompute: bool = False,
) -> tuple[bytes, str]:
    """As callers do: from memory where it is there and can be read."""
    value = None if recompute else cache.peek(key)
    return (
        (value, "hit")
        if value is not None
        else await cache.fetch_or_compute(key, ttl_s, compute, lookup, recompute=recompute)
    )


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_answer_is_computed_once_and_then_comes_from_memory() -> None:
    cache, model = make_cache(), Model()
    model.go.set()
    assert cache.peek(KEY) is None
    assert await get_or_compute(cache, KEY, 60, model) == (b"value", "miss")
    assert await get_or_compute(cache, KEY, 60, model) == (b"value", "hit")
    assert cache.peek(KEY) == b"value"
    assert model.started == 1
    assert (cache.stats.misses, cache.stats.hits_memory) == (1, 2)


async def test_an_answer_is_computed_again_when_its_time_is_over() -> None:
    clock = Clock()
    cache, model = make_cache(clock=clock), Model()
    model.go.set()
    await get_or_compute(cache, KEY, 60, model)
    clock.now = 61.0
    assert cache.peek(KEY) is None
    assert await get_or_compute(cache, KEY, 60, model) == (b"value", "miss")
    assert model.started == 2


async def test_a_hundred_who_ask_at_once_share_one_computation() -> None:
    cache, model = make_cache(Shared()), Model()
    asking = [asyncio.create_task(get_or_compute(cache, KEY, 60, model)) for _ in range(100)]
    await settle()
    model.go.set()
    assert await asyncio.gather(*asking) == [(b"value", "miss")] * 100
    assert model.started == 1
    assert (cache.stats.misses, cache.stats.joins) == (1, 99)


async def test_different_keys_are_computed_apart() -> None:
    cache = make_cache()
    models = {bytes([i]) * 16: Model(bytes([i])) for i in range(20)}
    for model in models.values():
        model.go.set()
    asking = [get_or_compute(cache, key, 60, model) for key, model in models.items() for _ in range(3)]
    values = [value for value, _ in await asyncio.gather(*asking)]
    assert values == [model.value for model in models.values() for _ in range(3)]
    assert [model.started for model in models.values()] == [1] * 20


async def test_an_exception_reaches_everyone_and_is_not_cached() -> None:
    shared = Shared()
    cache, model = make_cache(shared), Model(error=ValueError("bad row"))
    asking = [asyncio.create_task(get_or_compute(cache, KEY, 60, model)) for _ in range(10)]
    await settle()
    model.go.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["bad row"] * 10
    await settle()
    assert shared.released == [KEY]
    assert shared.entries == {}
    model.error = None
    assert await get_or_compute(cache, KEY, 60, model) == (b"value", "miss")
    assert model.started == 2


async def test_the_computation_goes_on_for_the_others_when_the_first_is_cancelled() -> None:
    cache, model = make_cache(), Model()
    first, *others = [asyncio.create_task(get_or_compute(cache, KEY, 60, model)) for _ in range(3)]
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    model.go.set()
    assert await asyncio.gather(*others) == [(b"value", "miss")] * 2
    assert (model.started, model.cancelled) == (1, 0)


async def test_the_computation_is_cancelled_with_the_last_who_wait_for_it() -> None:
    shared = Shared()
    cache, model = make_cache(shared), Model()
    asking = [asyncio.create_task(get_or_compute(cache, KEY, 60, model)) for _ in range(3)]
    await settle()
    for task in asking:
        task.cancel()
        assert model.cancelled == 0
    await settle()
    assert (model.started, model.cancelled) == (1, 1)
    assert shared.released == [KEY]
    assert cache.peek(KEY) is None


async def test_who_asks_after_a_cancellation_gets_a_computation_of_their_own() -> None:
    cache, model = make_cache(), Model()
    first = asyncio.create_task(get_or_compute(cache, KEY, 60, model))
    await settle()
    first.cancel()
    # One turn: the waiter knows that it is cancelled, the computation does not yet.
    await asyncio.sleep(0)
    second = asyncio.create_task(get_or_compute(cache, KEY, 60, model))
    await settle()
    model.go.set()
    assert await second == (b"value", "miss")
    assert (model.started, model.cancelled) == (2, 1)


async def test_a_deadline_of_one_is_not_a_deadline_of_the_others() -> None:
    cache, model = make_cache(), Model()
    patient = asyncio.create_task(get_or_compute(cache, KEY, 60, model))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await get_or_compute(cache, KEY, 60, model)
    model.go.set()
    assert await patient == (b"value", "miss")
    assert model.started == 1


async def test_an_answer_in_the_shared_store_is_a_hit_and_moves_into_memory_for_its_remaining_time() -> None:
    clock, shared, model = Clock(), Shared(), Model()
    shared.entries[KEY] = Entry(b"theirs", 10)
    cache = make_cache(shared, clock=clock)
    assert await get_or_compute(cache, KEY, 60, model) == (b"theirs", "hit")
    assert cache.peek(KEY) == b"theirs"
    clock.now = 10.0
    assert cache.peek(KEY) is None
    assert model.started == 0
    assert cache.stats.hits_shared == 1


async def test_the_answer_does_not_wait_for_the_shared_store_to_take_it() -> None:
    shared, model = Shared(), Model()
    cache = make_cache(shared)
    model.go.set()
    shared.writable.clear()
    assert await get_or_compute(cache, KEY, 60, model) == (b"value", "miss")
    assert shared.entries == {}
    shared.writable.set()
    await cache.close()
    assert shared.entries == {KEY: Entry(b"value", 60)}


async def test_writes_over_the_bound_are_dropped_and_counted() -> None:
    shared, model = Shared(), Model()
    cache = make_cache(shared, max_writes=3)
    model.go.set()
    shared.writable.clear()
    for i in range(10):
        assert await get_or_compute(cache, bytes([i]) * 16, 60, model) == (b"value", "miss")
    assert cache.stats.dropped_writes == 7
    shared.writable.set()
    await cache.close()
    assert len(shared.entries) == 3


async def test_a_value_over_the_limit_is_answered_but_not_cached() -> None:
    shared, model = Shared(), Model(bytes(1001))
    cache = make_cache(shared)
    model.go.set()
    assert await get_or_compute(cache, KEY, 60, model) == (bytes(1001), "miss")
    await settle()
    assert cache.peek(KEY) is None
    assert shared.entries == {}
    assert shared.released == [KEY]
    assert cache.stats.too_large == 1


async def test_who_finds_a_lease_waits_for_its_holders_answer() -> None:
    shared, model = Shared(), Model()
    shared.leased.add(KEY)
    cache = make_cache(shared)
    asking = [asyncio.create_task(get_or_compute(cache, KEY, 60, model)) for _ in range(5)]
    await shared.asked_thrice.wait()
    shared.entries[KEY] = Entry(b"theirs", 60)
    shared.leased.clear()
    assert await asyncio.gather(*asking) == [(b"theirs", "hit")] * 5
    assert model.started == 0
    assert cache.stats.lease_waits == 1


async def test_who_has_waited_for_as_long_as_a_lease_computes() -> None:
    shared, model = Shared(), Model()
    shared.leased.add(KEY)
    model.go.set()
    cache = make_cache(shared, lease_s=0.03)
    assert await get_or_compute(cache, KEY, 60, model) == (b"value", "miss")
    assert model.started == 1


async def test_thousands_that_wait_for_one_computation_are_answered_a_few_in_a_turn_of_the_loop() -> None:
    cache, model = make_cache(), Model()
    turn = 0
    answered: list[int] = []

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def ask() -> None:
        assert await get_or_compute(cache, KEY, 60, model) == (b"value", "miss")
        answered.append(turn)

    counting = asyncio.create_task(count_turns())
    asking = [asyncio.create_task(ask()) for _ in range(1000)]
    await asyncio.sleep(0)
    model.go.set()
    await asyncio.gather(*asking)
    counting.cancel()
    assert model.started == 1
    assert max(answered.count(turn) for turn in set(answered)) < 50

import os
import tracemalloc

import pytest

from cache.memory_store import OVERHEAD, MemoryStore
from cache.stats import CacheStats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_entry_lives_for_its_time_and_no_longer() -> None:
    clock = Clock()
    store = MemoryStore(10_000, clock=clock)
    store.keep(b"k", b"v", ttl_s=5)
    clock.now = 4.9
    assert store.lookup(b"k") == b"v"
    clock.now = 5.0
    assert store.lookup(b"k") is None
    assert (store.stats.memory_entries, store.stats.memory_bytes) == (0, 0)


def test_the_least_recently_used_entry_goes_first() -> None:
    store = MemoryStore(3 * (OVERHEAD + 10))
    for key in (b"a", b"b", b"c"):
        store.keep(key, bytes(10), 60)
    store.lookup(b"a")
    store.keep(b"d", bytes(10), 60)
    assert [key for key in (b"a", b"b", b"c", b"d") if store.lookup(key)] == [b"a", b"c", b"d"]
    assert store.stats.evictions == 1


def test_bytes_never_exceed_the_limit() -> None:
    stats = CacheStats()
    store = MemoryStore(50_000, stats)
    for i in range(1000):
        store.keep(os.urandom(16), bytes(i), 60)
        assert stats.memory_bytes <= 50_000
    assert stats.memory_entries > 10


@pytest.mark.parametrize("size", [0, 30, 2000])
@pytest.mark.parametrize("limit", [100_000, 1_000_000])
def test_what_python_allocates_stays_within_the_limit(size: int, limit: int) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        store = MemoryStore(limit)
        for _ in range(2 * limit // (size + OVERHEAD)):
            store.keep(os.urandom(16), os.urandom(size), 60.5)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert limit / 3 < after - before <= limit


def test_a_value_over_the_limit_is_not_kept_and_drives_nothing_out() -> None:
    store = MemoryStore(2000)
    store.keep(b"a", bytes(10), 60)
    store.keep(b"b", bytes(2000), 60)
    assert store.lookup(b"a") == bytes(10)
    assert store.lookup(b"b") is None


def test_an_entry_too_large_to_keep_does_not_leave_the_older_one_behind() -> None:
    store = MemoryStore(2000)
    store.keep(b"a", b"old", 60)
    store.keep(b"a", bytes(2000), 60)
    assert store.lookup(b"a") is None


def test_replacing_a_value_counts_it_once() -> None:
    store = MemoryStore(10_000)
    for value in (b"short", b"much longer than that", b"s"):
        store.keep(b"k", value, 60)
    assert store.stats.memory_entries == 1
    assert store.stats.memory_bytes == OVERHEAD + 1


def test_an_expired_entry_that_makes_room_is_no_eviction() -> None:
    clock = Clock()
    store = MemoryStore(OVERHEAD + 10, clock=clock)
    store.keep(b"a", bytes(10), 1)
    clock.now = 2.0
    store.keep(b"b", bytes(10), 1)
    assert store.lookup(b"b") == bytes(10)
    assert store.stats.evictions == 0

"""Answers in this process's memory."""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

from cache.stats import CacheStats
from cache.store import Entry

# What CPython takes for an entry beside the bytes of its value: key, value header, tuple, number, and their places in
# the ordered dict while it grows. Measured with tracemalloc; tests/unit/cache holds it to that.
OVERHEAD: Final = 384


class MemoryStore:
    """The most recently used entries that fit into `limit` bytes, their overhead counted.

    `lookup` and `keep` are what `get` and `set` do, without a coroutine: a hit costs no await.
    """

    def __init__(self, limit: int, stats: CacheStats | None = None, clock: Callable[[], float] = monotonic) -> None:
        self.stats = stats or CacheStats()
        self._limit = limit
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()

    def lookup(self, key: bytes) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] <= self._clock():
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def keep(self, key: bytes, value: bytes, ttl_s: float) -> None:
        if key in self._entries:
            self._remove(key)
        size = len(value) + OVERHEAD
        if size > self._limit:
            return
        self._entries[key] = (value, self._clock() + ttl_s)
        self.stats.memory_entries += 1
        self.stats.memory_bytes += size
        while self.stats.memory_bytes > self._limit:
            oldest = next(iter(self._entries))
            self.stats.evictions += self._entries[oldest][1] > self._clock()
            self._remove(oldest)

    async def get(self, key: bytes) -> Entry | None:
        value = self.lookup(key)
        return None if value is None else Entry(value, self._entries[key][1] - self._clock())

    async def set(self, key: bytes, value: bytes, ttl_s: float) -> None:
        self.keep(key, value, ttl_s)

    async def release(self, key: bytes) -> None:
        """Does nothing: within a process the response cache itself computes each value once."""

    async def close(self) -> None:
        self._entries.clear()
        self.stats.memory_entries = self.stats.memory_bytes = 0

    def _remove(self, key: bytes) -> None:
        value, _ = self._entries.pop(key)
        self.stats.memory_entries -= 1
        self.stats.memory_bytes -= len(value) + OVERHEAD

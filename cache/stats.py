"""What the cache counts; the gateway exports it."""

from dataclasses import dataclass


@dataclass(slots=True)
class CacheStats:
    """Counters since the start of the process, and, at the end, three gauges.

    Every request that asked is one of hits_memory, hits_shared, misses and joins, unless its computation or its lookup
    is still going on or was cancelled.
    """

    hits_memory: int = 0
    hits_shared: int = 0
    misses: int = 0  # computations that were started
    joins: int = 0  # requests that waited for what another one in this process had begun
    lease_waits: int = 0  # lookups that found another process computing the same
    evictions: int = 0  # live entries that memory gave up to stay within its bound
    too_large: int = 0  # answers over the limit, which are not cached
    dropped_writes: int = 0  # writes to Redis that were not begun: too many were under way
    redis_errors: int = 0  # operations that timed out, failed, or were answered with an error or with rubbish
    redis_full: int = 0  # writes that Redis refused for lack of memory
    redis_corrupt: int = 0  # values and leases that none of us had written
    redis_skipped: int = 0  # operations that were not sent, as the breaker was open
    breaker_opened: int = 0

    memory_entries: int = 0
    memory_bytes: int = 0  # with what an entry costs beside its value
    breaker_state: int = 0  # 0 closed, 1 half open, 2 open

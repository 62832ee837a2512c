"""One answer for equal requests: from memory, from the shared store, or computed, once at a time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Literal

from cache.lookup import Lookup
from cache.memory_store import MemoryStore
from cache.stats import CacheStats
from cache.store import LEASED, Entry, Store

Outcome = Literal["hit", "miss"]

# How long to wait before asking again for what another process is computing: short at first, as models are fast.
_FIRST_POLL_S: Final = 0.002
_LAST_POLL_S: Final = 0.02
_TOLD_AT_ONCE: Final = 32


@dataclass(slots=True, eq=False)
class _Flight:
    """One lookup and, where it finds nothing, one computation, for everybody who asks in the meantime."""

    task: asyncio.Task[tuple[bytes, Outcome]]
    owner: Any
    waiters: int = 0
    joined: deque[asyncio.Future[tuple[bytes, Outcome]]] = field(default_factory=deque)

    def wake_joined(self) -> None:
        """Hand the outcome to those that joined, a few in each turn of the loop, as each then writes an answer."""
        for _ in range(min(_TOLD_AT_ONCE, len(self.joined))):
            self._tell(self.joined.popleft())
        if self.joined:
            asyncio.get_running_loop().call_soon(self.wake_joined)

    def _tell(self, waiting: asyncio.Future[tuple[bytes, Outcome]]) -> None:
        if waiting.done():  # its client is gone
            return
        if self.task.cancelled():
            waiting.cancel()
        elif (error := self.task.exception()) is not None:
            waiting.set_exception(error)
        else:
            waiting.set_result(self.task.result())


class ResponseCache:
    """Values are opaque bytes. Nothing is raised but what a computation raises; `stats` counts what happened.

    Callers `peek` first, which takes no task, and `fetch_or_compute` what is not in memory.

    Without `shared` it is this process's memory alone. Values over `max_value_bytes` are not cached. At most
    `max_writes` writes to `shared` are under way at once, further ones are dropped.
    """

    def __init__(
        self,
        memory: MemoryStore,
        shared: Store | None,
        stats: CacheStats,
        *,
        max_value_bytes: int,
        lease_s: float,
        max_writes: int,
    ) -> None:
        self.stats = stats
        self._memory = memory
        self._shared = shared
        self._max_value_bytes = max_value_bytes
        self._lease_s = lease_s
        self._max_writes = max_writes
        self._flights: dict[bytes, _Flight] = {}
        self._writes: set[asyncio.Task[None]] = set()

    def peek(self, key: bytes) -> bytes | None:
        """The value, if it is in memory."""
        value = self._memory.lookup(key)
        if value is not None:
            self.stats.hits_memory += 1
        return value

    def still_has(self, key: bytes, value: bytes) -> bool:
        """Whether this very value, which `peek` has given, is in memory. That counts as a hit."""
        if self._memory.lookup(key) is not value:
            return False
        self.stats.hits_memory += 1
        return True

    async def fetch_or_compute(
        self,
        key: bytes,
        ttl_s: float,
        compute: Callable[[], Awaitable[bytes]],
        lookup: Lookup | None = None,
        *,
        recompute: bool = False,
    ) -> tuple[bytes, Outcome]:
        """The value under `key`, which `peek` did not find: from the shared store, or else from `compute`.

        It is then cached for `ttl_s` seconds. Whoever asks while it is being computed waits for the same computation,
        and gets its exception if it raises. It is cancelled when the last of them is. `lookup` is filled in. With
        `recompute` a cached value is computed again and replaced, for callers that could not read it.
        """
        flight = self._flights.get(key)
        if flight is None:
            task = asyncio.create_task(self._find(key, ttl_s, compute, lookup, recompute))
            flight = self._flights[key] = _Flight(task, lookup and lookup.owner)
            flight.task.add_done_callback(lambda _: self._land(key, flight))
            answer = asyncio.shield(flight.task)
        else:
            self.stats.joins += 1
            if lookup is not None:
                lookup.outcome, lookup.joined = "join", flight.owner
            answer = asyncio.get_running_loop().create_future()
            flight.joined.append(answer)
        flight.waiters += 1
        try:
            return await answer
        finally:
            flight.waiters -= 1
            if flight.waiters == 0 and not flight.task.done():
                # Forgotten at once: who asks next must not join what is being cancelled.
                self._forget(key, flight)
                flight.task.cancel()

    async def close(self) -> None:
        """Finish the writes that are under way and close both stores."""
        if self._writes:
            await asyncio.wait(self._writes)
        if self._shared is not None:
            await self._shared.close()
        await self._memory.close()

    async def _find(
        self, key: bytes, ttl_s: float, compute: Callable[[], Awaitable[bytes]], lookup: Lookup | None, recompute: bool
    ) -> tuple[bytes, Outcome]:
        shared = None if recompute else self._shared
        if shared is not None and (entry := await self._ask(shared, key, lookup)) is not None:
            self.stats.hits_shared += 1
            self._memory.keep(key, entry.value, min(ttl_s, entry.ttl_s))
            _decide(lookup, "hit", "shared")
            return entry.value, "hit"
        self.stats.misses += 1
        _decide(lookup, "miss")
        try:
            value = await compute()
        except BaseException:
            self._release(key)
            raise
        if len(value) > self._max_value_bytes:
            self.stats.too_large += 1
            self._release(key)
        else:
            self._memory.keep(key, value, ttl_s)
            if self._shared is not None:
                self._write(self._shared.set, key, value, ttl_s)
        return value, "miss"

    async def _ask(self, shared: Store, key: bytes, lookup: Lookup | None) -> Entry | None:
        """The shared entry; None where this process is to compute it."""
        if lookup is not None:
            lookup.asked = monotonic()
        found = await shared.get(key)
        if found is LEASED:
            self.stats.lease_waits += 1
            if lookup is not None:
                lookup.waited = True
            give_up, pause = monotonic() + self._lease_s, _FIRST_POLL_S
            while found is LEASED and monotonic() < give_up:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_POLL_S)
                found = await shared.get(key)
        if lookup is not None:
            lookup.answered = monotonic()
        return found if isinstance(found, Entry) else None

    def _release(self, key: bytes) -> None:
        if self._shared is not None:
            self._write(self._shared.release, key)

    def _write(self, operation: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        if len(self._writes) >= self._max_writes:
            self.stats.dropped_writes += 1
            return
        task = asyncio.create_task(operation(*args))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    def _land(self, key: bytes, flight: _Flight) -> None:
        self._forget(key, flight)
        flight.wake_joined()

    def _forget(self, key: bytes, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


def _decide(lookup: Lookup | None, outcome: Literal["hit", "miss"], store: Literal["shared"] | None = None) -> None:
    if lookup is not None:
        lookup.outcome, lookup.store, lookup.decided = outcome, store, monotonic()

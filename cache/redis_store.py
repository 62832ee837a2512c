"""Answers in Redis or Valkey, shared between processes. No failure of the server fails a request."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError

from cache.breaker import Breaker
from cache.frame import Seal
from cache.stats import CacheStats
from cache.store import LEASED, Entry, Leased

T = TypeVar("T")
_Waiting = list[tuple[bytes, asyncio.Future[Entry | Leased | None]]]

_BATCH: Final = 32  # keys per lookup: what they hold must arrive within one operation's time limit
_CONNECTIONS: Final = 16

# For each key its frame and the milliseconds it has left; where there is none, leave our lease there and say nil. One
# script, so that it is one round trip and one command's worth of the client's time for any number of keys.
# ARGV: how long a lease lasts, then one for each key.
_LOOK_UP: Final = """
local replies = {}
for i, key in ipairs(KEYS) do
  local frame = redis.pcall('GET', key)
  if type(frame) == 'string' then
    replies[2 * i - 1] = frame
    replies[2 * i] = redis.call('PTTL', key)
  else
    -- pcall: a server that is full refuses the lease, but the other keys have their answers
    redis.pcall('SET', key, ARGV[i + 1], 'PX', ARGV[1])
    replies[2 * i - 1] = false
    replies[2 * i] = 0
  end
end
return replies
"""
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisStore:
    """A Store over one Redis or Valkey server; it connects when it is first asked.

    An operation that takes longer than `timeout_s`, connecting included, is given up; `breaker` keeps a failing server
    from being asked. Then `get` is None, and `set` and `release` do nothing. A lease lasts `lease_s` seconds at most.
    A value that `seal` does not verify, or whose time to live is longer than any we set, is ignored: `get` is None, and
    `set` replaces it. Raises ValueError where `url` is not one of Redis.
    """

    def __init__(
        self,
        url: str,
        *,
        seal: Seal,
        timeout_s: float,
        lease_s: float,
        breaker: Breaker,
        stats: CacheStats | None = None,
    ) -> None:
        self.stats = stats or CacheStats()
        # No retries and no time limits but ours; RESP2, whose handshake is the shortest and which every server speaks.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=None,
            protocol=2,
            decode_responses=False,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=None,
        )
        self._client = Redis.from_pool(pool)
        self._timeout_s = timeout_s
        self._lease_ms = max(1, round(lease_s * 1000))
        self._seal = seal
        self._token = os.urandom(16)
        self._breaker = breaker
        self._waiting: _Waiting = []
        self._lookups: set[asyncio.Task[None]] = set()

    async def get(self, key: bytes) -> Entry | Leased | None:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Entry | Leased | None] = loop.create_future()
        self._waiting.append((key, found))
        if len(self._waiting) == 1:
            # What else is asked in this turn of the loop goes along.
            loop.call_soon(self._send_lookups)
        return await found

    async def set(self, key: bytes, value: bytes, ttl_s: float) -> None:
        await self._call(
            _check_set, "SET", self._at(key), self._seal.pack(key, value), "PX", max(1, round(ttl_s * 1000))
        )

    async def release(self, key: bytes) -> None:
        await self._call(_ignore, "EVAL", _RELEASE, 1, self._at(key), self._seal.lease(key, self._token))

    async def close(self) -> None:
        if self._lookups:
            await asyncio.wait(self._lookups)
        await self._client.aclose()

    def _at(self, key: bytes) -> bytes:
        return self._seal.prefix + key

    def _send_lookups(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _BATCH):
            task = asyncio.create_task(self._look_up(waiting[start : start + _BATCH]))
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)

    async def _look_up(self, waiting: _Waiting) -> None:
        keys = [self._at(key) for key, _ in waiting]
        leases = [self._seal.lease(key, self._token) for key, _ in waiting]
        read = partial(self._read_lookup, waiting)
        answers = await self._call(read, "EVAL", _LOOK_UP, len(keys), *keys, self._lease_ms, *leases)
        abandoned = []
        for at, (key, found) in enumerate(waiting):
            answer = answers[at] if answers else None
            if not found.done():
                found.set_result(answer)
            elif answers and answer is None:
                abandoned.append(key)
        for key in abandoned:
            # Who asked is gone: don't let other processes wait for them.
            await self.release(key)

    def _read_lookup(self, waiting: _Waiting, replies: list[Any]) -> list[Entry | Leased | None]:
        return [
            self._answer(key, reply, ttl_ms)
            for (key, _), reply, ttl_ms in zip(waiting, replies[::2], replies[1::2], strict=True)
        ]

    def _answer(self, key: bytes, reply: bytes | None, ttl_ms: int) -> Entry | Leased | None:
        ttl_s = ttl_ms / 1000
        if reply is None or reply == self._seal.lease(key, self._token):
            return None
        value = self._seal.unpack(key, reply)
        if value is not None and ttl_ms >= 0:
            return Entry(value, ttl_s)
        if value is None and 0 <= ttl_ms <= self._lease_ms and self._seal.is_lease(key, reply):
            return LEASED
        self.stats.redis_corrupt += 1
        return None

    async def _call(self, read: Callable[[Any], T], *command: Any) -> T | None:
        """What `read` makes of the server's reply, or None where there was none that it could read."""
        if not self._breaker.allow():
            self.stats.redis_skipped += 1
            return None
        result = None
        try:
            async with asyncio.timeout(self._timeout_s):
                result = read(await self._client.execute_command(*command))  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            # It works and can be read: no reason to leave it alone.
            self.stats.redis_full += 1
            self._breaker.record_success()
        except Exception:
            # Any exception: a server that answers rubbish gets all sorts of them out of its client and of `read`.
            self.stats.redis_errors += 1
            self.stats.breaker_opened += self._breaker.record_failure()
        else:
            self._breaker.record_success()
        self.stats.breaker_state = self._breaker.state
        return result


def _check_set(reply: Any) -> None:
    if reply is not True:
        raise ValueError(f"SET was answered with {reply!r:.40}")


def _ignore(reply: Any) -> None:
    pass

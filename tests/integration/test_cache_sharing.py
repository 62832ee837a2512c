"""Two gateways over one Valkey compute an answer once."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from cache.breaker import Breaker
from cache.frame import Seal
from cache.redis_store import RedisStore
from cache.response_cache import ResponseCache
from cache.settings import CacheSettings, open_cache
from tests.unit.cache.test_response_cache import get_or_compute

LONG_MS = 600_000
SECRET = "the secret of the platform"


class Model:
    """Computes once `go` is set, and counts how often; `started` is set by the first time."""

    def __init__(self, error: Exception | None = None, value: bytes = b"value") -> None:
        self.error, self.value = error, value
        self.go, self.started = asyncio.Event(), asyncio.Event()
        self.computed = 0

    async def __call__(self) -> bytes:
        self.computed += 1
        self.started.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.value


def gateway(url: str, lease_ms: int = LONG_MS) -> ResponseCache:
    # Leases as good as endless: whoever waits for one that nobody ends runs into the test's time limit.
    return open_cache(
        CacheSettings(redis_url=url, secret=SECRET, lease_ms=lease_ms, redis_timeout_ms=30_000, max_value_bytes=1000)
    )


@pytest.fixture
async def gateways(valkey_url: str) -> AsyncIterator[tuple[ResponseCache, ResponseCache]]:
    one, other = gateway(valkey_url), gateway(valkey_url)
    yield one, other
    await one.close()
    await other.close()


@pytest.fixture
def key() -> bytes:
    return os.urandom(16)


async def ask_both(
    gateways: tuple[ResponseCache, ResponseCache], key: bytes, model: Model, then: Model
) -> tuple[asyncio.Task[tuple[bytes, str]], asyncio.Task[tuple[bytes, str]]]:
    """The first gateway has begun to compute, the second has found its lease."""
    one, other = gateways
    first = asyncio.create_task(get_or_compute(one, key, 60, model))
    await model.started.wait()
    second = asyncio.create_task(get_or_compute(other, key, 60, then))
    while other.stats.lease_waits == 0:
        await asyncio.sleep(0.001)
    return first, second


async def test_two_gateways_compute_an_answer_once(gateways: tuple[ResponseCache, ResponseCache], key: bytes) -> None:
    one, other = gateways
    model = Model()
    asking = [asyncio.create_task(get_or_compute(cache, key, 60, model)) for _ in range(20) for cache in gateways]
    while one.stats.lease_waits + other.stats.lease_waits == 0:
        await asyncio.sleep(0.001)
    model.go.set()
    outcomes = await asyncio.gather(*asking)
    assert [value for value, _ in outcomes] == [b"value"] * 40
    assert model.computed == 1
    assert one.stats.misses + other.stats.misses == 1
    assert one.stats.hits_shared + other.stats.hits_shared == 1


async def test_what_one_gateway_computed_is_a_hit_in_another(
    gateways: tuple[ResponseCache, ResponseCache], key: bytes
) -> None:
    one, other = gateways
    model = Model()
    model.go.set()
    assert await get_or_compute(one, key, 60, model) == (b"value", "miss")
    assert await get_or_compute(other, key, 60, model) == (b"value", "hit")
    assert other.peek(key) == b"value"
    assert model.computed == 1


async def test_when_a_computation_fails_who_waited_for_it_in_another_gateway_computes(
    gateways: tuple[ResponseCache, ResponseCache], key: bytes
) -> None:
    failing, sound = Model(ValueError("bad")), Model()
    first, second = await ask_both(gateways, key, failing, sound)
    failing.go.set()
    sound.go.set()
    with pytest.raises(ValueError, match="bad"):
        await first
    assert await second == (b"value", "miss")
    assert (failing.computed, sound.computed) == (1, 1)


async def test_when_a_computation_is_cancelled_who_waited_for_it_in_another_gateway_computes(
    gateways: tuple[ResponseCache, ResponseCache], key: bytes
) -> None:
    abandoned, sound = Model(), Model()
    first, second = await ask_both(gateways, key, abandoned, sound)
    sound.go.set()
    first.cancel()
    assert await second == (b"value", "miss")
    assert (abandoned.computed, sound.computed) == (1, 1)


async def test_when_an_answer_is_too_large_to_cache_who_waited_for_it_in_another_gateway_computes(
    gateways: tuple[ResponseCache, ResponseCache], key: bytes
) -> None:
    large = Model(value=bytes(1001))
    first, second = await ask_both(gateways, key, large, large)
    large.go.set()
    assert await first == await second == (bytes(1001), "miss")
    assert large.computed == 2


async def test_the_lease_of_a_gateway_that_died_runs_out(valkey_url: str, key: bytes) -> None:
    dead = RedisStore(valkey_url, seal=Seal(SECRET.encode()), timeout_s=30, lease_s=0.05, breaker=Breaker(1, 60))
    assert await dead.get(key) is None
    await dead.close()
    cache, model = gateway(valkey_url), Model()
    model.go.set()
    assert await get_or_compute(cache, key, 60, model) == (b"value", "miss")
    assert cache.stats.lease_waits == 1
    await cache.close()


async def test_a_lease_that_somebody_else_left_for_good_keeps_nobody_waiting(valkey_url: str, key: bytes) -> None:
    """Leases are as good as endless here: who waited for this one would run into the test's time limit."""
    cache, model = gateway(valkey_url), Model()
    model.go.set()
    async with Redis.from_url(valkey_url) as client:
        await client.set(Seal(SECRET.encode()).prefix + key, b"\0" + os.urandom(16))
        assert await get_or_compute(cache, key, 60, model) == (b"value", "miss")
    assert cache.stats.lease_waits == 0
    other = gateway(valkey_url)
    await cache.close()
    assert await get_or_compute(other, key, 60, model) == (b"value", "hit"), "the answer has taken its place"
    await other.close()


async def test_gateways_without_a_secret_share_nothing(valkey_url: str, key: bytes) -> None:
    settings = CacheSettings(redis_url=valkey_url, redis_timeout_ms=30_000)
    one, other, model = open_cache(settings), open_cache(settings), Model()
    model.go.set()
    assert await get_or_compute(one, key, 60, model) == (b"value", "miss")
    assert await get_or_compute(other, key, 60, model) == (b"value", "miss")
    assert one.stats.redis_corrupt + other.stats.redis_corrupt == 0
    await one.close()
    await other.close()

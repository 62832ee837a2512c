"""What every Store does, and what one that processes share does beside that."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from cache.breaker import Breaker
from cache.frame import Seal
from cache.memory_store import MemoryStore
from cache.redis_store import RedisStore
from cache.stats import CacheStats
from cache.store import LEASED, Entry, Store

# Long, so that a busy machine fails nothing here.
PATIENCE_S = 30.0
SEAL = Seal(b"the secret of the platform")
PREFIX = SEAL.prefix


def redis_store(url: str, lease_s: float = 60) -> RedisStore:
    return RedisStore(url, seal=SEAL, timeout_s=PATIENCE_S, lease_s=lease_s, breaker=Breaker(1, 60), stats=CacheStats())


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    url = request.getfixturevalue("valkey_url") if request.param == "redis" else None
    store: Store = redis_store(url) if url else MemoryStore(10_000_000)
    yield store
    await store.close()


@pytest.fixture
async def two_stores(valkey_url: str) -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    """As in two processes, over one server."""
    one, other = redis_store(valkey_url), redis_store(valkey_url)
    yield one, other
    await one.close()
    await other.close()


@pytest.fixture
async def server(valkey_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def key() -> bytes:
    return os.urandom(16)


async def value(store: Store, key: bytes) -> bytes | None:
    found = await store.get(key)
    return found.value if isinstance(found, Entry) else None


async def test_a_key_that_was_never_set_is_absent(store: Store, key: bytes) -> None:
    assert await store.get(key) is None


@pytest.mark.parametrize("content", [b"", b"\0", b"\r\n$-1\r\n", bytes(range(256)), os.urandom(900_000)])
async def test_a_value_comes_back_byte_for_byte(store: Store, key: bytes, content: bytes) -> None:
    await store.set(key, content, 60)
    assert await value(store, key) == content


async def test_the_last_value_set_is_the_one_that_counts(store: Store, key: bytes) -> None:
    await store.set(key, b"old", 60)
    await store.set(key, b"new", 60)
    assert await value(store, key) == b"new"


async def test_keys_are_apart(store: Store) -> None:
    keys = [os.urandom(16) for _ in range(100)]
    await asyncio.gather(*[store.set(key, key[::-1], 60) for key in keys[::2]])
    found = await asyncio.gather(*[value(store, key) for key in keys])
    assert found == [key[::-1] if i % 2 == 0 else None for i, key in enumerate(keys)]


async def test_one_key_may_be_asked_for_many_times_at_once(store: Store, key: bytes) -> None:
    await store.set(key, b"value", 60)
    assert await asyncio.gather(*[value(store, key) for _ in range(100)]) == [b"value"] * 100


async def test_a_value_says_how_long_it_has_left(store: Store, key: bytes) -> None:
    await store.set(key, b"value", 60)
    found = await store.get(key)
    assert isinstance(found, Entry)
    assert 0 < found.ttl_s <= 60


async def test_a_value_is_gone_when_its_time_is_over(store: Store, key: bytes) -> None:
    await store.set(key, b"value", 0.02)
    await asyncio.sleep(0.05)
    assert await store.get(key) is None


async def test_releasing_does_not_take_a_value_away(store: Store, key: bytes) -> None:
    await store.set(key, b"value", 60)
    await store.release(key)
    assert await value(store, key) == b"value"


async def test_an_absent_key_is_leased_to_the_first_who_asks(
    two_stores: tuple[RedisStore, RedisStore], key: bytes
) -> None:
    one, other = two_stores
    assert await one.get(key) is None
    assert await other.get(key) is LEASED
    assert await one.get(key) is None, "its holder need not wait for itself"


async def test_a_value_ends_the_lease(two_stores: tuple[RedisStore, RedisStore], key: bytes) -> None:
    one, other = two_stores
    await one.get(key)
    await one.set(key, b"value", 60)
    assert await value(other, key) == b"value"


async def test_a_lease_is_released_by_its_holder_only(two_stores: tuple[RedisStore, RedisStore], key: bytes) -> None:
    one, other = two_stores
    await one.get(key)
    await other.release(key)
    assert await other.get(key) is LEASED
    await one.release(key)
    assert await other.get(key) is None


async def test_a_lease_ends_with_its_time(valkey_url: str, key: bytes) -> None:
    one, other = redis_store(valkey_url, lease_s=0.02), redis_store(valkey_url)
    await one.get(key)
    await asyncio.sleep(0.05)
    assert await other.get(key) is None
    await one.close()
    await other.close()


async def test_who_is_cancelled_while_asking_leaves_no_lease_behind(
    two_stores: tuple[RedisStore, RedisStore], key: bytes
) -> None:
    one, other = two_stores
    asking = asyncio.create_task(one.get(key))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    # Closing waits for what is under way.
    await one.close()
    assert await other.get(key) is None


async def test_lookups_of_one_moment_make_one_round_trip(valkey_url: str, server: Redis) -> None:
    store, keys = redis_store(valkey_url), [os.urandom(16) for _ in range(20)]
    await store.get(keys[0])
    before = (await server.info("commandstats"))["cmdstat_eval"]["calls"]
    await asyncio.gather(*[store.get(key) for key in keys])
    assert (await server.info("commandstats"))["cmdstat_eval"]["calls"] == before + 1
    await store.close()


async def test_whatever_else_stands_under_a_key_is_a_miss_and_gives_way(server: Redis, valkey_url: str) -> None:
    store = redis_store(valkey_url)
    truncated, swapped, rubbish, empty, list_ = keys = [os.urandom(16) for _ in range(5)]
    for key in keys:
        await store.set(key, b"a value of some length", 60)
    await server.set(PREFIX + truncated, await server.getrange(PREFIX + truncated, 0, -2))
    await server.set(PREFIX + swapped, await server.getrange(PREFIX + rubbish, 0, -1))
    await server.set(PREFIX + rubbish, b"rubbish")
    await server.set(PREFIX + empty, b"")
    await server.delete(PREFIX + list_)
    await server.rpush(PREFIX + list_, b"not", b"a", b"string")
    assert await asyncio.gather(*[value(store, key) for key in keys]) == [None] * 5
    assert (store.stats.redis_corrupt, store.stats.redis_errors) == (4, 0)
    for key in keys:
        await store.set(key, b"new", 60)
    assert await asyncio.gather(*[value(store, key) for key in keys]) == [b"new"] * 5
    await store.close()


async def test_two_valid_values_that_were_swapped_are_two_misses(server: Redis, valkey_url: str) -> None:
    store, (one, other) = redis_store(valkey_url), (os.urandom(16), os.urandom(16))
    await asyncio.gather(store.set(one, b"one", 60), store.set(other, b"other", 60))
    of_one, of_other = [await server.getrange(PREFIX + key, 0, -1) for key in (one, other)]
    await server.set(PREFIX + one, of_other, px=60_000)
    await server.set(PREFIX + other, of_one, px=60_000)
    assert [await value(store, key) for key in (one, other)] == [None, None]
    assert store.stats.redis_corrupt == 2
    await store.close()


async def test_a_value_that_somebody_without_the_secret_wrote_is_a_miss(server: Redis, valkey_url: str) -> None:
    store, key = redis_store(valkey_url), os.urandom(16)
    await server.set(PREFIX + key, Seal(b"a guess at the secret").pack(key, b"forged"), px=60_000)
    assert await store.get(key) is None
    assert store.stats.redis_corrupt == 1
    await store.close()


async def test_a_value_that_would_never_expire_is_a_miss(server: Redis, valkey_url: str, key: bytes) -> None:
    store = redis_store(valkey_url)
    await store.set(key, b"value", 60)
    await server.persist(PREFIX + key)
    assert await store.get(key) is None
    await store.close()


@pytest.mark.parametrize("px", [None, 600_000, 60_000])
async def test_nobody_waits_for_a_lease_that_none_of_us_has_taken(
    server: Redis, valkey_url: str, key: bytes, px: int | None
) -> None:
    store, forged = redis_store(valkey_url), Seal(b"a guess at the secret").lease(key, os.urandom(16))
    for lease in (forged, b"\0" + os.urandom(16), b"\0"):
        await server.set(PREFIX + key, lease, px=px)
        assert await store.get(key) is None
    assert store.stats.redis_corrupt == 3
    await store.close()


@pytest.mark.parametrize("px", [None, 600_000])
async def test_nobody_waits_for_a_lease_longer_than_leases_last(
    two_stores: tuple[RedisStore, RedisStore], server: Redis, key: bytes, px: int | None
) -> None:
    one, other = two_stores
    await one.get(key)
    assert await other.get(key) is LEASED
    await server.set(PREFIX + key, SEAL.lease(key, os.urandom(16)), px=px)
    assert await other.get(key) is None


async def test_stores_with_different_secrets_leave_one_another_alone(valkey_url: str, key: bytes) -> None:
    one = redis_store(valkey_url)
    other = RedisStore(valkey_url, seal=Seal(b"of another platform"), timeout_s=30, lease_s=60, breaker=Breaker(1, 60))
    await one.set(key, b"one", 60)
    assert await other.get(key) is None
    await other.set(key, b"other", 60)
    assert (await value(one, key), await value(other, key)) == (b"one", b"other")
    assert (one.stats.redis_corrupt, other.stats.redis_corrupt) == (0, 0)
    await one.close()
    await other.close()

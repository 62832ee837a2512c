"""Redis down, slow, full, flushed, restarted or answering rubbish costs no request."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from cache.breaker import State
from cache.frame import Seal
from cache.response_cache import ResponseCache
from cache.settings import CacheSettings, open_cache
from tests.servers import Server, free_port, valkey_server
from tests.unit.cache.test_response_cache import get_or_compute

FOREVER_MS = 600_000
SECRET = "the secret of the platform"
PREFIX = Seal(SECRET.encode()).prefix


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[ResponseCache]:
    """A cache without memory, so that every hit is the server's, and which waits for the server unless told not to."""
    cache = open_cache(
        CacheSettings(redis_url=url, **{"secret": SECRET, "memory_bytes": 0, "redis_timeout_ms": 10_000, **settings})
    )
    try:
        yield cache
    finally:
        await cache.close()


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """The server accepts connections and answers nothing."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def answer(key: bytes) -> bytes:
    return b"the answer to " + key


async def ask(cache: ResponseCache, keys: Iterable[bytes]) -> list[str]:
    """Ask for all at once. Every answer must be right; returns hit or miss for each."""

    async def one(key: bytes) -> str:
        async def compute() -> bytes:
            await asyncio.sleep(0)
            return answer(key)

        value, outcome = await get_or_compute(cache, key, 60, compute)
        assert value == answer(key)
        return outcome

    return await asyncio.gather(*map(one, keys))


async def ask_in_turn(cache: ResponseCache, keys: Iterable[bytes]) -> list[str]:
    return [outcome for key in keys for outcome in await ask(cache, [key])]


async def ask_until(cache: ResponseCache, keys: list[bytes], reached: Callable[[], bool]) -> None:
    """Keep asking; a test that never gets there runs into its time limit."""
    while not reached():
        await ask(cache, keys)
        await asyncio.sleep(0.01)


def some_keys(count: int) -> list[bytes]:
    return [os.urandom(16) for _ in range(count)]


async def fill(url: str, keys: list[bytes]) -> None:
    async with opened(url, max_writes=len(keys)) as cache:
        assert await ask(cache, keys) == ["miss"] * len(keys)


async def test_a_server_that_is_not_there_costs_no_request_and_is_soon_left_alone() -> None:
    async with opened(f"redis://127.0.0.1:{free_port()}/0", breaker_failures=5, breaker_open_ms=FOREVER_MS) as cache:
        assert await ask_in_turn(cache, some_keys(20)) == ["miss"] * 20
        assert cache.stats.breaker_state == State.OPEN
        assert cache.stats.breaker_opened == 1
        failed = cache.stats.redis_errors
        assert failed >= 5
        assert await ask(cache, some_keys(100)) == ["miss"] * 100
        assert cache.stats.redis_errors == failed, "while the breaker is open nothing is sent"
        assert cache.stats.redis_skipped > 100


async def test_a_server_that_is_killed_costs_no_request() -> None:
    keys = some_keys(20)
    with valkey_server() as server:
        await fill(server.url, keys)
        async with opened(server.url, breaker_open_ms=FOREVER_MS) as cache:
            assert await ask(cache, keys) == ["hit"] * 20
            server.process.kill()
            server.process.wait()
            assert await ask_in_turn(cache, keys) == ["miss"] * 20
            assert await ask(cache, keys) == ["miss"] * 20
            assert cache.stats.hits_shared == 20
            assert cache.stats.redis_errors >= 5
            assert cache.stats.breaker_state == State.OPEN


async def test_a_server_that_is_killed_while_it_is_asked_costs_no_request() -> None:
    keys = some_keys(20)
    with valkey_server() as server:
        await fill(server.url, keys)
        async with opened(server.url, breaker_open_ms=FOREVER_MS) as cache:
            assert await ask(cache, keys) == ["hit"] * 20
            with stopped(server):
                asking = asyncio.create_task(ask(cache, keys))
                await asyncio.sleep(0.01)
                server.process.kill()
                server.process.wait()
                assert await asking == ["miss"] * 20
            assert cache.stats.redis_errors >= 1


async def test_a_server_that_hangs_costs_no_request_and_is_used_again_when_it_goes_on() -> None:
    keys = some_keys(20)
    with valkey_server() as server:
        await fill(server.url, keys)
        async with opened(server.url, redis_timeout_ms=50, breaker_open_ms=100) as cache:
            await ask_until(cache, keys, lambda: cache.stats.hits_shared > 0)
            with stopped(server):
                await ask_until(cache, keys, lambda: cache.stats.breaker_opened > 0)
                assert cache.stats.redis_errors >= 5
                skipped = cache.stats.redis_skipped
                await ask_until(cache, keys, lambda: cache.stats.redis_skipped > skipped)
            hits = cache.stats.hits_shared
            await ask_until(cache, keys, lambda: cache.stats.hits_shared > hits)
            await ask_until(cache, keys, lambda: cache.stats.breaker_state == State.CLOSED)


async def test_replies_that_come_after_their_time_are_not_taken_for_others() -> None:
    """A connection whose reply was given up must not hand it to the next who asks on it."""
    keys = some_keys(40)
    with valkey_server() as server:
        await fill(server.url, keys)
        async with opened(server.url, redis_timeout_ms=50, breaker_failures=1000) as cache:
            for _ in range(5):
                with stopped(server):
                    await ask(cache, keys[:20])
                await ask_in_turn(cache, keys[20:])
                await ask(cache, keys)
            assert cache.stats.redis_errors >= 5
            assert cache.stats.redis_corrupt == 0


async def test_writes_to_a_server_that_hangs_are_bounded() -> None:
    keys = some_keys(20)
    with valkey_server() as server:
        async with opened(server.url, redis_timeout_ms=50, max_writes=2, breaker_failures=1000) as cache:
            with stopped(server):
                assert await ask(cache, keys) == ["miss"] * 20
            assert cache.stats.dropped_writes == 18
            assert cache.stats.redis_errors >= 1


async def test_a_full_server_costs_no_request_and_still_answers_what_it_holds() -> None:
    old, new = some_keys(20), some_keys(20)
    with valkey_server(None, "--maxmemory-policy", "noeviction") as server:
        await fill(server.url, old)
        async with Redis.from_url(server.url) as client:
            await client.config_set("maxmemory", "1mb")
        async with opened(server.url, breaker_failures=1) as cache:
            assert await ask(cache, [*old, *new]) == ["hit"] * 20 + ["miss"] * 20
            assert await ask(cache, [*old, *new]) == ["hit"] * 20 + ["miss"] * 20
        assert cache.stats.redis_full == 40
        assert cache.stats.redis_errors == 0
        assert cache.stats.breaker_state == State.CLOSED, "a full server can be read"


async def test_a_server_that_is_flushed_costs_no_request_and_fills_again() -> None:
    keys = some_keys(20)
    with valkey_server() as server:
        await fill(server.url, keys)
        async with opened(server.url) as cache, Redis.from_url(server.url) as client:
            assert await ask(cache, keys) == ["hit"] * 20
            asking = [asyncio.create_task(ask(cache, keys)) for _ in range(10)]
            await client.flushall()
            await asyncio.gather(*asking)
            await client.flushall()
            await ask(cache, keys)
            await ask_until(cache, keys, lambda: cache.stats.hits_shared >= 100)
        assert cache.stats.misses >= 20
        assert cache.stats.redis_errors == 0


async def test_a_server_that_restarts_costs_no_request_and_is_used_again() -> None:
    keys = some_keys(20)
    port = free_port()
    with valkey_server(port) as server:
        await fill(server.url, keys)
    async with opened(server.url, breaker_open_ms=50) as cache:
        with valkey_server(port):
            await ask_until(cache, keys, lambda: cache.stats.hits_shared > 0)
        await ask_until(cache, keys, lambda: cache.stats.breaker_state == State.OPEN)
        hits = cache.stats.hits_shared
        with valkey_server(port):
            await ask_until(cache, keys, lambda: cache.stats.hits_shared > hits)
        assert cache.stats.breaker_opened >= 1


@asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that takes part in the handshake and sends `reply` to the rest, or hangs up where that is empty.

    Its URL, and what it was sent.
    """
    sent = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            handshakes = data.count(b"SETINFO")
            if handshakes == 0:
                sent.append(data)
                if not reply:
                    break
            writer.write(b"+OK\r\n" * handshakes or reply)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", sent
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize(
    "reply",
    [
        b"\x00\xff\xfe rubbish \x17\r\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b":1\r\n",
        b"$-1\r\n",
        b"*0\r\n",
        b"*2\r\n:1\r\n:1\r\n",
        b"*2\r\n$-1\r\n$1\r\nx\r\n",
        b"*2\r\n$5\r\nwrong\r\n*0\r\n",
        b"*3\r\n$-1\r\n:0\r\n:0\r\n",
        b"*4\r\n$-1\r\n:0\r\n:1\r\n:0\r\n",
        b"-ERR no\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-LOADING Valkey is loading the dataset in memory\r\n",
        b"-MOVED 1 127.0.0.1:1\r\n",
        b"$99999999999999999999\r\n",
        b"$50\r\nonly the beginning",
        b"*-7\r\n",
        b"*1\r\n" * 100,
        b"",
    ],
)
async def test_a_server_that_answers_rubbish_costs_no_request_and_is_soon_left_alone(
    reply: bytes, at_once: int
) -> None:
    async with (
        answering(reply) as (url, sent),
        opened(url, redis_timeout_ms=50, breaker_open_ms=FOREVER_MS) as cache,
    ):
        for _ in range(10):
            assert await ask(cache, some_keys(at_once)) == ["miss"] * at_once
        assert cache.stats.breaker_opened == 1
        assert cache.stats.redis_errors >= 5
        asked = len(sent)
        assert asked > 0
        assert await ask(cache, some_keys(10)) == ["miss"] * 10
        assert len(sent) == asked
        assert cache.stats.hits_shared == 0


async def test_a_server_that_takes_writes_but_answers_rubbish_to_reads_costs_no_request() -> None:
    async with answering(b"+OK\r\n") as (url, _), opened(url) as cache:
        assert await ask_in_turn(cache, some_keys(20)) == ["miss"] * 20
    assert cache.stats.redis_errors == 20


async def test_a_server_that_answers_rubbish_to_the_handshake_costs_no_request() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = f"redis://:password@127.0.0.1:{server.sockets[0].getsockname()[1]}/3"
    async with opened(url, redis_timeout_ms=50, breaker_open_ms=FOREVER_MS) as cache:
        assert await ask_in_turn(cache, some_keys(10)) == ["miss"] * 10
        assert cache.stats.breaker_opened == 1
    server.close()
    await server.wait_closed()


async def test_well_formed_replies_with_other_values_are_not_taken_for_answers() -> None:
    keys = some_keys(20)
    with valkey_server() as server:
        await fill(server.url, keys)
        async with Redis.from_url(server.url) as client, opened(server.url) as cache:
            for key in keys:
                await client.setrange(PREFIX + key, 20, b"!")
            assert await ask(cache, keys) == ["miss"] * 20
            assert cache.stats.redis_corrupt == 20
            assert cache.stats.breaker_state == State.CLOSED

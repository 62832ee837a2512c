"""A run's way over its channel, to the process of its engine and back."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Executor

from model_service.engines.base import Arrays
from model_service.engines.frames import Incoming, Received, pack, receive, send_parts
from service.offload import LARGE


def ask(channel: socket.socket, run: int, inputs: Arrays) -> Received:
    """What the process answers to `inputs`. Blocks. Raises Closed."""
    return _ask(channel, pack(run, None, inputs)[0])


async def compute(channel: socket.socket, run: int, inputs: Arrays, threads: Executor) -> Received:
    """As `ask`, in the event loop, and in one of `threads` where the loop would be held up by so many bytes.

    A thread takes two switches for each run, which for a small model is more than the run.
    """
    loop = asyncio.get_running_loop()
    parts, size = pack(run, None, inputs)
    if size > LARGE:
        return await loop.run_in_executor(threads, _ask, channel, parts)
    # So that whatever the process does, the loop does not wait for it. What is small has room in the socket: the
    # process has read all that came before.
    channel.setblocking(False)
    send_parts(channel, parts)
    await _until_readable(loop, channel)
    frame = Incoming(channel)
    if frame.is_whole:
        return frame.receive()
    return await loop.run_in_executor(threads, _blocking, channel, frame.receive)


def _ask(channel: socket.socket, parts: list[bytes | memoryview]) -> Received:
    channel.setblocking(True)
    send_parts(channel, parts)
    return receive(channel)


def _blocking(channel: socket.socket, receive: Callable[[], Received]) -> Received:
    channel.setblocking(True)
    return receive()


async def _until_readable(loop: asyncio.AbstractEventLoop, channel: socket.socket) -> None:
    readable = loop.create_future()

    def tell() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(channel, tell)
    try:
        await readable
    finally:
        loop.remove_reader(channel)

"""One HTTP/1.1 connection to a worker, parsed by httptools (the parser that uvicorn stands on)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools


class ConnectionFailed(Exception):
    """The connection broke before the whole answer had come."""


@dataclass(slots=True)
class Reply:
    """An HTTP response; header names in lower case."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


class Connection(asyncio.Protocol):
    """Carries one request at a time. `dropped` is told when the peer closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, dropped: Callable[["Connection"], None]) -> None:
        self.reusable = True
        self._loop = loop
        self._dropped = dropped
        self._waiter: asyncio.Future[Reply] | None = None

    async def exchange(self, request: bytes) -> Reply:
        """Send `request` and wait for its answer. Raises ConnectionFailed."""
        if not self.reusable:
            raise ConnectionFailed("closed by the worker")
        self._waiter = self._loop.create_future()
        self._reply = Reply()
        self._chunks: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        self.reusable = False
        self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.close()  # bytes that nobody asked for: the next answer could not be told from them
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the worker's answer is not HTTP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self._dropped(self)
        self._fail(f"closed by the worker{f': {error}' if error else ''}")

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reply.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        reply = self._reply
        reply.status = self._parser.get_status_code()
        reply.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self.reusable = self._parser.should_keep_alive()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(reply)

    def _fail(self, reason: str) -> None:
        self.reusable = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionFailed(reason))

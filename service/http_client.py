"""The HTTP/1.1 client: one connection to a server, parsed by httptools (the parser that uvicorn uses)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

from service.budget import Budget, LastingShare
from service.offload import LARGE
from wire.errors import ServingError, TooLarge
from wire.headers import CONTENT_LENGTH
from wire.tensors import Data


class ConnectionFailed(Exception):
    """The connection broke before the whole answer had come."""


class NotConnected(ConnectionFailed):
    """Nobody takes a connection there: the request was not even sent."""


class Stalled(ConnectionFailed):
    """The connection is up, and the answer is overdue."""


@dataclass(slots=True)
class Reply:
    """An HTTP response; header names in lower case. A large body keeps its `share` of the budget as long as it exists.

    It is `late` where the server has said that the answer will take longer than usual.
    """

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes | bytearray = b""
    share: LastingShare | None = None
    late: bool = False


@dataclass(slots=True, frozen=True)
class ReplyLimits:
    """How many bytes the body of a reply may have, and the budget that large ones reserve theirs of."""

    budget: Budget = field(default_factory=Budget)
    body_bytes: int = 64 << 20


class ClientConnection(asyncio.Protocol):
    """Carries one request at a time. `dropped` is called when the peer closes it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dropped: Callable[["ClientConnection"], None],
        limits: ReplyLimits | None = None,
    ) -> None:
        self.reusable = True
        self.due: float | None = None  # when the answer must have come, in monotonic seconds
        self._limits = limits or ReplyLimits()
        self._loop = loop
        self._dropped = dropped
        self._waiter: asyncio.Future[Reply] | None = None

    async def exchange(self, request: bytes | tuple[Data, ...]) -> Reply:
        """Send `request`, whole or in parts, and wait for its answer.

        Raises ConnectionFailed; TooLarge, Overloaded.
        """
        if not self.reusable:
            raise ConnectionFailed("closed by the worker")
        self._waiter = self._loop.create_future()
        self._reply = Reply()
        self._parser = httptools.HttpResponseParser(self)
        if isinstance(request, tuple):
            self._transport.writelines(request)
        else:
            self._transport.write(request)
        return await self._waiter

    def fail(self, reason: ConnectionFailed) -> None:
        """Have the exchange that is under way end with this."""
        self._fail(reason)
        self.close()

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
            self._fail(ConnectionFailed(f"the worker's answer is not HTTP: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        self._dropped(self)
        self._fail(ConnectionFailed(f"closed by the worker{f': {error}' if error else ''}"))

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reply.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        length = int(self._reply.headers.get(CONTENT_LENGTH, b"0"))
        if length > self._limits.body_bytes:
            self._refuse(
                TooLarge(f"the answer has {length} bytes, {self._limits.body_bytes} are passed on: ask for less")
            )
        elif length > LARGE:
            self._reply.share = self._limits.budget.lasting_share()
            try:
                self._reply.share.reserve(length)
            except ServingError as error:
                self._refuse(error)

    def on_body(self, body: bytes) -> None:
        reply = self._reply
        if not reply.body:
            reply.body = body
        elif isinstance(reply.body, bytearray):
            reply.body += body
        else:
            reply.body = bytearray(reply.body) + body

    def on_message_complete(self) -> None:
        reply = self._reply
        reply.status = self._parser.get_status_code()
        if reply.status < 200:  # an interim answer: the server says that the answer itself will be late
            self.due = None
            self._reply = Reply(late=True)
            return
        self.reusable = self._parser.should_keep_alive()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(reply)

    def _refuse(self, error: ServingError) -> None:
        self._fail(error)
        self.close()

    def _fail(self, error: Exception) -> None:
        self.reusable = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

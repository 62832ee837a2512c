"""One keep-alive HTTP/1.1 connection of the load generator: one request at a time, with little Python."""

import asyncio
import re
from collections.abc import Callable
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class LoadConnection(asyncio.Protocol):
    """Sends prepared requests. `answered(connection, status, head, body)` is called for each answer.

    `lost(connection)` is called once, when the connection has closed, whoever closed it.
    """

    def __init__(
        self,
        answered: Callable[["LoadConnection", int, bytes, bytes], None],
        lost: Callable[["LoadConnection"], None],
    ) -> None:
        self.due = 0.0  # when the request in flight was due: latency counts from here
        self.busy = False
        self._answered = answered
        self._lost = lost
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, due: float) -> None:
        """Send the request, which was due at `due` on the loop's clock."""
        assert self._transport is not None, "not connected"
        self.due, self.busy = due, True
        self._transport.write(request)

    def close(self) -> None:
        """Close at once, whatever is in flight."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = received[: end + 2]
        if length := _LENGTH.search(head):
            if len(received) < end + 4 + int(length[1]):
                return
        elif not received.endswith(b"0\r\n\r\n"):
            # No length: chunked. JSON holds no bare CRLF, so this ending is the last chunk and nothing else.
            return
        self._received = b""
        self.busy = False
        self._answered(self, int(head[9:12]), head, received[end + 4 :])

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)

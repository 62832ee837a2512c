"""A small request that is whole, and its answer: what the fast path has in place of ASGI's scope, receive and send.

By ASGI's means a request costs a task, a scope, an event and an answer in two messages, which together take longer than
all that a gateway does with it.
"""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, ClassVar, Final, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.asgi import Headers
from service.cancel_scope import CONNECTION
from service.deadlines import Deadlines, Expiring
from service.offload import LARGE

CLOSE: Final = (b"connection", b"close")
_DIGITS: Final = 6  # of the length of a small body; a client may send zeros without end before them


def is_small(length: bytes) -> bool:
    """Whether a body of that length, as a head says it, may be an exchange's: all of it is handled in one turn."""
    return len(length) <= _DIGITS and length.isdigit() and int(length) <= LARGE


class ExchangeConnection(Protocol):
    """The connection that it came by."""

    on_lost: Callable[[], None] | None
    transport: Any  # a CorkedTransport
    server_state: Any  # uvicorn's
    deadlines: Deadlines

    def on_response_complete(self) -> None: ...

    def serve_by_application(self, exchange: "Exchange", about: Mapping[str, Any]) -> None: ...


class Exchange:
    """Stands where uvicorn's connection has a cycle, and so has those of its fields that connections look at.

    Once its body is whole `finish` hands it to `begin`, which sees to it that one of `respond` and
    `serve_by_application` is called, now or later, and raises nothing.
    """

    __slots__ = (
        *("_connection", "begin", "body", "headers", "params", "slot", "started", "url"),
        *("disconnected", "keep_alive", "more_body", "response_complete", "response_started"),
    )
    message_event: ClassVar = asyncio.Event()  # uvicorn sets it; nobody waits for it

    def __init__(
        self,
        connection: ExchangeConnection,
        begin: "Begin",
        params: Mapping[str, str],
        url: bytes,
        headers: Headers,
        keep_alive: bool,
    ) -> None:
        self._connection = connection
        self.begin = begin
        self.params = params  # of the path
        self.url = url
        self.headers = headers
        self.started = monotonic()
        self.body = b""
        self.keep_alive = keep_alive
        self.more_body = True
        self.slot: set[Expiring] | None = None  # while the rest of its body is waited for
        self.disconnected = self.response_started = self.response_complete = False

    def add(self, body: bytes) -> None:
        """A piece of the body has come."""
        self.body = self.body + body if self.body else body

    def finish(self) -> None:
        """The body is whole."""
        self.more_body = False
        if self.slot is not None:
            self.slot.discard(self)
        self.begin(self)

    def expire(self) -> None:
        """The rest of the body has not come soon: the application has a deadline for it."""
        if self.more_body and not self.response_complete:
            self.serve_by_application()

    @property
    def deadlines(self) -> Deadlines:
        return self._connection.deadlines

    @property
    def scope(self) -> dict[str, Any]:
        """As much of an ASGI scope as a `CancelScope` looks at."""
        return {CONNECTION: self._connection}

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Have `on_lost` called when the client hangs up before it is answered."""
        self._connection.on_lost = on_lost

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """Answer with `body`, of at most some ten KiB; `lines` are whole header lines, that of the length excepted."""
        connection = self._connection
        connection.on_lost = None
        self.response_started = self.response_complete = True
        if self.disconnected:
            return
        default, closes = _encode(connection.server_state.default_headers)
        keep_alive = self.keep_alive and not closes
        if not keep_alive and not closes:
            lines += b"connection: close\r\n"
        connection.transport.send(
            b"%b%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[status], default, lines, len(body), body)
        )
        if not keep_alive:
            connection.transport.close()
        connection.on_response_complete()

    def serve_by_application(self, **about: Any) -> None:
        """Have it answered as all other requests are, by a task; its scope says `about` as well."""
        self._connection.on_lost = None
        self._connection.serve_by_application(self, about)


Begin = Callable[[Exchange], None]
Found = tuple[Begin, Mapping[str, str]]  # how to begin a request, and its path's parameters

# uvicorn replaces its list once a second, as the date changes; what was made of it is used as often as it is the same.
_encoded: tuple[list[tuple[bytes, bytes]], tuple[bytes, bool]] = ([], (b"", False))


def _encode(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bool]:
    """The server's own headers as lines, and whether they close the connection."""
    global _encoded
    if headers is not _encoded[0]:
        _encoded = headers, (b"".join([b"%b: %b\r\n" % pair for pair in headers]), CLOSE in headers)
    return _encoded[1]

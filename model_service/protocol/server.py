"""How gateway and worker serve their applications: uvicorn, on uvloop and httptools."""

import asyncio
import gc
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from model_service.protocol.http import CONNECTION, Receive, Scope, Send

# What is larger gains nothing from waiting; and unless it is sent, nobody tells the application to slow down.
CORK: Final = 64 * 1024


class CorkedTransport:
    """Sends what one turn of the event loop writes in one system call.

    uvicorn writes an answer's head and its body one after the other, and each write costs as much as reading a request.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)
        self._size += len(data)
        if self._size >= CORK:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        # The client may have hung up since: writing to it then is an error.
        if self._pending and not self._transport.is_closing():
            self._transport.write(b"".join(self._pending))
        self._pending.clear()
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class ClientProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a corked transport; who asks for it in time hears that the client hangs up.

    One request of a connection is served at a time, so there is one to tell. ASGI has it ask again and again instead,
    which takes a task for each request. While another request waits behind it (pipelining, which clients hardly use),
    nothing is read from the connection, and its end is not seen either: then the deadline is the end.
    """

    on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, CorkedTransport(transport, self.loop)))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()
        if self.scope is not None:
            cast(Scope, self.scope).pop(CONNECTION, None)  # or connection and scope would keep each other alive

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(Scope, self.scope)[CONNECTION] = self

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()  # a large body has paused it, and then nobody would see the client hang up


class HotFirst(Starlette):
    """A Starlette, or with FastAPI as a second base a FastAPI, that calls the endpoints of its `hot` routes directly.

    They are ASGI objects that answer all their errors themselves; the middleware that every other request passes costs
    as much as they do.
    """

    hot: Sequence[Route] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            for route in self.hot:
                if found := route.path_regex.match(path):
                    scope["path_params"] = found.groupdict()
                    return await route.app(scope, receive, send)
        return await super().__call__(scope, receive, send)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, on a free port where `port` is 0: `getsockname()` says on which."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def url_of(listening: socket.socket) -> str:
    """`http://host:port` of a socket that listens; the machine's name where it listens on all addresses."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def leave_start_up_alone() -> None:
    """Have the garbage collector look at what requests make, and not at all that was imported, over and over.

    To be called once the application is made. A full collection over it stops every request for 40 ms.
    """
    gc.collect()
    gc.freeze()


def config(app: Any, host: str, port: int, *, drain_s: int) -> uvicorn.Config:
    """How to serve `app`. At the end requests have `drain_s` seconds to finish."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=ClientProtocol,
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,  # above what load balancers keep their idle connections for
        timeout_graceful_shutdown=drain_s,
        log_config=None,  # as everything else in the process
        log_level="warning",
    )

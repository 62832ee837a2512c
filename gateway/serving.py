"""How the gateway begins to take requests, and how it stops."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, cast

import uvicorn

from gateway.accepting import Acceptor
from gateway.membership import Membership
from service.server import Server

IDLE_S: Final = 2.0  # for connections in between two requests to send one more, and be told with its answer
_RETRY_S: Final = 0.1
_POLL_S: Final = 0.02
_CLOSE: Final = (b"connection", b"close")
log = logging.getLogger(__name__)


class GatewayServer(Server):
    """Listens once it can answer. When it stops, it accepts no more connections and ends those it has with an answer.

    Closing a connection between two requests would lose a request that is just on its way. So each answer says
    `connection: close`, and only connections that are idle for `IDLE_S` are closed without one. With `shared`, a
    socket that other processes listen on too, it takes no more than its part of the connections, and only those that
    have waited for `accept_after_s`.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        membership: Membership,
        start_timeout_s: float,
        shared: socket.socket | None = None,
        accept_after_s: float = 0.0,
    ) -> None:
        super().__init__(config)
        self._shared = shared
        self._accept_after_s = accept_after_s
        self._membership = membership
        self._start_timeout_s = start_timeout_s
        self._looking: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._look_around()
        if self.should_exit:
            return
        if self._shared is None:
            return await super().startup(sockets)
        await super().startup(sockets=[])
        acceptor = Acceptor(self._shared, self._loop, self._protocol, self._accept_after_s)
        self.servers = [cast(asyncio.Server, acceptor)]

    def _protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=self._loop)

    async def _look_around(self) -> None:
        """Read the registry once; where it is away for long, go on without: readiness says so."""
        self._looking = asyncio.create_task(self._until_read())
        read, _ = await asyncio.wait({self._looking}, timeout=self._start_timeout_s)
        if not read:
            self._looking.cancel()
            log.warning(
                "the registry did not answer within %g s: listening without it, as not ready", self._start_timeout_s
            )

    async def _until_read(self) -> None:
        while True:
            try:
                return await self._membership.refresh()
            except Exception:  # which the membership tells of, once it runs
                await asyncio.sleep(_RETRY_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.started and self._draining is None:
            self._loop.call_soon_threadsafe(self._begin_to_drain, sig)
            return
        super().handle_exit(sig, frame)  # not begun yet, or told twice: now
        if self._looking is not None:
            self._loop.call_soon_threadsafe(self._looking.cancel)

    def _begin_to_drain(self, sig: int) -> None:
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(sig))

    async def _drain(self, sig: int) -> None:
        for server in self.servers:
            server.close()
        self._say_close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                await self._until_all_have_left()
        super().handle_exit(sig, None)

    async def _until_all_have_left(self) -> None:
        while True:
            if not self.server_state.connections:
                return
            await asyncio.sleep(_POLL_S)

    def _say_close(self) -> None:
        """With every answer from now on, also with those that are being computed."""
        # The first is what the second is made of once a second.
        self.config.encoded_headers = [*self.config.encoded_headers, _CLOSE]
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        for connection in self.server_state.connections:
            cycle: Any = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False


def bind(host: str, port: int) -> socket.socket:
    """A socket bound there, on a free port where `port` is 0. It refuses connections until somebody listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound

"""Takes connections from a socket that several processes share, a few at a time, so that each of them gets some."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

AT_ONCE: Final = 4
TURN_S: Final = 0.001  # for the others to take some
PAUSE_S: Final = 0.1  # where there is no descriptor or no memory for another connection
BACKLOG: Final = 2048
log = logging.getLogger(__name__)


class Acceptor:
    """Listens on `shared` until it is closed.

    A server of asyncio takes all that comes while it is awake, which is a burst of clients for one process and none for
    the others. This one pauses for a moment after each few. With `after_s` it stands in reserve: it takes what has
    waited that long and goes on until nothing waits, so that it serves when the others are dead, stopped or behind.
    """

    def __init__(
        self,
        shared: socket.socket,
        loop: asyncio.AbstractEventLoop,
        protocol: Callable[[], asyncio.Protocol],
        after_s: float = 0.0,
    ) -> None:
        self._shared = shared
        self._loop = loop
        self._protocol = protocol
        self._after_s = after_s
        self._connecting: set[asyncio.Task[object]] = set()
        self._pausing: asyncio.TimerHandle | None = None
        shared.setblocking(False)
        shared.listen(BACKLOG)
        self._listen()

    def close(self) -> None:
        """Take no more; what waits is for the others."""
        if self._pausing is not None:
            self._pausing.cancel()
        self._loop.remove_reader(self._shared)

    async def wait_closed(self) -> None:
        """Returns at once, as closing leaves nothing to do; asyncio's servers have this method."""

    def _listen(self) -> None:
        self._loop.add_reader(self._shared, self._wait if self._after_s else self._accept)

    def _wait(self) -> None:
        self._pause(self._after_s, self._accept)

    def _accept(self) -> None:
        then, pause_s = self._accept, TURN_S
        for _ in range(AT_ONCE):
            try:
                connection, _ = self._shared.accept()
            except (BlockingIOError, ConnectionAbortedError):  # another process was faster, or the client has left
                then = self._listen
                break
            except OSError as error:
                log.error("no connection can be taken: %s", error.strerror)
                pause_s = PAUSE_S
                break
            self._connect(connection)
        self._pause(pause_s, then)

    def _pause(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._shared)
        self._pausing = self._loop.call_later(seconds, then)

    def _connect(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connecting = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, connection))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

"""How the bytes of a connection leave and come: answers in one system call, requests only when they can be served."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl

# What is larger gains nothing from waiting; and unless it is sent, nobody tells the application to slow down.
CORK: Final = 64 * 1024


class CorkedTransport:
    """Sends what one turn of the event loop writes in one system call.

    uvicorn writes an answer's head and its body one after the other, and each write costs as much as reading a request.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        closed_later: Callable[[], bool] = lambda: False,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._closed_later = closed_later
        self.is_closing = transport.is_closing  # asked several times a request
        self._pending: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)
        self._size += len(data)
        if self._size >= CORK:
            self._flush()

    def send(self, data: bytes) -> None:
        """Write a whole answer, now."""
        if self._pending:
            self.write(data)
        elif not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        if not self._closed_later():
            self._transport.close()

    def write_eof(self) -> None:
        """The end of what is sent: what an application says after it is dropped."""
        self._flush()
        self.write = self.send = _drop  # type: ignore[method-assign]
        if not self.is_closing():
            self._transport.write_eof()

    def _flush(self) -> None:
        # The client may have hung up since: writing to it then is an error.
        if self._pending and not self.is_closing():
            self._transport.write(b"".join(self._pending))
        self._pending.clear()
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _drop(data: bytes) -> None: ...


class BackpressureFlow(FlowControl):
    """Reads nothing while `paused`, as requests wait behind the one that is served: more of them would fill the memory.

    While `dropping`, what comes next will be dropped, and is read when its turn has come (`Drops`).
    """

    paused = False
    dropping = False

    def pause(self) -> None:
        self.paused = True
        self.pause_reading()

    def resume_reading(self) -> None:
        if not self.paused and not self.dropping:
            super().resume_reading()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

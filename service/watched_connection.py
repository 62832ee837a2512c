"""A watched connection: it is refused with a reason, closed when its time is up, and its client can read the answer."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.asgi import Scope
from service.cancel_scope import CONNECTION
from service.deadlines import Deadlines
from service.limits import Watch, log
from service.refusal import Refused, encode_refusal
from service.timeouts import BODY, CLOSING, HEAD, IDLE, refuse_slow
from service.transport import BackpressureFlow, CorkedTransport
from service.turns import Turns


class WatchedProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a corked transport, within the limits of `watch`; it calls `on_lost` at its end.

    One request of a connection is served at a time, so one callback is enough. By ASGI's own means each request would
    need a task that waits in `receive()`. While another request waits behind it (pipelining, which clients hardly use),
    nothing is read from the connection, and its end is not seen either: then the deadline is the end.
    """

    on_lost: Callable[[], None] | None = None
    turns: Turns
    deadlines: Deadlines
    flow: BackpressureFlow

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = watch
        self.turns = watch.late
        self.deadlines = watch.deadlines
        self._limits = watch.limits
        self._stage = HEAD  # of what is read
        self._seconds = 0  # in this stage
        self._body = 0  # bytes of the body, as far as it came
        self._waiting = b""  # behind a request that is being served, or until it is this connection's turn
        self._refusal: Refused | None = None  # to be answered once what came before it is
        self._unread = self._unread_s = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        corked = cast(asyncio.Transport, CorkedTransport(transport, self.loop, self._lingers))
        super().connection_made(corked)
        self.flow = BackpressureFlow(corked)
        self._address = self.client[0] if self.client else ""
        descriptor = transport.get_extra_info("socket").fileno()
        if (reason := self._watch.add(self, self._address, descriptor)) is not None:
            self._refuse(Refused(503, reason))
            if self._watch.has_no_file_for(descriptor):
                self.transport.close()  # even if the client may not come to read why

    def connection_lost(self, exc: Exception | None) -> None:
        lost = self._watch.lost
        if lost.has_room(self.loop.time()):
            self._end(exc)
        else:
            lost.add(partial(self._end, exc))

    def _end(self, exc: Exception | None) -> None:
        self._watch.remove(self, self._address)
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()
        if self.scope is not None:
            cast(Scope, self.scope).pop(CONNECTION, None)  # or connection and scope would keep each other alive

    def shutdown(self) -> None:
        if self._stage == CLOSING and self._refusal is None:
            self.transport.close()
        else:
            super().shutdown()

    def second_passed(self) -> None:
        """Called every second: close the connection if its time is up, with an answer that says why where possible."""
        self._close_where_nothing_is_read()
        if (self.flow.read_paused and not self.flow.dropping) or self.transport.is_closing():
            return
        self._seconds += 1
        limits, seconds, stage = self._limits, self._seconds, self._stage
        answered = self.cycle is None or self.cycle.response_complete
        if stage == IDLE:
            if seconds > limits.idle_s:
                self.transport.close()
        elif stage == CLOSING:
            if self._refusal is None and seconds > limits.linger_s:
                self.transport.close()
        elif stage == BODY and answered and seconds > limits.body_grace_s:
            self._close()  # the rest of a body that is of no use any more
        elif (refused := refuse_slow(stage, seconds, self._body, answered, limits)) is not None:
            if self.headers is None:
                self.transport.close()  # an answer would be taken for one to its first request
            else:
                self._refuse(refused)

    def _close_where_nothing_is_read(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._unread_s = self._unread_s + 1 if size and size >= self._unread else 0
        self._unread = size
        if self._unread_s > self._limits.unread_s:
            log.info("a client read nothing of its answer for %d seconds", self._limits.unread_s)
            self.transport.abort()

    def _refuse(self, refused: Refused) -> None:
        """Answer with this refusal, after the answers that are still due, and read no more requests."""
        log.info("a connection is closed: %s", refused)
        stage, cycle = self._stage, self.cycle
        self._stage, self._seconds = CLOSING, 0
        self._waiting = b""
        if stage == BODY and self.pipeline:
            self.pipeline.popleft()  # its body will never be whole
            self._refusal = refused
        elif stage == BODY and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            self._close() if cycle.response_started else self._answer(refused)
        elif cycle is not None and not cycle.response_complete:
            self._refusal = refused
        else:
            self._answer(refused)

    def _answer(self, refused: Refused) -> None:
        self._refusal = None
        self.transport.write(encode_refusal(refused, self.server_state.default_headers))
        self._close()

    def _lingers(self) -> bool:
        """Whether closing has to wait, as there may be more of a body that nobody is going to read."""
        lingers = self._stage == BODY
        if lingers:
            self._close()
        return lingers

    def _close(self) -> None:
        """Send nothing more, and close once the client does or has had time to read.

        Closing at once, with bytes unread, would reset the connection, and the client might lose the answer.
        """
        self._stage, self._seconds = CLOSING, 0
        self.flow.paused = False
        self.flow.resume_reading()
        self.transport.write_eof()

"""Cancels the work for a request when its client has disconnected or its deadline has passed."""

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Final, Protocol, Self

from service.asgi import Scope
from service.turns import Turns
from wire.errors import ClientGone, DeadlineExceeded, ServingError

# Under this name a request's scope has the connection that it came by.
CONNECTION: Final = "headrace.connection"
LATER: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ServerConnection(Protocol):
    """Calls `on_lost` when the client hangs up. `turns` is shared by the server's connections and spreads out work."""

    on_lost: Callable[[], None] | None
    transport: Any  # an asyncio.Transport
    turns: Turns


def send_interim(scope: Scope) -> None:
    """Tell the client that its answer will take longer than usual, so that it does not give the worker up.

    By an interim answer with status 100, which is the one that all HTTP clients ignore.
    """
    connection: ServerConnection | None = scope.get(CONNECTION)
    if connection is not None:
        connection.transport.write(LATER)


async def drop(scope: Scope) -> None:
    """Close the connection in the middle of an answer that its client does not read."""
    connection: ServerConnection | None = scope.get(CONNECTION)
    if connection is None:
        return
    closed = asyncio.Event()
    connection.on_lost = closed.set
    connection.transport.abort()  # to close it would be to wait for the client
    await closed.wait()


class CancelScope:
    """`with CancelScope(scope, deadline): ...` cancels the block when nobody waits for its result any more.

    Raises ClientGone when the client hangs up, which `WatchedProtocol` reports, and DeadlineExceeded at
    `deadline` (monotonic seconds; None is never). Neither takes a task of its own. Where hundreds of deadlines pass at
    the same moment, the requests are cancelled a few at a time, as each still has an error to answer.
    """

    __slots__ = ("_connection", "_deadline", "_over", "_reason", "_task", "_timer")

    def __init__(self, scope: Scope, deadline: float | None = None) -> None:
        self._connection: ServerConnection | None = scope.get(CONNECTION)
        self._deadline = deadline
        self._reason: type[ServingError] | None = None
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None, "an ASGI application runs in a task"
        self._task = task
        if self._connection is not None:
            self._connection.on_lost = self._hung_up
        if self._deadline is not None:
            self.until(self._deadline)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._connection is not None:
            self._connection.on_lost = None
        if self._timer is not None:
            self._timer.cancel()
        # Where others cancel the task as well, theirs goes on.
        if self._reason is not None and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise self._reason from error

    def until(self, deadline: float) -> None:
        """Bring the deadline forward."""
        if self._timer is not None:
            self._timer.cancel()
        left = deadline - monotonic()
        self._timer = asyncio.get_running_loop().call_later(max(left, 0.0), self._time_is_up)

    def _hung_up(self) -> None:
        self._end(ClientGone)

    def _time_is_up(self) -> None:
        if self._connection is None:
            self._end(DeadlineExceeded)
        else:
            self._connection.turns.add(partial(self._end, DeadlineExceeded))

    def _end(self, reason: type[ServingError]) -> None:
        if self._reason is None and not self._over:
            self._reason = reason
            self._task.cancel()

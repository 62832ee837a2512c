"""The HTTP/1.1 client between gateway and workers: kept-alive connections, one request at a time on each.

A client of our own because this hop is paid by every request: a general one costs more than the rest of the gateway.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from math import inf
from operator import attrgetter
from time import monotonic
from typing import Final

from gateway.balancer import Replica
from service.budget import Budget
from service.http_client import ClientConnection, ConnectionFailed, NotConnected, Reply, ReplyLimits, Stalled
from service.offload import LARGE
from service.turns import AT_ONCE, in_turns
from wire.tensors import Data

CONNECT_TIMEOUT_S = 1.0
IDLE_LIMIT = 256  # connections kept open to each replica
LOOK_S: Final = 0.02  # between two looks at who has been silent for too long

_due = attrgetter("due")


class WorkerClient:
    """Sends requests to replicas and keeps idle connections open for the next ones.

    Answers of more than `max_answer_bytes` are refused; large ones reserve their size of `budget`.
    """

    def __init__(self, budget: Budget | None = None, max_answer_bytes: int = 64 << 20) -> None:
        self._limits = ReplyLimits(budget or Budget(), max_answer_bytes)
        self._idle: dict[str, list[ClientConnection]] = {}
        self._busy: defaultdict[str, set[ClientConnection]] = defaultdict(set)
        self._limited = 0  # requests under way that have a limit
        self._earliest = inf  # of those, none is due before
        self._look: asyncio.TimerHandle | None = None

    async def request(
        self,
        replica: Replica,
        method: bytes,
        path: bytes,
        headers: bytes = b"",
        parts: Sequence[Data] = (),
        limit_s: float | None = None,
    ) -> Reply:
        """The replica's answer, whatever its status. `headers` are whole lines, each with its line end; `parts` are
        those of the body.

        Raises ConnectionFailed, and Stalled where no answer has come after `limit_s`; TooLarge, Overloaded for an
        answer over the limits. When the caller is cancelled the connection is closed, by which the worker learns that
        nobody waits for the answer.
        """
        idle = self._idle.setdefault(replica.url, [])
        connection = idle.pop() if idle else await self._connect(replica)
        size = sum(map(len, parts))
        head = b"%b %b HTTP/1.1\r\nhost: %b\r\ncontent-length: %d\r\n%b\r\n" % (
            method, path, replica.host.encode(), size, headers,
        )  # fmt: skip
        busy = self._busy[replica.url]
        busy.add(connection)
        if limit_s is not None:
            self._limit(connection, limit_s)
        try:
            # Joined where that saves a system call, and not where it would copy for long.
            reply = await connection.exchange(b"".join((head, *parts)) if size < LARGE else (head, *parts))
        except BaseException:
            connection.close()
            raise
        finally:
            busy.discard(connection)
            if limit_s is not None:
                connection.due, self._limited = None, self._limited - 1
        if connection.reusable and len(idle) < IDLE_LIMIT:
            idle.append(connection)
        else:
            connection.close()
        return reply

    async def reaches(self, replica: Replica) -> bool:
        """Whether the replica still accepts connections: its process has not died."""
        try:
            (await self._connect(replica)).close()
        except ConnectionFailed:
            return False
        return True

    def give_up(self, url: str) -> None:
        """Fail all requests that are under way to a replica which no longer answers its health checks."""
        silent = Stalled("the worker does not answer")
        in_turns(iter([*self._busy.get(url, ())]), lambda connection: connection.fail(silent), at_once=AT_ONCE)

    def forget(self, url: str) -> None:
        """Close the idle connections to a replica that is gone."""
        for connection in self._idle.pop(url, ()):
            connection.close()
        if not self._busy.get(url):
            self._busy.pop(url, None)

    def close(self) -> None:
        """Close all idle connections."""
        if self._look is not None:
            self._look.cancel()
        for url in list(self._idle):
            self.forget(url)

    def _limit(self, connection: ClientConnection, seconds: float) -> None:
        # One timer for all, as hardly any limit is ever reached.
        connection.due = monotonic() + seconds
        self._earliest = min(self._earliest, connection.due)
        self._limited += 1
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_for_stalled)

    def _look_for_stalled(self) -> None:
        now = monotonic()
        if now >= self._earliest:
            limited = [c for connections in self._busy.values() for c in connections if c.due is not None]
            limited.sort(key=_due)
            stalled = [c for c in limited[:AT_ONCE] if _due(c) <= now]  # the others at the next look
            self._earliest = min(map(_due, limited[len(stalled) :]), default=inf)
            for connection in stalled:
                connection.fail(Stalled("no answer in the time that this model takes"))
        self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_for_stalled) if self._limited else None

    async def _connect(self, replica: Replica) -> ClientConnection:
        idle = self._idle.setdefault(replica.url, [])

        def forget_closed(connection: ClientConnection) -> None:
            if connection in idle:
                idle.remove(connection)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    lambda: ClientConnection(loop, forget_closed, self._limits), replica.host, replica.port
                )
        except (OSError, TimeoutError, UnicodeError) as error:  # the last for a host that is no name
            raise NotConnected(f"{replica.url}: {error or 'no connection in time'}") from error
        return connection

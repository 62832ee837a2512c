"""The HTTP/1.1 client between gateway and workers: kept-alive connections, one request at a time on each.

A client of our own because this hop is paid by every request: a general one costs more than the rest of the gateway.
"""

import asyncio

from gateway.balancer import Replica
from gateway.connection import Connection, ConnectionFailed, Reply

CONNECT_TIMEOUT_S = 1.0
IDLE_LIMIT = 256  # connections kept open to each replica


class WorkerClient:
    """Sends requests to replicas and keeps their connections."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}

    async def request(
        self, replica: Replica, method: bytes, path: bytes, headers: bytes = b"", body: bytes = b""
    ) -> Reply:
        """The replica's answer, whatever its status. `headers` are whole lines, each with its line end.

        Raises ConnectionFailed. When the caller is cancelled the connection is closed, which tells the worker that
        nobody waits any more.
        """
        idle = self._idle.setdefault(replica.url, [])
        connection = idle.pop() if idle else await self._connect(replica)
        head = b"%b %b HTTP/1.1\r\nhost: %b\r\ncontent-length: %d\r\n%b\r\n" % (
            method, path, replica.host.encode(), len(body), headers,
        )  # fmt: skip
        try:
            reply = await connection.exchange(head + body)
        except BaseException:
            connection.close()
            raise
        if connection.reusable and len(idle) < IDLE_LIMIT:
            idle.append(connection)
        else:
            connection.close()
        return reply

    def forget(self, url: str) -> None:
        """Close the idle connections to a replica that is gone."""
        for connection in self._idle.pop(url, ()):
            connection.close()

    def close(self) -> None:
        """Close all idle connections."""
        for url in list(self._idle):
            self.forget(url)

    async def _connect(self, replica: Replica) -> Connection:
        idle = self._idle[replica.url]

        def dropped(connection: Connection) -> None:
            if connection in idle:
                idle.remove(connection)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, dropped), replica.host, replica.port
                )
        except (OSError, TimeoutError, UnicodeError) as error:  # the last for a host that is no name
            raise ConnectionFailed(f"{replica.url}: {error or 'no connection in time'}") from error
        return connection

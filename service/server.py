"""How gateway and worker serve their applications: uvicorn, on uvloop and httptools."""

import gc
import socket
from functools import partial
from typing import Any, cast

import uvicorn

from service.connection import ClientProtocol
from service.limits import ConnectionLimits, Watch, raise_file_limit
from service.turns import Breath


class Server(uvicorn.Server):
    """uvicorn's, which closes idle connections a few at a time when it ends, so that however many there are, requests
    are answered in between."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        breath = Breath()
        for connection in [*self.server_state.connections]:
            connection.shutdown()
            await breath()
        await super().shutdown(sockets)


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
    """Exclude what exists now from garbage collection.

    To be called once the application is made: a full collection over all that was imported would stop every request
    for 40 ms.
    """
    gc.collect()
    gc.freeze()


def config(app: Any, host: str, port: int, *, drain_s: int, limits: ConnectionLimits | None = None) -> uvicorn.Config:
    """How to serve `app`. At the end requests have `drain_s` seconds to finish."""
    raise_file_limit()
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=cast(Any, partial(ClientProtocol, watch=Watch(limits or ConnectionLimits()))),
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=drain_s,
        log_config=None,  # as everything else in the process
        log_level="warning",
    )

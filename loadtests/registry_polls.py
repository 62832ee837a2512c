"""What the polls of the registry cost PostgreSQL and the process that polls, by how many workers the registry knows."""

import asyncio
import os
import time
from pathlib import Path

from loadtests.models import overhead_folder
from loadtests.results import Figure, Result, figure, result
from storage.database import Database
from storage.importers import import_model
from storage.migrate import upgrade
from storage.registry import Registry
from tests.servers import Server, postgres_server

WORKERS = (2, 500)
SECONDS = 4.0
ROUNDS = 3
TICKS = os.sysconf("SC_CLK_TCK")


def measure() -> Result:
    """Polls of one process at a time, so that nobody waits: what is measured is processor time, not the rate."""
    figures: list[Figure] = []
    rounds: dict[str, list[dict[str, float]]] = {}
    with postgres_server() as server:
        for workers in WORKERS:
            found = asyncio.run(_polls(server, workers))
            rounds |= {f"{what} {workers}": values for what, values in found.items()}
            for what, values in found.items():
                for whose, key in (("PostgreSQL's", "postgres_ms"), ("its own", "client_ms")):
                    least = min(each[key] for each in values)
                    figures.append(figure(f"{what}, {workers} workers known, {whose} time", least, "ms"))
    about = "processor time of one poll of the registry, the least of three rounds, PostgreSQL without fsync"
    return result("registry_polls", about, figures, {"polls": rounds})


async def _polls(server: Server, workers: int) -> dict[str, list[dict[str, float]]]:
    url = server.url
    await upgrade(url)
    database = Database.open(url)
    try:
        registry = Registry(database)
        manifest = import_model(overhead_folder() / "model.onnx", "overhead").manifest
        await registry.publish(manifest)
        wanted = await registry.list_desired()
        held = {str(version.version_id): {"state": "ready"} for version in wanted}
        for number in range(workers):
            await registry.beat(f"worker-{number}", f"http://10.0.{number // 250}.{number % 250}:8001", held)

        async def of_worker() -> None:
            await registry.list_desired()
            await registry.beat("worker-0", "http://10.0.0.0:8001", held)

        async def of_gateway() -> None:
            await registry.snapshot()

        found: dict[str, list[dict[str, float]]] = {"gateway": [], "worker": []}
        for _ in range(ROUNDS):
            for what, poll in (("gateway", of_gateway), ("worker", of_worker)):
                await poll()
                polls, end = 0, time.monotonic() + SECONDS
                theirs, ours = _cpu_of_children(server.process.pid), time.process_time()
                while time.monotonic() < end:
                    await poll()
                    polls += 1
                spent = {
                    "postgres_ms": (_cpu_of_children(server.process.pid) - theirs) * 1000 / polls,
                    "client_ms": (time.process_time() - ours) * 1000 / polls,
                    "polls": float(polls),
                }
                found[what].append(spent)
                print(f"  {workers} workers, {what}: {spent}", flush=True)
        return found
    finally:
        await database.close()


def _cpu_of_children(parent: int) -> float:
    """Seconds that the processes have computed whose parent this is: PostgreSQL has one for each connection."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(fields[1]) == parent:
                total += int(fields[11]) + int(fields[12])
    return total / TICKS

"""The platforms that faults are made in: `headrace up`, which starts anew what dies; or one over a bucket."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from headrace import tether
from headrace.data_folder import DataFolder
from headrace.local_registry import LocalRegistry, prepare
from headrace.remote_registry import RemoteRegistry
from loadtests.processes import ROOT, free_port
from storage.importers import Import

WORKERS = 2
PROGRAMS: Mapping[str, str] = {"gateway": "-m gateway", "worker": "-m model_service", "valkey": "valkey-server"}


@dataclass(frozen=True)
class Running:
    """A platform that answers at `url`; its processes are the children of `supervisor`."""

    url: str
    data: Path
    supervisor: psutil.Process

    def pids(self, program: str) -> list[int]:
        """Of the programs `gateway`, `worker` or `valkey`, the oldest first."""
        found = []
        for child in self.supervisor.children():
            with contextlib.suppress(psutil.Error):
                if PROGRAMS[program] in " ".join(child.cmdline()[:3]):
                    found.append((child.create_time(), child.pid))
        return [pid for _, pid in sorted(found)]

    def kill(self, program: str, number: signal.Signals) -> int:
        """Send a signal to the last started one of them. Which one that was."""
        pid = self.pids(program)[-1]
        os.kill(pid, number)
        return pid

    def memory_mb(self) -> float:
        """Resident memory of gateways and workers, with what they have started themselves; MB of 10^6 bytes."""
        total = 0
        for pid in (*self.pids("gateway"), *self.pids("worker")):
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                total += sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
        return total / 1e6

    def publish(self, imported: Import) -> None:
        """By the admin API, as `stable`."""

        async def add() -> None:
            async with RemoteRegistry.open(self.url, None) as registry:
                await registry.add(imported, "stable")

        asyncio.run(add())


@contextlib.contextmanager
def up(artifacts: Sequence[Import], *, envoy: bool = False) -> Iterator[Running]:
    """`headrace up` over a folder of its own, with these models loaded."""
    with tempfile.TemporaryDirectory(prefix="headrace-chaos-") as folder:
        data = Path(folder)
        asyncio.run(_register(DataFolder(data), artifacts))
        options = ["--json", "--workers", str(WORKERS), "--data", folder, "--port", str(free_port())]
        tied = (sys.executable, "-I", "-S", tether.__file__, str(os.getpid()))  # it ends with us, however we do
        if envoy:
            options += ["--load-balancer", "envoy"]
        with tempfile.TemporaryFile() as said:
            running = subprocess.Popen(
                [*tied, sys.executable, "-m", "headrace", "up", *options],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")},
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
            )
            try:
                assert running.stdout is not None
                if not (line := running.stdout.readline()):
                    said.seek(0)
                    raise RuntimeError(f"the platform did not start: {said.read().decode(errors='replace')}")
                yield Running(json.loads(line)["url"], data, psutil.Process(running.pid))
            finally:
                _stop(running)


def _stop(running: subprocess.Popen[bytes]) -> None:
    running.send_signal(signal.SIGINT)
    try:
        running.wait(15)
    except subprocess.TimeoutExpired:
        running.kill()  # the kernel ends with it what it had started
        running.wait()


async def _register(data: DataFolder, artifacts: Sequence[Import]) -> None:
    for folder in (data.root, data.artifacts):
        folder.mkdir(exist_ok=True)
    await prepare(data)
    async with LocalRegistry.open(data.database_url, str(data.artifacts)) as registry:
        for imported in artifacts:
            await registry.add(imported, None)

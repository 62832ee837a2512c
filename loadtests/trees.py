"""Two trees of this repository, each running whole by its own `headrace up`, to be measured by turns."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from loadtests.models import overhead_folder
from loadtests.processes import ROOT, family, free_port, process, processor_s, wait_until_ready

PACKAGES: Final = ("gateway", "model_service")  # whose processes are counted


@dataclass(frozen=True)
class Running:
    """One tree's platform, with the model `overhead`."""

    url: str
    up: psutil.Process

    @property
    def worker_url(self) -> str:
        """Of one of its workers."""
        worker = next(child.pid for child in self.up.children() if "model_service" in child.cmdline())
        listening = [one for one in psutil.net_connections("tcp") if one.pid == worker and one.status == "LISTEN"]
        port = next(one.laddr.port for one in listening if one.laddr)
        return f"http://127.0.0.1:{port}"

    def spent(self) -> dict[str, float]:
        """Seconds of processor so far, by package: a worker's engines are its children and count for it."""
        found = dict.fromkeys(PACKAGES, 0.0)
        for child in self.up.children():
            package = next((name for name in PACKAGES if name in child.cmdline()), None)
            if package is not None:
                found[package] += processor_s(family(child))
        return found


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the tree of that commit."""
    with tempfile.TemporaryDirectory(prefix="headrace-base-") as name:
        folder = Path(name) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@contextlib.contextmanager
def running(tree: Path, options: Sequence[str]) -> Iterator[Running]:
    """`headrace up` of that tree, with the model added."""
    with tempfile.TemporaryDirectory(prefix="headrace-data-") as data:
        headrace, url = [sys.executable, "-m", "headrace"], f"http://127.0.0.1:{(port := free_port())}"
        environment = {"PYTHONPATH": str(tree)}
        with process([*headrace, "up", "--port", str(port), "--data", data, *options], environment, tree) as up:
            wait_until_ready(f"{url}/v2/health/ready", up)
            model = str(overhead_folder() / "model.onnx")
            subprocess.run(
                [*headrace, "models", "add", model, "--name", "overhead", "--url", url, "--wait"],
                check=True,
                cwd=tree,
                env={**os.environ, **environment},
                stdout=subprocess.DEVNULL,
            )
            yield Running(url, psutil.Process(up.pid))

"""Start servers as processes of their own, wait until they answer, measure them, and stop all that they started."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from loadtests.spec import Report, Spec

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT, grace_s: float = 20
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a process group of its own, until the block ends; what it printed is shown if that fails."""
    with tempfile.TemporaryFile() as output:
        running = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield running
        except BaseException:
            output.seek(0)
            sys.stderr.buffer.write(output.read()[-8000:])
            raise
        finally:
            _stop(running, grace_s)


def _stop(running: subprocess.Popen[bytes], grace_s: float) -> None:
    running.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(grace_s)
    # Some servers leave their workers behind.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def wait_until_ready(url: str, running: subprocess.Popen[bytes], limit_s: float = 120) -> None:
    """Return when `url` answers 200. Raises RuntimeError where the process ends, or the time, before that."""
    give_up = time.monotonic() + limit_s
    while time.monotonic() < give_up:
        if running.poll() is not None:
            raise RuntimeError(f"{running.args!r} ended with {running.returncode} before it was ready")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer 200 within {limit_s} s")


def post(url: str, body: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The body that answers one JSON request. Raises RuntimeError with the server's words for other than 200."""
    request = urllib.request.Request(url, body.encode(), {"content-type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            data: bytes = answer.read()
            return data
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url} answered {error.code}: {error.read()[:500]!r}") from error


def generate(spec: Spec, limit_s: float = 600, started: Callable[[int], None] = lambda pid: None) -> Report:
    """Run the load generator, a process of its own, on `spec`; `started` is told its number."""
    command = [sys.executable, "-m", "loadtests.generator", "--json", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        try:
            started(running.pid)
            said, _ = running.communicate(json.dumps(spec), limit_s)
        except BaseException:
            running.kill()
            raise
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    report: Report = json.loads(said)
    return report


def resident_mb(pid: int) -> float:
    """The resident memory of one process, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} has no memory any more")


def reset_high_water(pid: int) -> None:
    """Let `high_water_mb` of that process count from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def high_water_mb(pid: int) -> float:
    """The most memory that was resident at a time, in MB of 2^20 bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def listener(url: str) -> psutil.Process:
    """The process that listens where `url` says."""
    port = urlsplit(url).port
    listening = [one for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.pid is not None]
    return psutil.Process(next(one.pid for one in listening if one.laddr and one.laddr.port == port))


def family(process: psutil.Process) -> list[psutil.Process]:
    """It and all that it has started: a worker's engines are its children."""
    return [process, *process.children(recursive=True)]


def processor_s(processes: Iterable[psutil.Process]) -> float:
    """The seconds of processor that they have taken so far."""
    return sum(times.user + times.system for times in (one.cpu_times() for one in processes))

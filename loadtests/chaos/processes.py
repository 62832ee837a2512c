"""Processes that die, hang, or are told to stop."""

import os
import signal
import time
import urllib.error
import urllib.request

from loadtests.chaos import models
from loadtests.chaos.platform import Running

STOPPED_S = 8.0


def stop_worker(platform: Running) -> list[str]:
    """SIGSTOP of one of two workers, for eight seconds."""
    pid = platform.kill("worker", signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.kill(pid, signal.SIGCONT)
    return []


def kill_worker(platform: Running) -> list[str]:
    """SIGKILL of one of two workers, which lacks every version for a moment when it is back."""
    platform.kill("worker", signal.SIGKILL)
    _wait_for(platform, "worker", 2)
    return []


def tell_worker(platform: Running) -> list[str]:
    """SIGTERM of one of two workers."""
    platform.kill("worker", signal.SIGTERM)
    _wait_for(platform, "worker", 2)
    return []


def kill_gateway(platform: Running) -> list[str]:
    """SIGKILL of a gateway."""
    platform.kill("gateway", signal.SIGKILL)
    time.sleep(5)
    return []


def tell_gateway(platform: Running) -> list[str]:
    """SIGTERM of a gateway."""
    platform.kill("gateway", signal.SIGTERM)
    time.sleep(6)
    return []


def hang_trial(platform: Running) -> list[str]:
    """A version that hangs in its trial, while a worker is killed."""
    platform.publish(models.hanging())
    time.sleep(2)
    platform.kill("worker", signal.SIGKILL)
    unready = 0
    for _ in range(50):
        unready += not _is_ready(platform.url)
        time.sleep(0.2)
    return [f"not ready at {unready} of 50 looks"] if unready else []


def kill_valkey(platform: Running) -> list[str]:
    """SIGKILL of Valkey."""
    platform.kill("valkey", signal.SIGKILL)
    time.sleep(3)
    return []


def stop_valkey(platform: Running) -> list[str]:
    """SIGSTOP of Valkey, for five seconds."""
    pid = platform.kill("valkey", signal.SIGSTOP)
    time.sleep(5)
    os.kill(pid, signal.SIGCONT)
    return []


def _wait_for(platform: Running, program: str, count: int, limit_s: float = 15) -> None:
    time.sleep(1)
    give_up = time.monotonic() + limit_s
    while len(platform.pids(program)) < count and time.monotonic() < give_up:
        time.sleep(0.1)
    time.sleep(3)  # until it has loaded what it serves


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.HTTPError, OSError):
        return False

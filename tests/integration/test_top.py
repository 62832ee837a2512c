"""`headrace top` beside a real platform that is being asked."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.integration.local_platform import ROOT, environment, headrace
from tests.platform import LocalPlatform

LIMIT_S = 60


def row(number: float) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [number, 2, 3, 4]}]}


@pytest.fixture
def asked(platform: LocalPlatform) -> Iterator[LocalPlatform]:
    """A platform that answers `double` from a worker, from the cache and past it, but not a version that is none."""
    ended = threading.Event()

    def ask() -> None:
        number = 0.0
        with httpx.Client(base_url=platform.url, timeout=30) as client:
            while not ended.wait(0.01):
                number += 1
                for body, headers in ((row(number), {}), (row(number), {}), (row(0), {"cache-control": "no-cache"})):
                    client.post("/v2/models/double/infer", json=body, headers=headers).raise_for_status()
                client.post("/v2/models/double/versions/9/infer", json=row(0))

    thread = threading.Thread(target=ask)
    thread.start()
    yield platform
    ended.set()
    thread.join()


def test_a_frame_says_what_each_model_and_each_worker_does(asked: LocalPlatform) -> None:
    result = headrace("top", "--json", "--interval", "1", "--url", asked.url)
    assert result.returncode == 0, result.stderr
    frame = json.loads(result.stdout)
    (model,) = [entry for entry in frame["models"] if (entry["model"], entry["version"]) == ("double", "1")]
    (refused,) = [entry for entry in frame["models"] if (entry["model"], entry["version"]) == ("double", "")]
    assert (model["workers"], model["share"]) == (1, 1)
    assert model["requests_per_s"] == pytest.approx(3 * refused["requests_per_s"], rel=0.3)
    assert model["hit_ratio"] == pytest.approx(0.5, abs=0.1)
    assert 0 < model["p50_ms"] <= model["p99_ms"]
    assert (model["batch_rows"], model["waiting_rows"]) == (1, 0)
    assert model["padding"] is None  # there are no tokens
    assert refused["p50_ms"] is None

    (worker,) = frame["workers"]
    assert (worker["url"], worker["state"]) == (asked.worker_url, "running")
    assert worker["ready"] >= len(asked.artifacts)  # other tests may have published more
    assert worker["requests_per_s"] == pytest.approx(2 / 3 * model["requests_per_s"], rel=0.3)
    assert worker["cores"] > 0
    assert worker["memory_bytes"] > 10_000_000

    gateway = frame["gateway"]
    assert gateway["requests_per_s"] == pytest.approx(model["requests_per_s"] + refused["requests_per_s"])
    assert gateway["failing_per_s"] == 0  # what the client did wrong is not the platform's failure


def test_one_frame_is_printed_where_the_output_is_no_terminal(asked: LocalPlatform) -> None:
    for arguments in ((), ("--once",)):
        result = headrace("top", *arguments, "--interval", "0.5", "--url", asked.url, COLUMNS="160")
        assert result.returncode == 0, result.stderr
        first, _, head, *lines = result.stdout.splitlines()
        assert first.startswith(f"{asked.url}  ")
        assert head.split()[:4] == ["model", "version", "workers", "share"]
        assert {line.split()[0] for line in lines if line.strip()} >= {*asked.artifacts, "worker", asked.worker_url}
        assert "\x1b" not in result.stdout


def test_it_goes_on_in_a_terminal_until_ctrl_c(asked: LocalPlatform) -> None:
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "headrace", "top", "--interval", "0.2", "--url", asked.url]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**environment(), "TERM": "xterm", "COLUMNS": "160"}, stdin=terminal, stdout=terminal
    )
    os.close(terminal)
    seen, give_up = b"", time.monotonic() + LIMIT_S
    while seen.count(b" requests/s") < 3:
        assert time.monotonic() < give_up, seen
        if select.select([ours], [], [], 0.1)[0]:
            seen += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    with suppress(OSError):  # which is how a terminal ends
        while more := os.read(ours, 65536):
            seen += more
    assert process.wait(LIMIT_S) == 0
    os.close(ours)
    assert b"\x1b[?25h" in seen  # the cursor is shown again
    assert b"\x1b[?1049l" in seen  # and what stood there before


def test_what_answers_but_is_no_gateway_is_said(platform: LocalPlatform) -> None:
    result = headrace("top", "--once", "--url", platform.worker_url)
    assert result.returncode == 1
    assert "error: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("more", [(), ("--once",)])
def test_it_says_so_where_nothing_answers(more: tuple[str, ...]) -> None:
    result = headrace("top", *more, "--url", "http://127.0.0.1:1")
    assert result.returncode == 1
    assert result.stderr.startswith("error: nothing answers at http://127.0.0.1:1; start a platform")
    told = json.loads(headrace("top", *more, "--json", "--url", "http://127.0.0.1:1").stderr)
    assert told["error"] == "nothing answers at http://127.0.0.1:1"

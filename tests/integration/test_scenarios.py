"""Locust with our scenarios, as a process: against the platform, and against servers that stall and fail."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from loadtests.processes import ROOT
from loadtests.scenarios.record import PhaseReport, RunReport
from tests import servers
from tests.platform import Platform

pytestmark = pytest.mark.slow

QUICK = ["--seconds", "2", "--warmup-seconds", "0.5"]


def run(tmp_path: Path, scenario: str, url: str, *options: str) -> tuple[int, RunReport]:
    """Locust's exit status, and the report."""
    file = tmp_path / "report.json"
    command = [sys.executable, "-m", "locust", "-f", f"loadtests/scenarios/{scenario}.py", "--headless"]
    done = subprocess.run(
        [*command, "--only-summary", "--host", url, "--report", str(file), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert file.exists(), done.stdout + done.stderr
    report: RunReport = json.loads(file.read_text())
    return done.returncode, report


def phases(report: RunReport) -> dict[str, PhaseReport]:
    return {phase["name"]: phase for phase in report["phases"]}


@pytest.mark.parametrize(
    ("scenario", "names"),
    [
        ("steady", ["warm-up", "steady"]),
        ("ramp", ["warm-up", "ramp"]),
        ("spike", ["warm-up", "before", "spike", "after"]),
        ("mixed", ["cold start", "mixed"]),
        ("cold_cache", ["cold", "warmer"]),
        ("soak", ["warm-up", *(f"part {n} of 10" for n in range(1, 11))]),
    ],
)
def test_every_request_of_a_scenario_is_answered(
    tmp_path: Path, platform: Platform, scenario: str, names: list[str]
) -> None:
    _, report = run(tmp_path, scenario, platform.url, "--rate", "40", *QUICK)
    assert [phase["name"] for phase in report["phases"]] == names
    for phase in report["phases"]:
        assert phase["failures"] == {}
        assert phase["served"] == phase["offered"]
    assert sum(phase["served"] for phase in report["phases"]) > 20


def test_a_spike_is_five_times_what_is_before_and_after_it(tmp_path: Path, platform: Platform) -> None:
    _, report = run(tmp_path, "spike", platform.url, "--rate", "45", "--arrivals", "even", *QUICK)
    found = phases(report)
    assert [found[name]["offered"] for name in ("before", "spike", "after")] == [6, 30, 6]


def test_the_mix_asks_both_models(tmp_path: Path, platform: Platform) -> None:
    _, report = run(tmp_path, "mixed", platform.url, "--rate", "60", *QUICK)
    assert set(phases(report)["mixed"]["models"]) == {"sentiment", "minilm"}


def test_a_cold_cache_is_cold_each_time(tmp_path: Path, platform: Platform) -> None:
    ratios = []
    for _ in range(2):
        _, report = run(tmp_path, "cold_cache", platform.url, "--rate", "40", *QUICK)
        ratios.append(phases(report)["cold"]["hit_ratio"] or 0.0)
    # 20 sentences of 23,600 by Zipf's law hold few that come twice; a cache that knew them all would hit each time.
    assert max(ratios) < 0.8


class _Stalling(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    until = 0.0
    first = threading.Lock()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        with self.first:
            if not type(self).until:  # from the first request on
                type(self).until = time.monotonic() + 1.5
        time.sleep(max(0.0, self.until - time.monotonic()))
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Failing(_Stalling):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(500)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server that answers as the handler that the test names does."""
    request.param.until = 0.0
    with ThreadingHTTPServer(("127.0.0.1", 0), request.param) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


@pytest.mark.parametrize("server", [_Stalling], indirect=True)
def test_a_stall_is_paid_by_every_request_that_was_due_in_it(tmp_path: Path, server: str) -> None:
    options = [
        "--rate",
        "40",
        "--arrivals",
        "even",
        "--connections",
        "2",
        "--seconds",
        "3",
        "--warmup-seconds",
        "0.025",
    ]
    _, report = run(tmp_path, "steady", server, *options)
    steady = phases(report)["steady"]
    # Two connections: a closed loop would have seen two slow answers. Some 20 more were due in the first half second.
    assert steady["served"] == 120
    assert (steady["p50_ms"] or 0) > 0
    slow = sum(second["served"] for second in steady["per_second"] if (second["p50_ms"] or 0) > 500)
    assert slow >= 20


@pytest.mark.parametrize("server", [_Failing], indirect=True)
def test_failures_fail_the_run(tmp_path: Path, server: str) -> None:
    status, report = run(tmp_path, "steady", server, "--rate", "20", *QUICK)
    steady = phases(report)["steady"]
    assert steady["failures"] == {"500 {}": steady["offered"]}
    assert steady["missed"][0] == "100.00% of the requests failed, at most 0.00% may"
    assert status in (1, 2)  # 2 where this machine was too busy to send in time


def test_several_processes_are_refused(platform: Platform) -> None:
    command = [sys.executable, "-m", "locust", "-f", "loadtests/scenarios/steady.py", "--headless", "--master"]
    done = subprocess.run(
        [*command, "--host", platform.url, "--expect-workers", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode != 0
    assert "a scenario runs in one process" in done.stderr


def test_the_web_page_starts_a_run_with_what_is_filled_in(tmp_path: Path, platform: Platform) -> None:
    port, report = servers.free_port(), tmp_path / "report.json"
    command = [sys.executable, "-m", "locust", "-f", "loadtests/scenarios/steady.py", "--host", platform.url]
    with (
        servers.running(
            [*command, "--web-host", "127.0.0.1", "--web-port", str(port)], tmp_path / "log", cwd=ROOT
        ) as web,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as page,
    ):
        servers.wait_for(lambda: servers.listening(port), web, tmp_path / "log")
        assert "warmup_seconds" in page.get("/").text
        form = {"rate": "20", "seconds": "1", "warmup_seconds": "0.5", "report": str(report)}
        assert page.post("/swarm", data=form).json()["success"] is True
        servers.wait_for(report.exists, web, tmp_path / "log")
        servers.wait_for(lambda: page.get("/stats/requests").json()["state"] == "stopped", web, tmp_path / "log")
    found = phases(json.loads(report.read_text()))["steady"]
    assert 0 < found["served"] == found["offered"] < 60

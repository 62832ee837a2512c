"""Runs a Locust scenario against a platform that is running, and measures every process meanwhile."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from loadtests.platform import Platform
from loadtests.processes import ROOT
from loadtests.qps.sampling import Sampler, Usage
from loadtests.scenarios.record import RunReport

LIMIT_S = 120  # beyond what the scenario itself takes


class Driven(TypedDict):
    """A run, and what each process took in its last phase."""

    report: RunReport
    usage: dict[str, Usage]


def drive(platform: Platform, scenario: str, options: Mapping[str, float | str], html: Path | None = None) -> Driven:
    """Run `loadtests/scenarios/<scenario>.py`; `html` is where Locust's own report goes.

    Raises RuntimeError where Locust did not get as far as a report.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        said = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        command = [sys.executable, "-m", "locust", "-f", f"loadtests/scenarios/{scenario}.py", "--headless"]
        command += ["--host", platform.url, "--only-summary", "--report", str(report), *said]
        command += ["--html", str(html)] if html else []
        with (Path(folder) / "log").open("w+") as log:
            locust = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
            try:
                with Sampler({**platform.pids, "locust": locust.pid}).running() as sampler:
                    locust.wait(float(options["seconds"]) + float(options.get("warmup_seconds", 0)) + LIMIT_S)
            finally:
                locust.kill()
                locust.wait()
            if not report.exists():
                log.seek(0)
                raise RuntimeError(f"locust ended with {locust.returncode}:\n{log.read()[-4000:]}")
        found: RunReport = json.loads(report.read_text())
    last = found["phases"][-1]
    began = found["began"] + sum(phase["seconds"] for phase in found["phases"][:-1])
    return Driven(report=found, usage=sampler.usage(began, last["seconds"]))


def said(driven: Driven) -> str:
    """A run for the terminal."""
    last = driven["report"]["phases"][-1]
    mean, p99 = last["mean_ms"] or float("nan"), last["p99_ms"] or float("nan")
    failed, doubt = sum(last["failures"].values()), driven["report"]["invalid"]
    return f"mean {mean:.1f} ms, p99 {p99:.1f} ms, {failed} failed" + (f" ({doubt})" if doubt else "")

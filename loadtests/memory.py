"""Resident memory: of a gateway, of a worker without a model, and what 50 loads and unloads of minilm leave behind."""

import json
import statistics
import subprocess
import sys

from loadtests.payloads import items
from loadtests.platform import artifact, minilm_artifact, platform
from loadtests.processes import ROOT, resident_mb
from loadtests.results import Result, figure, result

ROUNDS = 3
RELOADS = 50


def measure() -> Result:
    """Fresh processes each round."""
    gateways, workers = [], []
    for _ in range(ROUNDS):
        with platform([artifact("overhead")], workers=1) as running:
            running.target("overhead").check(items("overhead")[0])
            gateways.append(resident_mb(running.gateway.pid))
        with platform([], workers=1) as empty:
            workers.append(resident_mb(empty.workers[0].pid))
        print(f"  gateway {gateways[-1]:.1f} MB, worker {workers[-1]:.1f} MB", flush=True)
    command = [sys.executable, "-m", "loadtests.reload", str(minilm_artifact()), str(RELOADS)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    after: list[float] = json.loads(done.stdout)
    drift = after[-1] - after[0]
    print(f"  {RELOADS} reloads: {after[0]:.1f} MB before, {after[-1]:.1f} MB after", flush=True)
    figures = [
        figure("gateway, empty cache, after its first answer", statistics.median(gateways), "MB", at_most=130),
        figure("worker, no model loaded", statistics.median(workers), "MB", at_most=150),
        figure(
            f"left behind by {RELOADS} loads and unloads of minilm",
            drift,
            "MB",
            at_most=20,
            notes=[
                f"{after[0]:.1f} MB before with the runtime's libraries loaded, {after[1]:.1f} MB after one round,"
                f" {after[-1]:.1f} MB after {RELOADS}; the most after any round {max(after):.1f} MB"
            ],
        ),
    ]
    about = "resident set of the process alone, fresh processes, MB of 10^6 bytes"
    return result("memory", about, figures, {"gateway": gateways, "worker": workers, "reloads": after})

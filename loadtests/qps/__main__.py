"""`make qps`: three workloads, with the balancer in the gateway and with Envoy.

Writes loadtests/results/qps.json and qps.html, and the table of all results.
"""

import argparse
from typing import Any

from loadtests.platform import sentiment_artifact
from loadtests.qps.drive import Driven, drive
from loadtests.qps.limit import Limit, find, said
from loadtests.qps.outcome import Run, figures
from loadtests.qps.page import render as render_page
from loadtests.qps.workloads import BALANCERS, WORKLOADS, Balancer, Workload, stack
from loadtests.report import render
from loadtests.results import FOLDER, result, write
from storage.manifest import Manifest


def main() -> None:
    """Run them one after the other."""
    arguments = argparse.ArgumentParser(prog="python -m loadtests.qps", description=__doc__)
    arguments.add_argument("--rate", type=float, default=1000.0, help="requests per second")
    arguments.add_argument("--seconds", type=float, default=120.0, help="how long each run takes")
    options = arguments.parse_args()
    runs = [
        Run(workload=workload.name, balancer=balancer, driven=_run(workload, balancer, options.rate, options.seconds))
        for workload in WORKLOADS
        for balancer in BALANCERS
    ]
    limits: list[Limit] = []
    for model in ("sentiment", "minilm"):
        for balancer in BALANCERS:
            print(f"the limit of {model}, balancer: {balancer}", flush=True)
            limits.append(find(model, balancer, options.seconds))
    about = (
        f"{options.rate:,.0f} requests a second for {options.seconds:g} s each: gateway, balancer, two workers, Valkey,"
        " PostgreSQL and Locust on one machine. The plots are in [qps.html](qps.html)"
    )
    rounds = {"classifier": _classifier(), "runs": runs, "limits": limits}
    found = result("qps", about, figures(runs, limits), rounds)
    found["command"] = f"python -m loadtests.qps --rate {options.rate:g} --seconds {options.seconds:g}"
    print(f"{write(found)}\n{render()}\n{render_page(found, FOLDER / 'qps.html')}")


def _run(workload: Workload, balancer: Balancer, rate: float, seconds: float) -> Driven:
    print(f"{workload.name}, balancer: {balancer}", flush=True)
    with stack(workload.cache_ttl_s, balancer) as running:
        options = {"rate": rate, "seconds": seconds, "warmup_seconds": workload.warmup_s}
        found = drive(running, workload.scenario, options)
    print(f"  {said(found)}", flush=True)
    return found


def _classifier() -> dict[str, Any]:
    manifest = Manifest.model_validate_json((sentiment_artifact() / "manifest.json").read_bytes())
    return {"description": manifest.description, "metrics": manifest.metrics}


if __name__ == "__main__":
    main()

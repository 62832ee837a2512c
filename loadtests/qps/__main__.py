"""`make qps`: three workloads, with the balancer in the gateway and with Envoy.

Writes to loadtests/results: every second of every run (qps.raw.json.xz), their summary (qps.json), a page with plots
(qps.md, qps/*.svg), and the table of all results.
"""

import argparse

from loadtests import bare
from loadtests.payloads import Workload as Model
from loadtests.platform import sentiment_artifact
from loadtests.qps import about
from loadtests.qps.drive import Driven, drive, said
from loadtests.qps.limit import Limit, find
from loadtests.qps.outcome import Run, figures
from loadtests.qps.page import render as render_page
from loadtests.qps.raw import read_raw, summary, write_raw
from loadtests.qps.workloads import (
    AIM_MEAN_MS,
    AIM_P99_MS,
    BALANCERS,
    BAR_MEAN_MS,
    WORKLOADS,
    Balancer,
    Workload,
    stack,
)
from loadtests.report import render
from loadtests.results import FOLDER, Result, result, write
from loadtests.sentences import described
from storage.manifest import Manifest


def main() -> None:
    """Run them one after the other."""
    arguments = argparse.ArgumentParser(prog="python -m loadtests.qps", description=__doc__)
    arguments.add_argument("--rate", type=float, default=1000.0, help="requests per second")
    arguments.add_argument("--seconds", type=float, default=120.0, help="how long each run takes")
    arguments.add_argument("--page", action="store_true", help="only write summary and page again, from the raw runs")
    options = arguments.parse_args()
    if options.page:
        try:
            _write_all(read_raw())
        except (FileNotFoundError, ValueError) as error:
            arguments.error(f"no page without a result: {error}")
        return
    runs = [
        Run(workload=workload.name, balancer=balancer, driven=_run(workload, balancer, options.rate, options.seconds))
        for workload in WORKLOADS
        for balancer in BALANCERS
    ]
    limits: list[Limit] = []
    models: tuple[Model, ...] = ("sentiment", "minilm")
    for model in models:
        print(f"bare ONNX Runtime, {model}", flush=True)
        alone = bare.measure(model)
        for balancer in BALANCERS:
            print(f"the limit of {model}, balancer: {balancer}", flush=True)
            limits.append(find(model, balancer, options.seconds, alone))
    said_of_it = (
        f"{options.rate:,.0f} requests a second for {options.seconds:g} s each: gateway, balancer, two workers, Valkey,"
        " PostgreSQL and the load generator on one machine. The plots are in [qps.md](qps.md)"
    )
    served = Manifest.model_validate_json((sentiment_artifact() / "manifest.json").read_bytes())
    rounds = {
        "workloads": about.workloads(options.rate, described(), about.classifier_of(served)),
        "bar": {"mean_ms": BAR_MEAN_MS, "aim_mean_ms": AIM_MEAN_MS, "aim_p99_ms": AIM_P99_MS},
        "runs": runs,
        "limits": limits,
    }
    found = result("qps", said_of_it, figures(runs, limits), rounds)
    found["command"] = f"python -m loadtests.qps --rate {options.rate:g} --seconds {options.seconds:g}"
    print(write_raw(found))
    _write_all(found)


def _write_all(found: Result) -> None:
    """What is made of the raw runs."""
    page = render_page(found, FOLDER / "qps.md")
    print(f"{page}\n{write(summary(found))}\n{render()}")


def _run(workload: Workload, balancer: Balancer, rate: float, seconds: float) -> Driven:
    print(f"{workload.name}, balancer: {balancer}", flush=True)
    with stack(workload.cache_ttl_s, balancer) as running:
        options = {"rate": rate, "seconds": seconds, "warmup_seconds": workload.warmup_s}
        found = drive(running, workload.scenario, options)
    print(f"  {said(found)}", flush=True)
    return found


if __name__ == "__main__":
    main()

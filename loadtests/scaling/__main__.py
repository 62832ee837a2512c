"""Simulates autoscaling over a recorded day and writes docs/scaling.md: `python -m loadtests.scaling [--measure]`."""

import argparse
from dataclasses import asdict

from loadtests.report import render
from loadtests.results import Result, figure, result, write
from loadtests.scaling import envoy_rate, registry_polls, trace
from loadtests.scaling.activation import idle_days
from loadtests.scaling.bottleneck import parts
from loadtests.scaling.manifests import activation_as_written, as_written
from loadtests.scaling.measured import measured
from loadtests.scaling.page import PAGE, markdown
from loadtests.scaling.runs import PEAKS, days, steps


def main() -> None:
    """Measure polls of the registry and Envoy first, if asked to, as the days are computed from what was measured."""
    arguments = argparse.ArgumentParser(prog="python -m loadtests.scaling", description=__doc__)
    arguments.add_argument(
        "--measure",
        action="store_true",
        help="measure what polls of the registry and a request through Envoy cost, too",
    )
    if arguments.parse_args().measure:
        for measure in (registry_polls.measure, envoy_rate.measure):
            print(write(measure()), flush=True)
    found = simulated()
    PAGE.write_text(markdown(found))
    print(f"{write(found)}\n{PAGE}\n{render()}")


def simulated() -> Result:
    """The days, the steps and the parts, with what they were computed from."""
    manifests, activation, known = as_written(), activation_as_written(), measured()
    minutes = trace.recorded_day()
    runs, hours = days(minutes, known, manifests)
    first, second, *_ = listed = parts(list(PEAKS), known, manifests)
    figures = [
        figure(
            "full first, of what is shipped, where nothing is cached",
            first.full_at,
            "requests/s",
            notes=[f"{first.name}; then {second.name} at {second.full_at:,.0f} requests/s"],
        ),
        *(
            figure(
                f"{run['workload']}, a day with a peak of {run['peak']:,} requests/s",
                run["core_hours"],
                "core-hours",
                notes=[
                    f"{run['workers'][0]:,} to {run['workers'][2]:,} workers, {run['gateways'][0]} to"
                    f" {run['gateways'][2]} gateways; mean wait {run['wait_mean_ms']:.2f} ms"
                ],
            )
            for run in runs
            if not run["limited"]
        ),
    ]
    about = "gateways and workers under their autoscalers, simulated over a recorded day from what was measured here"
    rounds = {
        "trace": {"package": trace.PACKAGE, "licence": trace.LICENCE, "member": trace.MEMBER, "day": trace.DAY}
        | {"lowest": min(minutes) / max(minutes), "mean": sum(minutes) / len(minutes) / max(minutes)},
        "manifests": asdict(manifests),
        "activation": asdict(activation),
        "idle": idle_days(minutes, activation, manifests.worker),
        "measured": asdict(known),
        "days": runs,
        "hours": hours,
        "steps": steps(known.services["minilm"], manifests),
        "parts": [asdict(part) for part in listed],
    }
    return Result(**{**result("scaling", about, figures, rounds), "command": "python -m loadtests.scaling"})


if __name__ == "__main__":
    main()

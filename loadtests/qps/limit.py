"""The highest rate that holds a mean of 80 ms with nothing cached, beside what ONNX Runtime does on the same cores."""

import os
from collections.abc import Callable
from typing import TypedDict

from loadtests.bare import side_by_side
from loadtests.payloads import Workload as Model
from loadtests.qps.drive import Driven, drive
from loadtests.qps.workloads import BAR_MEAN_MS, Balancer, stack
from loadtests.rounds import closed_loop

STEPS = 5  # of the bisection: the rate is known to a thirtieth of the saturated one
STEP_S, STEP_WARMUP_S = 15.0, 3.0
IN_FLIGHT, SATURATE_S = 256, 8.0
BATCHES = (4, 8, 16, 32)


class Limit(TypedDict):
    """Of one model behind one balancer; rates per second."""

    model: Model
    balancer: Balancer
    saturated: float  # in a closed loop of a lean generator, whatever the latency
    rate: float  # the highest that held the bar for the whole time
    bare: float  # the best of ONNX Runtime alone, sorted by length, over all cores
    bare_batch: int
    tried: list[Driven]  # the last one is the run at `rate`


def find(model: Model, balancer: Balancer, seconds: float) -> Limit:
    """Bisect for the rate, then hold it for `seconds`; slower until it is held."""
    cores = len(os.sched_getaffinity(0))
    bare = {batch: side_by_side(model, batch, cores, 1)[0] for batch in BATCHES}
    batch = max(bare, key=lambda size: bare[size])
    with stack({model: 0}, balancer) as running:
        target = running.target(model)
        saturated = closed_loop(target, model, IN_FLIGHT, SATURATE_S, STEP_WARMUP_S)["rate"]

        def at(rate: float, seconds: float = STEP_S) -> Driven:
            options = {"rate": rate, "seconds": seconds, "warmup_seconds": STEP_WARMUP_S, "model": model}
            found = drive(running, "steady", options)
            print(f"  {rate:8.1f}/s  {said(found)}", flush=True)
            for phase in found["report"]["phases"]:
                phase["per_second"] = []  # of a search nobody looks at the seconds
            return found

        low, tried = bisect(lambda rate: at(rate), 0.3 * saturated, 1.1 * saturated)
        while not held(confirmed := at(low, seconds)) and low > 0.1 * saturated:
            tried.append(confirmed)
            low *= 0.95
        tried.append(confirmed)
    return Limit(
        model=model,
        balancer=balancer,
        saturated=saturated,
        rate=low if held(confirmed) else 0.0,
        bare=bare[batch],
        bare_batch=batch,
        tried=tried,
    )


def bisect(at: Callable[[float], Driven], low: float, high: float) -> tuple[float, list[Driven]]:
    """The highest rate found that is held, `low` where none is, and the runs."""
    tried = []
    for _ in range(STEPS):
        middle = (low + high) / 2
        tried.append(at(middle))
        low, high = (middle, high) if held(tried[-1]) else (low, middle)
    return low, tried


def held(driven: Driven) -> bool:
    """Whether the mean is within the bar, with no failure, by a generator that kept up."""
    last = driven["report"]["phases"][-1]
    mean = last["mean_ms"]
    kept = mean is not None and mean <= BAR_MEAN_MS and not last["failures"]
    return kept and driven["report"]["invalid"] is None


def said(driven: Driven) -> str:
    """A run for the terminal."""
    last = driven["report"]["phases"][-1]
    mean, p99 = last["mean_ms"] or float("nan"), last["p99_ms"] or float("nan")
    failed, doubt = sum(last["failures"].values()), driven["report"]["invalid"]
    return f"mean {mean:.1f} ms, p99 {p99:.1f} ms, {failed} failed" + (f" ({doubt})" if doubt else "")

"""The figures of all runs, beside the bar that the design was given and our own aim."""

from collections.abc import Sequence
from typing import TypedDict

from loadtests.qps.drive import Driven
from loadtests.qps.limit import Limit
from loadtests.qps.workloads import AIM_MEAN_MS, AIM_P99_MS, BAR_MEAN_MS, MISSES_PER_S, Balancer
from loadtests.results import Figure, figure


class Run(TypedDict):
    """One workload at the fixed rate."""

    workload: str
    balancer: Balancer
    driven: Driven


def figures(runs: Sequence[Run], limits: Sequence[Limit]) -> list[Figure]:
    """Of each run what it is held to, of each limit the rate."""
    return [
        *(found for run in runs for found in _of_run(run)),
        *(found for limit in limits for found in _of_limit(limit)),
    ]


def _of_run(run: Run) -> list[Figure]:
    report = run["driven"]["report"]
    last = report["phases"][-1]
    of = f"{run['workload']}, balancer in {run['balancer']}"
    doubt = [report["invalid"]] if report["invalid"] else []
    mean, p99 = (_or_endless(last["mean_ms"]), _or_endless(last["p99_ms"]))
    served = f"{last['offered_rate']:.0f}/s offered, {last['served_rate']:.0f}/s served"
    cores = ", ".join(f"{name} {usage['cpu']:.2f}" for name, usage in run["driven"]["usage"].items())
    found = [
        figure(f"{of}: mean, the bar", mean, "ms", at_most=BAR_MEAN_MS, notes=[served, *doubt]),
        figure(f"{of}: mean, our aim", mean, "ms", at_most=AIM_MEAN_MS, notes=doubt),
        figure(f"{of}: p99, our aim", p99, "ms", at_most=AIM_P99_MS, notes=[f"cores: {cores}", *doubt]),
        figure(f"{of}: failed", float(sum(last["failures"].values())), "requests", at_most=0, notes=doubt),
    ]
    if last["hit_ratio"]:
        found.append(figure(f"{of}: hit ratio", last["hit_ratio"] * 100, "%"))
        misses = last["misses"].get("minilm", 0.0)
        found.append(figure(f"{of}: misses of minilm", misses, "per second", at_most=MISSES_PER_S, notes=doubt))
    return found


def _of_limit(limit: Limit) -> list[Figure]:
    last, bare = limit["tried"][-1], limit["bare"]
    report, of = last["report"], f"the limit of {limit['model']}, balancer in {limit['balancer']}"
    latencies = ", ".join(f"{name} {report[f'{name}_ms']:.1f} ms" for name in ("mean", "p50", "p95", "p99"))  # type: ignore[literal-required]
    cores = ", ".join(f"{name} {usage['cpu']:.2f}" for name, usage in last["usage"].items())
    what = f"{of}: highest rate with a mean of {limit['bar_mean_ms']:g} ms"
    notes = [latencies, f"cores: {cores}"] if limit["rate"] else ["no rate that was tried was held"]
    against, bare_notes = f"{of}: against bare", _bare(limit)
    if limit["at_least"] is not None:
        # A bound, and not the platform's limit: it must never stand anywhere without saying so.
        what, against = f"{what}, at least", f"{against}, at least"
        notes.insert(0, f"at least {limit['rate']:,.0f}/s: {limit['at_least']}")
    return [
        figure(what, limit["rate"], "/s", notes=notes),
        figure(against, limit["rate"] / bare["rate"], "x", notes=bare_notes),
    ]


def _bare(limit: Limit) -> list[str]:
    bare = limit["bare"]
    return [
        f"bare ONNX Runtime does {bare['rate']:,.0f}/s, sorted by length in batches of {bare['batch']}",
        f"its tokenisation, apart: {bare['tokenise_us']:.0f} us of a core for a sentence, which the platform's figure"
        " includes",
    ]


def _or_endless(value: float | None) -> float:
    return float("inf") if value is None else value

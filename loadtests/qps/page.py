"""loadtests/results/qps.html: the runs with their plots, on one page that needs nothing else.

What is said of workloads, sentences and models is the result's own words, so that a page never says of an old result
what is true of today's code.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.qps.drive import Driven
from loadtests.qps.search import Attempt
from loadtests.results import Result

PERCENTILES: tuple[tuple[Literal["p50_ms", "p99_ms"], str], ...] = (("p50_ms", "p50"), ("p99_ms", "p99"))
mpl.rcParams.update(
    {"svg.fonttype": "none", "svg.hashsalt": "qps", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
)


def render(found: Result, path: Path) -> Path:
    """Write the page; its path. Raises ValueError where the result does not say what was asked."""
    rounds = found["rounds"]
    if "workloads" not in rounds:
        raise ValueError(
            f"the result of {found['date']} does not describe its workloads: measure again with `make qps`"
        )
    environment = Environment(
        loader=PackageLoader("loadtests.qps", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["number"] = _number
    bar = rounds["bar"]["mean_ms"]
    path.write_text(
        environment.get_template("page.html.jinja").render(
            found=found,
            workloads={workload["name"]: workload for workload in rounds["workloads"]},
            runs=[(run, plots(run["driven"], bar)) for run in rounds["runs"]],
            limits=[(limit, limit_plot(limit["tried"], limit["bar_mean_ms"])) for limit in rounds["limits"]],
        )
    )
    return path


def plots(driven: Driven, bar_mean_ms: float) -> Markup:
    """A run second by second: rate, latency, hit ratio, cores and memory, the warm-up with it."""
    seconds = [second for phase in driven["report"]["phases"] for second in phase["per_second"]]
    warm_up = len(driven["report"]["phases"][0]["per_second"])
    hits = any(second["hits"] for second in seconds)
    figure = Figure(figsize=(9, 9 if hits else 7.5), layout="constrained")
    rate, latency, *more = figure.subplots(5 if hits else 4, sharex=True)
    rate.plot([second["offered"] for second in seconds], label="offered", linewidth=1)
    rate.plot([second["served"] for second in seconds], label="served", linewidth=1, linestyle="--")
    rate.set_ylabel("requests/s")
    rate.set_ylim(bottom=0)
    for key, name in PERCENTILES:
        latency.plot([_or_gap(second[key]) for second in seconds], label=name, linewidth=1)
    latency.axhline(bar_mean_ms, color="grey", linestyle=":", label="the bar for the mean")
    latency.set_ylabel("ms")
    latency.set_yscale("log")
    if hits:
        more[0].plot([100 * second["hits"] / max(1, second["served"]) for second in seconds], linewidth=1)
        more[0].set_ylabel("hit ratio, %")
        more[0].set_ylim(0, 100)
    cores, memory = more[-2:]
    for name, usage in driven["usage"].items():
        at = range(warm_up, warm_up + len(usage["cpu_per_second"]))
        cores.plot(at, usage["cpu_per_second"], label=name, linewidth=1)
        memory.plot(at, usage["memory_mb_per_second"], label=name, linewidth=1)
    cores.set_ylabel("cores")
    memory.set_ylabel("memory, MB")
    memory.set_ylim(bottom=0)
    memory.set_xlabel("seconds; what is left of the line is not counted")
    for axes in (rate, latency, *more):
        axes.axvline(warm_up, color="grey", linewidth=0.8)
    _legends(rate, latency, cores, memory)
    return _svg(figure)


def limit_plot(tried: Sequence[Attempt], bar_mean_ms: float) -> Markup:
    """The mean over the rate of every run of the search."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    for verdict in ("held", "not held", "generator"):
        of_it = [attempt for attempt in tried if attempt["verdict"] == verdict]
        if of_it:
            means = [attempt["report"]["mean_ms"] for attempt in of_it]
            axes.plot([attempt["rate"] for attempt in of_it], means, "o", label=verdict)
    axes.axhline(bar_mean_ms, color="grey", linestyle=":", label="the bar")
    axes.set_xlabel("requests/s asked for")
    axes.set_ylabel("mean, ms")
    axes.set_yscale("log")
    _legends(axes)
    return _svg(figure)


def _legends(*all_axes: Axes) -> None:
    for axes in all_axes:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _svg(figure: Figure) -> Markup:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return Markup(text[text.index("<svg") :])


def _or_gap(value: float | None) -> float:
    return float("nan") if value is None else value


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if isinstance(value, float) else str(value)

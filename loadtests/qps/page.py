"""loadtests/results/qps.html: the runs with their plots, on one page that needs nothing else."""

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
from loadtests.qps.limit import held
from loadtests.qps.workloads import BAR_MEAN_MS, WORKLOADS
from loadtests.results import Result

PERCENTILES: tuple[tuple[Literal["p50_ms", "p99_ms"], str], ...] = (("p50_ms", "p50"), ("p99_ms", "p99"))
mpl.rcParams.update(
    {"svg.fonttype": "none", "svg.hashsalt": "qps", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
)


def render(found: Result, path: Path) -> Path:
    """Write the page; its path."""
    environment = Environment(
        loader=PackageLoader("loadtests.qps", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["number"] = _number
    limits = found["rounds"]["limits"]
    path.write_text(
        environment.get_template("page.html.jinja").render(
            found=found,
            workloads={workload.name: workload for workload in WORKLOADS},
            runs=[(run, plots(run["driven"])) for run in found["rounds"]["runs"]],
            limits=[(limit, limit_plot(limit["tried"])) for limit in limits],
            held=held,
        )
    )
    return path


def plots(driven: Driven) -> Markup:
    """A run second by second: rate, latency, hit ratio and cores, the warm-up with it."""
    seconds = [second for phase in driven["report"]["phases"] for second in phase["per_second"]]
    warm_up = len(driven["report"]["phases"][0]["per_second"])
    hits = any(second["hits"] for second in seconds)
    figure = Figure(figsize=(9, 7.5 if hits else 6), layout="constrained")
    rate, latency, *more = figure.subplots(4 if hits else 3, sharex=True)
    rate.plot([second["offered"] for second in seconds], label="offered", linewidth=1)
    rate.plot([second["served"] for second in seconds], label="served", linewidth=1, linestyle="--")
    rate.set_ylabel("requests/s")
    rate.set_ylim(bottom=0)
    for key, name in PERCENTILES:
        latency.plot([_or_gap(second[key]) for second in seconds], label=name, linewidth=1)
    latency.axhline(BAR_MEAN_MS, color="grey", linestyle=":", label="the bar for the mean")
    latency.set_ylabel("ms")
    latency.set_yscale("log")
    if hits:
        more[0].plot([100 * second["hits"] / max(1, second["served"]) for second in seconds], linewidth=1)
        more[0].set_ylabel("hit ratio, %")
        more[0].set_ylim(0, 100)
    cores = more[-1]
    for name, usage in driven["usage"].items():
        at = range(warm_up, warm_up + len(usage["cpu_per_second"]))
        cores.plot(at, usage["cpu_per_second"], label=name, linewidth=1)
    cores.set_ylabel("cores")
    cores.set_xlabel("seconds; what is left of the line is not counted")
    for axes in (rate, latency, *more):
        axes.axvline(warm_up, color="grey", linewidth=0.8)
    _legends(rate, latency, cores)
    return _svg(figure)


def limit_plot(tried: Sequence[Driven]) -> Markup:
    """The mean over the rate of every run of the search."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    for kept, name in ((True, "held"), (False, "not held")):
        phases = [driven["report"]["phases"][-1] for driven in tried if held(driven) is kept]
        axes.plot([p["offered_rate"] for p in phases], [_or_gap(p["mean_ms"]) for p in phases], "o", label=name)
    axes.axhline(BAR_MEAN_MS, color="grey", linestyle=":", label="the bar")
    axes.set_xlabel("requests/s offered")
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

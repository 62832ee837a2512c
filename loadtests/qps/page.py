"""loadtests/results/qps.md: the runs with their plots, which are SVG files in the folder beside it.

What is said of workloads, sentences and models is the result's own words, so that a page never says of an old result
what is true of today's code.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from loadtests.qps.plots import plot_limit, plot_run
from loadtests.results import Result


def render(found: Result, path: Path) -> Path:
    """Write the page, and its plots in place of those that are there; its path.

    Raises ValueError where the result does not say what was asked.
    """
    rounds = found["rounds"]
    if "workloads" not in rounds:
        raise ValueError(
            f"the result of {found['date']} does not describe its workloads: measure again with `make qps`"
        )
    environment = Environment(
        # Markdown takes HTML's escapes, and a `<` of a model's description must not become a tag.
        loader=PackageLoader("loadtests.qps", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = _number
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    bar = rounds["bar"]["mean_ms"]

    def written(name: str, svg: str) -> str:
        file = folder / f"{name.replace(' ', '-')}.svg"
        file.write_text(svg)
        return f"{folder.name}/{file.name}"

    runs = [
        (run, written(f"{run['workload']} {run['balancer']}", plot_run(run["driven"], bar))) for run in rounds["runs"]
    ]
    limits = [
        (
            limit,
            written(f"limit {limit['model']} {limit['balancer']}", plot_limit(limit["tried"], limit["bar_mean_ms"])),
        )
        for limit in rounds["limits"]
    ]
    workloads = {workload["name"]: workload for workload in rounds["workloads"]}
    page = environment.get_template("page.md.jinja").render(found=found, workloads=workloads, runs=runs, limits=limits)
    path.write_text(page)
    return path


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}" if isinstance(value, float) else str(value)

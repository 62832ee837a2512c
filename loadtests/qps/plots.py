"""The plots of `make qps`: a run second by second, and the search for a limit."""

from collections.abc import Sequence

from loadtests.qps.drive import Driven
from loadtests.qps.search import Attempt
from loadtests.qps.svg import Line, Panel, draw


def plot_run(driven: Driven, bar_mean_ms: float) -> str:
    """A run: rate, latency, hit ratio and cores, the warm-up with it."""
    seconds = [second for phase in driven["report"]["phases"] for second in phase["per_second"]]
    warm_up = len(driven["report"]["phases"][0]["per_second"])

    def line(name: str, values: Sequence[float | None], begin: int = 0) -> Line:
        return Line(name, list(enumerate(values, begin)))

    panels = [
        Panel("requests/s", [line(name, [second[name] for second in seconds]) for name in ("offered", "served")]),
        Panel(
            "ms",
            [line("p50", [each["p50_ms"] for each in seconds]), line("p99", [each["p99_ms"] for each in seconds])],
            log=True,
            bar=("the bar for the mean", bar_mean_ms),
        ),
    ]
    if any(second["hits"] for second in seconds):
        hits = [100 * second["hits"] / max(1, second["served"]) for second in seconds]
        panels.append(Panel("hit ratio, %", [line("hits", hits)]))
    cores = [line(name, usage["cpu_per_second"], warm_up) for name, usage in driven["usage"].items()]
    panels.append(Panel("cores", cores))
    return draw(panels, "seconds; what is left of the line is not counted", mark_x=warm_up)


def plot_limit(tried: Sequence[Attempt], bar_mean_ms: float) -> str:
    """The mean over the rate of every run of the search."""
    lines = [
        Line(verdict, [(each["rate"], each["report"]["mean_ms"]) for each in tried if each["verdict"] == verdict], True)
        for verdict in ("held", "not held", "generator")
    ]
    shown = [line for line in lines if line.points]
    return draw([Panel("mean, ms", shown, log=True, bar=("the bar", bar_mean_ms))], "requests/s asked for")

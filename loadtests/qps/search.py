"""The search for the highest rate that holds a mean latency, and what each run of it says."""

from collections.abc import Callable
from typing import Literal, TypedDict

from loadtests.generator import SATURATED
from loadtests.qps.sampling import Usage
from loadtests.spec import Report

STEPS = 5  # of the bisection: the rate is known to a fortieth of the saturated one
STEP_S = 15.0  # at most
LAG_SHARE = 0.1  # of the mean: beyond this it is open whether platform or generator was too slow

Verdict = Literal["held", "not held", "generator"]


class Attempt(TypedDict):
    """One run, at `rate` requests a second."""

    rate: float
    seconds: float
    report: Report
    usage: dict[str, Usage]
    verdict: Verdict


class Search(TypedDict):
    """`rate` is the highest that was held for the whole time, 0 where none was; `at_least` why it may be too low."""

    rate: float
    at_least: str | None
    tried: list[Attempt]  # the last one is the run at `rate`, where there is one


def verdict(report: Report, bar_mean_ms: float) -> Verdict:
    """Whether the mean is within the bar, with no failure.

    A latency counts from when its request was due, so that a generator that is late makes it longer and never shorter:
    with a mean within the bar the rate is held, however late the generator was. A mean beyond the bar is the platform's
    doing only where the generator's lag is a small part of it.
    """
    served = report["statuses"].get("200", 0)
    if not served or report["errors"] or served != report["count"]:
        return "not held"
    if report["mean_ms"] <= bar_mean_ms:
        return "held"
    lagged = (report["lag_mean_ms"] or 0.0) > LAG_SHARE * report["mean_ms"]
    return "generator" if lagged or report["cpu_share"] > SATURATED else "not held"


def search(at: Callable[[float, float], Attempt], saturated: float, seconds: float) -> Search:
    """Bisect below the `saturated` rate by runs `at(rate, seconds)`; then hold it for `seconds`, slower until it is."""
    step_s = min(STEP_S, seconds)
    low, tried = bisect(lambda rate: at(rate, step_s), 0.3 * saturated, 1.1 * saturated)
    tried.append(at(low, seconds))
    while tried[-1]["verdict"] != "held" and low > 0.1 * saturated:
        low *= 0.95
        tried.append(at(low, seconds))
    rate = low if tried[-1]["verdict"] == "held" else 0.0
    return Search(rate=rate, at_least=_at_least(rate, tried) if rate else None, tried=tried)


def bisect(at: Callable[[float], Attempt], low: float, high: float) -> tuple[float, list[Attempt]]:
    """The highest rate found that is held, `low` where none is, and the runs."""
    tried = []
    for _ in range(STEPS):
        middle = (low + high) / 2
        tried.append(at(middle))
        low, high = (middle, high) if tried[-1]["verdict"] == "held" else (low, middle)
    return low, tried


def _at_least(rate: float, tried: list[Attempt]) -> str | None:
    beyond = [attempt for attempt in tried if attempt["verdict"] != "held" and attempt["rate"] > rate]
    if not beyond:
        return "every rate that was tried was held"
    if min(beyond, key=lambda attempt: attempt["rate"])["verdict"] == "generator":
        return "above it the generator, on the same cores, lagged"
    return None

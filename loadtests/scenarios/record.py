"""What a run saw, request by request, and the report that comes of it."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from loadtests.scenarios.arrivals import Phase

LAGGED_MS = 5.0  # p99: beyond this the load was not the one that was asked for
SATURATED = 0.9  # of a core: beyond this it may be the generator that is measured
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Thresholds:
    """What a counted phase is held to; None where it is held to nothing."""

    mean_ms: float | None = None
    p99_ms: float | None = None
    failures: float = 0.0  # as a share of the requests


class Second(TypedDict):
    """One second of a phase, by when requests were due in it."""

    offered: int
    served: int
    p50_ms: float | None  # None where nothing was served
    p99_ms: float | None
    hits: int


class PhaseReport(TypedDict):
    """A phase. Latencies in milliseconds, from when a request was due to its whole answer, of those with status 200."""

    name: str
    counted: bool
    seconds: float
    offered: int
    served: int
    offered_rate: float  # per second
    served_rate: float  # per second, until the last answer
    failures: dict[str, int]  # by what was wrong
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    hit_ratio: float | None  # of the served, None where none says whether it came from the cache
    models: dict[str, int]  # served, by model
    misses: dict[str, float]  # per second, by model: what the workers computed
    lag_p99_ms: float | None  # how late the generator was in sending, where a connection was free
    per_second: list[Second]
    missed: list[str]  # thresholds


class RunReport(TypedDict):
    """A run of a scenario. `invalid` says why its figures must not be used; None where they may be."""

    scenario: str
    began: float  # the first phase, epoch seconds
    arrivals: str
    connections: int
    generator_cpu: float  # of a core
    phases: list[PhaseReport]
    invalid: str | None


class Record:
    """Of one phase; `cached` is None where the answer does not say whether it came from the cache."""

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self.due = array("d")  # of the served, seconds from the phase's beginning; as `latencies` and `hit`, in order
        self.latencies = array("d")
        self.hit = array("b")  # 1, 0, or -1 where it is not known
        self.all_due = array("d")
        self.lags = array("d")
        self.failures: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()

    def sent(self, due: float, lag: float | None) -> None:
        """A request leaves; `lag` in seconds where only the generator can have been late with it."""
        self.all_due.append(due)
        if lag is not None:
            self.lags.append(lag)

    def served(self, model: str, due: float, latency: float, cached: bool | None) -> None:
        """It was answered with status 200, `latency` seconds after it was due."""
        self.due.append(due)
        self.latencies.append(latency)
        self.hit.append(-1 if cached is None else cached)
        self.models[model] += 1
        if not cached:
            self.misses[model] += 1

    def failed(self, why: str) -> None:
        """It was not."""
        self.failures[why] += 1

    def report(self, thresholds: Thresholds) -> PhaseReport:
        """What it amounts to."""
        seconds = self.phase.seconds
        latencies, due, hit = np.array(self.latencies) * 1000, np.array(self.due), np.array(self.hit, np.int8)
        known = hit >= 0
        # Those that were answered only after its end are not served at its rate.
        took = max(seconds, float((due + latencies / 1000).max(initial=0.0)))
        report = PhaseReport(
            name=self.phase.name,
            counted=self.phase.counted,
            seconds=seconds,
            offered=len(self.all_due),
            served=len(latencies),
            offered_rate=len(self.all_due) / seconds,
            served_rate=len(latencies) / took,
            failures=dict(self.failures),
            mean_ms=float(latencies.mean()) if len(latencies) else None,
            p50_ms=percentile(latencies, 50),
            p95_ms=percentile(latencies, 95),
            p99_ms=percentile(latencies, 99),
            max_ms=float(latencies.max()) if len(latencies) else None,
            hit_ratio=float((hit[known] == 1).mean()) if known.any() else None,
            models=dict(self.models),
            misses={model: count / seconds for model, count in self.misses.items()},
            lag_p99_ms=percentile(np.array(self.lags) * 1000, 99),
            per_second=_per_second(seconds, np.array(self.all_due), due, latencies, hit),
            missed=[],
        )
        report["missed"] = missed(report, thresholds) if self.phase.counted else []
        return report


def missed(report: PhaseReport, held_to: Thresholds) -> list[str]:
    """What the phase does not keep, in words."""
    wrong = []
    failed = sum(report["failures"].values()) / max(1, report["offered"])
    if failed > held_to.failures:
        wrong.append(f"{failed:.2%} of the requests failed, at most {held_to.failures:.2%} may")
    for what, found, most in (
        ("mean", report["mean_ms"], held_to.mean_ms),
        ("p99", report["p99_ms"], held_to.p99_ms),
    ):
        if most is not None and (found is None or found > most):
            wrong.append(f"{what} {'unknown' if found is None else f'{found:.1f} ms'}, at most {most:g} ms")
    return wrong


def invalid(phases: Sequence[PhaseReport], generator_cpu: float) -> str | None:
    """Why the run says nothing about the server: it was not sent the load that it was to be sent."""
    faults = []
    if generator_cpu > SATURATED:
        faults.append(f"the generator was saturated ({generator_cpu:.0%} of a core)")
    for phase in phases:
        lag = phase["lag_p99_ms"]
        if phase["counted"] and lag is not None and lag > LAGGED_MS:
            faults.append(f"the generator lagged in {phase['name']} (p99 {lag:.1f} ms)")
        if phase["counted"] and not phase["offered"]:
            faults.append(f"nothing was sent in {phase['name']}")
    return "; ".join(faults) or None


def percentile(values: Floats, share: float) -> float | None:
    """A value that was seen, None where none was."""
    return float(np.percentile(values, share, method="inverted_cdf")) if len(values) else None


def _per_second(seconds: float, all_due: Floats, due: Floats, latencies: Floats, hit: NDArray[np.int8]) -> list[Second]:
    found = []
    offered = np.bincount(all_due.astype(int), minlength=int(seconds))
    for second in range(int(seconds)):
        of_it = due.astype(int) == second
        found.append(
            Second(
                offered=int(offered[second]),
                served=int(of_it.sum()),
                p50_ms=_rounded(percentile(latencies[of_it], 50)),
                p99_ms=_rounded(percentile(latencies[of_it], 99)),
                hits=int((hit[of_it] == 1).sum()),
            )
        )
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)

"""The days and the steps that docs/scaling.md shows: what is simulated, and what is kept of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypedDict

from loadtests.scaling.manifests import Manifests
from loadtests.scaling.measured import Measured
from loadtests.scaling.simulate import Day, Service, simulate, wait_percentile
from loadtests.scaling.trace import by_second

PEAKS: Final = (1_000, 10_000, 100_000, 1_000_000)
HOURS_OF: Final = ("minilm", 100_000)  # the day that is shown hour by hour
UNLIMITED: Final = 10**9
LATE_S: Final = 0.02  # the queue time that the workers' ScaledObject aims at
STEP_FROM, STEP_AT_S, STEP_S = 5_000.0, 900, 2_700
FACTORS: Final = (1.25, 1.5, 2.0, 3.0)


class Run(TypedDict):
    """A day. `limited`: with the manifests' most replicas. Waits in milliseconds, replicas as (least, mean, most)."""

    workload: str
    peak: int
    limited: bool
    requests: float
    workers: tuple[int, float, int]
    gateways: tuple[int, float, int]
    core_hours: float
    core_hours_at_most: float  # with the most replicas of the day all day long
    wait_mean_ms: float
    wait_p99_ms: float
    wait_max_ms: float
    refused: float  # share of the requests


class Hour(TypedDict):
    rate: float
    workers: tuple[int, int]
    gateways: tuple[int, int]
    wait_ms: float


class Step(TypedDict):
    """The load times `factor` from one second to the next; `late_s`: seconds in which the wait was over LATE_S."""

    factor: float
    workers: tuple[int, int]
    late_s: int
    wait_max_ms: float
    refused: float


def days(minutes: Sequence[float], found: Measured, manifests: Manifests) -> tuple[list[Run], list[Hour]]:
    """Every workload at every peak; with the manifests' limits too where they keep it from having what it needs."""
    runs: list[Run] = []
    hours: list[Hour] = []
    for workload, service in found.services.items():
        for peak in PEAKS:
            rates = by_second(minutes, peak)
            day = simulate(rates, service, without_limit(manifests))
            runs.append(_run(workload, peak, day, manifests, limited=False))
            if (workload, peak) == HOURS_OF:
                hours = [_hour(day, 3600 * hour) for hour in range(len(rates) // 3600)]
            if max(day.workers) > manifests.worker.maximum or max(day.gateways) > manifests.gateway.maximum:
                runs.append(_run(workload, peak, simulate(rates, service, manifests), manifests, limited=True))
    return runs, hours


def steps(service: Service, manifests: Manifests) -> list[Step]:
    """A quarter of an hour of the same load, and then at once more of it, for half an hour."""
    found = []
    for factor in FACTORS:
        rates = [STEP_FROM] * STEP_AT_S + [STEP_FROM * factor] * (STEP_S - STEP_AT_S)
        day = simulate(rates, service, manifests)
        after = day.wait_s[STEP_AT_S:]
        found.append(
            Step(
                factor=factor,
                workers=(day.workers[STEP_AT_S - 1], max(day.workers)),
                late_s=sum(wait > LATE_S for wait in after),
                wait_max_ms=max(after) * 1000,
                refused=day.refused / sum(rates[STEP_AT_S:]),
            )
        )
    return found


def without_limit(manifests: Manifests) -> Manifests:
    """With as many replicas as are wanted."""
    return replace(
        manifests,
        gateway=replace(manifests.gateway, maximum=UNLIMITED),
        worker=replace(manifests.worker, maximum=UNLIMITED),
    )


def _run(workload: str, peak: int, day: Day, manifests: Manifests, *, limited: bool) -> Run:
    total = sum(day.arrived)
    of_worker, of_gateway = manifests.worker.cores, manifests.gateway.cores
    hours = len(day.arrived) / 3600
    return Run(
        workload=workload,
        peak=peak,
        limited=limited,
        requests=total,
        workers=_spread(day.workers),
        gateways=_spread(day.gateways),
        core_hours=(sum(day.workers) * of_worker + sum(day.gateways) * of_gateway) / 3600,
        core_hours_at_most=(max(day.workers) * of_worker + max(day.gateways) * of_gateway) * hours,
        wait_mean_ms=_mean_wait_ms(day, 0, len(day.arrived)),
        wait_p99_ms=wait_percentile(day, 0.99) * 1000,
        wait_max_ms=max(day.wait_s) * 1000,
        refused=day.refused / total,
    )


def _hour(day: Day, start: int) -> Hour:
    end = start + 3600
    workers, gateways = day.workers[start:end], day.gateways[start:end]
    return Hour(
        rate=sum(day.arrived[start:end]) / 3600,
        workers=(min(workers), max(workers)),
        gateways=(min(gateways), max(gateways)),
        wait_ms=_mean_wait_ms(day, start, end),
    )


def _mean_wait_ms(day: Day, start: int, end: int) -> float:
    arrived, waits = day.arrived[start:end], day.wait_s[start:end]
    return 1000 * sum(count * wait for count, wait in zip(arrived, waits, strict=True)) / sum(arrived)


def _spread(counts: Sequence[int]) -> tuple[int, float, int]:
    return min(counts), sum(counts) / len(counts), max(counts)

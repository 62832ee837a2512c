"""The search for the highest rate that is held."""

import pytest

from loadtests.qps.drive import Driven
from loadtests.qps.limit import bisect, held
from loadtests.scenarios.arrivals import steady
from loadtests.scenarios.record import Record, RunReport, Thresholds


def driven(mean_ms: float, failed: int = 0, invalid: str | None = None) -> Driven:
    record = Record(steady("it", 1, 10))
    record.sent(0.5, 0.0)
    record.served("m", 0.5, mean_ms / 1000, None)
    for _ in range(failed):
        record.failed("500 boom")
    phases = [record.report(Thresholds())]
    report = RunReport(
        scenario="steady", began=0, arrivals="poisson", connections=1, generator_cpu=0.1, phases=phases, invalid=invalid
    )
    return Driven(report=report, usage={})


def test_a_rate_is_held_with_the_mean_within_the_bar_no_failure_and_a_generator_that_kept_up() -> None:
    assert held(driven(79.9))
    assert not held(driven(80.1))
    assert not held(driven(10, failed=1))
    assert not held(driven(10, invalid="the generator lagged"))


@pytest.mark.parametrize("limit", [35.0, 77.0, 104.0])
def test_bisection_ends_just_below_the_limit(limit: float) -> None:
    found, tried = bisect(lambda rate: driven(10 if rate <= limit else 500), 30, 110)
    assert limit - 80 / 2 ** len(tried) <= found <= limit


def test_where_nothing_is_held_the_lowest_rate_is_left_to_be_confirmed() -> None:
    found, _ = bisect(lambda rate: driven(500), 30, 110)
    assert found == 30

"""The search for the highest rate that is held, over runs that are made up."""

from collections.abc import Callable

import pytest

from loadtests.qps.search import Attempt, bisect, search, verdict
from loadtests.spec import Report

BAR = 80.0


def report(mean_ms: float, *, lag_ms: float = 0.0, refused: int = 0, errors: int = 0, cpu_share: float = 0.1) -> Report:
    return Report(
        count=100 + refused,
        statuses={"200": 100, "503": refused},
        errors=errors,
        rate=100.0,
        seconds=1.0,
        mean_ms=mean_ms,
        p50_ms=mean_ms,
        p95_ms=mean_ms,
        p99_ms=mean_ms,
        max_ms=mean_ms,
        began=0.0,
        lag_mean_ms=lag_ms,
        lag_p99_ms=lag_ms,
        lag_max_ms=lag_ms,
        cpu_share=cpu_share,
        starved_share=0.0,
        header_values={},
        refused_p50_ms=None,
        refused_p99_ms=None,
        first_failure=None,
        invalid=None,
    )


def attempt(rate: float, seconds: float, found: Report) -> Attempt:
    return Attempt(rate=rate, seconds=seconds, report=found, usage={}, verdict=verdict(found, BAR))


def runner(at: Callable[[float], Report]) -> Callable[[float, float], Attempt]:
    return lambda rate, seconds: attempt(rate, seconds, at(rate))


def within(limit: float) -> Callable[[float], Report]:
    return lambda rate: report(10 if rate <= limit else 500)


def test_a_rate_is_held_with_the_mean_within_the_bar_and_no_failure() -> None:
    assert verdict(report(79.9), BAR) == "held"
    assert verdict(report(80.1), BAR) == "not held"
    assert verdict(report(10, refused=1), BAR) == "not held"
    assert verdict(report(10, errors=1), BAR) == "not held"


def test_where_nothing_was_answered_nothing_is_held() -> None:
    nothing = report(0)
    nothing["count"], nothing["statuses"] = 0, {}
    assert verdict(nothing, BAR) == "not held"


def test_a_mean_within_the_bar_is_held_however_late_the_generator_was() -> None:
    assert verdict(report(79, lag_ms=70), BAR) == "held"


def test_a_mean_beyond_the_bar_is_the_platforms_only_where_the_lag_is_a_small_part_of_it() -> None:
    assert verdict(report(100, lag_ms=9), BAR) == "not held"
    assert verdict(report(100, lag_ms=11), BAR) == "generator"
    assert verdict(report(100, cpu_share=0.95), BAR) == "generator"


@pytest.mark.parametrize("limit", [35.0, 77.0, 104.0])
def test_bisection_ends_just_below_the_limit(limit: float) -> None:
    found, tried = bisect(lambda rate: runner(within(limit))(rate, 1), 30, 110)
    assert limit - 80 / 2 ** len(tried) <= found <= limit


def test_the_platforms_own_limit_is_no_lower_bound() -> None:
    found = search(runner(within(77)), 100, 120)
    assert 74 < found["rate"] <= 77
    assert found["at_least"] is None
    assert (found["tried"][-1]["rate"], found["tried"][-1]["seconds"]) == (found["rate"], 120)


def test_where_the_lowest_rate_that_was_not_held_is_the_generators_the_limit_is_a_lower_bound() -> None:
    found = search(runner(lambda rate: report(10) if rate <= 77 else report(100, lag_ms=50)), 100, 120)
    assert 74 < found["rate"] <= 77
    assert found["at_least"] == "above it the generator, on the same cores, lagged"


def test_a_generator_that_lagged_far_above_the_limit_does_not_matter() -> None:
    def at(rate: float) -> Report:
        return report(10) if rate <= 50 else report(100, lag_ms=50 if rate > 90 else 0)

    assert search(runner(at), 100, 120)["at_least"] is None


def test_where_every_rate_is_held_the_limit_is_a_lower_bound() -> None:
    assert search(runner(within(1000)), 100, 120)["at_least"] == "every rate that was tried was held"


def test_a_rate_that_is_held_for_seconds_only_gives_way_to_the_next_that_is_held_for_the_whole_time() -> None:
    def at(rate: float, seconds: float) -> Attempt:
        return attempt(rate, seconds, report(10 if rate <= (77 if seconds < 100 else 60) else 500))

    found = search(at, 100, 120)
    assert 55 < found["rate"] <= 60
    assert found["tried"][-1]["verdict"] == "held"


def test_where_nothing_is_held_the_rate_is_zero() -> None:
    found = search(runner(within(0)), 100, 120)
    assert (found["rate"], found["at_least"]) == (0, None)

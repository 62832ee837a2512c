"""What a run amounts to, what it misses, and when it says nothing."""

import pytest

from loadtests.scenarios.arrivals import steady
from loadtests.scenarios.record import PhaseReport, Record, Thresholds, invalid

PLAIN = Thresholds()


def a_report(latencies: list[float], thresholds: Thresholds = PLAIN, failed: int = 0, lag: float = 0) -> PhaseReport:
    record = Record(steady("it", 1, 10))
    for number, latency in enumerate(latencies):
        record.sent(float(number), lag)
        record.served("m", float(number), latency, cached=number % 2 == 0)
    for _ in range(failed):
        record.sent(1.0, None)
        record.failed("500 boom")
    return record.report(thresholds)


def test_latencies_are_of_the_served_alone() -> None:
    report = a_report([0.010, 0.020, 0.030], failed=1)
    assert report["mean_ms"] == pytest.approx(20)
    assert report["p50_ms"] == pytest.approx(20)
    assert report["max_ms"] == pytest.approx(30)
    assert (report["offered"], report["served"], report["failures"]) == (4, 3, {"500 boom": 1})


def test_the_second_of_a_request_is_the_one_it_was_due_in() -> None:
    report = a_report([0.010, 5.0])
    assert [second["served"] for second in report["per_second"]] == [1, 1, *[0] * 8]
    assert report["per_second"][1]["p50_ms"] == pytest.approx(5000)
    assert report["per_second"][2]["p50_ms"] is None


def test_those_who_waited_beyond_the_end_are_not_served_at_its_rate() -> None:
    assert a_report([0.010, 0.010])["served_rate"] == pytest.approx(0.2)
    assert a_report([0.010, 19.0])["served_rate"] == pytest.approx(0.1)  # the last answer came at 20 s


def test_hits_and_misses_are_told_apart() -> None:
    report = a_report([0.010] * 4)
    assert report["hit_ratio"] == pytest.approx(0.5)
    assert report["misses"] == {"m": pytest.approx(0.2)}


def test_a_server_that_does_not_say_has_no_hit_ratio() -> None:
    record = Record(steady("it", 1, 10))
    record.sent(0.5, 0.0)
    record.served("m", 0.5, 0.01, None)
    assert record.report(Thresholds())["hit_ratio"] is None


@pytest.mark.parametrize(
    ("thresholds", "missed"),
    [
        (Thresholds(mean_ms=20), []),
        (Thresholds(mean_ms=19), ["mean 20.0 ms, at most 19 ms"]),
        (Thresholds(p99_ms=29), ["p99 30.0 ms, at most 29 ms"]),
    ],
)
def test_a_threshold_is_kept_up_to_itself(thresholds: Thresholds, missed: list[str]) -> None:
    assert a_report([0.010, 0.020, 0.030], thresholds)["missed"] == missed


def test_one_failure_in_four_is_too_many_and_may_be_allowed() -> None:
    assert a_report([0.010] * 3, failed=1)["missed"] == ["25.00% of the requests failed, at most 0.00% may"]
    assert a_report([0.010] * 3, Thresholds(failures=0.25), failed=1)["missed"] == []


def test_where_nothing_was_served_the_mean_is_missed() -> None:
    assert a_report([], Thresholds(mean_ms=80))["missed"] == ["mean unknown, at most 80 ms"]


def test_a_warm_up_is_held_to_nothing() -> None:
    record = Record(steady("warm-up", 1, 10, counted=False))
    record.sent(0.5, 0.0)
    record.failed("500 boom")
    assert record.report(Thresholds(mean_ms=1))["missed"] == []


def test_a_run_whose_generator_was_late_says_nothing() -> None:
    assert invalid([a_report([0.010] * 5, lag=0.001)], generator_cpu=0.5) is None
    late = invalid([a_report([0.010] * 5, lag=0.006)], generator_cpu=0.5)
    assert late == "the generator lagged in it (p99 6.0 ms)"


def test_a_run_whose_generator_had_no_core_left_says_nothing() -> None:
    assert invalid([a_report([0.010])], generator_cpu=0.95) == "the generator was saturated (95% of a core)"


def test_a_run_that_sent_nothing_says_nothing() -> None:
    assert invalid([a_report([])], generator_cpu=0.1) == "nothing was sent in it"

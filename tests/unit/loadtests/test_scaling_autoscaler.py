"""The autoscaler decides as Kubernetes documents it; the worked examples are those of its documentation."""

from dataclasses import replace
from itertools import pairwise

import pytest

from loadtests.scaling.autoscaler import Autoscaler, by_average, by_utilization, by_value
from loadtests.scaling.manifests import Policy, Rules, Scaling, as_written

FREE = Rules(0, (Policy("Percent", 10_000, 15),))
ANY = replace(as_written().worker, minimum=1, maximum=1000, up=FREE, down=Rules(0, (Policy("Percent", 100, 15),)))


def decided(scaling: Scaling, replicas: int, desired: list[int], every_s: int = 15) -> list[int]:
    """What an autoscaler sets at each sync, given what its metric proposes there."""
    autoscaler = Autoscaler(scaling, replicas)
    return [autoscaler.decide(number * every_s, [each]) for number, each in enumerate(desired)]


def test_replicas_follow_the_ratio_of_metric_and_target() -> None:
    assert by_value(200, 100, current=4, ready=4) == 8
    assert by_value(50, 100, current=4, ready=4) == 2
    assert by_value(90, 75, current=50, ready=50) == 60
    assert by_value(130, 100, current=3, ready=3) == 4  # rounded up


@pytest.mark.parametrize("value", [91, 95, 100, 105, 109])
def test_within_a_tenth_of_the_target_nothing_changes(value: float) -> None:
    assert by_value(value, 100, current=50, ready=50) == 50
    assert by_average(50 * value, 100, current=50) == 50
    assert by_utilization(50 * value / 100, 1.0, 1.0, current=50, ready=50) == 50


def test_a_value_counts_those_that_are_ready_and_an_average_shares_out_the_total() -> None:
    assert by_value(0.06, 0.02, current=8, ready=4) == 12
    assert by_average(1001, 100, current=3) == 11
    assert by_average(1001, 100, current=30) == 11


def test_pods_that_start_hold_up_more_pods_as_they_will_take_their_share() -> None:
    full = {"used": 4.0, "requested": 2.0, "target": 0.7}
    assert by_utilization(**full, current=2, ready=2) == 3
    assert by_utilization(**full, current=4, ready=2) == 4
    assert by_utilization(used=8.0, requested=2.0, target=0.7, current=5, ready=4) == 6
    assert by_utilization(used=0.7, requested=2.0, target=0.7, current=4, ready=2) == 1


def test_the_metric_that_wants_most_decides() -> None:
    assert Autoscaler(ANY, 5).decide(0, [3, 9, 6]) == 9


def test_policies_for_fewer_are_the_documented_ones() -> None:
    slow = replace(ANY, down=Rules(0, (Policy("Pods", 4, 60), Policy("Percent", 10, 60))))
    counts = decided(slow, 80, [10] * 14, every_s=60)
    assert counts[:3] == [72, 64, 57]  # 10%, rounded up to 8 and 7
    assert [before - after for before, after in pairwise(counts) if 14 <= before <= 40] == [4] * 7
    assert decided(slow, 80, [10] * 4) == [72] * 4  # once a minute, however often it is looked at


def test_policies_for_more_allow_the_larger_change() -> None:
    fast = replace(ANY, up=Rules(0, (Policy("Pods", 4, 15), Policy("Percent", 100, 15))))
    assert decided(fast, 1, [100] * 6) == [5, 10, 20, 40, 80, 100]


def test_the_highest_recommendation_in_the_window_holds() -> None:
    stable = replace(ANY, down=Rules(300, (Policy("Percent", 100, 15),)))
    counts = decided(stable, 10, [10, *[4] * 40])
    assert counts[:20] == [10] * 20
    assert counts[20:] == [4] * 21
    spike = decided(stable, 10, [4] * 10 + [12] + [4] * 25)
    assert spike[:10] == [4] * 10  # nothing was recommended before
    assert spike[10:30] == [12] * 20
    assert spike[30] == 4


def test_for_more_the_lowest_recommendation_in_the_window_holds() -> None:
    stable = replace(ANY, up=replace(FREE, stabilization_s=60))
    assert decided(stable, 4, [4, 9, 12, 9, 9, 9]) == [4, 4, 4, 4, 9, 9]


def test_replicas_stay_between_the_manifests_limits() -> None:
    worker = as_written().worker
    assert max(decided(worker, worker.minimum, [10_000] * 100)) == worker.maximum
    assert min(decided(worker, worker.maximum, [0] * 400)) == worker.minimum

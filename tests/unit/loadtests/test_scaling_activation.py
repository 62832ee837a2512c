"""From none to one worker and back, by the documented rules and the manifests' own numbers."""

from collections import Counter
from dataclasses import replace

import pytest

from loadtests.scaling.activation import DAY_S, by_chance, idle_days, simulate
from loadtests.scaling.manifests import Activation, activation, activation_as_written, as_written
from tests.unit.deploy.manifests import find, rendered

RULES = Activation(polling_s=15, cooldown_s=300, window_s=120, threshold=0.0, scrape_s=15)
READY_S = 50


def asked_at(*seconds: int, until: int = 2000) -> list[int]:
    came = Counter(seconds)
    return [came[second] for second in range(until)]


def test_what_is_simulated_is_what_a_cluster_is_given() -> None:
    resources = rendered("overlays/scale-to-zero")
    scaled, monitor = find(resources, "ScaledObject", "worker"), find(resources, "ServiceMonitor", "headrace")
    assert activation(scaled, monitor) == activation_as_written()
    assert scaled["spec"]["minReplicaCount"] == 0


@pytest.mark.parametrize("at", range(300, 330, 7))
def test_the_first_request_waits_for_a_scrape_a_look_and_a_worker(at: int) -> None:
    seen = simulate(iter(asked_at(at)), RULES, READY_S)
    (wait,) = seen.waits_s
    assert READY_S < wait <= READY_S + RULES.scrape_s + RULES.polling_s
    assert seen.wakes == 1


def test_who_asks_while_it_starts_waits_less_and_who_asks_later_not_at_all() -> None:
    seen = simulate(iter(asked_at(300, 330, 400, 500)), RULES, READY_S)
    assert len(seen.waits_s) == 2
    assert seen.waits_s[0] == seen.waits_s[1] + 30
    assert seen.wakes == 1


def test_it_goes_a_cooldown_after_the_last_request_has_left_the_window() -> None:
    seen = simulate(iter(asked_at(300)), RULES, READY_S)
    # While the client waits, and as long as the window shows that the count has grown, to a scrape; then the cooldown.
    shown = seen.awake_s - RULES.cooldown_s
    assert RULES.window_s - RULES.scrape_s <= shown <= RULES.window_s + seen.waits_s[0]
    assert simulate(iter(asked_at(300, 300 + seen.awake_s - 60)), RULES, READY_S).wakes == 1
    assert simulate(iter(asked_at(300, 300 + seen.awake_s + 60)), RULES, READY_S).wakes == 2


def test_what_is_not_above_the_threshold_wakes_no_one() -> None:
    seen = simulate(iter(asked_at(300, until=900)), replace(RULES, threshold=100.0), READY_S)
    assert (seen.wakes, seen.awake_s, seen.waits_s) == (0, 0, [])


def test_so_many_requests_come_on_each_day_and_in_its_course() -> None:
    minutes = [0.0] * 720 + [1.0] * 720
    came = list(by_chance(minutes, 50, days=3))
    days = [came[start : start + DAY_S] for start in range(0, len(came), DAY_S)]
    assert [sum(day) for day in days] == [50] * 3
    assert [sum(day[: DAY_S // 2]) for day in days] == [0] * 3
    assert came == list(by_chance(minutes, 50, days=3))


def test_the_more_come_the_less_is_saved_and_the_fewer_wait() -> None:
    rare, *_, often = idle_days([1.0] * 1440, activation_as_written(), as_written().worker)
    assert rare["requests"] < often["requests"]
    assert rare["core_hours"] < often["core_hours"] < often["core_hours_at_least"]
    assert rare["cold"] > often["cold"]
    assert rare["wakes"] <= rare["requests"]

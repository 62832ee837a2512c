"""When requests are due."""

import random

import numpy as np
import pytest

from loadtests.scenarios.arrivals import Arrivals, Phase, Stretch, due_times, steady


def due(phase: Phase, arrivals: Arrivals, seed: int = 7) -> list[float]:
    return list(due_times(phase.stretches, arrivals, random.Random(seed)))


def test_even_arrivals_are_the_same_time_apart() -> None:
    assert due(steady("", 4, 2), "even") == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]


def test_a_rising_rate_gives_each_second_its_share() -> None:
    found = due(Phase("", [Stretch(10, 0, 100)]), "even")
    assert np.histogram(found, bins=10, range=(0, 10))[0] == pytest.approx(
        [5 + 10 * second for second in range(10)], abs=1
    )


def test_a_falling_rate_ends_at_nothing() -> None:
    found = due(Phase("", [Stretch(10, 100, 0)]), "even")
    assert len(found) == 500
    assert found == sorted(found)
    assert found[-1] == pytest.approx(10)


def test_stretches_follow_each_other_without_a_gap_or_a_double() -> None:
    whole = due(steady("", 8, 4), "even")
    assert due(Phase("", [Stretch(1, 8, 8), Stretch(3, 8, 8)]), "even") == pytest.approx(whole)
    across = due(Phase("", [Stretch(0.7, 1, 1), Stretch(0.6, 1, 1)]), "even")
    assert across == pytest.approx([1.0])  # the gap reaches from one stretch into the next


def test_nothing_is_due_in_a_stretch_without_a_rate() -> None:
    assert due(Phase("", [Stretch(5, 0, 0), Stretch(1, 2, 2)]), "even") == pytest.approx([5.5, 6.0])


def test_poisson_arrivals_have_the_rate_and_the_spread_of_independent_clients() -> None:
    found = np.diff(due(steady("", 100, 200), "poisson"))
    assert found.mean() == pytest.approx(0.01, rel=0.03)
    assert found.std() == pytest.approx(0.01, rel=0.05)  # of exponential gaps: as much as the mean


def test_poisson_arrivals_follow_a_rate_that_changes() -> None:
    found = due(Phase("", [Stretch(100, 0, 200)]), "poisson")
    halves = np.histogram(found, bins=2, range=(0, 100))[0]
    assert halves[1] / halves[0] == pytest.approx(3, rel=0.1)


def test_the_same_seed_gives_the_same_moments() -> None:
    assert due(steady("", 50, 2), "poisson") == due(steady("", 50, 2), "poisson")
    assert due(steady("", 50, 2), "poisson") != due(steady("", 50, 2), "poisson", seed=8)

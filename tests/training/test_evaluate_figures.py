"""Intervals, calibration and what a classifier gets wrong."""

import numpy as np
import pytest

from training.evaluate.classes import calibration_error, details, mistakes, reliability
from training.evaluate.intervals import differences, intervals


def mean_of(values):
    return lambda picked: {"mean": float(np.mean([values[index] for index in picked]))}


def test_an_interval_is_about_as_wide_as_the_theory_says():
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    found = intervals(mean_of(values), len(values), 2000, 0.95, 7)["mean"]
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_same_seed_gives_the_same_interval():
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    assert intervals(mean_of(values), 5, 50, 0.9, 7) == intervals(mean_of(values), 5, 50, 0.9, 7)


def test_a_difference_is_of_the_same_rows_in_each_resample():
    """Two models that differ on no row differ in no resample, however much the rows do."""
    values = np.random.default_rng(0).normal(0, 100, 50)
    found = differences(mean_of(values + 1), mean_of(values), 50, 100, 0.95, 7)["mean"]
    assert [found.low, found.high] == pytest.approx([1.0, 1.0])


def test_without_resamples_there_is_no_interval():
    found = intervals(mean_of([1.0, 3.0]), 2, 0, 0.95, 7)["mean"]
    assert found == (2.0, 2.0, 2.0)


def test_calibration_error_is_how_far_scores_are_from_what_came_true():
    certain = np.array([0.95] * 10 + [0.65] * 10)
    right = np.array([True] * 9 + [False] + [True] * 4 + [False] * 6)
    bins = reliability(certain, right, 10)
    assert [(one.count, round(one.right, 3)) for one in bins] == [(10, 0.4), (10, 0.9)]
    assert calibration_error(bins) == pytest.approx((0.25 + 0.05) / 2)


def test_a_score_of_one_is_in_the_last_bin():
    (only,) = reliability(np.array([1.0]), np.array([True]), 10)
    assert (only.low, only.high) == (0.9, 1.0)


def test_a_confusion_matrix_has_a_row_for_each_true_label():
    predictions = [{"no": 0.9, "yes": 0.1}, {"no": 0.2, "yes": 0.8}, {"no": 0.6, "yes": 0.4}]
    found = details(predictions, ["no", "yes", "yes"], 10)
    assert found["labels"] == ["no", "yes"]
    assert found["confusion"] == [[1, 0], [1, 1]]
    assert found["by_label"]["yes"]["recall"] == 0.5
    assert found["by_label"]["no"]["precision"] == 0.5


def test_the_surest_mistakes_come_first():
    predictions = [{"no": 0.6, "yes": 0.4}, {"no": 0.9, "yes": 0.1}, {"no": 0.2, "yes": 0.8}]
    found = mistakes(predictions, ["yes", "yes", "yes"], ["a", "b", "c"])
    assert [(one["text"], one["score"]) for one in found] == [("b", 0.9), ("a", 0.6)]

"""The arithmetic behind docs/claims.md, and how its tables get into it."""

import numpy as np
import pytest

from loadtests.claims import usable
from loadtests.claims.arithmetic import less, lowest, mean, ratio, steps_to_reach, verdict
from loadtests.claims.page import fill, percent, table, times
from training.data.canonical import row_id
from training.evaluate.intervals import Interval

CURVE = [(10, 0.7), (20, 0.5), (30, 0.6), (40, 0.4), (50, 0.4), (60, 0.45)]


def test_an_interval_is_students() -> None:
    # 2.776 is the table's value for four degrees of freedom; the standard error of these is the root of a half.
    assert mean([1, 2, 3, 4, 5]) == pytest.approx((3, 3 - 2.776 / 2**0.5, 3 + 2.776 / 2**0.5), abs=1e-3)


def test_it_holds_the_true_mean_in_nineteen_of_twenty_draws() -> None:
    draws = np.random.default_rng(7).normal(0.8, 0.1, (4000, 5))
    held = [one.low <= 0.8 <= one.high for one in map(mean, draws.tolist())]
    assert sum(held) / len(held) == pytest.approx(0.95, abs=0.015)


def test_a_ratio_is_of_pairs_and_favours_no_side() -> None:
    ones, others = [2.0, 30.0, 4.5], [1.0, 10.0, 3.0]
    found, turned = ratio(ones, others), ratio(others, ones)
    assert found.value == pytest.approx((2 * 3 * 1.5) ** (1 / 3))
    assert (1 / found.value, 1 / found.high, 1 / found.low) == pytest.approx(turned)
    assert ratio(ones, ones) == (1, 1, 1)


def test_pairs_that_agree_on_a_ratio_leave_no_doubt_however_much_they_differ_otherwise() -> None:
    found = ratio([2, 40, 600], [1, 20, 300])
    assert found == pytest.approx((2, 2, 2))
    assert less([1, 20, 300], [2, 40, 600]) == pytest.approx((0.5, 0.5, 0.5))


def test_what_is_saved_lies_within_its_interval() -> None:
    found = less([20, 30, 45], [100, 100, 100])
    assert found.low < found.value < found.high < 1
    assert found.value == pytest.approx(0.7, abs=0.01)


def test_the_steps_to_a_level_are_those_of_the_first_time() -> None:
    assert steps_to_reach(CURVE, 0.5) == 20
    assert steps_to_reach(CURVE, 0.41) == 40
    assert steps_to_reach(CURVE, 0.3) is None
    assert lowest(CURVE) == (40, 0.4)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Interval(0.9, 0.8, 1.0), "holds"),
        (Interval(0.9, 0.79, 1.0), "is left open"),
        (Interval(0.7, 0.6, 0.8), "is left open"),
        (Interval(0.7, 0.6, 0.79), "does not hold"),
    ],
)
def test_a_claim_holds_only_with_the_whole_of_its_interval(found: Interval, said: str) -> None:
    assert verdict(found, 0.8) == said


def test_a_text_is_of_use_once_and_if_nothing_speaks_against_its_label() -> None:
    rows = [
        {"text": "Good room.", "label": "positive"},
        {"text": "good  room.", "label": "positive"},  # the same but for case and spacing
        {"text": "A book.", "label": "positive"},
        {"text": "A book.", "label": "negative"},
        {"text": "Bad!", "label": "positive"},
        {"text": "Bad!", "label": "positive"},
        {"text": "Slow", "label": "negative"},
    ]
    wrong = [row_id({"text": "Bad!"})]
    found = usable.judge(rows, wrong)
    assert found == ["", "repeated", "contradicted", "contradicted", "doubted", "doubted", ""]
    assert usable.share(found) == pytest.approx(2 / 7)
    assert usable.reasons(found) == {"contradicted": 2, "doubted": 2, "repeated": 1}


def test_numbers_are_shown_with_their_intervals() -> None:
    assert percent({"value": 0.975, "low": 0.96, "high": 0.991}) == "97.5% (96.0 to 99.1)"
    assert percent({"value": 0.75, "low": 0.75, "high": 0.75}) == "75.0%"
    assert times({"value": 2.3, "low": 2.25, "high": 2.351}) == "2.30 x (2.25 to 2.35)"
    assert table(("a", "b"), [(1, 2)]) == "\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n"


def test_a_page_keeps_its_words_and_gets_its_tables_anew() -> None:
    page = "# Words\n<!-- quality -->\nold\n<!-- end -->\nmore\n<!-- speed -->\nkept\n<!-- end -->\n"
    share = {"value": 0.975, "low": 0.96, "high": 0.991}
    arm = {"accuracy": 0.8, "log_loss": 0.4, "trainable_parameters": 1000}
    quality = {
        "command": "python -m loadtests.claims quality",
        "date": "2026-01-01",
        "machine": {"cores": 2, "cpu": "One", "threads": "1", "load_average": 0.5, "versions": {"torch": "2"}},
        "rates": {"full": {"chosen": 5e-5}, "lora": {"chosen": 1e-3}},
        "runs": [{"seed": 1, "full": arm, "lora": arm}],
        "kept": {"accuracy": share, "f1": share, "above_chance": share},
        "verdict": "is left open",
    }
    found = fill(page, {"quality": quality})
    assert fill(found, {"quality": quality}) == found
    assert found.startswith("# Words\n<!-- quality -->\n\n| seed |")
    assert "| accuracy | 97.5% (96.0 to 99.1): is left open |" in found
    assert found.endswith("<!-- end -->\nmore\n<!-- speed -->\nkept\n<!-- end -->\n")
    assert "old" not in found

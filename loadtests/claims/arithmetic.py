"""What the claims are counted with: intervals over seeds, ratios of pairs, and when a curve reaches a level."""

from collections.abc import Sequence
from math import exp, log, sqrt
from statistics import fmean, stdev
from typing import Literal

from scipy.stats import t

from training.evaluate.intervals import Interval

CONFIDENCE = 0.95
Curve = Sequence[tuple[int, float]]  # steps and the loss after them
Verdict = Literal["holds", "does not hold", "is left open"]


def mean(values: Sequence[float]) -> Interval:
    """The mean of two values or more, and Student's interval for it, which takes them for normally distributed."""
    middle = fmean(values)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values) / sqrt(len(values))
    return Interval(middle, middle - reach, middle + reach)


def ratio(ones: Sequence[float], others: Sequence[float]) -> Interval:
    """How many times the other each one is, pair by pair: the geometric mean, and Student's interval of the logarithms.

    Its ends are those of the other way round, turned over: no side is favoured.
    """
    found = mean([log(one / other) for one, other in zip(ones, others, strict=True)])
    return Interval(*map(exp, found))


def less(ones: Sequence[float], others: Sequence[float]) -> Interval:
    """Which part of the other each one saves, pair by pair: 1 less the ratio."""
    found = ratio(ones, others)
    return Interval(1 - found.value, 1 - found.high, 1 - found.low)


def steps_to_reach(curve: Curve, level: float) -> int | None:
    """The first step after which the loss was at the level or under it; None where it never was."""
    return next((step for step, loss in curve if loss <= level), None)


def lowest(curve: Curve) -> tuple[int, float]:
    """The step after which the loss was least, the first of several, and that loss."""
    return min(curve, key=lambda point: (point[1], point[0]))


def verdict(found: Interval, claimed: float) -> Verdict:
    """Whether at least as much as was claimed was found: with all of the interval, with none of it, or with a part."""
    if found.low >= claimed:
        return "holds"
    return "does not hold" if found.high < claimed else "is left open"

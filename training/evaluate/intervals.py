"""How sure a figure is: bootstrap over the rows that it was measured on."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan
from typing import NamedTuple

import numpy as np

Measure = Callable[[Sequence[int]], Mapping[str, float]]  # the metrics of those rows


class Interval(NamedTuple):
    """A metric on the rows as they are, and between which values it lies in that share of the resamples."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        return self._asdict()


def intervals(measure: Measure, rows: int, resamples: int, confidence: float, seed: int) -> dict[str, Interval]:
    """Each metric's interval. Without resamples it is the value alone, as low and as high.

    A resample that a metric is not defined on, as it may have drawn one class only, does not count for it.
    """
    values = measure(range(rows))
    drawn = _draw(measure, rows, resamples, seed)
    return {
        name: _interval(value, [metrics[name] for metrics in drawn if isfinite(metrics.get(name, nan))], confidence)
        for name, value in values.items()
    }


def differences(
    one: Measure, other: Measure, rows: int, resamples: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """By how much `one` is above `other`, both of them on the same rows in each resample."""

    def difference(picked: Sequence[int]) -> dict[str, float]:
        mine, theirs = one(picked), other(picked)
        return {name: mine[name] - theirs[name] for name in mine if name in theirs}

    return intervals(difference, rows, resamples, confidence, seed)


def _draw(measure: Measure, rows: int, resamples: int, seed: int) -> list[Mapping[str, float]]:
    generator = np.random.default_rng(seed)
    return [measure(generator.integers(0, rows, rows).tolist()) for _ in range(resamples)]


def _interval(value: float, drawn: Sequence[float], confidence: float) -> Interval:
    if not drawn:
        return Interval(value, value, value)
    low, high = np.quantile(np.asarray(drawn, np.float64), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))

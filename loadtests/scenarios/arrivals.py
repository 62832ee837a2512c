"""When requests are due: a rate over time, and the moments that follow from it."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat, starmap
from typing import Literal

Arrivals = Literal["poisson", "even"]


@dataclass(frozen=True)
class Stretch:
    """`seconds` in which the rate goes evenly from `start` to `end`, requests per second."""

    seconds: float
    start: float
    end: float

    @property
    def requests(self) -> float:
        """How many are due in it."""
        return (self.start + self.end) / 2 * self.seconds

    def when(self, count: float) -> float:
        """Seconds into the stretch when `count` requests have become due: start t + slope t^2 / 2 = count."""
        slope = (self.end - self.start) / self.seconds
        # The form that divides by the root neither cancels nor needs the slope to be other than zero.
        return 2 * count / (self.start + math.sqrt(max(0.0, self.start**2 + 2 * slope * count)))


@dataclass(frozen=True)
class Phase:
    """A part of a run with a report of its own; one that is not `counted` is a warm-up."""

    name: str
    stretches: Sequence[Stretch]
    counted: bool = True

    @property
    def seconds(self) -> float:
        return sum(stretch.seconds for stretch in self.stretches)

    @property
    def requests(self) -> float:
        """How many are due in it."""
        return sum(stretch.requests for stretch in self.stretches)


def steady(name: str, rate: float, seconds: float, counted: bool = True) -> Phase:
    """The same rate all the time."""
    return Phase(name, [Stretch(seconds, rate, rate)], counted)


def due_times(stretches: Sequence[Stretch], arrivals: Arrivals, random: random.Random) -> Iterator[float]:
    """The seconds from the beginning at which requests are due, in order.

    Poisson arrivals are those of many clients who know nothing of each other: gaps are exponential, so requests come
    in bunches. With a rate that changes, the gaps of a rate of one are stretched by the rate's integral (E. Cinlar,
    Introduction to Stochastic Processes, 1975: the time-change of a Poisson process).
    """
    gaps = starmap(random.expovariate, repeat((1.0,))) if arrivals == "poisson" else repeat(1.0)
    due, before, began = next(gaps), 0.0, 0.0  # `due` and `before` count requests, `began` seconds
    for stretch in stretches:
        while due <= before + stretch.requests:
            yield began + stretch.when(due - before)
            due += next(gaps)
        before += stretch.requests
        began += stretch.seconds

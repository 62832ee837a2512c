"""A histogram that costs next to nothing to keep: plain numbers, counted in the event loop, without a lock."""

from bisect import bisect_left
from collections.abc import Sequence
from time import time

from prometheus_client.samples import Exemplar

Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class Histogram:
    """Counts by upper bound; `counts` has one more for what lies above the last.

    `exemplars` has for each of them, by index, the last observation with a trace that one can look at.
    """

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float, trace_id: str | None = None) -> None:
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        if trace_id is not None:
            self.exemplars[bucket] = Exemplar({"trace_id": trace_id}, value, time())

    @property
    def count(self) -> int:
        return sum(self.counts)

    def buckets(self) -> list[Bucket]:
        """As Prometheus has them: each with the counts of all below it."""
        buckets: list[Bucket] = []
        total = 0
        for number, bound in enumerate([*map(str, self.bounds), "+Inf"]):
            total += self.counts[number]
            exemplar = self.exemplars.get(number)
            buckets.append((bound, float(total)) if exemplar is None else (bound, float(total), exemplar))
        return buckets

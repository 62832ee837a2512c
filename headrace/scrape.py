"""What processes say at `/metrics`, and what of it can be told from two looks."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Samples = Mapping[tuple[str, Labels], float]  # by name and labels


def read(text: str) -> Samples:
    """The samples of an answer in Prometheus' text format. Raises ValueError where it is not in that."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def growth(before: Samples, after: Samples) -> Samples:
    """How much every counter grew. One that shrank began anew: its process, or its model, was started again."""
    return {
        key: value - before.get(key, 0.0) if value >= before.get(key, 0.0) else value for key, value in after.items()
    }


def merge(many: Iterable[Samples]) -> Samples:
    """The sums over several processes."""
    sums: dict[tuple[str, Labels], float] = defaultdict(float)
    for samples in many:
        for key, value in samples.items():
            sums[key] += value
    return sums


def total(samples: Samples, name: str, **wanted: str | Set[str]) -> float:
    """The sum of a metric's samples whose labels have the wanted value, or one of the wanted values."""
    return sum(value for _, value in _select(samples, name, wanted))


def ratio(part: float, whole: float) -> float | None:
    """None where there is no whole."""
    return part / whole if whole else None


def mean(grown: Samples, name: str, **wanted: str | Set[str]) -> float | None:
    """The mean of what a histogram observed; None where that was nothing."""
    return ratio(total(grown, f"{name}_sum", **wanted), total(grown, f"{name}_count", **wanted))


def quantile(grown: Samples, name: str, share: float, **wanted: str | Set[str]) -> float | None:
    """What `share` of a histogram's observations did not exceed, as PromQL's histogram_quantile has it: evenly
    distributed within a bucket, and in the last one its lower bound. None where there were none.
    """
    counts: dict[float, float] = defaultdict(float)
    for labels, value in _select(grown, f"{name}_bucket", wanted):
        counts[float(labels["le"])] += value
    rank = share * counts.get(math.inf, 0.0)
    if rank == 0:
        return None
    lower = below = 0.0
    for bound, count in sorted(counts.items()):
        if count >= rank:
            return lower if bound == math.inf else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower


def values(samples: Samples, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """A metric's samples by the values of these labels, summed over those of all others."""
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for named, value in _select(samples, name, {}):
        found[tuple(named[label] for label in labels)] += value
    return found


def _select(
    samples: Samples, name: str, wanted: Mapping[str, str | Set[str]]
) -> Iterable[tuple[Mapping[str, str], float]]:
    for (named, pairs), value in samples.items():
        if named == name:
            labels = dict(pairs)
            if all(labels.get(label) in (one if isinstance(one, Set) else {one}) for label, one in wanted.items()):
                yield labels, value

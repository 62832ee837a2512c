"""Counts of the answers that workers know nothing of: those from the cache, and those that equal requests shared.

Each process counts its own and exports it as metrics; `/v2/models/.../stats` reads what all of them have exported.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric

from service.tally import Tally

_ANSWERS: Final = "headrace_gateway_answers"
_SECONDS: Final = "headrace_gateway_answer_seconds"


@dataclass(slots=True)
class VersionCounts:
    """Of the answers of one version."""

    hits: Tally = field(default_factory=Tally)  # with the time to look them up
    misses: Tally = field(default_factory=Tally)  # likewise; requests that looked, found nothing and asked a worker
    shared: Tally = field(default_factory=Tally)  # requests that waited for an equal one's answer


# By model and version. What a request costs here is to find its entry: a dictionary of the few that there are.
Counts = defaultdict[tuple[str, str], VersionCounts]
_KINDS: Final = ("hits", "misses", "shared")


def new_counts() -> Counts:
    return defaultdict(VersionCounts)


class CountsCollector:
    """Tells Prometheus what `counts` holds when it asks."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        labels = ["model", "version", "kind"]
        about = "from the cache (hits), computed after a look there (misses), or for an equal request as well (shared)."
        answers = CounterMetricFamily(_ANSWERS, f"Answers: {about}", labels=labels)
        seconds = CounterMetricFamily(
            _SECONDS, "Their time: to look for hits and misses, and all of it for shared ones.", labels=labels
        )
        for (model, version), found in list(self._counts.items()):
            for kind in _KINDS:
                count: Tally = getattr(found, kind)
                answers.add_metric([model, version, kind], count.count)
                seconds.add_metric([model, version, kind], count.seconds)
        yield answers
        yield seconds


def read_counts(exported: Iterable[Metric]) -> Counts:
    """What was exported, by one process or as the sum over several."""
    counts = new_counts()
    for metric in exported:
        if metric.name in (_ANSWERS, _SECONDS):
            for sample in metric.samples:
                version = counts[sample.labels["model"], sample.labels["version"]]
                count: Tally = getattr(version, sample.labels["kind"])
                if metric.name == _ANSWERS:
                    count.add(0.0, int(sample.value))
                else:
                    count.add(sample.value, 0)
    return counts

"""A gateway process's metrics as plain values that travel, and the sums over several processes."""

from collections.abc import Iterable
from typing import Any, Final, TypedDict

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar

# Of the other gauges, which every process sees the same, the highest counts: a version's workers, a breaker's state.
_ADDED: Final = frozenset(
    {
        "headrace_cache_memory_bytes",
        "headrace_cache_memory_entries",
        "headrace_gateway_in_flight",
        "headrace_gateway_in_flight_limit",
        "headrace_gateway_memory_held_bytes",
        "headrace_gateway_memory_limit_bytes",
        "headrace_gateway_replica_in_flight",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
    }
)
_LOWEST: Final = frozenset({"headrace_gateway_replica_available", "process_start_time_seconds"})
_GROWING: Final = frozenset({"counter", "histogram", "summary"})

Told = list[Any]  # [labels, value, when] of an exemplar
Row = tuple[str, dict[str, str], float, Told | None]


class Family(TypedDict):
    """One metric with its samples."""

    name: str
    about: str
    kind: str
    rows: list[Row]


Figures = list[Family]


def read(registry: CollectorRegistry) -> Figures:
    """The registry's present metrics."""
    return [
        Family(
            name=metric.name,
            about=metric.documentation,
            kind=metric.type,
            rows=[(s.name, s.labels, s.value, _plain(s.exemplar)) for s in metric.samples],
        )
        for metric in registry.collect()
    ]


def keep_counters(figures: Figures) -> Figures:
    """The counters, which outlive their process; gauges do not."""
    return [family for family in figures if family["kind"] in _GROWING]


def add_up(many: Iterable[Figures]) -> Figures:
    """One family for each name: what was counted is added up, and so are gauges of what each process has itself."""
    families: dict[str, Family] = {}
    rows: dict[str, dict[tuple[Any, ...], Row]] = {}
    for figures in many:
        for family in figures:
            name = family["name"]
            families.setdefault(name, family)
            found = rows.setdefault(name, {})
            for row in family["rows"]:
                key = (row[0], *sorted(row[1].items()))
                before = found.get(key)
                found[key] = row if before is None else _both(family, before, row)
    return [Family(**{**family, "rows": list(rows[name].values())}) for name, family in families.items()]


def metrics(figures: Figures) -> list[Metric]:
    """As prometheus_client writes them."""
    found = []
    for family in figures:
        metric = Metric(family["name"], family["about"], family["kind"])
        for name, labels, value, told in family["rows"]:
            metric.add_sample(name, labels, value, exemplar=None if told is None else _exemplar(told))
        found.append(metric)
    return found


def _both(family: Family, one: Row, other: Row) -> Row:
    name, labels, a, told = one
    b, theirs = other[2:]
    if family["kind"] in _GROWING or family["name"] in _ADDED:
        value = a + b
    else:
        value = min(a, b) if family["name"] in _LOWEST else max(a, b)
    latest = max((each for each in (told, theirs) if each), key=lambda each: each[2] or 0.0, default=None)
    return name, labels, value, latest


def _plain(exemplar: Exemplar | None) -> Told | None:
    return None if exemplar is None else [exemplar.labels, exemplar.value, exemplar.timestamp]


def _exemplar(told: Told) -> Exemplar:
    labels, value, when = told
    return Exemplar(labels, value, None if when is None else float(when))

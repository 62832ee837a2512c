"""What the sections share: outcomes as tables and as single lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.report.content import Table, number

Outcome = Mapping[str, Any]


def table(head: Sequence[str], rows: Sequence[Outcome]) -> Table:
    """A column for each name of the head, as the rows have it."""
    return Table([name.replace("_", " ") for name in head], [[number(row.get(name)) for name in head] for row in rows])


def flat(outcome: Outcome) -> Table:
    """Its single values, one below the other."""
    plain = [(key.replace("_", " "), number(value)) for key, value in outcome.items() if _is_plain(value)]
    return Table(("", "value"), plain)


def line(outcome: Outcome) -> str:
    """Its single values, one after the other."""
    return ", ".join(f"{key.replace('_', ' ')} {number(value)}" for key, value in outcome.items() if _is_plain(value))


def interval(of: Mapping[str, float]) -> str:
    """A metric with its bounds."""
    return f"{of['value']:.4f} [{of['low']:.4f}, {of['high']:.4f}]"


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and value != ""

"""How many rows there are, and why others were dropped."""

from collections.abc import Mapping

from training.report import plots
from training.report.content import Part, Section, Table, Text, number
from training.report.sections.tables import Outcome


def section(outcomes: Mapping[str, Outcome]) -> Section | None:
    """The splits with their labels, and the reasons."""
    if "data" not in outcomes:
        return None
    found = outcomes["data"]
    parts: list[Part] = []
    if fingerprint := found.get("fingerprint"):
        parts.append(Text(f"Fingerprint of the rows: {fingerprint}"))
    if counts := found.get("rows"):
        labels = found.get("labels", {})
        names = sorted({label for split in labels.values() for label in split})
        rows = [
            (split, number(count), *(number(labels.get(split, {}).get(name, 0)) for name in names))
            for split, count in counts.items()
        ]
        parts.append(Table(("split", "rows", *names), rows))
    if dropped := found.get("dropped"):
        parts.append(plots.bars("Rows dropped by data", dropped, "rows"))
    return Section("Data", parts)

"""All stages on a few lines."""

from collections.abc import Mapping

from training.report.content import Section, Table
from training.report.sections.tables import Outcome, line


def section(outcomes: Mapping[str, Outcome]) -> Section:
    """Each stage, and the figures that it returned."""
    return Section(
        "Stages", [Table(("stage", "outcome"), [(name, _in_short(name, of)) for name, of in outcomes.items()])]
    )


def _in_short(stage: str, found: Outcome) -> str:
    match stage:
        case "clean" | "augment":
            return f"{found['rows']['before']:,} training rows became {found['rows']['after']:,}"
        case "profile":
            faster = sum(one["verdict"] == "faster" for one in found["suggestions"])
            of = f"{faster} of {len(found['suggestions'])} suggestions"
            return f"most of the time goes into {found['bottleneck']['largest']}; {of} made training faster"
        case _:
            return line(found)

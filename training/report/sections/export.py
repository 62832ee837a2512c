"""How far each variant is from the trained model, and how fast it is here."""

from collections.abc import Mapping

from training.report.content import Part, Section, Table, Text, number
from training.report.sections.tables import Outcome, table


def section(outcomes: Mapping[str, Outcome]) -> Section | None:
    """The graph, its variants, and the settings that were tried."""
    if "export" not in outcomes:
        return None
    found = outcomes["export"]
    fused = ", ".join(f"{count} {name}" for name, count in found["fused"].items())
    parts: list[Part] = [
        Text(
            f"ONNX opset {found['opset']}, by {found['exporter']}; "
            + (f"fused: {fused}." if fused else f"nothing was fused: {found['not_fused']}.")
            + " Differences are in parts of a value where that is above one."
        ),
        Table(
            ("variant", "MB", "largest difference", "tolerance", "mean difference", "from the base", "beside others"),
            [
                (
                    name + (" (served)" if name == found["served"] else ""),
                    number(one["bytes"] / 1e6),
                    *(number(one[key]) for key in ("largest", "tolerance", "mean", "from_base", "neighbours")),
                )
                for name, one in found["variants"].items()
            ],
        ),
    ]
    if found["tuned"]:
        parts += _tuning(found["tuned"])
    return Section("Export", parts)


def _tuning(tuned: Outcome) -> list[Part]:
    head = ("variant", "threads", "instances", "max_rows", "rows_per_s", "p50_ms", "p99_ms", "memory_mb", "error")
    tried = sorted(tuned["tried"], key=lambda trial: -trial["rows_per_s"])
    # The objective may be another one than throughput, so that the best need not stand on top.
    marked = [
        {**trial, "variant": f"{trial['variant']} (served)"} if trial == tuned["best"] else trial for trial in tried
    ]
    return [Text("Tried on this machine, through a worker's engine; the best is served."), table(head, marked)]

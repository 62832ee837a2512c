"""The loss on its way down, and what it took."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.report import plots
from training.report.content import Lines, Part, Section
from training.report.sections.tables import Outcome, flat
from training.train.monitor.log import LOG, read


def section(outcomes: Mapping[str, Outcome], folders: Mapping[str, Path]) -> Section | None:
    """The figures of the run, and its log drawn."""
    if "train" not in outcomes:
        return None
    parts: list[Part] = [flat(outcomes["train"])]
    if "train" in folders:
        log = folders["train"] / LOG
        lines = {
            "training": _points(read(log, "step"), "loss"),
            "validation": _points(read(log, "validation"), "loss"),
        }
        if drawn := {name: points for name, points in lines.items() if points}:
            parts.append(plots.curves("Loss", drawn, "step", "loss"))
        if rates := _points(read(log, "step"), "learning_rate"):
            parts.append(plots.curves("Learning rate", {"learning rate": rates}, "step", "rate"))
        if alerts := [f"step {event['step']}: {event['text']}" for event in read(log, "alert")]:
            parts.append(Lines(alerts))
    return Section("Training", parts)


def _points(events: Iterator[dict[str, Any]], field: str) -> list[tuple[float, float]]:
    return [(event["step"], event[field]) for event in events if isinstance(event.get(field), int | float)]

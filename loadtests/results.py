"""What a benchmark found, as it stands in loadtests/results/<name>.json."""

import json
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from loadtests.machine import Machine, machine
from loadtests.spec import Report

FOLDER = Path(__file__).parent / "results"


class Figure(TypedDict):
    """One row of the table. `met` is None where there is no target, `notes` what to know about the figure."""

    what: str
    value: float
    unit: str
    target: str | None
    met: bool | None
    notes: list[str]


class Table(TypedDict):
    """What is better shown in columns of its own than as figures."""

    columns: list[str]
    rows: list[list[str]]


class Result(TypedDict):
    """One benchmark: its figures, or a table that is shown in place of them, and every round that they are made of."""

    name: str
    about: str
    command: str
    date: str
    machine: Machine
    figures: list[Figure]
    rounds: dict[str, Any]
    table: NotRequired[Table]


def figure(
    what: str,
    value: float,
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    notes: Iterable[str] = (),
) -> Figure:
    """A figure, with the bound that it is held to, if any."""
    target, met = None, None
    if at_least is not None:
        target, met = f"≥ {at_least:,g} {unit}", value >= at_least
    elif at_most is not None:
        target, met = f"≤ {at_most:,g} {unit}", value <= at_most
    return Figure(what=what, value=value, unit=unit, target=target, met=met, notes=list(notes))


def result(
    name: str,
    about: str,
    figures: list[Figure],
    rounds: dict[str, Any],
    *,
    command: str | None = None,
    table: Table | None = None,
) -> Result:
    """The result of a benchmark that ended just now on this machine."""
    found = Result(
        name=name,
        about=about,
        command=command or f"python -m loadtests {name}",
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=machine(),
        figures=figures,
        rounds=rounds,
    )
    if table is not None:
        found["table"] = table
    return found


def median(reports: Sequence[Report], key: str) -> float:
    """The median over the rounds of one of the report's numbers."""
    return statistics.median(float(report[key]) for report in reports)  # type: ignore[literal-required]


def faults(reports: Sequence[Report]) -> list[str]:
    """Why the figures of some rounds are doubtful, for a figure's notes."""
    return sorted({report["invalid"] for report in reports if report["invalid"]})


def write(found: Result) -> Path:
    """Keep the result, in place of an earlier one of that benchmark."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{found['name']}.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return path


def read_all() -> list[Result]:
    """Every result that is there, by name."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]

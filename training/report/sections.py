"""What stands in each part of a report, from what the stages said of themselves."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from training.report import plots
from training.report.content import Lines, Part, Section, Table, Text, number
from training.train.monitor.log import LOG, read

Outcome = Mapping[str, Any]
DROPPED: Final = "dropped.jsonl"
_MOST_LABELS: Final = 40  # beyond which a confusion matrix cannot be read


def overview(outcomes: Mapping[str, Outcome]) -> Section:
    """Each stage, and the figures that it returned."""
    rows = [(name, _in_short(outcome)) for name, outcome in outcomes.items()]
    return Section("Stages", [Table(("stage", "outcome"), rows)])


def data(outcomes: Mapping[str, Outcome], folders: Mapping[str, Path]) -> Section | None:
    """How many rows there are, and why others were dropped."""
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
    for stage in ("data", "clean"):
        if stage in folders and (dropped := _dropped(folders[stage] / DROPPED)):
            parts.append(plots.bars(f"Rows dropped by {stage}", dropped, "rows"))
    return Section("Data", parts)


def train(outcomes: Mapping[str, Outcome], folders: Mapping[str, Path]) -> Section | None:
    """The loss on its way down, and what it took."""
    if "train" not in outcomes:
        return None
    parts: list[Part] = [_flat(outcomes["train"])]
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


def export(outcomes: Mapping[str, Outcome]) -> Section | None:
    """How far each variant is from the trained model, and how fast it is here."""
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
    if tuned := found["tuned"]:
        head = ("variant", "threads", "instances", "max_rows", "rows_per_s", "p50_ms", "p99_ms", "memory_mb", "error")
        tried = sorted(tuned["tried"], key=lambda trial: -trial["rows_per_s"])
        parts += [Text("Tried on this machine, through a worker's engine; the best is served."), _table(head, tried)]
    return Section("Export", parts)


def evaluate(outcomes: Mapping[str, Outcome]) -> Section | None:
    """The metrics on the test rows, with their intervals, and what the served variant gets wrong."""
    if "evaluate" not in outcomes:
        return None
    found = outcomes["evaluate"]
    names = list(next(iter(found["metrics"].values())))
    parts: list[Part] = [
        Text(f"{found['rows']} test rows; in brackets the {found['confidence']:.0%} interval of the bootstrap."),
        Table(
            ("variant", *names),
            [
                (
                    variant + (" (served)" if variant == found["served"] else ""),
                    *(_interval(of[name]) for name in names),
                )
                for variant, of in found["metrics"].items()
            ],
        ),
    ]
    if against := outcomes.get("compare"):
        parts += _against(against, names)
    if classes := found.get("classes"):
        labels = classes["labels"]
        if len(labels) <= _MOST_LABELS:
            parts.append(plots.confusion("Confusion matrix", labels, classes["confusion"]))
        head = ("label", "precision", "recall", "f1", "rows")
        parts.append(_table(head, [{"label": label, **of} for label, of in classes["by_label"].items()]))
        parts.append(plots.reliability("Reliability", classes["reliability"]))
        parts.append(Text(f"Expected calibration error over these bins: {classes['calibration_error']:.4f}"))
    if signatures := found.get("signatures"):
        parts.append(Lines([f"{name}: {signature}" for name, signature in signatures.items()]))
    if mistakes := found.get("mistakes"):
        parts.append(Text("The wrong answers that the model was surest of:"))
        parts.append(
            _table(("text", "label", "answer", "score"), [{**one, "text": one["text"][:200]} for one in mistakes])
        )
    return Section("Evaluation", parts)


def register(outcomes: Mapping[str, Outcome]) -> Section | None:
    """Where the version is, and what the gates said."""
    if "register" not in outcomes:
        return None
    found = outcomes["register"]
    where = f"{found['model']} version {found['version']} is {found['alias']}"
    promoted = f" and {found['promoted']}" if found["promoted"] else ""
    gates = [("holds" if gate["held"] else "FAILS", gate["line"]) for gate in found["gates"]]
    table: list[Part] = [Table(("gate", "found"), gates)] if gates else []
    return Section("Registry", [Text(f"{where}{promoted}; digest {found['digest']}"), *table])


def _against(against: Outcome, names: Sequence[str]) -> list[Part]:
    where = f"{against['model']} at {against['url']}, {against['alias']}"
    if "unknown" in against:
        return [Text(f"Not compared with {where}: {against['unknown']}")]
    common = [name for name in names if name in against["differences"]]
    rows = [
        (f"version {against['version']}", *(_interval(against["metrics"][name]) for name in common)),
        ("difference", *(_interval(against["differences"][name]) for name in common)),
    ]
    return [Text(f"Beside {where}, asked for the same rows:"), Table(("", *common), rows)]


def _interval(of: Mapping[str, float]) -> str:
    return f"{of['value']:.4f} [{of['low']:.4f}, {of['high']:.4f}]"


def _table(head: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table([name.replace("_", " ") for name in head], [[number(row.get(name)) for name in head] for row in rows])


def _flat(outcome: Outcome) -> Table:
    plain = [(key.replace("_", " "), number(value)) for key, value in outcome.items() if _is_plain(value)]
    return Table(("", "value"), plain)


def _in_short(outcome: Outcome) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {number(value)}" for key, value in outcome.items() if _is_plain(value))


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and value != ""


def _points(events: Iterator[dict[str, Any]], field: str) -> list[tuple[float, float]]:
    return [(event["step"], event[field]) for event in events if isinstance(event.get(field), int | float)]


def _dropped(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    rows = (json.loads(line) for line in path.read_text().splitlines() if line)
    return {kind: float(count) for kind, count in Counter(_kind(row) for row in rows).most_common()}


def _kind(row: Mapping[str, Any]) -> str:
    return str(row.get("kind") or row.get("reason"))

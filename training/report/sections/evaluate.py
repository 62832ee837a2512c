"""The metrics on the test rows, with their intervals, and what the served variant gets wrong."""

from collections.abc import Mapping, Sequence
from typing import Final

from training.report import plots
from training.report.content import Lines, Part, Section, Table, Text
from training.report.sections.tables import Outcome, interval, table

_MOST_LABELS: Final = 40  # beyond which a confusion matrix cannot be read


def section(outcomes: Mapping[str, Outcome]) -> Section | None:
    """Of every variant, and of what serves now where it was asked."""
    if "evaluate" not in outcomes:
        return None
    found = outcomes["evaluate"]
    names = list(next(iter(found["metrics"].values())))
    parts: list[Part] = [
        Text(f"{found['rows']} test rows; in brackets the {found['confidence']:.0%} interval of the bootstrap."),
        Table(
            ("variant", *names),
            [
                (variant + (" (served)" if variant == found["served"] else ""), *(interval(of[name]) for name in names))
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
        parts.append(table(head, [{"label": label, **of} for label, of in classes["by_label"].items()]))
        parts.append(plots.reliability("Reliability", classes["reliability"]))
        parts.append(Text(f"Expected calibration error over these bins: {classes['calibration_error']:.4f}"))
    if signatures := found.get("signatures"):
        parts.append(Lines([f"{name}: {signature}" for name, signature in signatures.items()]))
    if mistakes := found.get("mistakes"):
        parts.append(Text("The wrong answers that the model was surest of:"))
        parts.append(
            table(("text", "label", "answer", "score"), [{**one, "text": one["text"][:200]} for one in mistakes])
        )
    return Section("Evaluation", parts)


def _against(against: Outcome, names: Sequence[str]) -> list[Part]:
    where = f"{against['model']} at {against['url']}, {against['alias']}"
    if "unknown" in against:
        return [Text(f"Not compared with {where}: {against['unknown']}")]
    common = [name for name in names if name in against["differences"]]
    rows = [
        (f"version {against['version']}", *(interval(against["metrics"][name]) for name in common)),
        ("difference", *(interval(against["differences"][name]) for name in common)),
    ]
    return [Text(f"Beside {where}, asked for the same rows:"), Table(("", *common), rows)]

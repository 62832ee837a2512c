"""What took the time of training, and what came of the suggestions."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from training.report import plots
from training.report.content import Lines, Part, Section, Table, Text, number
from training.report.sections.tables import Outcome


def section(outcomes: Mapping[str, Outcome]) -> Section | None:
    """The bottleneck, and each suggestion with what it gained where it was tried against the recipe as it is."""
    if "profile" not in outcomes:
        return None
    found = outcomes["profile"]
    bottleneck, tried = found["bottleneck"], found["suggestions"]
    padding = bottleneck["products"] * bottleneck["padding"]
    shares = {
        "waiting for data": bottleneck["waiting"],
        "optimizer": bottleneck["optimizer"],
        "matrix products": bottleneck["products"] - padding,
        "products of padding": padding,
        "other operators": bottleneck["other"],
    }
    operators = [(one["operator"], f"{one['part']:.1%}", number(one["calls"])) for one in bottleneck["operators"]]
    parts: list[Part] = [
        Text(f"Most of the time of training goes into {bottleneck['largest']} (threads: {found['threads']})."),
        plots.bars("Time of training", shares, "share of the time"),
        Table(("operator", "share of the time", "calls"), operators),
    ]
    return Section("Profile", parts + (_suggestions(tried) if tried else [Text("Nothing was found to suggest.")]))


def _suggestions(tried: list[dict[str, Any]]) -> list[Part]:
    """All of them were tried: none is given that was not measured."""
    return [
        Text(
            "Each suggestion was tried against the recipe as it is, by turns. It is faster, or slower, where every "
            "round with it was so. One that does not compute the same is to be checked against the validation loss."
        ),
        Table(
            ("suggestion", "rows/s before", "rows/s with it", "gain", "verified", "computes the same"),
            [
                (
                    _change(one["change"]),
                    number(median(one["before"])),
                    number(median(one["after"])),
                    f"{one['gain']:+.1%}",
                    one["verdict"],
                    number(one["same_result"]),
                )
                for one in tried
            ],
        ),
        Lines([f"{_change(one['change'])}: {one['why']}" for one in tried]),
    ]


def _change(change: Mapping[str, Any]) -> str:
    """As it would stand in the recipe."""
    return ", ".join(
        f"{name}: {str(value).lower() if isinstance(value, bool) else value}" for name, value in change.items()
    )

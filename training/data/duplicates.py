"""Rows that are there more than once: kept once, so that no row trains the model and judges it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from training.data.block import SplitName
from training.data.canonical import LABEL, normal, row_id
from training.data.rows import Dropped, Found

# Where the data say which rows judge, those stay and their copies do not train.
_ORDER: Final[tuple[SplitName | None, ...]] = ("test", "validation", None, "train")


def deduplicate(rows: Sequence[Found], by_input: bool) -> tuple[list[Found], list[Dropped]]:
    """The rows to keep, in their order, and the others.

    With `by_input` rows are the same whatever their label; where those to choose from disagree on it, none is kept.
    """
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, found in enumerate(rows):
        groups[row_id(found.row) if by_input else normal(found.row)].append(index)
    reasons: dict[int, tuple[str, str]] = {}
    for group in groups.values():
        if len(group) > 1:
            reasons.update(_reasons([rows[index] for index in group], group))
    kept = [found for index, found in enumerate(rows) if index not in reasons]
    dropped = [Dropped(rows[at].source, rows[at].number, rows[at].row, *why) for at, why in sorted(reasons.items())]
    return kept, dropped


def _reasons(copies: list[Found], indexes: list[int]) -> dict[int, tuple[str, str]]:
    """Why each of the copies is dropped that is."""
    first = min(copies, key=lambda found: _ORDER.index(found.split))
    labels = sorted({found.row[LABEL] for found in copies if found.split == first.split and LABEL in found.row})
    if len(labels) > 1:
        return dict.fromkeys(indexes, ("contradiction", f"the same input has the labels {', '.join(labels)}"))
    why = ("duplicate", f"the same as {first.source}, row {first.number}")
    return {index: why for index, found in zip(indexes, copies, strict=True) if found is not first}

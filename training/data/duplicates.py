"""Rows that are there more than once: kept once, so that no row trains the model and judges it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from training.data.canonical import LABEL
from training.data.columns import one_label
from training.data.compared import Compared
from training.data.rows import Dropped, Found
from training.recipe.data import SplitName

# Where the data say which rows judge, those stay and their copies do not train.
_ORDER: Final[tuple[SplitName | None, ...]] = ("test", "validation", None, "train")

Reasons = dict[int, tuple[str, str]]  # by place among the rows: the kind, and in full


def deduplicate(rows: Sequence[Found], compared: Compared) -> tuple[list[Found], list[Dropped]]:
    """The rows to keep, in their order, and the others.

    Where an input has one label, rows are the same whatever theirs is; where those to choose from disagree on it, none
    is kept. Otherwise an input may have several answers, which are kept: but none where the data have it judge.
    """
    reasons: Reasons = {}
    if one_label(compared.task):
        for group in _groups([found.asked for found in rows]):
            reasons |= _find_contradictions(rows, group) or _find_copies(rows, group)
    else:
        for group in _groups([compared.row(found.row) for found in rows]):
            reasons |= _find_copies(rows, group)
        for group in _groups([found.asked for found in rows]):
            reasons = _find_held_out(rows, group) | reasons
    kept = [found for index, found in enumerate(rows) if index not in reasons]
    dropped = [Dropped(rows[at].source, rows[at].number, rows[at].row, *why) for at, why in sorted(reasons.items())]
    return kept, dropped


def _groups(keys: Sequence[str]) -> Iterator[list[int]]:
    """The places of equal keys, where there are several."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    return (group for group in groups.values() if len(group) > 1)


def _first(rows: Sequence[Found], group: Sequence[int]) -> int:
    return min(group, key=lambda index: _ORDER.index(rows[index].split))


def _find_contradictions(rows: Sequence[Found], group: Sequence[int]) -> Reasons:
    split = rows[_first(rows, group)].split
    labels = sorted({rows[index].row[LABEL] for index in group if rows[index].split == split})
    why = ("contradiction", f"the same input has the labels {', '.join(labels)}")
    return dict.fromkeys(group, why) if len(labels) > 1 else {}


def _find_copies(rows: Sequence[Found], group: Sequence[int]) -> Reasons:
    first = _first(rows, group)
    why = ("duplicate", f"the same as {_where(rows[first])}")
    return {index: why for index in group if index != first}


def _find_held_out(rows: Sequence[Found], group: Sequence[int]) -> Reasons:
    first = rows[_first(rows, group)]
    if first.split not in ("test", "validation"):
        return {}
    why = ("held out", f"the same input as {_where(first)}, which is for {first.split}")
    return {index: why for index in group if rows[index].split != first.split}


def _where(found: Found) -> str:
    return f"{found.source}, row {found.number}"

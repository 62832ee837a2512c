"""Which rows train, which choose the best step, and which judge."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from training.data.canonical import LABEL
from training.data.rows import Found
from training.recipe.block import RecipeError
from training.recipe.data import Split, SplitName

if TYPE_CHECKING:
    from training.tasks.base import Task

NAMES: Final[tuple[SplitName, ...]] = ("train", "validation", "test")
_DRAWN: Final[tuple[SplitName, ...]] = ("test", "validation")


def split(rows: Sequence[Found], block: Split, seed: int) -> dict[SplitName, list[Found]]:
    """The rows of each split, in their order. A split that the data bring themselves is given none of the others.

    Rows that ask for the same are drawn together: their answers may differ, but what trains must not judge. Raises
    RecipeError where no row is left to train with.
    """
    brought = {found.split for found in rows}
    shares = {name: 0.0 if name in brought else float(getattr(block, name)) for name in _DRAWN}
    training = {found.asked for found in rows if found.split == "train"}
    units: defaultdict[str, list[int]] = defaultdict(list)
    for at, found in enumerate(rows):
        if found.split is None and found.asked not in training:
            units[found.asked].append(at)
    strata: defaultdict[str, list[list[int]]] = defaultdict(list)
    for unit in units.values():
        strata[str(rows[unit[0]].row.get(LABEL)) if block.stratify else ""].append(unit)
    drawn = _draw(strata, shares, seed)
    by_name: dict[SplitName, list[Found]] = {name: [] for name in NAMES}
    for at, found in enumerate(rows):
        by_name[found.split or drawn.get(at, "train")].append(found)
    if not by_name["train"]:
        raise RecipeError("split: no row is left to train with")
    return by_name


def require(
    counts: Mapping[str, int], labels: Mapping[str, Mapping[str, int]], needed: Mapping[str, str], block: Split
) -> None:
    """Raises RecipeError where a split that a stage needs has no rows. `needed` says which stage that is.

    `labels` are the counts of each label in each split, where rows have labels.
    """
    for name, stage in needed.items():
        if counts[name]:
            continue
        # Drawn from all rows alike, this share of them would be one at least: it is their labels that hold them back.
        drawn = round(getattr(block, name) * counts["train"]) > 0
        rare = block.stratify and drawn and 1 in labels.get("train", {}).values()
        mend = (
            "write split: {stratify: false}, as a label's only row stays in training" if rare else f"raise split.{name}"
        )
        raise RecipeError(
            f"split: none of the {sum(counts.values())} rows is for {name}, which the stage {stage} needs: {mend}, or "
            f"give a data set of which all rows are for it, with `split: {name}`"
        )


def require_measurable(labels: Mapping[str, Mapping[str, int]], needed: Mapping[str, str], task: "Task") -> None:
    """Raises RecipeError where the task's metric is not defined on the labels of a split that a stage needs."""
    for name, stage in needed.items():
        try:
            task.check_labels(labels[name])
        except ValueError as error:
            raise RecipeError(
                f"split: the {name} rows, which the stage {stage} needs, {error}; raise split.{name}, or give more rows"
            ) from error


def _draw(strata: Mapping[str, list[list[int]]], shares: Mapping[SplitName, float], seed: int) -> dict[int, SplitName]:
    """Where each drawn row goes. Each stratum gives its part, as nearly as whole units can, and keeps one at least."""
    drawn: dict[int, SplitName] = {}
    draw = random.Random(seed)
    wanted = dict.fromkeys(shares, 0.0)
    given = dict.fromkeys(shares, 0)
    for name in sorted(strata):
        left = draw.sample(strata[name], len(strata[name]))
        rows = sum(map(len, left))
        for into, share in shares.items():
            wanted[into] += share * rows
            taken, left = _take(left, round(wanted[into] - given[into]))
            given[into] += len(taken)
            drawn.update(dict.fromkeys(taken, into))
    return drawn


def _take(units: Sequence[list[int]], count: int) -> tuple[list[int], list[list[int]]]:
    """The rows of the first units that bring them nearer to `count`, and the other units: one at least."""
    taken: list[int] = []
    left: list[list[int]] = []
    for number, unit in enumerate(units, 1):
        last = number == len(units) and not left
        if last or len(taken) + len(unit) / 2 > count:
            left.append(unit)
        else:
            taken += unit
    return taken, left

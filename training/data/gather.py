"""From a recipe's data sets to canonical rows: the task's columns, in the task's terms."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data.annotations import answers
from training.data.canonical import LABEL
from training.data.columns import kind_of, own_columns
from training.data.compared import Compared
from training.data.hub import SPLITS
from training.data.opened import Source, sources, without_train
from training.data.rows import Dropped, Found
from training.data.value import Missing
from training.recipe.block import RecipeError, nearest
from training.recipe.data import DatasetBlock, SplitName
from training.recipe.labels import label_of, rules

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe
    from training.tasks.base import Task


@dataclass
class Gathered:
    """What was read."""

    rows: list[Found] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    read: int = 0
    unused: set[str] = field(default_factory=set)  # columns of the data that the task has no use for
    corrected: int = 0  # labels that people's answers changed
    unanswered: list[str] = field(default_factory=list)  # ids in the answers that are no row's


def gather(recipe: "Recipe", task: "Task") -> Gathered:
    """The rows of all data sets, in the recipe's order. Raises RecipeError where one cannot be read as it stands."""
    gathered = Gathered()
    compared = Compared(task, recipe)
    for index, block in enumerate(recipe.datasets):
        found = Gathered()
        others: list[Dropped] = []
        for source in sources(block, recipe.folder, others):
            _take(source, block, recipe, task, found)
        found.dropped += others
        found.read += len(others)
        if not found.read:
            raise RecipeError(f"datasets.{index}: {', '.join(block.paths)} has no rows")
        if not found.rows:
            reasons = sorted({dropped.reason for dropped in found.dropped})
            raise RecipeError(f"datasets.{index}: all {found.read} rows were dropped: {'; '.join(reasons[:3])}")
        if block.annotations is not None:
            if LABEL not in task.columns:
                raise RecipeError(f"datasets.{index}.annotations: rows of {task.name} have no label to put right")
            by_id = answers(recipe.folder / Path(block.annotations).expanduser())
            _check_choices(by_id, {*(one.row[LABEL] for one in found.rows), *block.labels, *recipe.model.labels}, index)
            _correct(found, by_id, compared)
        if block.sample is not None and block.sample < len(found.rows):
            drawn = random.Random(recipe.seed).sample(range(len(found.rows)), block.sample)
            found.rows = [found.rows[one] for one in sorted(drawn)]
        for one in found.rows:
            _check(one, task)
            one.asked = compared.question(one.row)
        gathered.rows += found.rows
        gathered.dropped += found.dropped
        gathered.read += found.read
        gathered.unused |= found.unused
        gathered.corrected += found.corrected
        gathered.unanswered += found.unanswered
    return gathered


def _check(found: Found, task: "Task") -> None:
    try:
        task.check_row(found.row)
    except ValueError as error:
        raise RecipeError(f"datasets: {found.source}, row {found.number}: {error}") from error


def _check_choices(by_id: Mapping[str, str], labels: set[str], index: int) -> None:
    """A choice that people added, such as 'unsure', would be one more class that a model learns."""
    for row, label in by_id.items():
        if label not in labels:
            raise RecipeError(
                f"datasets.{index}.annotations: row {row} was answered {label!r}, which is no label of its rows"
                f"{nearest(label, sorted(labels))}; `model.labels` may name it, or take the answer out"
            )


def _correct(gathered: Gathered, by_id: Mapping[str, str], compared: Compared) -> None:
    """Put people's answers in the place of the labels."""
    unmet = dict(by_id)
    for found in gathered.rows:
        row = compared.id(found.row)
        if (label := by_id.get(row)) is not None:
            unmet.pop(row, None)
            gathered.corrected += label != found.row[LABEL]
            found.row[LABEL] = label
    gathered.unanswered = list(unmet)


def _take(source: Source, block: DatasetBlock, recipe: "Recipe", task: "Task", gathered: Gathered) -> None:
    """Add the source's rows, as the task wants them."""
    tests = rules(block.labels)
    columns: dict[str, str] | None = None
    kinds: dict[type, int] = {}  # of label: the row that first had it
    for number, raw in source.rows:
        gathered.read += 1
        given = {**raw, **block.values}
        where = f"{source.name}, row {number}"
        if columns is None:
            columns = _columns(given, block, recipe, task, source.name)
            gathered.unused |= raw.keys() - {
                *(path.partition(".")[0] for path in columns.values()),
                recipe.split.column,
            }
        row: dict[str, Any] = {}
        try:
            for column, path in columns.items():
                value = _at(given, path)
                if column == LABEL and tests:
                    value = _apply_rules(value, tests)
                elif column == LABEL:
                    _check_uniform(value, kinds, number, where)
                row[column] = _convert(column, value, task, source.folder, where)
        except Missing as missing:
            gathered.dropped.append(Dropped(source.name, number, given, missing.kind, str(missing)))
            continue
        named = None if recipe.split.column is None else _find_split(given.get(recipe.split.column), where)
        gathered.rows.append(Found(source.name, number, row, source.split or named))


def _columns(
    given: Mapping[str, Any], block: DatasetBlock, recipe: "Recipe", task: "Task", source: str
) -> dict[str, str]:
    """Which column of the data each column of the task is taken from. Raises RecipeError where one is missing."""
    columns = {column: block.columns.get(column, column) for column in own_columns(task, recipe)} | block.columns
    columns |= {column: column for column in block.values}
    split = recipe.split.column
    if split is not None and split not in given and block.split is None:
        raise RecipeError(
            f"datasets: {source} has no column {split!r}, which split.column names{nearest(split, given)}"
        )
    for column, path in columns.items():
        if path not in given and path.partition(".")[0] not in given:
            about = task.columns.get(column, "as 'columns' says")
            raise RecipeError(
                f"datasets: {source} has no column {path!r} ({about}){nearest(path, given)}"
                + ("" if column in block.columns else f": `columns: {{{column}: ...}}` says where it is")
            )
    return columns


def _at(given: Mapping[str, Any], path: str) -> Any:
    if path in given:
        return given[path]
    found: Any = given
    for step in path.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found


def _apply_rules(value: Any, tests: Mapping[str, Any]) -> str:
    label = None if value is None else label_of(value, tests)
    if label is None:
        raise Missing(f"{LABEL} {value!r} is none of {', '.join(tests)}", "no label")
    return label


def _convert(column: str, value: Any, task: "Task", folder: Path, where: str) -> Any:
    if value is None:
        raise Missing(f"{column} is missing")
    kind = kind_of(column, task)
    if kind is None:
        return value
    try:
        return kind.convert(value, folder)
    except Missing as missing:
        raise Missing(f"{column} {missing}", missing.kind) from missing
    except (ValueError, TypeError, LookupError, OSError) as error:
        raise RecipeError(f"datasets: {where}: {column} {error}") from error


def _check_uniform(value: Any, kinds: dict[type, int], number: int, where: str) -> None:
    """Labels of two types in one column are one column too many, or a slip."""
    if isinstance(value, bool | int | float | str):
        kind = float if isinstance(value, int) and not isinstance(value, bool) else type(value)
        kinds.setdefault(kind, number)
        if len(kinds) > 1:
            others = ", ".join(f"a {of.__name__} in row {first}" for of, first in kinds.items() if of is not kind)
            raise RecipeError(f"datasets: {where}: {LABEL} is {value!r}, but {others}: mixed types; `labels` maps them")


def _find_split(name: Any, where: str) -> SplitName | None:
    if name is None:
        return None
    if str(name).lower() not in SPLITS:
        raise RecipeError(f"datasets: {where}: there is no split {name!r}: train, validation or test")
    return without_train(SPLITS[str(name).lower()])

"""What makes rows the same: nothing but the columns that the task works with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.data.canonical import Row, normal, row_id
from training.data.columns import own_columns

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe
    from training.tasks.base import Task


class Compared:
    """`own` are those columns: what a recipe takes along beside them makes no difference."""

    def __init__(self, task: "Task", recipe: "Recipe") -> None:
        self.task, self.own = task, own_columns(task, recipe)

    def id(self, row: Row) -> str:
        """What a row is called in the lists of suspects and in answers about them."""
        return row_id(self._part(row))

    def row(self, row: Row) -> str:
        """A key that is the same for rows that are the same."""
        return normal(self._part(row))

    def question(self, row: Row) -> str:
        """A key that is the same for rows with the same question to a model, whatever the answer."""
        return normal(self.task.question(self._part(row)))

    def but(self, row: Row, columns: Sequence[str]) -> str:
        """A key that is the same for rows that differ in `columns` alone."""
        return normal({name: value for name, value in self._part(row).items() if name not in columns})

    def _part(self, row: Row) -> dict[str, Any]:
        return {name: row[name] for name in self.own}

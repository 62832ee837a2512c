"""Rows of numbers: the graph's own tensors, which are the columns of a table."""

from typing import Final

from wire.tasks.contract import Contract


class Tabular(Contract):
    name = "tabular"
    about = "rows of numbers in, a score for each class or a number out, as the graph's own tensors"


CONTRACT: Final = Tabular()

"""A row on its way through the data stage, with where it came from."""

from dataclasses import dataclass
from typing import Any

from training.recipe.data import SplitName

Numbered = tuple[int, dict[str, Any]]  # as it was read, with its line or its place in the file, from one


@dataclass
class Found:
    """A row, and where it stood.

    `split` is None where nothing has placed it yet. `asked` is the same for rows that ask a model for an answer to the
    same, whatever the answer, but for case and spacing.
    """

    source: str
    number: int
    row: dict[str, Any]
    split: SplitName | None = None
    asked: str = ""


@dataclass
class Dropped:
    """A row that is not used, and why: `kind` in a word or two, `reason` in full."""

    source: str
    number: int
    row: dict[str, Any]
    kind: str
    reason: str

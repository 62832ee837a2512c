"""What people said of the quality of a few texts."""

import csv
from pathlib import Path
from typing import Final

from training.recipe.block import RecipeError

FEWEST: Final = 5  # of each quality
_QUALITY: Final = {"0": 0, "1": 1}


def read_sample(path: Path) -> tuple[list[str], list[int]]:
    """The texts that people marked, and their marks: 1 for good. Raises RecipeError where nothing can be learned."""
    where = f"clean.semantic.sample: {path}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecipeError(f"{where} can't be read: {error}") from error
    if not rows or not {"text", "quality"} <= rows[0].keys():
        raise RecipeError(f"{where} must be CSV with a header that has the columns text and quality, and rows")
    for number, row in enumerate(rows, 1):
        if row["quality"] not in _QUALITY or not row["text"]:
            raise RecipeError(f"{where}, row {number}: wants a text and the quality 0 or 1, not {row['quality']!r}")
    marks = [_QUALITY[row["quality"]] for row in rows]
    good = sum(marks)
    if min(good, len(marks) - good) < FEWEST:
        raise RecipeError(f"{where} needs {FEWEST} rows of each quality at least; it has {good} good of {len(marks)}")
    return [row["text"] for row in rows], marks

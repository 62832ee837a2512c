"""Folders of tables: files of one format, which are read as each of them is by itself; a README may lie beside them.

`datasets` would guess types where a file says none: "NA" would be nothing, and a text of digits a number.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from training.data.hub import SPLITS, for_load_dataset
from training.data.source import format_of
from training.recipe.block import RecipeError
from training.recipe.data import SplitName

_UNTYPED: Final = ("csv", "json", "jsonl", "text")  # Parquet says its types, and datasets knows its classes by name
_BESIDE: Final = ("readme", "license", "licence", "notice")


def format_in(folder: Path, options: Mapping[str, Any]) -> str | None:
    """The format that all tables in a folder have; None where `datasets` is to open it."""
    formats = {format_of(file) for file in _list_visible(folder) if not _is_beside(file)}
    (only,) = formats if len(formats) == 1 else (None,)
    return only if only in _UNTYPED and not for_load_dataset(options) else None


def tables(folder: Path, split: SplitName | None, every: bool) -> dict[Path, SplitName | None]:
    """The tables in a folder, sorted, or `every` file: each with `split`, or else the split that its path says.

    So do `valid/a.csv` and `test-1.csv`; where all paths say the same one, that says nothing. Raises RecipeError where
    a path says two.
    """
    files = [file for file in _list_visible(folder) if every or not _is_beside(file)]
    if split is not None:
        return dict.fromkeys(files, split)
    found = {file: _split_of(file, folder) for file in files}
    return found if len(set(found.values())) > 1 else dict.fromkeys(found)


def _list_visible(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]


def _is_beside(file: Path) -> bool:
    """Whether it is about the tables. A README that begins with YAML is not: `datasets` goes by what that says."""
    if format_of(file) is not None or file.stem.lower() not in _BESIDE:
        return False
    with file.open("rb") as content:
        return content.readline().strip() != b"---"


def _split_of(file: Path, folder: Path) -> SplitName | None:
    words = re.split(r"[^a-z]+", str(file.relative_to(folder)).lower())
    # Words and not the whole name, as in what the hub calls test-00000-of-00001.
    found = {SPLITS[word] for word in words if word in SPLITS}
    if len(found) > 1:
        raise RecipeError(
            f"datasets: {file} names the splits {' and '.join(sorted(found))}: name each file as a `path` of its own, "
            "and with `split` what it is for"
        )
    return next(iter(found), None)

"""Writes rows as a person would lay them out: the data stage then reads them as it reads a user's own."""

import csv
from pathlib import Path
from typing import Any, Final

from training.data.lines import write_lines

Rows = list[dict[str, Any]]

# Columns that are files, and where those lie from the folder on.
_NAMED: Final = {"image": "{}.png", "audio": "{}.wav", "mask": "masks/{}.png"}
_SUBJECTS: Final = ("image", "audio")  # what a row of a folder is about


def write_rows(rows: Rows, path: Path) -> None:
    """Into a file, `.jsonl` or `.csv`; where `path` has no ending, a folder of images or sounds with their metadata."""
    match path.suffix:
        case ".jsonl":
            write_lines(rows, path)
        case ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
        case _:
            path.mkdir()
            filed = [_write_media(row, path, f"{number:04}") for number, row in enumerate(rows, 1)]
            write_lines(filed, path / "metadata.jsonl")


def _write_media(row: dict[str, Any], folder: Path, number: str) -> dict[str, Any]:
    """The row with its images and sounds as files, and their names in the place of them."""
    found = {}
    for column, value in row.items():
        if column not in _NAMED:
            found[column] = value
            continue
        name = _NAMED[column].format(number)
        (folder / name).parent.mkdir(exist_ok=True)
        if column == "audio":
            (folder / name).write_bytes(value)
        else:
            value.save(folder / name)
        found["file_name" if column in _SUBJECTS else column] = name
    return found

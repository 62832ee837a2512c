"""Opens what a data set's paths name: rows, file by file or split by split."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.data.fetch import fetch
from training.data.files import READERS
from training.data.folders import COLUMNS, kind_of, read_folder
from training.data.hub import number_rows, read_hub
from training.data.rows import Dropped, Numbered
from training.data.source import format_of, local, place
from training.data.tables import format_in, tables
from training.recipe.block import RecipeError
from training.recipe.data import PIP, DatasetBlock, SplitName

_SHEETS: Final = (".xlsx", ".xls", ".ods")
_ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")


@dataclass(frozen=True)
class Source:
    """Rows of one file, or of one split of a data set; what their relative paths begin at."""

    name: str
    rows: Iterator[Numbered]
    folder: Path
    split: SplitName | None


def sources(block: DatasetBlock, beside: Path, others: list[Dropped]) -> Iterator[Source]:
    """What the block's paths name, in their order. Files of a folder that hold no row are added to `others`."""
    for path in block.paths:
        if path.startswith(PIP):
            assert block.sha256 is not None  # or the block would not be valid
            yield from _files([fetch(path, block.sha256)], block)
            continue
        found = place(path, beside)
        if found is None:
            yield from _hub(path, path, block)
        elif not found.is_dir():
            yield from _files(local(path, beside) or [], block)
        elif (kind := block.format or kind_of(found) or format_in(found, block.options) or "huggingface") in COLUMNS:
            yield from _folder(kind, found, path, block, others)
        elif kind in READERS:
            yield from _tables(kind, found, block)
        elif packed := [file for file in sorted(found.iterdir()) if file.name.lower().endswith((*_ARCHIVES, *_SHEETS))]:
            _check_unpacked(packed[0])
        else:
            yield from _hub(str(found), path, block)


def without_train(split: SplitName | None) -> SplitName | None:
    """The split, but None for `train`: rows that data call so may still be drawn into the splits that they lack."""
    return None if split == "train" else split


def _files(files: list[Path], block: DatasetBlock) -> Iterator[Source]:
    for file in files:
        _check_unpacked(file)
        kind = block.format or format_of(file)
        if kind is None or kind not in READERS:
            raise RecipeError(f"datasets: {file}: say which 'format' it is: {', '.join(READERS)}")
        yield Source(file.name, READERS[kind](file, block.options), file.parent, block.split)


def _check_unpacked(file: Path) -> None:
    if file.suffix.lower() in _SHEETS:
        raise RecipeError(f"datasets: {file} is a spreadsheet: save it as CSV, in UTF-8")
    if file.name.lower().endswith(_ARCHIVES):
        raise RecipeError(f"datasets: {file} is an archive: unpack it, and name the folder or the files in it")


def _tables(kind: str, folder: Path, block: DatasetBlock) -> Iterator[Source]:
    for file, split in tables(folder, block.split, every=block.format is not None).items():
        name = str(file.relative_to(folder))
        yield Source(name, READERS[kind](file, block.options), file.parent, block.split or without_train(split))


def _folder(kind: str, folder: Path, path: str, block: DatasetBlock, others: list[Dropped]) -> Iterator[Source]:
    for part in read_folder(kind, folder, block.options):
        name = f"{path} ({part.split})" if part.split else path
        yield Source(name, iter(part.rows), part.folder, block.split or without_train(part.split))
        others += [Dropped(name, 0, {"file": str(file)}, "other file", f"no row of an {kind}") for file in part.others]


def _hub(source: str, path: str, block: DatasetBlock) -> Iterator[Source]:
    for split, rows in read_hub(source, block.options).items():
        name = f"{path} ({split})" if split else path
        yield Source(name, number_rows(rows), Path(), block.split or without_train(split))

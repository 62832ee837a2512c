"""Folders of images and audio, laid out as for `datasets`' imagefolder and audiofolder, none of whose files is lost.

`datasets`' own readers leave out silently what they do not know, and want torchcodec for audio.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from training.data.canonical import LABEL
from training.data.files import READERS
from training.data.hub import SPLITS
from training.data.rows import Numbered
from training.data.source import format_of
from training.recipe.block import RecipeError, check_keys
from training.recipe.data import SplitName

COLUMNS: Final = {"imagefolder": "image", "audiofolder": "audio"}
_METADATA: Final = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FILE: Final = "file_name"  # of the metadata: the file, from the folder that the metadata lie in


@dataclass
class Part:
    """A folder that lies alone, or that of one split."""

    folder: Path
    split: SplitName | None
    rows: list[Numbered] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)  # files that hold no row


def kind_of(folder: Path) -> str | None:
    """What the files in a folder are, by their names; None where there is neither image nor audio."""
    for kind in COLUMNS:
        if any(file.suffix.lower() in _endings(kind) for file in folder.rglob("*")):
            return kind
    return None


def read_folder(kind: str, folder: Path, options: Mapping[str, Any]) -> list[Part]:
    """The files under a folder, sorted, each with its sub-folder's name as `label` or with what the metadata say.

    Sub-folders that are all called after splits are those.
    """
    check_keys(options, (), "datasets.options", f"the format {kind}")
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    if inner and all(path.name.lower() in SPLITS for path in inner):
        parts = [Part(path, SPLITS[path.name.lower()]) for path in inner]
        parts[0].others += [path for path in sorted(folder.iterdir()) if path.is_file()]
    else:
        parts = [Part(folder, None)]
    for part in parts:
        _fill(part, kind)
    return parts


def _fill(part: Part, kind: str) -> None:
    files = [file for file in sorted(part.folder.rglob("*")) if file.is_file()]
    metadata = next((part.folder / name for name in _METADATA if part.folder / name in files), None)
    if metadata is not None:
        part.rows = list(_read_metadata(metadata, kind))
        # Of a row there may be more files than its image: a mask, for example.
        named = {value for _, row in part.rows for value in row.values() if isinstance(value, str)}
        used = {metadata, *(part.folder / name for name in named)}
        part.others += [file for file in files if file not in used]
        return
    for number, file in enumerate(files, 1):
        if file.suffix.lower() not in _endings(kind):
            part.others.append(file)
            continue
        row = {COLUMNS[kind]: str(file.relative_to(part.folder))}
        if file.parent != part.folder:
            row[LABEL] = file.parent.name
        part.rows.append((number, row))


def _read_metadata(metadata: Path, kind: str) -> Iterator[Numbered]:
    for number, row in READERS[str(format_of(metadata))](metadata, {}):
        if row.get(_FILE) is None:
            raise RecipeError(f"datasets: {metadata}, row {number}: has no {_FILE!r}")
        yield number, {**{name: value for name, value in row.items() if name != _FILE}, COLUMNS[kind]: row[_FILE]}


def _endings(kind: str) -> frozenset[str]:
    from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder
    from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

    return frozenset((ImageFolder if kind == "imagefolder" else AudioFolder).EXTENSIONS)

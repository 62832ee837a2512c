"""The folder that a source lies in, and which of its files may be read: those that truly lie inside it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

from storage.errors import InvalidArtifact
from storage.manifest import check_path

# Our own settings and graphs are far below this; a file beyond it is not what its name says.
_MAX_TEXT_BYTES = 64 * 2**20
# What Git leaves in the place of a large file where Git LFS is not installed.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that we did not write. Nothing that a link in it points at is read.

    The one exception is a snapshot in the Hugging Face cache, whose files all are links to the `blobs` beside it.
    """

    root: Path

    @classmethod
    def at(cls, path: Path) -> Self:
        return cls(path.resolve())

    def find(self, path: str) -> Path | None:
        """Where the file `path` is on disk; None where there is no such file.

        Raises InvalidArtifact where `path` leaves the folder or leads over a link, or the file was not fetched.
        """
        try:
            check_path(path)
        except ValueError as error:
            raise InvalidArtifact(f"{error}: nothing outside of {self.root} is imported") from error
        place = self.root
        for part in PurePosixPath(path).parts:
            place = place / part
            if place.is_symlink():
                return self._blob(place, path)
        return _not_a_pointer(place, path) if place.is_file() else None

    def require(self, path: str, needed_by: str) -> Path:
        """`find`, where the file has to be there: InvalidArtifact otherwise."""
        if (file := self.find(path)) is None:
            raise InvalidArtifact(f"{needed_by} needs the file {path}, which {self.root} lacks")
        return file

    def text(self, path: str) -> str | None:
        """The file's text; None where there is no such file. Raises InvalidArtifact where it is not UTF-8."""
        if (file := self.find(path)) is None:
            return None
        if file.stat().st_size > _MAX_TEXT_BYTES:
            raise InvalidArtifact(f"{path} is larger than {_MAX_TEXT_BYTES >> 20} MiB: that is no text file of a model")
        try:
            return file.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise InvalidArtifact(f"{path} is not UTF-8: {error}") from error

    def json(self, path: str) -> Any:
        """What the file holds as JSON; None where there is no such file. InvalidArtifact where it is not JSON."""
        if (text := self.text(path)) is None:
            return None
        try:
            # Not orjson: Python's own writes numbers of any length and Infinity, and tokenizer_config.json has them.
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidArtifact(f"{path} is not JSON: {error}") from error

    def json_object(self, path: str) -> dict[str, Any]:
        """What the file holds as a JSON object; an empty one where there is no such file."""
        value = self.json(path)
        if value is not None and not isinstance(value, dict):
            raise InvalidArtifact(f"{path} must hold a JSON object")
        return value or {}

    def paths(self) -> list[str]:
        """The files of the folder and of its direct subfolders, sorted."""
        return sorted(self._walk())

    def _walk(self) -> Iterator[str]:
        for entry in self.root.iterdir():
            if entry.is_file():
                yield entry.name
            elif entry.is_dir() and not entry.is_symlink():
                yield from (f"{entry.name}/{inner.name}" for inner in entry.iterdir() if inner.is_file())

    def _blob(self, link: Path, path: str) -> Path:
        target = link.resolve()
        snapshots = next((folder for folder in self.root.parents if folder.name == "snapshots"), None)
        if snapshots is not None and target.parent == snapshots.parent / "blobs" and target.is_file():
            return target
        raise InvalidArtifact(f"{path} leads over a link: put the file itself in {self.root}")


def _not_a_pointer(file: Path, path: str) -> Path:
    with file.open("rb") as opened:
        start = opened.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise InvalidArtifact(f"{path} is only Git LFS's pointer to the file: fetch it with `git lfs pull`")
    return file

"""Immutable files by sha256, in a folder or a bucket: written whole or not at all, verified whenever they are read."""

from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from storage.errors import InvalidUrl
from storage.folder_store import FolderStore
from storage.manifest import Manifest
from storage.stored_files import FileRef, StoredFile


class ArtifactStore(Protocol):
    """Where the artifacts' files are. What is no sha256 raises InvalidArtifact; a store that is away, Unavailable.

    Away is a server or a bucket that does not answer, and for whoever reads a folder in which nothing was ever stored:
    one that is not mounted looks the same.
    """

    async def put(self, source: AsyncIterable[bytes], sha256: str | None = None) -> FileRef:
        """Store what `source` yields. Raises CorruptFile, and stores nothing, if that is not what `sha256` names."""
        ...

    async def put_file(self, path: Path, sha256: str | None = None) -> FileRef:
        """Store a copy of the file at `path`, as `put` does."""
        ...

    def read(self, sha256: str) -> AsyncIterator[bytes]:
        """The file's bytes in chunks. Raises MissingFile, and CorruptFile before the last chunk if they differ."""
        ...

    async def has(self, sha256: str) -> bool:
        """Whether the file is there; its bytes are verified only when they are read."""
        ...

    async def delete(self, sha256: str) -> None:
        """Drop the file, if it is there."""
        ...

    def files(self) -> AsyncIterator[StoredFile]:
        """Every file, in any order, as it was when it came to be listed."""
        ...

    async def discard_uploads(self, before: datetime, *, dry_run: bool = False) -> int:
        """Drop what uploads that broke off have left, where nothing was added since `before`: how many there were."""
        ...

    async def materialise(self, manifest: Manifest, folder: Path) -> Path:
        """`folder`/<digest>, which holds the manifest's files, all verified, and nothing else.

        A folder that is there is verified again, and built anew if it differs. Any number of processes may ask at
        once. Raises MissingFile, CorruptFile, and InvalidArtifact if the files' sizes are not the manifest's.
        """
        ...


def open_store(url: str) -> ArtifactStore:
    """The store at `url`: a folder, or s3://bucket/prefix. Raises InvalidUrl."""
    if url.startswith("s3://"):
        # Its client is an extra: where the artifacts are in a folder it need not be installed.
        from storage.object_store import ObjectStore

        return ObjectStore(url)
    if "://" in url or not url:
        raise InvalidUrl(f"{url!r} names no artifact store: name a folder, or s3://bucket/prefix")
    return FolderStore(Path(url))

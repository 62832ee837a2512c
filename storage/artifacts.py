"""Immutable files by sha256, in a folder or a bucket: written whole or not at all, verified whenever they are read."""

import os
from asyncio import to_thread
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol
from uuid import uuid4

from storage.errors import CorruptFile, InvalidUrl, MissingFile, Unavailable
from storage.hashing import SHA256, check_sha256, chunks_of, verified, write_all
from storage.manifest import Manifest
from storage.materialise import materialise


@dataclass(frozen=True, slots=True)
class FileRef:
    """A stored file: the sha256 of its bytes, in 64 hex digits, and how many they are."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a store lists: `put_at` is when it was last put, by the store's clock."""

    sha256: str
    size: int
    put_at: datetime


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


async def receive(source: AsyncIterable[bytes], file: IO[bytes], sha256: str | None) -> FileRef:
    """Write what `source` yields to `file`. Raises CorruptFile if `sha256` names something else."""
    if sha256 is not None:
        check_sha256(sha256)
    received, size = await write_all(source, file)
    if sha256 not in (None, received):
        raise CorruptFile(f"the bytes have sha256 {received}, not {sha256}: nothing was stored, send them again")
    return FileRef(received, size)


def missing(sha256: str) -> MissingFile:
    """The error for a file that a store does not have."""
    return MissingFile(f"the artifact store has no file {sha256}: upload it first")


class FolderStore:
    """Files under `root`, which is made when it is first written to. Processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = root / "files"
        self._incoming = root / "incoming"

    async def put(self, source: AsyncIterable[bytes], sha256: str | None = None) -> FileRef:
        incoming = await to_thread(_create, self._incoming / uuid4().hex)
        try:
            with incoming:
                ref = await receive(source, incoming, sha256)
                # Even over a file that is there, which may have rotted.
                try:
                    await to_thread(_move, incoming, self._path(ref.sha256))
                except FileNotFoundError as error:
                    raise Unavailable(f"the upload was taken away meanwhile ({error}): upload it again") from error
            return ref
        finally:
            await to_thread(Path(incoming.name).unlink, missing_ok=True)

    async def put_file(self, path: Path, sha256: str | None = None) -> FileRef:
        with await to_thread(path.open, "rb", buffering=0) as file:
            return await self.put(chunks_of(file), sha256)

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        path = self._path(sha256)
        with self._errors():
            if not await to_thread(_is_there, path):
                await to_thread(self._check_there)
                raise missing(sha256)
            with await to_thread(path.open, "rb", buffering=0) as file:
                async for chunk in verified(chunks_of(file), sha256):
                    yield chunk

    async def has(self, sha256: str) -> bool:
        with self._errors():
            return await to_thread(_is_there, self._path(sha256))

    async def delete(self, sha256: str) -> None:
        with self._errors():
            await to_thread(self._path(sha256).unlink, missing_ok=True)

    async def files(self) -> AsyncIterator[StoredFile]:
        with self._errors():
            await to_thread(self._check_there)
            for folder in await to_thread(os.listdir, self._files):
                for file in await to_thread(_stored_in, self._files / folder):
                    yield file

    async def discard_uploads(self, before: datetime, *, dry_run: bool = False) -> int:
        with self._errors():
            return await to_thread(_discard, self._incoming, before.timestamp(), dry_run)

    async def materialise(self, manifest: Manifest, folder: Path) -> Path:
        return await materialise(self.read, manifest, folder)

    def _path(self, sha256: str) -> Path:
        check_sha256(sha256)
        return self._files / sha256[:2] / sha256[2:]

    def _check_there(self) -> None:
        if not self._files.is_dir():
            raise Unavailable(
                f"the artifact store {self._root} has no folder 'files': nothing was ever stored there, or it is not"
                " mounted"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"the artifact store {self._root} does not answer as it should: {error}") from error


def _create(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")


def _is_there(path: Path) -> bool:
    # A link is nothing that this store has written.
    return path.is_file() and not path.is_symlink()


def _stored_in(folder: Path) -> list[StoredFile]:
    found: list[StoredFile] = []
    if not folder.is_dir():
        return found
    with os.scandir(folder) as entries:
        for entry in entries:
            if SHA256.fullmatch(sha256 := folder.name + entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # deleted just now
                    about = entry.stat(follow_symlinks=False)
                    found.append(StoredFile(sha256, about.st_size, datetime.fromtimestamp(about.st_mtime, UTC)))
    return found


def _discard(folder: Path, before: float, dry_run: bool) -> int:
    count = 0
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):  # an upload that came to its end just now
            if path.lstat().st_mtime < before:
                count += 1
                if not dry_run:
                    path.unlink()
    return count


def _move(file: IO[bytes], target: Path) -> None:
    """Give the file its name once its bytes are on the disk, so that a name never stands for less than all of them."""
    file.flush()
    os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(file.name, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

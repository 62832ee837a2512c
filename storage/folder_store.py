"""The artifact store in a folder, which processes may share."""

import errno
import os
from asyncio import to_thread
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

from storage.errors import Unavailable
from storage.hashing import SHA256, check_sha256, chunks_of, verify
from storage.manifest import Manifest
from storage.materialise import materialise
from storage.stored_files import FileRef, StoredFile, missing_file, receive, tell_apart

_MEANINGS: Final = {
    errno.ENOENT: "lost what it had a moment ago, try again",
    errno.ENOSPC: "is full, free some space or run `python -m storage.prune`",
    errno.EDQUOT: "is full, free some space or run `python -m storage.prune`",
    errno.EROFS: "can only be read, let this process write to it",
    errno.EACCES: "is not open to this process, let it read and write there",
    errno.EPERM: "is not open to this process, let it read and write there",
}


class FolderStore:
    """Files under `root`, which is made when it is first written to. Processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = root / "files"
        self._incoming = root / "incoming"
        self._was_there = self._files.is_dir()

    async def put(self, source: AsyncIterable[bytes], sha256: str | None = None) -> FileRef:
        with tell_apart(self._errors()):
            await to_thread(self._check_same)
            incoming = await to_thread(_create, self._incoming / uuid4().hex)
            try:
                with incoming:
                    ref = await receive(source, incoming, sha256)
                    # Even over a file that is there, which may have rotted.
                    await to_thread(_move, incoming, self._path(ref.sha256))
            finally:
                with suppress(OSError):  # what the disk refuses is said already
                    await to_thread(Path(incoming.name).unlink, missing_ok=True)
        self._was_there = True
        return ref

    async def put_file(self, path: Path, sha256: str | None = None) -> FileRef:
        with await to_thread(path.open, "rb", buffering=0) as file:
            return await self.put(chunks_of(file), sha256)

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        path = self._path(sha256)
        with self._errors():
            if not await to_thread(_is_there, path):
                await to_thread(self._check_there)
                raise missing_file(sha256)
            with await to_thread(path.open, "rb", buffering=0) as file:
                async for chunk in verify(chunks_of(file), sha256):
                    yield chunk

    async def has(self, sha256: str) -> bool:
        with self._errors():
            await to_thread(self._check_same)
            return await to_thread(_is_there, self._path(sha256))

    async def delete(self, sha256: str) -> None:
        with self._errors():
            await to_thread(self._path(sha256).unlink, missing_ok=True)

    async def files(self) -> AsyncIterator[StoredFile]:
        with self._errors():
            await to_thread(self._check_there)
            for folder in await to_thread(os.listdir, self._files):
                for file in await to_thread(_list_stored, self._files / folder):
                    yield file

    async def discard_uploads(self, before: datetime, *, dry_run: bool = False) -> int:
        with self._errors():
            return await to_thread(_discard, self._incoming, before.timestamp(), dry_run)

    async def materialise(self, manifest: Manifest, folder: Path) -> Path:
        return await materialise(self.read, manifest, folder)

    def _path(self, sha256: str) -> Path:
        check_sha256(sha256)
        return self._files / sha256[:2] / sha256[2:]

    def _check_same(self) -> None:
        """Raises Unavailable where the store was there before and is not now; a new one merely lacks all files."""
        there = self._files.is_dir()
        if self._was_there and not there:
            self._check_there()
        self._was_there = there

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
            told = _MEANINGS.get(error.errno or 0, "does not answer as it should")
            raise Unavailable(f"the artifact store {self._root} {told}: {error}") from error


def _create(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")


def _is_there(path: Path) -> bool:
    # A link is nothing that this store has written.
    return path.is_file() and not path.is_symlink()


def _list_stored(folder: Path) -> list[StoredFile]:
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

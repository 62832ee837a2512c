"""Puts an artifact's files into a folder that an engine can load from: complete and verified, or not there at all."""

import asyncio
import fcntl
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from storage.errors import InvalidArtifact
from storage.hashing import sha256_of, write_all
from storage.manifest import FileEntry, Manifest

LOCK_POLL_S = 0.05


async def materialise(read: Callable[[str], AsyncIterator[bytes]], manifest: Manifest, folder: Path) -> Path:
    """`folder`/<digest> with the manifest's files; `read` yields a file's verified bytes. See ArtifactStore."""
    target = folder / manifest.digest
    partial = folder / f"{manifest.digest}.partial"
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    # One process at a time: the others would fetch the same files, or swap a folder that is being loaded from.
    async with _hold_lock(folder / f"{manifest.digest}.lock"):
        if await asyncio.to_thread(_intact, manifest, target):
            return target
        try:
            await asyncio.to_thread(_clear, partial)
            for entry in manifest.files:
                await _fetch(read, entry, partial / entry.path)
            await asyncio.to_thread(_clear, target)
            await asyncio.to_thread(partial.rename, target)
        finally:
            await asyncio.to_thread(_clear, partial)
    return target


async def _fetch(read: Callable[[str], AsyncIterator[bytes]], entry: FileEntry, path: Path) -> None:
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    file = await asyncio.to_thread(path.open, "xb")
    # Without fsync: what a power cut leaves here is found out by the next call, and built anew.
    with file:
        _, size = await write_all(read(entry.sha256), file)
    if size != entry.size:
        raise InvalidArtifact(f"{entry.path!r} has {size} bytes, and {entry.size} in the manifest")


def _intact(manifest: Manifest, folder: Path) -> bool:
    """Whether `folder` holds the manifest's files and nothing else, all of them plain files."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    missing = {entry.path: entry for entry in manifest.files}
    for root, folders, names in os.walk(folder):
        if any(Path(root, name).is_symlink() for name in folders):
            return False
        for name in names:
            path = Path(root, name)
            # A graph may name files beside it, so one that is not in the manifest is not harmless.
            entry = missing.pop(path.relative_to(folder).as_posix(), None)
            if entry is None or not stat.S_ISREG(path.lstat().st_mode) or sha256_of(path) != entry.sha256:
                return False
    return not missing


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@asynccontextmanager
async def _hold_lock(path: Path) -> AsyncIterator[None]:
    # The kernel gives the lock back when its holder dies, however it dies.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        while not _lock(descriptor):  # noqa: ASYNC110 (another process has it, which sets no Event of ours)
            await asyncio.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""What the artifact stores have in common: how they name files, and how they take what is uploaded."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from storage.errors import CorruptFile, MissingFile
from storage.hashing import check_sha256, write_all


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


class _SourceFailed(Exception):
    """The source of an upload failed, with an error that the store itself could raise too."""


@contextmanager
def tell_apart(errors: AbstractContextManager[None]) -> Iterator[None]:
    """Translate errors as `errors`, the store's own, does, but for those that the source of `receive` raised."""
    try:
        with errors:
            yield
    except _SourceFailed as failed:
        raise failed.__cause__ or failed from None


async def _source(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except OSError as error:
        raise _SourceFailed from error


async def receive(source: AsyncIterable[bytes], file: IO[bytes], sha256: str | None) -> FileRef:
    """Write what `source` yields to `file`. Raises CorruptFile if `sha256` names something else."""
    if sha256 is not None:
        check_sha256(sha256)
    received, size = await write_all(_source(source), file)
    if sha256 not in (None, received):
        raise CorruptFile(f"the bytes have sha256 {received}, not {sha256}: nothing was stored, send them again")
    return FileRef(received, size)


def missing_file(sha256: str) -> MissingFile:
    """The error for a file that a store does not have."""
    return MissingFile(f"the artifact store has no file {sha256}: upload it first")

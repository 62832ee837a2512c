"""Bytes that pass through with their sha256: in chunks of a MiB, in threads, never in the event loop's way."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import IO

from storage.errors import CorruptFile, InvalidArtifact

SHA256 = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20  # bytes: large enough that the hop to a thread costs nothing beside the hashing


def check_sha256(text: str) -> str:
    """`text`, if it can be a sha256; InvalidArtifact otherwise."""
    if not SHA256.fullmatch(text):
        raise InvalidArtifact(f"{text!r} is no sha256: 64 hexadecimal digits in lower case")
    return text


def sha256_of(path: Path) -> str:
    """The sha256 of the file's bytes, in hex. Blocks."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


async def chunks_of(file: IO[bytes]) -> AsyncIterator[bytes]:
    """The rest of the file's bytes, from its current position on."""
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        yield chunk


async def verify(chunks: AsyncIterable[bytes], sha256: str) -> AsyncIterator[bytes]:
    """Yield `chunks`, the last of them only once all together are what `sha256` names. Raises CorruptFile otherwise."""
    digest = hashlib.sha256()
    held = b""
    async for chunk in chunks:
        await asyncio.to_thread(digest.update, chunk)
        if held:
            yield held
        held = chunk
    if digest.hexdigest() != sha256:
        raise CorruptFile(f"the stored file {sha256} has other bytes by now, of sha256 {digest.hexdigest()}")
    if held:
        yield held


async def write_all(source: AsyncIterable[bytes], file: IO[bytes]) -> tuple[str, int]:
    """Write what `source` yields: its sha256 and its size in bytes."""
    digest = hashlib.sha256()
    size = 0
    pending = bytearray()

    def write() -> None:
        digest.update(pending)
        file.write(pending)

    async for chunk in source:
        pending += chunk
        size += len(chunk)
        # A body comes in pieces of some KiB, and not each of them is worth a thread.
        if len(pending) >= CHUNK:
            await asyncio.to_thread(write)
            pending.clear()
    await asyncio.to_thread(write)
    return digest.hexdigest(), size

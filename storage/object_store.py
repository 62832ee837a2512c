"""The artifact store in an S3 bucket, or in what speaks S3's protocol."""

from asyncio import to_thread
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final
from urllib.parse import urlsplit

import obstore
from obstore import delete_async, get_async, head_async, list_with_delimiter_async, put_async
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from storage.errors import InvalidUrl, Unavailable
from storage.hashing import CHUNK, SHA256, check_sha256, chunks_of, verify
from storage.manifest import Manifest
from storage.materialise import materialise
from storage.stored_files import FileRef, StoredFile, missing_file, receive, tell_apart

_NOT_FOUND: Final = (NotFoundError, FileNotFoundError)


class ObjectStore:
    """Objects under s3://bucket/prefix. Credentials, region and endpoint come from the AWS_* variables.

    Raises InvalidUrl where no bucket is named.
    """

    def __init__(self, url: str) -> None:
        if not urlsplit(url).netloc:
            raise InvalidUrl(f"{url!r} names no bucket: s3://bucket/prefix")
        self._url = url
        self._bucket = S3Store.from_url(
            url,
            # An endpoint that says http:// means it. A large file may take its time, as long as it moves.
            client_options={"allow_http": True, "timeout": timedelta(hours=1), "read_timeout": timedelta(seconds=30)},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        )

    async def put(self, source: AsyncIterable[bytes], sha256: str | None = None) -> FileRef:
        # Spooled first: an object's name is its hash, which is known only at the end.
        with tell_apart(self._errors()), await to_thread(NamedTemporaryFile) as spool:
            ref = await receive(source, spool.file, sha256)
            await to_thread(spool.flush)
            await put_async(self._bucket, _key(ref.sha256), Path(spool.name))
        return ref

    async def put_file(self, path: Path, sha256: str | None = None) -> FileRef:
        with await to_thread(path.open, "rb", buffering=0) as file:
            return await self.put(chunks_of(file), sha256)

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        async for chunk in verify(self._chunks(sha256), sha256):
            yield chunk

    async def _chunks(self, sha256: str) -> AsyncIterator[bytes]:
        key = _key(sha256)
        with self._errors():
            try:
                found = await get_async(self._bucket, key)
            except _NOT_FOUND:
                await self._check_bucket(key)
                raise missing_file(sha256) from None
            async for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    async def has(self, sha256: str) -> bool:
        key = _key(sha256)
        with self._errors():
            try:
                await head_async(self._bucket, key)
            except _NOT_FOUND:
                await self._check_bucket(key)
                return False
        return True

    async def delete(self, sha256: str) -> None:
        with self._errors():
            await delete_async(self._bucket, _key(sha256))

    async def files(self) -> AsyncIterator[StoredFile]:
        with self._errors():
            async for page in obstore.list(self._bucket, "files"):
                for found in page:
                    sha256 = found["path"].removeprefix("files").replace("/", "")
                    if SHA256.fullmatch(sha256) and _key(sha256) == found["path"]:
                        yield StoredFile(sha256, found["size"], found["last_modified"])

    async def discard_uploads(self, before: datetime, *, dry_run: bool = False) -> int:
        """Finds none: what a process left that was killed while it uploaded, the bucket's own rule
        AbortIncompleteMultipartUpload removes."""
        return 0

    async def materialise(self, manifest: Manifest, folder: Path) -> Path:
        return await materialise(self.read, manifest, folder)

    async def _check_bucket(self, key: str) -> None:
        # A bucket that is not there answers like one that lacks the file; only listing tells them apart.
        await list_with_delimiter_async(self._bucket, key)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            raise Unavailable(f"the artifact store {self._url} does not answer as it should: {error}") from error


def _key(sha256: str) -> str:
    check_sha256(sha256)
    return f"files/{sha256[:2]}/{sha256[2:]}"
